"""``mesoface compare``: every format says the same, tables cut nothing off, and options mean what they say."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from metrics.commands import FORMATS
from metrics.commands import compare as command
from metrics.comparison import Comparison
from metrics.conclusions import EVERYTHING, Selection, conclude
from metrics.report.data import as_csv, as_json, standing_rows
from metrics.report.layout import decimals, shown, shown_interval, tables_of
from metrics.report.markdown import as_markdown
from metrics.report.tables import print_comparison, print_tables
from recon.errors import InputError, UsageError
from recon.runs.folder import ResultKey, RunFolder
from tests.comparison_runs import NAN, make_run, people, ratio, row, rows, spread

PEOPLE = 12


def values() -> dict[str, dict[str, float]]:
    """One leads, two are tied."""
    return {"exact": spread(40, PEOPLE), "near": spread(30, PEOPLE), "other": spread(30, PEOPLE)}


def table() -> list[dict[str, object]]:
    """Six metrics under two protocols, one of which withholds a half; a ratio, a tie for best, a value of a set."""
    tied = {**values(), "near": spread(40, PEOPLE)}
    near_one = {name: {who: value / 40 for who, value in of.items()} for name, of in values().items()}
    found: list[dict[str, object]] = []
    for protocol, regions in (("identity", ["skin/all"]), ("occlude:right", ["skin/visible", "skin/withheld"])):
        for region in regions:
            where = {"protocol": protocol, "region": region}
            found += rows(values(), **where)
            found += rows(tied, **where, metric="SSIM", family="ssim", unit="")
            found += rows(values(), **where, metric="ΔE2000", family="delta-e", unit="", direction="lower")
            for band in ("fine", "mid", "coarse"):
                found += rows(near_one, **where, **ratio(band))
    kid = {"metric": "KID", "family": "kid", "direction": "lower", "unit": "", "space": "image", "view": "fitted"}
    return [*found, row("near", "*", 0.02, **kid)]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with that table; people have a gender."""
    attributes = {name: {"gender": "female" if number % 2 else "male"} for number, name in enumerate(people(PEOPLE))}
    return make_run(tmp_path / "run", table(), attributes)


def printed(comparison: Comparison, width: int, **options: bool) -> str:
    stream = io.StringIO()
    print_comparison(comparison, Console(file=stream, width=width, no_color=True), **options)
    return stream.getvalue()


def call(*arguments: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(command, list(arguments), standalone_mode=False, catch_exceptions=False)
    return outcome.return_value or 0, outcome.stdout


def test_every_format_says_the_same(run: RunFolder) -> None:
    comparison = conclude([run])
    standings = standing_rows(comparison.standings)
    whole = json.loads(as_json(comparison))
    assert whole["standings"] == standings
    assert {"method", "protocol", "metric", "region", "value", "low", "high", "n", "rank"} <= set(standings[0])
    read_back = list(csv.DictReader(io.StringIO(as_csv(comparison))))
    assert [float(one["value"]) if one["value"] else None for one in read_back] == [one["value"] for one in standings]
    markdown, text = as_markdown(comparison), printed(comparison, 200)
    for standing in comparison.standings:
        if math.isfinite(standing.mean.value) and standing.place.metric != "ΔE2000":
            same = [one.mean.value for one in comparison.standings if one.place == standing.place]
            number = shown(standing.mean.value, decimals(same))
            interval = shown_interval(standing.mean, decimals(same))
            assert number in text and interval in text
            assert number in markdown and interval in markdown
    assert "occlude:right · albedo · skin/withheld" in text


def test_the_best_and_the_tied_best_are_marked_apart(run: RunFolder) -> None:
    comparison = conclude([run], Selection(metrics=["psnr", "ssim"], protocols=["identity"]))
    text = printed(comparison, 200)
    lines = {line.split()[0]: line for line in text.splitlines() if line.split()[:1] and line.split()[0] in values()}
    assert re.search(r"40\.00 ★.*40\.00 ☆", lines["exact"])
    assert "★" not in lines["near"] and "40.00 ☆" in lines["near"]
    assert "★" not in lines["other"] and "☆" not in lines["other"]
    markdown = as_markdown(comparison)
    assert "| exact | **40.00** [39.65, 40.35] | *40.00*" in re.sub(r"\[39\.\d+, 40\.\d+\]", "[39.65, 40.35]", markdown)


def test_nothing_is_marked_where_all_are_tied(tmp_path: Path) -> None:
    equal = {name: spread(30, PEOPLE) for name in ("a", "b", "c")}
    comparison = conclude([make_run(tmp_path / "run", rows(equal))])
    assert all(one.best and one.tied for one in comparison.standings)
    tables = io.StringIO()
    print_tables(comparison, Console(file=tables, width=100, no_color=True))
    assert "★" not in tables.getvalue() and "☆" not in tables.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_printed_table_cuts_nothing_off(run: RunFolder, width: int) -> None:
    """Every heading, mean, interval and count is there in full; no line is too long."""
    comparison = conclude([run])
    text = printed(comparison, width, notes=False)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    words = text.replace(",", " ").split()
    assert {"PSNR", "SSIM", "ΔE2000", "detail", "fine", "mid", "coarse", "KID", "n"} <= set(words)
    for block in tables_of(comparison):
        for place in block.places:
            cells = [block.cells[method, place] for method in block.methods if (method, place) in block.cells]
            digits = decimals([cell.mean.value for cell in cells])
            for cell in cells:
                assert shown(cell.mean.value, digits) in words or cell.reason
                assert shown_interval(cell.mean, digits) in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_pairs_groups_strengths_and_changes_are_printed_in_full(tmp_path: Path, width: int) -> None:
    both = [*rows(values(), protocol="blur:2"), *rows(values(), protocol="blur:4")]
    attributes = {name: {"gender": "female" if number % 2 else "male"} for number, name in enumerate(people(PEOPLE))}
    first = make_run(tmp_path / "first", both, attributes, settings={"size": 512})
    second = make_run(tmp_path / "second", both, attributes, settings={"size": 1024})
    comparison = conclude([first, second], Selection(methods=["exact", "near"]), by="gender")
    text = printed(comparison, width, pairs=True, sensitivity=True)
    assert max(map(len, text.splitlines())) <= width
    flowing = " ".join(text.split())
    for title in (
        "what changed",
        "gap between groups by gender",
        "strength of blur",
        "settings and versions that differ",
    ):
        assert title in flowing
    markdown = as_markdown(comparison, pairs=True, sensitivity=True)
    assert "| first:exact − first:near | 10.00 [10.00, 10.00] |" in markdown
    assert "| size | 512 | 1024 |" in markdown
    whole = json.loads(as_json(comparison, pairs=True, sensitivity=True))
    assert len(whole["contrasts"]) == len(comparison.contrasts) > 0
    assert whole["fairness"] and whole["sensitivity"] and whole["changes"] and whole["settings"]
    assert as_csv(comparison, pairs=True).startswith("first,second,protocol,metric")
    assert as_csv(comparison, sensitivity=True).startswith("method,protocol,metric")


def test_markdown_escapes_what_would_end_a_cell(tmp_path: Path) -> None:
    odd = {"a|b": spread(30, PEOPLE), "c_d*": spread(20, PEOPLE)}
    text = as_markdown(conclude([make_run(tmp_path / "run", rows(odd))]))
    assert "| a\\|b | **30.00**" in text
    assert "| c\\_d\\* | 20.00" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_the_command_prints_each_format(run: RunFolder, tmp_path: Path) -> None:
    for form in FORMATS:
        code, text = call(str(run.path), "--format", form)
        assert code == 0
        assert text.strip()
    assert "\\toprule" in call(str(run.path), "--format", "latex")[1]
    page = run.path / "report" / "comparison.html"
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")
    for form in FORMATS:
        target = tmp_path / f"out.{form}"
        code, text = call(str(run.path), "--format", form, "--out", str(target))
        assert (code, text.strip()) == (0, str(target))
        assert target.stat().st_size
    assert "PSNR" in (tmp_path / "out.table").read_text(encoding="utf-8")


def test_the_command_filters_and_lists_names_at_commas(run: RunFolder) -> None:
    def metrics(*arguments: str) -> set[str]:
        return {
            one["metric"] for one in json.loads(call(str(run.path), "--format", "json", *arguments)[1])["standings"]
        }

    assert metrics("--metric", "psnr,ssim") == metrics("--metric", "psnr", "--metric", "ssim") == {"PSNR", "SSIM"}
    assert metrics("--metric", "detail-energy ratio (fine)") == {"detail-energy ratio (fine)"}
    assert metrics("--metric", "all") == metrics() == {one.place.metric for one in conclude([run]).standings}
    assert metrics("--space", "image") == {"KID"}
    with pytest.raises(UsageError, match="no region of this run is called 'ear'; it has"):
        call(str(run.path), "--region", "ear")
    with pytest.raises(UsageError, match="known: gender"):
        call(str(run.path), "--by", "height")


def test_a_comma_inside_brackets_belongs_to_the_name(tmp_path: Path) -> None:
    name = "albedo ΔE2000 (truth, one gain)"
    metric = {"metric": name, "family": "truth-albedo", "direction": "lower", "reference": "truth"}
    run = make_run(tmp_path / "run", rows(values(), **metric) + rows(values()))
    assert "against the truth" in call(str(run.path), "--metric", f"{name},psnr")[1]
    assert "against the truth" not in call(str(run.path), "--metric", "psnr")[1]


def test_the_command_compares_runs(run: RunFolder, tmp_path: Path) -> None:
    better = make_run(tmp_path / "later", rows({"exact": spread(41, PEOPLE)}))
    code, text = call(str(run.path), str(better.path), "--metric", "psnr")
    assert code == 0
    assert "later:exact − run:exact" in text


def test_what_was_asked_for_and_is_not_there_is_said(run: RunFolder) -> None:
    """Instead of a table without it, or a file without a line."""
    with pytest.raises(UsageError, match="--sensitivity: no protocol has values at several strengths"):
        call(str(run.path), "--sensitivity", "--format", "csv")
    with pytest.raises(UsageError, match="--pairs: no two methods"):
        call(str(run.path), "--pairs", "--method", "exact")
    found = json.loads(call(str(run.path), "--pairs", "--sensitivity", "--method", "exact", "--format", "json")[1])
    assert (found["contrasts"], found["sensitivity"]) == ([], [])


def test_slopes_in_csv_are_not_rounded(tmp_path: Path) -> None:
    both = [row("exact", name, 100 / 3 + number, protocol=f"blur:{number}") for number in (2, 4) for name in people(3)]
    comparison = conclude([make_run(tmp_path / "run", both)])
    (line,) = csv.DictReader(io.StringIO(as_csv(comparison, sensitivity=True)))
    assert (line["strengths"], [float(value) for value in line["values"].split()]) == (
        "2.0 4.0",
        pytest.approx([106 / 3, 112 / 3], rel=1e-12),
    )


def test_quiet_leaves_the_tables_alone(run: RunFolder) -> None:
    loud, quiet = call(str(run.path))[1], call(str(run.path), "--quiet")[1]
    assert loud.startswith(quiet.rstrip("\n"))
    assert "tied for best" in loud and "tied for best" not in quiet


def test_missing_results_are_listed_with_their_reason(tmp_path: Path) -> None:
    lost = ResultKey("near", "identity", "p03")
    there = [one for one in rows(values()) if (one["method"], one["subject"]) != ("near", "p03")]
    run = make_run(tmp_path / "run", there, without=[lost])
    text = call(str(run.path))[1]
    assert "missing (1)" in text
    assert "not made yet (1): p03 · identity · near" in text
    assert json.loads(call(str(run.path), "--format", "json")[1])["gaps"] == [
        {"method": "near", "protocol": "identity", "subject": "p03", "reason": "not made yet"}
    ]


def test_a_method_without_any_value_says_why(tmp_path: Path) -> None:
    without = [row("near", name, NAN, reason="'albedo.png' is truncated") for name in people(3)]
    run = make_run(tmp_path / "run", rows({"exact": spread(40, 3)}) + without)
    text = call(str(run.path))[1]
    assert "–" in text and "truncated" in text
    (found,) = (one for one in conclude([run], EVERYTHING).standings if one.method == "near")
    assert found.reason == "'albedo.png' is truncated"
    assert standing_rows([found])[0]["value"] is None


def test_a_run_that_was_not_measured_says_what_to_do(run: RunFolder, tmp_path: Path) -> None:
    run.metrics.unlink()
    with pytest.raises(InputError, match="mesoface metrics"):
        call(str(run.path))
    empty = make_run(tmp_path / "empty", [], methods={"m": {}}, protocols=["identity"], subjects=["p"])
    with pytest.raises(InputError, match="no value to compare"):
        call(str(empty.path))
