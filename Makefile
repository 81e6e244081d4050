# `make test` is the test command; each target can be run alone.
.PHONY: test lint types contracts unit docs compiled

test: lint types contracts unit docs

lint:
	ruff check .
	ruff format --check .

types:
	mypy

contracts:
	lint-imports --no-cache

unit:
	python -m pytest

compiled:
	python -m pytest tests/brian -m slow

docs:
	python -m sphinx -W --keep-going -q -E -b html docs docs/_build
