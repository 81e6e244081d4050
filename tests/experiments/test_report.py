"""The report is one page: measures in words, their perfect values, samplers as columns, pictures."""

import re
from dataclasses import replace

import pytest
from jinja2 import UndefinedError

from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.measures import MEASURES, OTHERS, PICTURES, SAMPLERS
from snn_gan_ext.experiments.report import cell, render
from tests.experiments.helpers import SHORT, scorecard


def page_of(folder):
    return (folder / "report.html").read_text()


def rows_of(page):
    """Cells of the first table, row by row, without markup."""
    table = page.split("<table>")[1].split("</table>")[0]
    return [
        [" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in re.split(r"<t[dh][^>]*>", row)[1:]]
        for row in table.split("<tr>")[1:]
    ]


def test_the_page_is_self_contained(finished):
    page = page_of(finished("digits"))
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)


@pytest.mark.parametrize("name", ["digits", "temporal-modes", "ttfs-digits"])
def test_measures_are_in_words_with_their_perfect_value_and_the_number_of_every_sampler(name, finished):
    samplers = scorecard(finished(name))["samplers"]
    header, *rows = rows_of(page_of(finished(name)))
    assert header[:2] == ["measure", "perfect"]
    assert len(header) == 2 + len(samplers)
    keys = list({key: None for row in samplers.values() for key in row})
    assert len(rows) == len(keys)
    for key, (words, perfect, *values) in zip(keys, rows, strict=True):
        # In the page quotes are escaped.
        assert words.replace("&#39;", "'") == f"{MEASURES[key].words} {key}"
        assert perfect == MEASURES[key].perfect
        assert values == [cell(row.get(key)) for row in samplers.values()]


def test_trained_generators_stand_out(finished):
    page = page_of(finished("temporal-modes"))
    assert page.count('<th class="ours">') == 3
    header = rows_of(page)[0]
    assert header[2:] == [SAMPLERS[name] for name in scorecard(finished("temporal-modes"))["samplers"]]


def test_the_page_says_what_was_run(finished):
    page = page_of(finished("digits"))
    assert "<h1>digits</h1>" in page
    assert "Seed 3, 40 updates in" in page
    assert "on the test split" in page
    assert "<td>learner.estimator</td><td>reinforce</td>" in page


def test_pictures_have_their_titles(finished):
    titles = re.findall(r"<h2>([^<]*)</h2>", page_of(finished("digits")))
    assert titles == ["Learning curves", PICTURES["pca"], "Raster", "Samples"]


def test_numbers_of_no_sampler_have_a_table_of_their_own(finished):
    assert f"<td>{OTHERS['latency_saved']}</td>" in page_of(finished("ttfs-digits"))


@pytest.mark.parametrize("name", SHORT)
def test_every_family_of_recipes_has_a_report_without_gaps(name, finished):
    page = page_of(finished(name))
    assert "Undefined" not in page
    assert "None" not in str(rows_of(page))
    assert page.count("<img") == len(list(finished(name).glob("*.png")))


def test_particles_are_shown_in_the_order_of_their_numbers(finished, copied):
    folder = copied("temporal-modes")
    picture = (folder / "raster.png").read_bytes()
    for name in ("bayes_10", "bayes_2", "ml"):
        (folder / f"crosscheck_{name}.png").write_bytes(picture)
    runs.write_report(folder, runs.read_experiment(folder), scorecard(folder))
    shown = re.findall(r'<img alt="([^"]*)"', page_of(folder))
    assert shown[-3:] == ["crosscheck_bayes_2", "crosscheck_bayes_10", "crosscheck_ml"]
    assert shown[0] == "learning_curves"


def test_the_comparison_with_brian2_is_shown_with_its_verdict(finished):
    folder = finished("digits")
    line = {"name": "rate", "ours": 1.25, "brian": 1.5, "p": None}
    network = {"mismatches": {"readout": 3}, "replayed_spikes": 70, "statistics": [line]}
    brian = {"passed": False, "trials": 20, "replayed_trials": 5, "networks": {"spikegan": network}}
    page = render(runs.read_experiment(folder), scorecard(folder), [], brian)
    assert "A check failed" in page
    assert "3 of 70" in page
    assert "<td>rate</td><td>1.25</td><td>1.5</td>" in page
    assert "All checks passed" in render(
        runs.read_experiment(folder), scorecard(folder), [], {**brian, "passed": True}
    )


def test_unknown_measures_and_samplers_are_shown_by_their_names(finished):
    folder = finished("digits")
    metrics = {**scorecard(folder), "samplers": {"my_model": {"my_measure": 0.123456, "tstr": None}}}
    _, *rows = rows_of(render(runs.read_experiment(folder), metrics, []))
    assert rows[0][0] == "my measure my_measure"
    assert rows[0][2] == "0.123"
    assert rows[1][2] == "-"


def test_every_measure_has_words_and_a_perfect_value():
    for measure in MEASURES.values():
        assert measure.words
        assert measure.perfect


SCRIPT = "<script>alert('&')</script>"


def test_nothing_that_the_page_shows_is_run_by_a_browser(finished, tmp_path):
    folder, picture = finished("digits"), tmp_path / "<b>.png"
    picture.write_bytes(b"")
    experiment = replace(runs.read_experiment(folder), name=SCRIPT, label=SCRIPT)
    metrics = {**scorecard(folder), "samplers": {SCRIPT: {SCRIPT: 0.5}}, "evaluated_on": SCRIPT}
    line = {"name": SCRIPT, "ours": 1.25, "brian": 1.5, "p": None}
    network = {"mismatches": {SCRIPT: 3}, "replayed_spikes": SCRIPT, "statistics": [line]}
    brian = {"passed": True, "trials": SCRIPT, "replayed_trials": SCRIPT, "networks": {SCRIPT: network}}
    page = render(experiment, {**metrics, SCRIPT: SCRIPT}, [picture], brian)
    assert "script>" not in page
    assert "<b>" not in page
    assert page.count("&lt;script&gt;") > 10


@pytest.mark.parametrize("missing", ["passed", "networks", "trials"])
def test_an_incomplete_comparison_with_brian2_is_no_verdict(missing, finished):
    folder = finished("digits")
    brian = {"passed": True, "trials": 20, "replayed_trials": 5, "networks": {}}
    del brian[missing]
    with pytest.raises(UndefinedError, match=missing):
        render(runs.read_experiment(folder), scorecard(folder), [], brian)
