"""The test matrix: Python versions, package versions, extras, the wheel, and orders of tests.

``nox`` runs all of it, ``nox -s "newest-3.12"`` one cell. Each cell runs the suite without long runs.
"""

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
SHORT = ("tests", "snn_gan_ext", "--ignore=tests/experiments", "--ignore=tests/test_docs.py")
PINNED = ("-c", "constraints.txt")

nox.options.default_venv_backend = "venv"
nox.options.stop_on_first_error = False


@nox.session(python=PYTHONS)
def pinned(session: nox.Session) -> None:
    """The versions of constraints.txt."""
    session.install(*PINNED, "-e", ".[test]")
    session.run("python", "-m", "pytest", *SHORT, *session.posargs)


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """The newest versions that pyproject.toml admits."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *SHORT, *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The lowest versions that pyproject.toml names."""
    found = f"{session.create_tmp()}/lowest.txt"
    session.install("uv")
    resolve = ("uv", "pip", "compile", "-q", "--resolution", "lowest-direct", "--extra", "test")
    session.run(*resolve, "--python", f"{session.virtualenv.location}", "pyproject.toml", "-o", found)
    session.install("-c", found, "-e", ".[test]")
    session.run("python", "-m", "pytest", *SHORT, *session.posargs)


@nox.session(python=PYTHONS)
def bare(session: nox.Session) -> None:
    """No extras: tests of Brian2, Tonic and TensorBoard skip."""
    session.install(*PINNED, "-e", ".", "pytest", "hypothesis", "pandas")
    session.run("python", "-m", "pytest", *SHORT, *session.posargs)


@nox.session(python=PYTHONS)
def wheel(session: nox.Session) -> None:
    """The archives, as an index would get them, and the wheel in an environment without the source."""
    built = session.create_tmp()
    session.install("build", "twine", "cffconvert")
    session.run("cffconvert", "--validate")
    session.run("python", "-m", "build", "-q", "--outdir", built)
    session.run("python", "-m", "twine", "check", "--strict", f"{built}/*")
    session.install(*PINNED, "--find-links", built, "--force-reinstall", "snn_gan_ext")
    with session.chdir(built):
        session.run("snn-gan-ext", "--version")
        session.run("snn-gan-ext", "train", "digits", "--updates", "40", "--force", "--no-progress")


@nox.session(python=PYTHONS[0])
def orders(session: nox.Session) -> None:
    """Random orders, and two processes at once."""
    session.install(*PINNED, "-e", ".[test]", "pytest-randomly", "pytest-xdist")
    session.run("python", "-m", "pytest", *session.posargs)
    session.run("python", "-m", "pytest", "-p", "no:randomly", "-n", "2", *session.posargs)
