"""The page *Agreement*: metrics beside people; what is computed is checked in ``tests/study``, here how it is shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rehearsed_study import REHEARSAL, Rehearsed, make_measured_run, rehearse_in
from streamlit.testing.v1 import AppTest

from dashboard.catalogue import runs
from dashboard.charts.look import Look
from dashboard.screens import agreement
from dashboard.settings import Settings, use
from dashboard.studies import listing
from dashboard.studies.agreement_data import agreed, direction_of, means, points, table, used_by
from dashboard.studies.folders import folder_of, look_again
from study.engine import open_database
from study.launching import prepared_database

SHOW = """
import streamlit as st
from dashboard.navigation import pages
from dashboard.screens import agreement
st.navigation(pages(), position="hidden")
agreement.show()
"""
PATIENCE = 60
PSNR, SSIM = "PSNR, albedo, skin/all", "SSIM, albedo, skin/all"


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    """A measured run, a study of it, and its rehearsal."""
    return rehearse_in(tmp_path_factory.mktemp("rehearsed"))


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """``begin(folder)``: a dashboard over ``folder``/runs."""

    def over(folder: Path) -> None:
        use(Settings(folder / "runs", f"sqlite:///{folder / 'studies.sqlite'}", False, tmp_path / "cache"))
        look_again()
        listing.look_again()

    yield over
    look_again()
    listing.look_again()


def _page() -> AppTest:
    return AppTest.from_string(SHOW, default_timeout=PATIENCE).run()


def test_a_run_without_a_study_says_what_to_do(tmp_path: Path, begin: Callable[[Path], None]) -> None:
    make_measured_run(tmp_path)
    prepared_database(f"sqlite:///{tmp_path / 'studies.sqlite'}").dispose()
    begin(tmp_path)
    page = _page()
    assert not page.exception
    assert "No launched study shows pictures of first" in page.info[0].value


def test_only_studies_of_the_run_are_offered(rehearsed: Rehearsed, begin: Callable[[Path], None]) -> None:
    begin(rehearsed.runs.parent)
    known = listing.listed(open_database(rehearsed.database))
    assert {*used_by(runs()["first"], known)} == {"pairs", REHEARSAL}


def test_what_is_kept_of_a_study_follows_its_run_when_that_is_measured_anew(
    rehearsed: Rehearsed, begin: Callable[[Path], None]
) -> None:
    begin(rehearsed.runs.parent)
    folder = folder_of("pairs")
    assert folder is not None and len(folder.measured) == 1
    before, table = folder.measured, rehearsed.runs / "first" / "metrics.parquet"
    os.utime(table, ns=(0, table.stat().st_mtime_ns + 1_000_000))
    assert folder.measured != before and folder_of(REHEARSAL) == folder


def test_results_and_means_are_of_the_judged_pictures(rehearsed: Rehearsed) -> None:
    engine = open_database(rehearsed.database)
    found = agreed(engine, REHEARSAL, rehearsed.studies / "pairs", every=True)
    assert found.within and [*found.found] == ["preferred"]
    results = points(found, "preferred", PSNR)
    assert {*results["condition"]} == {"alpha", "beta"}
    assert "s5" not in {*results["subject"]}  # of training trials
    # Ten decibels lie between the methods, for every person: five to either side of the person's mean.
    both = results[results.groupby("subject")["condition"].transform("size") == 2]
    assert np.allclose(both.loc[both["condition"] == "alpha", "value"], 5)
    averages = means(both).set_index("condition")
    assert averages.loc["beta", "value"] == pytest.approx(-5)
    assert direction_of(found, PSNR) == "higher is better"
    shown = table(found.found["preferred"]).set_index("metric")
    # One is the other turned round, and people's answers are the same: so are the signs.
    if not shown.loc[PSNR, "reason"]:
        assert shown.loc[PSNR, "SRCC"] == pytest.approx(-shown.loc[SSIM, "SRCC"])


def test_methods_of_two_runs_have_colours_of_their_own(
    rehearsed: Rehearsed, begin: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(rehearsed.runs.parent)
    found = agreed(open_database(rehearsed.database), REHEARSAL, rehearsed.studies / "pairs", every=True)
    named = {"alpha": "first/alpha", "beta": "second/beta"}  # as a study of two runs calls its conditions
    both = replace(
        found,
        people={what: frame.replace({"condition": named}) for what, frame in found.people.items()},
        values=found.values.replace({"condition": named}),
    )
    drawn: list[Any] = []
    monkeypatch.setattr(agreement, "draw", lambda chart, *_words: drawn.append(chart.to_dict()))
    agreement._scatter(both, "preferred", PSNR)
    scale = drawn[0]["layer"][0]["encoding"]["color"]["scale"]
    assert scale["domain"] == ["first/alpha", "second/beta"]
    assert len({*scale["range"], Look((), dark=False).grey}) == 3


def test_intervals_hold_the_mean_and_widen_with_the_spread() -> None:
    narrow = pd.DataFrame(
        {"condition": "a", "subject": [f"s{i}" for i in range(8)], "value": np.arange(8.0), "score": 1.0}
    )
    wide = narrow.assign(condition="b", value=10 * narrow["value"])
    found = means(pd.concat([narrow, wide])).set_index("condition")
    widths = found["value high"] - found["value low"]
    assert widths["b"] == pytest.approx(10 * widths["a"])
    assert found.loc["a", "value low"] < 3.5 < found.loc["a", "value high"]


def test_the_page_in_a_browser(rehearsed: Rehearsed, start_dashboard: Any, visit: Callable[..., Any]) -> None:
    dashboard = start_dashboard(rehearsed.runs, "--db", rehearsed.database)
    page = visit(dashboard).open(f"/agreement?run=first&study={REHEARSAL}&metric={SSIM}")
    page.get_by_role("heading", name="Which metric to trust").wait_for(timeout=60_000)
    page.get_by_role("heading", name=SSIM).wait_for()
    assert page.get_by_text("They say nothing of any method").count() == 1
    page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").first.wait_for()
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, context="[data-testid=stMainBlockContainer]").response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
