"""What may be concluded from values: means, ranks, groups, strengths, runs beside each other, and what is missing."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metrics.breakdown import age_band
from metrics.comparison import Comparison, Contrast, Standing
from metrics.conclusions import EVERYTHING, HEADLINE, Selection, conclude
from metrics.report.data import as_json
from recon.errors import InputError, UsageError
from recon.runs.folder import ResultKey
from recon.storage import write_json
from tests.comparison_runs import NAN, make_run, people, ratio, row, rows, spread

PEOPLE = 12


def three_methods() -> dict[str, dict[str, float]]:
    """``good`` leads everybody; ``fair`` and ``same`` differ by turns and on average by nothing."""
    fair = spread(25, PEOPLE)
    return {
        "fair": fair,
        "good": spread(30, PEOPLE),
        "same": {name: value + (0.2 if number % 2 else -0.2) for number, (name, value) in enumerate(fair.items())},
    }


def standing(comparison: Comparison, method: str, metric: str = "PSNR", **place: str) -> Standing:
    (found,) = (
        one
        for one in comparison.standings
        if (one.method, one.place.metric) == (method, metric)
        and all(getattr(one.place, name) == value for name, value in place.items())
    )
    return found


def contrast(comparison: Comparison, first: str, second: str) -> Contrast:
    (found,) = (one for one in comparison.contrasts if (one.first, one.second) == (first, second))
    return found


def test_means_quartiles_and_ranks(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", rows(three_methods()))
    found = conclude([run])
    good = standing(found, "good")
    values = np.array(list(three_methods()["good"].values()))
    assert good.mean.value == pytest.approx(values.mean())
    assert good.mean.low < good.mean.value < good.mean.high
    assert (good.q25, good.median, good.q75) == pytest.approx(tuple(np.quantile(values, [0.25, 0.5, 0.75])))
    assert good.values == pytest.approx(three_methods()["good"])
    assert (good.rank, good.best, good.tied) == (1, True, False)
    for name in ("fair", "same"):
        other = standing(found, name)
        assert (other.rank, other.best, other.tied) == (2, False, True)
    assert (found.runs, found.methods, found.protocols) == (("run",), ("fair", "good", "same"), ("identity",))
    assert not found.gaps


def test_contrasts_are_paired_by_subject(tmp_path: Path) -> None:
    """Everybody's difference is 5, though people differ by more than a dB: the interval is a point."""
    found = conclude([make_run(tmp_path / "run", rows(three_methods()))])
    clear = contrast(found, "fair", "good")
    assert (clear.difference.value, clear.difference.low, clear.difference.high) == pytest.approx((-5, -5, -5))
    assert (clear.better, clear.effect, clear.difference.n) == ("good", -1.0, PEOPLE)
    assert clear.permutation == pytest.approx(2 / 2**PEOPLE) == clear.wilcoxon
    assert clear.adjusted == pytest.approx(3 * 2 / 2**PEOPLE)  # the smallest of three, after Holm
    tie = contrast(found, "fair", "same")
    assert tie.better == ""
    assert tie.permutation == 1.0


def test_ratios_are_averaged_and_compared_as_logarithms(tmp_path: Path) -> None:
    """½ and 2 have the geometric mean 1 and are equally wrong; ¼ is worse than 2 though it is less far away."""
    names = people(12)
    table = rows({"both": {name: 0.5 if i % 2 else 2.0 for i, name in enumerate(names)},
                  "soft": dict.fromkeys(names, 0.25), "rough": dict.fromkeys(names, 2.0)}, **ratio())  # fmt: skip
    found = conclude([make_run(tmp_path / "run", table)])
    metric = ratio()["metric"]
    assert standing(found, "both", metric).mean.value == pytest.approx(1.0)
    assert standing(found, "soft", metric).mean.value == pytest.approx(0.25)
    assert contrast(found, "both", "rough").difference.value == pytest.approx(0.0)
    assert contrast(found, "soft", "rough").difference.value == pytest.approx(1.0)  # |log₂ ¼| − |log₂ 2|
    assert contrast(found, "soft", "rough").better == "rough"
    assert {name: standing(found, name, metric).rank for name in ("both", "rough", "soft")} == {
        "both": 1, "rough": 1, "soft": 2,
    }  # fmt: skip


def test_lower_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    table = rows(three_methods(), metric="ΔE2000", family="delta-e", unit="", direction="lower")
    found = conclude([make_run(tmp_path / "run", table)])
    assert standing(found, "good", "ΔE2000").rank == 2
    assert contrast(found, "fair", "good").better == "fair"


@pytest.mark.parametrize("description", [{"direction": "none"}, {"metric": "coverage", "family": "coverage"}])
def test_what_only_describes_is_not_ranked(tmp_path: Path, description: dict[str, str]) -> None:
    found = conclude([make_run(tmp_path / "run", rows(three_methods(), **description))])
    assert {one.rank for one in found.standings} == {0}
    assert {one.better for one in found.contrasts} == {""}
    assert not any(one.best or one.tied for one in found.standings)


def test_a_missing_subject_is_left_out_of_its_pair_alone(tmp_path: Path) -> None:
    values = three_methods()
    values["fair"]["p00"] = NAN
    table = [{**one, "reason": "the view is missing"} if one["value"] != one["value"] else one for one in rows(values)]
    found = conclude([make_run(tmp_path / "run", table)])
    counts = {(one.first, one.second): one.difference.n for one in found.contrasts}
    assert counts == {("fair", "good"): 11, ("fair", "same"): 11, ("good", "same"): 12}
    assert (standing(found, "fair").mean.n, standing(found, "good").mean.n) == (11, 12)
    assert "p00" not in standing(found, "fair").values
    (gap,) = found.gaps
    assert (gap.method, gap.subject, gap.reason) == ("fair", "p00", "the view is missing")


def test_pairing_is_by_id_not_by_order(tmp_path: Path) -> None:
    table = rows(three_methods())
    shuffled = [table[index] for index in np.random.default_rng(0).permutation(len(table))]
    ours = conclude([make_run(tmp_path / "a", table)])
    theirs = conclude([make_run(tmp_path / "b", shuffled, methods={name: {} for name in three_methods()})])
    assert as_json(replace(theirs, runs=ours.runs), pairs=True) == as_json(ours, pairs=True)


def test_a_value_of_a_whole_set_stands_without_interval_and_rank(tmp_path: Path) -> None:
    kid = {"metric": "KID", "family": "kid", "direction": "lower", "space": "image", "view": "fitted"}
    table = [*rows(three_methods()), row("good", "*", 0.01, **kid), row("fair", "*", 0.03, **kid)]
    found = conclude([make_run(tmp_path / "run", table)])
    good = standing(found, "good", "KID")
    assert (good.mean.value, good.values, good.rank, good.mean.n) == (0.01, {"*": 0.01}, 0, 0)
    assert math.isnan(good.mean.low)


def test_nothing_is_beyond_chance_with_too_few_people_and_a_note_says_so(tmp_path: Path) -> None:
    """Three methods make three pairs; of n people the smallest p is 2^(1−n), and 3 × 2^(1−7) ≤ 0.05 < 3 × 2^(1−6)."""
    values = {name: dict(list(of.items())[:5]) for name, of in three_methods().items()}
    found = conclude([make_run(tmp_path / "run", rows(values))])
    assert {(one.rank, one.tied) for one in found.standings} == {(1, True)}
    (note,) = found.notes
    assert "with 5 people" in note and "at least 7" in note


def test_too_many_methods_for_any_number_of_people_are_said_to_be(tmp_path: Path) -> None:
    """33 methods make 528 pairs, and 528 / 10,000 > 0.05: the random test has no smaller p for more people."""
    methods = [f"m{number:02d}" for number in range(33)]
    (note,) = conclude([make_run(tmp_path / "run", rows(dict.fromkeys(methods, spread(25, 20))))]).notes
    assert "with 20 people" in note and "--methods" in note
    assert not conclude([make_run(tmp_path / "fewer", rows(dict.fromkeys(methods[:32], spread(25, 20))))]).notes


def test_filters_name_metrics_regions_and_methods(tmp_path: Path) -> None:
    plain = three_methods()
    table = (
        rows(plain)
        + rows(plain, metric="SSIM", family="ssim", unit="")
        + rows(plain, metric="MS-SSIM", family="ms-ssim", unit="")
        + rows(plain, metric="PSNR", space="image", view="fitted", region="skin/visible")
        + rows(plain, protocol="blur:4") + rows(plain, protocol="blur:8")
    )  # fmt: skip
    run = make_run(tmp_path / "run", table)

    def places(**chosen: object) -> set[tuple[str, str, str]]:
        found = conclude([run], Selection(**chosen))  # type: ignore[arg-type]
        return {(one.place.protocol, one.place.space, one.place.metric) for one in found.standings}

    assert places(metrics=["ssim"]) == {("identity", "uv", "SSIM")}, "what is called so, not what contains it"
    assert places(metrics=["sim"]) == {("identity", "uv", "SSIM"), ("identity", "uv", "MS-SSIM")}
    assert places(spaces=["image"]) == places(regions=["visible"]) == places(views=["fitted"]) == {
        ("identity", "image", "PSNR")
    }  # fmt: skip
    assert {place[0] for place in places(protocols=["blur"])} == {"blur:4", "blur:8"}
    assert {place[0] for place in places(protocols=["blur:8"])} == {"blur:8"}
    assert places(metrics=["all"]) == places()
    two = conclude([run], Selection(methods=["good", "fair"]))
    assert two.methods == ("fair", "good")
    assert {(one.first, one.second) for one in two.contrasts} == {("fair", "good")}
    with pytest.raises(UsageError, match="no metric of this run is called 'beauty'; it has PSNR, SSIM, MS-SSIM"):
        places(metrics=["beauty"])
    with pytest.raises(UsageError, match="no method of this run is called 'magic'"):
        places(methods=["magic"])
    with pytest.raises(UsageError, match="all of these filters together"):
        places(metrics=["ssim"], spaces=["image"])


def test_the_headline_shows_what_says_different_things(tmp_path: Path) -> None:
    plain = three_methods()
    table = [
        one
        for protocol, regions in (
            ("identity", ("skin/all", "skin/visible")),
            ("occlude:right", ("skin/all", "skin/visible", "skin/withheld")),
        )
        for region in regions
        for metric, family in (("PSNR", "psnr"), ("correlation distance (luma, 3)", "gram"), ("mine", "outside"))
        for one in rows(plain, protocol=protocol, region=region, metric=metric, family=family)
    ]
    table += rows({"good": dict.fromkeys(people(PEOPLE), 0.99)}, metric="coverage", family="coverage", unit="")
    run = make_run(tmp_path / "run", table)
    found = conclude([run], replace(HEADLINE))
    shown = {(one.place.protocol, one.place.region) for one in found.standings}
    assert shown == {("identity", "skin/all"), ("occlude:right", "skin/visible"), ("occlude:right", "skin/withheld")}
    known = {one.place.metric for one in found.standings}
    assert known >= {"PSNR", "mine"}, "an outside metric is always shown"
    assert "coverage" not in known, "everybody vouches for nearly everything"
    everything = conclude([run], EVERYTHING)
    assert {one.place.region for one in everything.standings} == {"skin/all", "skin/visible", "skin/withheld"}
    partial = rows({"good": dict.fromkeys(people(PEOPLE), 0.5)}, metric="coverage", family="coverage", unit="")
    other = make_run(tmp_path / "partial", rows(plain) + partial)
    assert "coverage" in {one.place.metric for one in conclude([other], HEADLINE).standings}
    asked = conclude([run], Selection(metrics=["correlation"], regions=["visible"], headline=True))
    assert {(one.place.metric, one.place.region) for one in asked.standings} == {
        ("correlation distance (luma, 3)", "skin/visible")
    }


def test_other_views_are_shown_when_they_are_asked_for(tmp_path: Path) -> None:
    views = {"fitted": 0, "mitsuba/fitted": 1}
    table = [one for view in views for one in rows(three_methods(), space="image", view=view)]
    run = make_run(tmp_path / "run", table)
    assert {one.place.view for one in conclude([run], HEADLINE).standings} == {"fitted"}
    asked = conclude([run], replace(HEADLINE, views=["mitsuba"]))
    assert {one.place.view for one in asked.standings} == {"mitsuba/fitted"}


def test_the_headline_names_metrics_that_there_are() -> None:
    from metrics import METRICS, SET_METRICS
    from metrics.headline import SHOWN

    known = {
        (space, component.name)
        for registry in (METRICS, SET_METRICS)
        for name in registry.names()
        for space in registry.get(name).spaces
        for component in registry.get(name).components
    }
    assert {(space, name) for space, names in SHOWN.items() for name in names} <= known


def test_a_metric_that_could_not_be_computed_is_a_note_not_a_column(tmp_path: Path) -> None:
    lpips = {"metric": "LPIPS (alex)", "family": "lpips-alex", "direction": "lower", "space": "image", "view": "fitted"}
    missing = [row("good", name, NAN, reason="not computed: no weights", **lpips) for name in people(PEOPLE)]
    run = make_run(tmp_path / "run", rows(three_methods()) + missing)
    found = conclude([run], HEADLINE)
    assert {one.place.metric for one in found.standings} == {"PSNR"}
    assert "LPIPS (alex) is not computed: no weights" in found.notes
    assert not found.gaps
    asked = conclude([run], Selection(metrics=["lpips"], headline=True))
    assert standing(asked, "good", "LPIPS (alex)").reason == "not computed: no weights"


def test_groups_by_attribute_and_the_gap_between_them(tmp_path: Path) -> None:
    """Method ``good`` serves one group 3 dB worse, whatever the people; ``fair`` serves both alike."""
    names = people(16)
    gender = {name: "female" if number % 2 else "male" for number, name in enumerate(names)}
    alike = {name: 20 + 0.1 * (number // 2) for number, name in enumerate(names)}
    values = {"good": {name: alike[name] + (3 if gender[name] == "male" else 6) for name in names}, "fair": alike}
    attributes = {name: {"gender": gender[name], "age": str(20 + number)} for number, name in enumerate(names)}
    run = make_run(tmp_path / "run", rows(values), attributes)
    found = conclude([run], by="gender")
    assert {(one.place.group, one.mean.n) for one in found.standings} == {("gender=female", 8), ("gender=male", 8)}
    gaps = {gap.method: gap for gap in found.fairness}
    good = gaps["good"]
    assert (good.gap.value, good.worst, good.best, good.gap.n) == (pytest.approx(3.0), "male", "female", 16)
    assert 2.5 < good.gap.low <= 3.0 <= good.gap.high < 3.5
    # No random halves of the sixteen are as far apart, so only the division itself of 999 and one.
    assert good.chance == pytest.approx(1 / 1000, abs=0.002)
    assert good.adjusted <= 2 * good.chance + 1e-12
    assert gaps["fair"].gap.value == pytest.approx(0.0, abs=1e-12)
    assert gaps["fair"].chance == 1.0
    ages = conclude([run], by="age")
    assert ages.attribute == "age band"
    assert [one.place.group for one in ages.standings if one.method == "good"] == [
        "age band=18–24", "age band=25–34", "age band=35–44",
    ]  # fmt: skip
    assert "too few people to conclude much: age band=35–44 (1)." in ages.notes
    with pytest.raises(UsageError, match="known: age, age band, gender"):
        conclude([run], by="height")


def test_a_gap_of_random_groups_is_called_chance(tmp_path: Path) -> None:
    """p is uniform where groups mean nothing: of 60 columns 3 are expected at or below 5 %, 9 at four deviations."""
    rng = np.random.default_rng(1)
    names = people(24)
    table = [
        one
        for number in range(60)
        for one in rows({"m": {name: rng.normal() for name in names}}, metric=f"mine {number}", family="outside")
    ]
    attributes = {name: {"gender": "female" if number % 3 else "male"} for number, name in enumerate(names)}
    found = conclude([make_run(tmp_path / "run", table, attributes)], by="gender")
    assert sum(gap.chance <= 0.05 for gap in found.fairness) <= 9
    assert np.mean([gap.chance for gap in found.fairness]) == pytest.approx(0.5, abs=4 * 0.29 / math.sqrt(60))


def test_a_gap_between_small_groups_does_not_depend_on_how_it_is_rounded(tmp_path: Path) -> None:
    """Groups of 3: in one resample of 20 both groups are drawn as they are, which is as far apart as seen."""
    names = people(6)
    rng = np.random.default_rng(4)
    values = {f"m{i:02d}": dict(zip(names, (25 + rng.normal(size=6)).tolist(), strict=True)) for i in range(20)}
    attributes = {name: {"gender": "female" if number < 3 else "male"} for number, name in enumerate(names)}
    ends = []
    for factor in (1.0, 3.0):
        scaled = {m: {name: factor * value for name, value in own.items()} for m, own in values.items()}
        run = make_run(tmp_path / f"run{factor}", rows(scaled), attributes=attributes)
        ends.append([(gap.gap.low / factor, gap.gap.high / factor) for gap in conclude([run], by="gender").fairness])
    assert len(ends[0]) == 20
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-5)


def test_people_are_grouped_by_the_tone_of_the_reference(tmp_path: Path) -> None:
    tones = dict(zip(people(12), [60, 60, 45, 45, 30, 30, 15, 15, 0, 0, -40, -40], strict=True))
    said = {"metric": "ITA of the reference", "family": "skin-tone", "unit": "°", "direction": "none"}
    run = make_run(tmp_path / "run", rows(three_methods()) + rows({"good": tones}, **said))
    found = conclude([run], Selection(metrics=["psnr"]), by="ita-group")
    groups = list(dict.fromkeys(one.place.group.partition("=")[2] for one in found.standings))
    assert groups == ["very light", "light", "intermediate", "tan", "brown", "dark"]
    assert found.subjects["p00"]["ITA group"] == "very light"
    bare = make_run(tmp_path / "bare", rows(three_methods()))
    with pytest.raises(UsageError, match="ITA of the reference"):
        conclude([bare], by="ITA group")


def test_a_record_of_a_subject_that_is_no_table_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", rows(three_methods()))
    write_json(run.reference("p03") / "subject.json", {"attributes": ["female"]})
    with pytest.raises(InputError, match=r"p03/subject\.json"):
        conclude([run])


def test_ages_come_in_bands() -> None:
    assert [age_band(age) for age in (17, 18, 24, 25, 64, 65, 90)] == [
        "under 18", "18–24", "18–24", "25–34", "55–64", "65 and over", "65 and over",
    ]  # fmt: skip


def test_the_slope_is_per_doubling_of_the_blur(tmp_path: Path) -> None:
    """``steep`` loses 2 dB a doubling of σ whoever it is, ``flat`` nothing; identity has no strength."""
    table = []
    for protocol, lost in (("identity", 0), ("blur:2", 1), ("blur:8", 3), ("blur:4", 2)):
        values = {"steep": spread(40 - 2 * lost, 8), "flat": spread(30, 8)}
        table += rows(values, protocol=protocol)
    found = conclude([make_run(tmp_path / "run", table)])
    steep, flat = found.sensitivity
    assert (steep.method, steep.place.protocol, steep.per) == ("steep", "blur", "doubling of σ")
    assert steep.strengths == (2.0, 4.0, 8.0)
    assert [mean.value for mean in steep.means] == pytest.approx([38, 36, 34])
    assert (steep.slope.value, steep.slope.low, steep.slope.high) == pytest.approx((-2, -2, -2))
    assert steep.lasting and not flat.lasting
    assert flat.slope.value == pytest.approx(0.0, abs=1e-12)


def test_only_people_with_all_strengths_count_for_a_slope(tmp_path: Path) -> None:
    table = rows({"m": spread(40, 8)}, protocol="blur:2") + rows({"m": spread(38, 6)}, protocol="blur:4")
    (found,) = conclude([make_run(tmp_path / "run", table)]).sensitivity
    assert (found.slope.n, found.means[0].n) == (6, 6)


def test_two_runs_show_what_changed_and_whether_beyond_noise(tmp_path: Path) -> None:
    noise = {name: (0.3 if number % 2 else -0.3) for number, name in enumerate(people(PEOPLE))}
    before = {"meso": spread(30, PEOPLE), "pca": spread(25, PEOPLE), "old": spread(20, PEOPLE)}
    after = {"meso": spread(31, PEOPLE), "pca": {name: v + noise[name] for name, v in before["pca"].items()}}
    first = make_run(tmp_path / "first", rows(before), settings={"size": 512}, methods={"meso": {"k": 1}, "pca": {},
                     "old": {}}, made_with=[{"mesoface": "1", "packages": {"torch": "2.6"}}])  # fmt: skip
    second = make_run(tmp_path / "second", rows(after, version="2"), settings={"size": 512},
                      methods={"meso": {"k": 2}, "pca": {}},
                      made_with=[{"mesoface": "1", "packages": {"torch": "2.7"}}])  # fmt: skip
    found = conclude([first, second])
    assert found.methods == ("first:meso", "first:pca", "old", "second:meso", "second:pca")
    meso, pca = found.changes
    assert (meso.first, meso.second, meso.better) == ("second:meso", "first:meso", "second:meso")
    assert meso.difference.value == pytest.approx(1.0)
    assert meso.adjusted == pytest.approx(2 * 2 / 2**PEOPLE), "corrected over the two methods that both have"
    assert (pca.first, pca.better) == ("second:pca", "")
    assert {one.name: one.values for one in found.settings} == {
        "meso.k": ("1", "2"), "packages.torch": ("2.6", "2.7"),
    }  # fmt: skip
    assert any("PSNR: not measured alike in first and second" in note for note in found.notes)
    with pytest.raises(UsageError, match="the same run"):
        conclude([first, first])


def test_missing_results_and_values_out_of_date_are_said(tmp_path: Path) -> None:
    lost, failed = ResultKey("good", "identity", "p03"), ResultKey("fair", "identity", "p05")
    table = [
        one
        for one in rows(three_methods())
        if (one["method"], one["subject"]) not in {("good", "p03"), ("fair", "p05")}
    ]
    run = make_run(tmp_path / "run", table, without=[lost, failed])
    write_json(run.result(failed) / "failure.json", {"error": "FitError", "message": "the fit failed"})
    found = conclude([run])
    assert {(gap.method, gap.subject, gap.reason) for gap in found.gaps} == {
        ("good", "p03", "not made yet"), ("fair", "p05", "the fit failed"),
    }  # fmt: skip
    assert not [note for note in found.notes if "measured" in note]
    # One that was made since, and one that was made again.
    later = run.metrics.stat().st_mtime_ns + 1_000_000_000
    for key, record in ((lost, "{}"), (ResultKey("same", "identity", "p00"), '{"files": {"again": ""}}')):
        run.result(key).mkdir(parents=True, exist_ok=True)
        path = run.result(key) / "result.json"
        path.write_text(record)
        os.utime(path, ns=(later, later))
    # A copy has new times and the same contents: that is no change.
    os.utime(run.result(ResultKey("same", "identity", "p01")) / "result.json", ns=(later, later))
    (note,) = (note for note in conclude([run]).notes if "measured" in note)
    assert note.startswith("2 results are not measured yet, or changed since: 'mesoface metrics")


def test_a_run_without_a_table_says_how_to_get_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", rows(three_methods()))
    run.metrics.write_bytes(run.metrics.read_bytes()[:100])
    with pytest.raises(InputError, match="delete it"):
        conclude([run])
    run.metrics.unlink()
    with pytest.raises(InputError, match=f"'mesoface metrics {run.path}'"):
        conclude([run])
    with pytest.raises(UsageError, match="mesoface run"):
        conclude([replace(run, path=tmp_path)])
