"""The page *Metrics*: the numbers of the comparison, charts that stay small, and addresses that say what is shown."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair as alt
import comparison_runs
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from dashboard_app import PATIENCE, opened, page_html
from streamlit.testing.v1 import AppTest

from dashboard import background
from dashboard.address import link
from dashboard.catalogue import runs
from dashboard.charts import distributions, drawing, people
from dashboard.charts import look as look_module
from dashboard.charts.look import Look
from dashboard.grid import Cell, Head, html_of
from dashboard.measurements import downloads
from dashboard.measurements.chosen import Chosen, place_name
from dashboard.measurements.opening import state_of
from dashboard.settings import Settings, use
from metrics.comparison import Comparison, Contrast, Standing
from metrics.conclusions import HEADLINE, Selection, conclude
from metrics.report.layout import shown, shown_interval

METHODS = ("meso", "pca", "mir<b>ror")
PEOPLE = 12


def _page() -> None:
    from dashboard.screens.metrics import show

    show()


def _open(**address: str) -> AppTest:
    return opened(_page, address)


def _table(shift: float = 0.0) -> list[dict[str, Any]]:
    rows = []
    for protocol, loss in (("blur:4", 0.0), ("blur:8", 3.0), ("identity", -2.0)):
        values = {
            method: comparison_runs.spread(centre - loss + shift, PEOPLE, step)
            for method, centre, step in zip(METHODS, (35.0, 30.0, 29.98), (0.1, 0.12, 0.13), strict=True)
        }
        rows += comparison_runs.rows(values, protocol=protocol)
    ratios = {
        method: comparison_runs.spread(centre, PEOPLE, 0.02)
        for method, centre in zip(METHODS, (1.0, 0.5, 2.0), strict=True)
    }
    return rows + comparison_runs.rows(ratios, **comparison_runs.ratio())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two measured runs of the same people, and one that was not measured."""
    attributes = {
        name: {"gender": "female" if index % 2 else "male"} for index, name in enumerate(comparison_runs.people(PEOPLE))
    }
    comparison_runs.make_run(tmp_path / "runs" / "first", _table(), attributes)
    comparison_runs.make_run(tmp_path / "runs" / "later", _table(1.0), attributes)
    bare = comparison_runs.make_run(tmp_path / "runs" / "bare", _table())
    bare.metrics.unlink()
    use(Settings(tmp_path / "runs", None, True, tmp_path / "cache"))
    return tmp_path / "runs"


def _concluded(folder: Path, **filters: tuple[str, ...]) -> Comparison:
    return conclude([runs()["first"].folder], Selection(**filters, headline=True))


def test_leaderboard_has_the_numbers_of_compare_and_escapes_names(folder: Path) -> None:
    page = page_html(_open(run="first", protocol="identity"))
    standings = _concluded(folder, protocols=("identity",)).standings
    for one in standings:
        digits = 2 if one.place.metric == "PSNR" else 3
        assert shown(one.mean.value, digits) in page and shown_interval(one.mean, digits) in page
    assert page.count("★") == sum(one.best and not one.tied for one in standings) == 2
    assert "mir&lt;b&gt;ror" in page and "mir<b>" not in page


def test_address_says_metric_part_and_pair(folder: Path) -> None:
    page = _open(run="first", protocol="identity", metric="detail-energy ratio (fine)", methods="pca,mir<b>ror")
    assert page.selectbox(key="choose metric").value.startswith("detail-energy ratio (fine)")
    assert (page.selectbox(key="first method").value, page.selectbox(key="second method").value) == ("pca", "mir<b>ror")
    # A half and a double are equally wrong, so nothing tells the two apart.
    assert any("A tie: nothing beyond chance" in text.value for text in page.markdown)
    page.selectbox(key="second method").set_value("meso").run()
    assert page.query_params["methods"] == "pca,meso"
    assert any("meso is better beyond chance" in text.value for text in page.markdown)


def test_charts_are_valid_vega_lite_and_made_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The dashboard draws them without asking the schema, which takes longer than all the rest of a page.
    made: list[str] = []

    def checked(chart: drawing.Chart) -> drawing.Drawing:
        made.append(type(chart).__name__)
        chart.to_dict(validate=True)
        return drawing_of(chart)

    drawing_of = drawing.drawing_of
    for module in (drawing, look_module):
        monkeypatch.setattr(module, "drawing_of", checked)
    monkeypatch.setattr(drawing, "_kept", OrderedDict())
    for part in ("overview", "groups", "strength", "changes"):
        page = _open(run="first", protocol="blur:8", part=part, metric="PSNR")
        assert not page.error
    assert len(made) == 3 + 1 + 1 + 1
    _open(run="first", protocol="blur:8", metric="PSNR")
    assert len(made) == 6, "the overview was drawn before, and nothing changed"


def test_a_drawing_holds_the_tables_of_its_layers() -> None:
    first, second = pd.DataFrame({"x": [1, 2], "kind": ["a", "b"]}), pd.DataFrame({"x": [3.5]})
    chart = alt.layer(
        alt.Chart(first).mark_point().encode(x="x:Q", color="kind:N"), alt.Chart(second).mark_rule().encode(x="x:Q")
    )
    drawn = drawing.drawing_of(chart).spec
    tables = {name: pa.ipc.open_stream(content).read_pandas() for name, content in drawn["datasets"].items()}
    pd.testing.assert_frame_equal(tables[drawn["layer"][0]["data"]["name"]], first)
    pd.testing.assert_frame_equal(tables[drawn["layer"][1]["data"]["name"]], second)


def test_groups_have_their_gap_with_its_p(folder: Path) -> None:
    page = _open(run="first", protocol="identity", part="groups", by="gender", metric="PSNR")
    found = conclude([runs()["first"].folder], Selection(metrics=("PSNR",), protocols=("identity",)), "gender")
    said = page_html(page)
    for gap in found.fairness:
        assert shown(gap.gap.value, 3) in said and f"{gap.adjusted:.3f}" in said
    assert "served worst" in said


def test_strength_is_a_slope_where_there_are_two_and_a_sentence_where_there_is_one(folder: Path) -> None:
    # blur:8 is 3 dB below blur:4, for everybody: one doubling.
    assert "−3.00" in page_html(_open(run="first", protocol="blur:4", part="strength", metric="PSNR"))
    assert any(
        "was run at one strength" in one.value for one in _open(run="first", protocol="identity", part="strength").info
    )


def test_another_run_says_what_changed(folder: Path) -> None:
    said = page_html(_open(run="later", protocol="identity", part="changes", before="first", metric="PSNR"))
    assert "+1.00" in said and "later:meso − first:meso" in said and "better" in said


def test_run_that_was_not_measured_says_the_mend_and_no_traceback(folder: Path) -> None:
    page = _open(run="bare")
    assert any("has not been measured" in one.value and "mesoface metrics" in one.value for one in page.error)


def test_damaged_table_is_a_sentence(folder: Path) -> None:
    (folder / "first" / "metrics.parquet").write_bytes(b"PAR1 is not enough")
    assert _open(run="first").error


@pytest.mark.parametrize("part", ["overview", "groups", "strength", "spectrum", "changes", "identity", "nonsense"])
def test_every_part_draws(folder: Path, part: str) -> None:
    assert not _open(run="first", protocol="blur:8", part=part, metric="nonsense", methods="nobody").error


def test_a_spectrum_is_read_beside_the_page_and_then_drawn(folder: Path) -> None:
    page = _open(run="first", protocol="blur:8", part="spectrum")
    run = runs()["first"]
    work = background.known(("spectrum", str(run.folder.path), run.stamp, "blur:8"))
    assert work is not None and work._ended.wait(PATIENCE) and work.result.people == 0
    assert any("No spectrum: the albedo maps of this run are not here" in one.value for one in page.run().info)


def test_dot_opens_the_person_with_two_methods(folder: Path) -> None:
    comparison = _concluded(folder, protocols=("identity",))
    run = runs()["first"]
    place = comparison.standings[0].place
    chosen = Chosen(run, "identity", HEADLINE, comparison)
    state = state_of(chosen, place, "p03", ("pca", "meso"))
    assert link("compare", state) == (
        "./?run=first&protocol=identity&subject=p03&methods=pca,meso&metric=PSNR+%C2%B7+albedo&region=skin%2Fall"
    )
    # Back from there, the same metric is shown.
    assert _open(**state).selectbox(key="choose metric").value == place_name(place)


def _standing(folder: Path, method: str, metric: str = "PSNR") -> Standing:
    found = _concluded(folder, protocols=("identity",)).standings
    return next(one for one in found if (one.method, one.place.metric) == (method, metric))


LOOK = Look(METHODS, dark=False)


def test_many_people_are_drawn_as_boxes_and_outliers(folder: Path) -> None:
    plain = _standing(folder, "meso")
    values = {
        f"s{index}": value
        for index, value in enumerate(np.random.default_rng(0).normal(30, 1, 2 * distributions.MOST_DOTS))
    }
    q25, median, q75 = np.quantile(list(values.values()), [0.25, 0.5, 0.75])
    chart = distributions.distributions([replace(plain, values=values, q25=q25, median=median, q75=q75)], LOOK)
    assert chart is not None
    sizes = [len(data) for data in chart.to_dict()["datasets"].values()]
    # A normal distribution has 0.7 % of its values beyond the whiskers.
    assert max(sizes) < 0.02 * len(values)


def test_ratios_are_drawn_by_factors(folder: Path) -> None:
    chart = distributions.distributions([_standing(folder, "meso", "detail-energy ratio (fine)")], LOOK)
    assert chart is not None and chart.to_dict()["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"


def test_value_of_all_people_together_has_no_spread(folder: Path) -> None:
    assert distributions.distributions([replace(_standing(folder, "meso"), values={"*": 3.0})], LOOK) is None


def _pair(folder: Path, metric: str) -> tuple[Standing, Standing, Contrast]:
    found = _concluded(folder, protocols=("identity",)).contrasts
    contrast = next(one for one in found if (one.place.metric, one.first, one.second) == (metric, "meso", "pca"))
    return _standing(folder, "meso", metric), _standing(folder, "pca", metric), contrast


@pytest.mark.parametrize("metric", ["PSNR", "detail-energy ratio (fine)"])
def test_persons_differences_average_to_the_contrast(folder: Path, metric: str) -> None:
    first, second, contrast = _pair(folder, metric)
    drawn = people.differences(first, second, contrast, LOOK).to_dict()
    rows = next(data for data in drawn["datasets"].values() if "subject" in data[0])
    assert math.isclose(np.mean([row["difference"] for row in rows]), contrast.difference.value, rel_tol=1e-9)
    assert {row["better"] for row in rows} == {"meso"}
    assert [row["difference"] for row in rows] == sorted(row["difference"] for row in rows)


def test_thousands_of_people_are_thinned_but_for_the_ends() -> None:
    kept = people._thinned(10_000)
    assert len(kept) <= people.MOST_DOTS and set(range(100)) <= set(kept) and set(range(9900, 10_000)) <= set(kept)


@pytest.mark.parametrize("which", ["boxes", "differences"])
def test_figures_are_those_of_reports(folder: Path, which: str) -> None:
    figure = downloads._figure(_concluded(folder, protocols=("identity",), metrics=("PSNR",)), LOOK, which)
    assert figure.startswith("<svg") and "mir&lt;b&gt;ror" in figure


def test_grid_keeps_room_for_marks_and_escapes_hover(monkeypatch: pytest.MonkeyPatch) -> None:
    said = html_of(
        "<t>",
        [Head("m"), Head("a")],
        [(Head("x"), [Cell("1", mark="★", hover='"><script>')]), (Head("y"), [Cell("2")])],
    )
    assert said.count('class="mark"') == 2 and "<script>" not in said and "&lt;t&gt;" in said


def test_in_a_browser(folder: Path, start_dashboard: Callable[..., Any], visit: Callable[..., Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    dashboard = start_dashboard(folder)
    page = visit(dashboard).open("/metrics?run=first&protocol=identity&metric=PSNR")
    page.wait_for_selector("text=Two methods, person by person")
    page.wait_for_selector("[data-testid=stVegaLiteChart] svg")
    found = axe.run(page, context="[data-testid=stMainBlockContainer]").response["violations"]
    assert [(one["id"], one["nodes"]) for one in found if one["impact"] in ("serious", "critical")] == []
    phone = visit(dashboard, 390, 844, color_scheme="dark").open("/metrics?run=first&protocol=identity&part=groups")
    phone.wait_for_selector("text=Means within each group")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
