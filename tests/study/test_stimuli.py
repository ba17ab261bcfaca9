"""Stimuli from runs: alike but for the skin, named by their bytes, continued after a stop, gaps named."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import study_runs
from click.testing import CliRunner
from PIL import Image

from recon.colour import linear_to_srgb, luminance, srgb_to_linear
from recon.errors import InputError, UsageError
from recon.images import write_png
from recon.progress import no_progress
from recon.runs.folder import ResultKey, RunFolder, file_hashes
from recon.storage import read_json, write_json
from study.contract import PHOTOGRAPH, Stimulus
from study.stimuli import StimuliOrder, build_stimuli, read_catalogue
from study.stimuli.catalogue import PICTURES, check_pictures, picture_of
from study.stimuli.face import share_of_skin
from study.stimuli.frame import area_weights, averaged, frame_of
from study.stimuli.gold import STEPS, degraded
from study.stimuli.lot import drawn_people
from study.stimuli.material import people_of
from study.stimuli.order import sources_of

CONDITIONS = (PHOTOGRAPH, "alpha", "beta")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return study_runs.make_run(tmp_path / "first")


def order_of(*runs: RunFolder, **other: Any) -> StimuliOrder:
    usual: dict[str, Any] = {"conditions": CONDITIONS, "width": 96, "height": 120}
    return StimuliOrder(runs=tuple(run.path for run in runs), **{**usual, **other})


def build(order: StimuliOrder, folder: Path) -> dict[tuple[str, str, bool], Stimulus]:
    made = build_stimuli(order, folder, no_progress)
    return {(one.subject, one.condition, one.degraded): one for one in made}


def pixels(folder: Path, stimulus: Stimulus) -> np.ndarray:
    return np.asarray(Image.open(picture_of(folder, stimulus)).convert("RGB")).astype(int)


def at_full_size(run: RunFolder, **other: Any) -> StimuliOrder:
    """Stimuli of as many pixels as the frame has, so that nothing is averaged."""
    return order_of(run, width=192, height=240, **other)


def chunks(content: bytes) -> list[str]:
    """Names of the chunks of a PNG (ISO/IEC 15948) or WebP (RFC 9649) file."""
    found, at = [], 8 if content.startswith(b"\x89PNG") else 12
    while at < len(content):
        if content.startswith(b"\x89PNG"):
            size, name = struct.unpack(">I4s", content[at : at + 8])
            at += 12 + size
        else:
            name, size = struct.unpack("<4sI", content[at : at + 8])
            at += 8 + size + size % 2
        found.append(name.decode())
    return found


@pytest.mark.parametrize(
    ("how", "allowed"),
    [
        ({}, {"VP8L"}),
        ({"quality": 95}, {"VP8 "}),
        ({"format": "png"}, {"IHDR", "IDAT", "IEND"}),
    ],
)
def test_all_conditions_have_one_form_and_no_metadata(
    run: RunFolder, tmp_path: Path, how: dict[str, Any], allowed: set[str]
) -> None:
    made = build(order_of(run, **how), tmp_path / "study")
    assert len(made) == 2 * 4  # photograph, two methods, and a degraded copy
    for stimulus in made.values():
        content = picture_of(tmp_path / "study", stimulus).read_bytes()
        assert set(chunks(content)) == allowed
        assert Image.open(picture_of(tmp_path / "study", stimulus)).size == (96, 120)
        assert (stimulus.width, stimulus.height) == (96, 120)


def test_people_are_drawn_by_lot(tmp_path: Path) -> None:
    run = study_runs.make_run(tmp_path / "run", subjects=("s1", "s2", "s3", "s4", "s5", "t1"))

    def shown(**asked: Any) -> set[str]:
        order = order_of(run, conditions=("alpha",), gold=False, training_subjects=("t1",), **asked)
        return {subject for subject, _, _ in build(order, tmp_path / "study")}

    draws = [shown(people=2, seed=seed) for seed in range(8)]
    assert all(len(draw) == 3 and "t1" in draw for draw in draws)
    assert len(set(map(frozenset, draws))) > 1
    assert draws[3] == shown(people=2, seed=3) < shown(people=3, seed=3)
    with pytest.raises(UsageError, match=r"people is 6, and the runs have 5 people besides those for training"):
        shown(people=6)
    # Of the people of whom all is finished, as long as there are enough of them.
    for subject in ("s2", "s4"):
        (run.result(ResultKey("alpha", "identity", subject)) / "result.json").unlink()
    assert all(shown(people=3, seed=seed) == {"s1", "s3", "s5", "t1"} for seed in range(4))


def test_only_people_who_can_be_shown_are_drawn(tmp_path: Path) -> None:
    """A licence that forbids it, a face that is too small, a turned head, a view that is not drawn: not in the lot."""
    run = study_runs.make_run(tmp_path / "run", subjects=tuple("abcdef"))

    def set_licence(subject: str, licence: dict[str, Any]) -> None:
        path = run.reference(subject) / "subject.json"
        write_json(path, {**read_json(path), "licence": licence})

    def set_landmarks(subject: str, points: np.ndarray) -> None:
        path = run.judged(subject, "identity") / "reference.json"
        record = read_json(path)
        write_json(path, {**record, "fit": {**record["fit"], "landmarks": points.tolist()}})

    set_licence("a", study_runs.UNKNOWN)
    set_landmarks("b", 120 + 0.4 * (study_runs.landmarks() - 120))
    set_landmarks("c", study_runs.landmarks(shift=25))
    usual = {"conditions": ("alpha",), "composition": "split", "gold": False, "width": 96, "height": 120}

    def drawn(**asked: Any) -> set[str]:
        order = order_of(run, **{**usual, **asked})
        return {person.subject for person in drawn_people(order, people_of(order, sources_of(order)))}

    seeds = range(12)
    assert all(drawn(people=3, seed=seed) == {"d", "e", "f"} for seed in seeds)
    assert {"a"} < set.union(*(drawn(people=3, seed=seed, allow_restricted=True) for seed in seeds)) <= set("adef")
    assert set.union(*(drawn(people=3, seed=seed, composition="single") for seed in seeds)) == set("cdef")
    # Where they do not suffice the others come in, and what they lack is said.
    order = order_of(run, **usual, people=5)
    build(order, tmp_path / "study")
    gaps = {gap.subject: gap.reason for gap in read_catalogue(tmp_path / "study").gaps}
    assert len(gaps) == 2 and set(gaps) < set("abc")
    assert drawn(people=1, training_subjects=("a",)) > {"a"}
    views = run.result(ResultKey("alpha", "identity", "e")) / "views" / "gbuffer"
    write_png(views / "studio.png", np.full((240, 192, 3), 0.5, np.float32))
    write_json(views / "studio.json", {"files": file_hashes(views, ["studio.png"])})
    whole = {"view": "gbuffer/studio", "composition": "single"}
    assert all(drawn(people=1, seed=seed, **whole) == {"e"} for seed in seeds)


def test_names_are_the_hash_of_the_bytes_and_say_nothing(run: RunFolder, tmp_path: Path) -> None:
    made = build(order_of(run), tmp_path / "study")
    files = list((tmp_path / "study" / PICTURES).iterdir())
    assert {path.stem for path in files} == {stimulus.sha256 for stimulus in made.values()}
    for path in files:
        assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_skin_differs_between_conditions(run: RunFolder, tmp_path: Path) -> None:
    made = build(at_full_size(run), tmp_path / "study")
    box = frame_of(study_runs.landmarks(), (240, 300), (192, 240)).box
    real = study_runs.photograph(0)[box[1] : box[3], box[0] : box[2]] * 255
    assert np.array_equal(pixels(tmp_path / "study", made["s1", PHOTOGRAPH, False]), np.round(real))
    whole = np.zeros((300, 240), bool)
    whole[study_runs.CROP[1] : study_runs.CROP[3], study_runs.CROP[0] : study_runs.CROP[2]] = study_runs.skin()
    face = whole[box[1] : box[3], box[0] : box[2]]
    for method in ("alpha", "beta"):
        shown = pixels(tmp_path / "study", made["s1", method, False])
        # The run's picture is something else there, as it is where the method saw a blurred photograph.
        assert np.array_equal(shown[~face], np.round(real[~face]))
        assert (shown[face] != np.round(real[face])).any(axis=-1).mean() > 0.5


def test_the_middle_of_the_skin_is_the_method_alone(run: RunFolder, tmp_path: Path) -> None:
    made = build(at_full_size(run), tmp_path / "study")
    box = frame_of(study_runs.landmarks(), (240, 300), (192, 240)).box
    crop = study_runs.CROP
    shown = pixels(tmp_path / "study", made["s1", "beta", False])
    # Nose: 30 px from the nearest edge, and both passages end before that.
    place = np.s_[150 - box[1] : 156 - box[1], 117 - box[0] : 123 - box[0]]
    there = study_runs.rendering(1)[150 - crop[1] : 156 - crop[1], 117 - crop[0] : 123 - crop[0]]
    assert np.array_equal(shown[place], np.round(there * 255))


def test_a_method_that_made_less_gains_nothing_by_it(run: RunFolder, tmp_path: Path) -> None:
    less = study_runs.skin()
    less[:, 100:] = False  # the right half of the face stays photograph
    study_runs.add_result(run, ResultKey("alpha", "identity", "s1"), study_runs.rendering(0), less)
    made = build(at_full_size(run), tmp_path / "study")
    real, other = (pixels(tmp_path / "study", made["s1", name, False]) for name in (PHOTOGRAPH, "beta"))
    middle = 120 - frame_of(study_runs.landmarks(), (240, 300), (192, 240)).box[0]
    assert np.array_equal(other[:, middle:], real[:, middle:])
    assert not np.array_equal(other[:, :middle], real[:, :middle])


def test_share_rises_from_the_edge_inwards() -> None:
    skin = np.zeros((200, 200), bool)
    skin[20:180, 20:180] = True
    share = share_of_skin(skin, 100.0)
    assert share[~skin].max() == 0 and share[100, 100] == 1
    along = share[100, 20:101]
    assert (np.diff(along) >= 0).all() and along[0] < 0.01
    # Half of the passage of 0.2 eye distances: 3t² − 2t³ at t = ½ is ½, between the pixels at 9.5 and 10.5.
    assert along[9] < 0.5 < along[10] and along[9] + along[10] == pytest.approx(1, abs=1e-6)


def test_equal_orders_give_equal_bytes(run: RunFolder, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build(order_of(run), tmp_path / name)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name / PICTURES).iterdir()} for name in
                ("one", "two"))  # fmt: skip
    assert one == two
    assert (tmp_path / "one/stimuli.json").read_bytes() == (tmp_path / "two/stimuli.json").read_bytes()


def test_a_build_that_was_stopped_continues(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_stimuli(order_of(run), tmp_path / "study", stop)
    with pytest.raises(InputError, match=r"has no stimuli\.json"):
        read_catalogue(tmp_path / "study")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "study" / PICTURES).iterdir()}
    assert len(before) == 3
    made = build(order_of(run), tmp_path / "study")
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "study" / PICTURES).iterdir()}
    assert len(made) == 8 and before.items() <= after.items()
    # Nothing is left to compose: the same build again decodes no picture.
    monkeypatch.setattr("study.stimuli.build.Material.composed", None)
    assert build(order_of(run), tmp_path / "study") == made
    assert read_catalogue(tmp_path / "study").stimuli == tuple(made.values())


def test_a_damaged_picture_is_made_again(run: RunFolder, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    made = build(order_of(run), folder)
    victim = made["s2", "beta", False]
    picture_of(folder, victim).write_bytes(b"half")
    with pytest.raises(InputError, match="missing or damaged"):
        check_pictures(folder, read_catalogue(folder).stimuli)
    build(order_of(run), folder)
    check_pictures(folder, read_catalogue(folder).stimuli)


def test_what_decides_a_picture_makes_it_new(run: RunFolder, tmp_path: Path) -> None:
    before = build(order_of(run), tmp_path / "study")
    study_runs.add_result(run, ResultKey("alpha", "identity", "s1"), study_runs.rendering(77), study_runs.skin())
    after = build(order_of(run), tmp_path / "study")
    changed = {name for name in before if before[name].sha256 != after[name].sha256}
    assert changed == {("s1", "alpha", False)}


def test_missing_results_are_gaps_with_their_reason(run: RunFolder, tmp_path: Path) -> None:
    failed, waived, unfinished = (run.result(ResultKey(*key)) for key in
                                  (("alpha", "identity", "s1"), ("beta", "identity", "s1"),
                                   ("alpha", "identity", "s2")))  # fmt: skip
    for path in (failed, waived, unfinished):
        (path / "result.json").unlink()
    write_json(failed / "failure.json", {"message": "the chin was lost"})
    write_json(waived / "not_applicable.json", {"reason": "no captured albedo"})
    made = build(order_of(run), tmp_path / "study")
    assert set(made) == {("s1", PHOTOGRAPH, False), ("s1", PHOTOGRAPH, True), ("s2", PHOTOGRAPH, False),
                         ("s2", PHOTOGRAPH, True), ("s2", "beta", False)}  # fmt: skip
    gaps = {(gap.subject, gap.condition): gap.reason for gap in read_catalogue(tmp_path / "study").gaps}
    assert gaps == {("s1", "alpha"): "the chin was lost", ("s1", "beta"): "no captured albedo",
                    ("s2", "alpha"): "not made yet: run to the end"}  # fmt: skip


def test_a_view_that_was_changed_is_not_shown(run: RunFolder, tmp_path: Path) -> None:
    path = run.result(ResultKey("alpha", "identity", "s1")) / "views" / "fitted.png"
    write_png(path, study_runs.rendering(5))
    made = build(order_of(run), tmp_path / "study")
    assert ("s1", "alpha", False) not in made and len(made) == 7
    (gap,) = read_catalogue(tmp_path / "study").gaps
    assert str(path) in gap.reason and "has changed" in gap.reason


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_photograph_that_is_lost_stops_nobody_else(run: RunFolder, tmp_path: Path, content: bytes | None) -> None:
    path = run.reference("s1") / "photo.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    made = build(order_of(run), tmp_path / "study")
    assert {one.subject for one in made.values()} == {"s2"} and len(made) == 4
    gaps = read_catalogue(tmp_path / "study").gaps
    assert len(gaps) == 4 and all(gap.subject == "s1" and str(path) in gap.reason for gap in gaps)


def test_a_fit_that_is_not_finished_is_a_gap(run: RunFolder, tmp_path: Path) -> None:
    (run.judged("s1", "identity") / "reference.json").unlink()
    made = build(order_of(run), tmp_path / "study")
    assert {one.subject for one in made.values()} == {"s2"}
    gaps = read_catalogue(tmp_path / "study").gaps
    assert {gap.reason for gap in gaps} == {"'identity' has no finished fit of it in run 'first'"}


def test_two_methods_with_one_picture_are_no_comparison(run: RunFolder, tmp_path: Path) -> None:
    study_runs.add_result(run, ResultKey("beta", "identity", "s1"), study_runs.rendering(0), study_runs.skin())
    build(order_of(run), tmp_path / "study")
    (gap,) = read_catalogue(tmp_path / "study").gaps
    assert (gap.subject, gap.condition) == ("s1", "beta") and "the same picture as 'alpha'" in gap.reason


def test_the_licence_travels(run: RunFolder, tmp_path: Path) -> None:
    made = build(order_of(run), tmp_path / "study")
    assert {one.licence for one in made.values()} == {"CC BY 4.0: A. Author (2017)"}


def test_a_licence_that_forbids_showing_is_refused(tmp_path: Path) -> None:
    run = study_runs.make_run(tmp_path / "own", licence=study_runs.UNKNOWN)
    with pytest.raises(InputError, match="does not allow passing pictures on"):
        build(order_of(run), tmp_path / "study")
    assert not (tmp_path / "study" / "stimuli.json").exists()
    made = build(order_of(run, allow_restricted=True), tmp_path / "study")
    assert len(made) == 8 and read_catalogue(tmp_path / "study").restricted == ("s1", "s2")


def test_doubtful_fits_are_said(tmp_path: Path) -> None:
    run = study_runs.make_run(tmp_path / "first", subjects=("s1",), verdict="doubtful")
    build(order_of(run), tmp_path / "study")
    assert read_catalogue(tmp_path / "study").notes == ("s1: the fit is called doubtful (far off)",)


def test_conditions_come_from_several_runs(run: RunFolder, tmp_path: Path) -> None:
    second = study_runs.make_run(tmp_path / "second", methods=("beta", "gamma"))
    with pytest.raises(UsageError, match=r"several runs have the method 'beta': write first/beta"):
        build(order_of(run, second), tmp_path / "study")
    made = build(order_of(run, second, conditions=("alpha", "second/beta", "gamma"), gold=False), tmp_path / "study")
    assert {one.condition: one.run for one in made.values()} == {
        "alpha": "first",
        "second/beta": "second",
        "gamma": "second",
    }
    record = RunFolder(run.path).result(ResultKey("alpha", "identity", "s1")) / "result.json"
    assert made["s1", "alpha", False].result == hashlib.sha256(record.read_bytes()).hexdigest()


def test_runs_of_different_photographs_are_not_mixed(run: RunFolder, tmp_path: Path) -> None:
    second = study_runs.make_run(tmp_path / "second", methods=("gamma",))
    path = second.reference("s1") / "subject.json"
    write_json(path, {**read_json(path), "sha256": "another"})
    made = build(order_of(run, second, conditions=("alpha", "gamma")), tmp_path / "study")
    assert {one.subject for one in made.values()} == {"s2"}
    gaps = read_catalogue(tmp_path / "study").gaps
    assert gaps and all(gap.reason == "the runs first, second have different photographs of it" for gap in gaps)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"conditions": ("alpha", "delta")}, "no run has a method 'delta'"),
        ({"subjects": ("s1", "s9")}, "no run has a subject 's9'"),
        ({"protocol": "blur:8"}, "has no protocol 'blur:8'"),
        ({"conditions": ("alpha", "alpha")}, "name each condition once"),
        ({"width": 9000}, "each side must be"),
        ({"quality": 50}, "from 90 to 100"),
        ({"format": "png", "quality": 95}, "a quality is for WebP"),
        ({"composition": "split", "protocol": "occlude:right"}, "take 'occlude:left'"),
        ({"view": "studio"}, "write RENDERER/studio"),
        ({"view": "gbuffer/studio"}, "there is no photograph"),
        ({"view": "gbuffer/studio", "composition": "split"}, "a split face needs the photograph"),
    ],
)
def test_orders_that_cannot_be_carried_out(run: RunFolder, tmp_path: Path, other: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(order_of(run, **other), tmp_path / "study")
    assert not (tmp_path / "study" / "stimuli.json").exists()


def test_faces_are_never_enlarged(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fills only 192×240 pixels"):
        build(order_of(run, width=512, height=640), tmp_path / "study")


def test_other_views_are_shown_whole(run: RunFolder, tmp_path: Path) -> None:
    for method in ("alpha", "beta"):
        views = run.result(ResultKey(method, "identity", "s1")) / "views" / "gbuffer"
        write_png(views / "studio.png", np.full((240, 192, 3), 0.25 if method == "alpha" else 0.75, np.float32))
        write_json(views / "studio.json", {"files": file_hashes(views, ["studio.png"])})
    order = order_of(run, view="gbuffer/studio", conditions=("alpha", "beta"), gold=False)
    made = build(order, tmp_path / "study")
    assert set(made) == {("s1", "alpha", False), ("s1", "beta", False)}
    assert (pixels(tmp_path / "study", made["s1", "alpha", False]) == 64).all()
    reasons = {gap.reason for gap in read_catalogue(tmp_path / "study").gaps}
    assert reasons == {f"the view 'gbuffer/studio' is not drawn yet: 'mesoface render {run.path}' makes it"}


def test_the_frame_follows_from_the_face() -> None:
    """EYES = 80, bridge to chin 105 → s = max(80, 0.76 · 105) = 80: 2.4 s × 3 s, 0.46 s above their middle."""
    frame = frame_of(study_runs.landmarks(), (1000, 1000), (96, 120))
    assert frame.eyes == study_runs.EYES and frame.size == (192, 240)
    left, top, right, bottom = frame.box
    assert (left + right) / 2 == 120 or left == 0  # moved inside, were it to leave the photograph
    assert (top + bottom) / 2 == pytest.approx((115 + 220) / 2 - 0.46 * 80, abs=1) or top == 0
    assert frame.narrower == pytest.approx(0.5)


@pytest.mark.parametrize("shown", [(96, 120), (100, 100), (120, 80)])
def test_the_frame_has_the_shape_of_what_is_shown(shown: tuple[int, int]) -> None:
    width, height = frame_of(study_runs.landmarks() + 400, (2000, 2000), shown).size
    assert width / height == pytest.approx(shown[0] / shown[1], rel=0.01)
    assert width >= 192 and height >= 240  # the whole face is in it


def test_averaging_is_over_area_and_in_linear_light() -> None:
    weights = area_weights(7, 3).toarray()
    assert weights.sum(axis=1) == pytest.approx(np.ones(3))
    assert weights[0] == pytest.approx(np.array([3, 3, 1, 0, 0, 0, 0]) / 7)  # 7/3 pixels: two and a third
    board = np.indices((8, 8)).sum(axis=0)[..., None].repeat(3, axis=2) % 2
    half = averaged(board.astype(np.float32), (4, 4))
    assert half == pytest.approx(0.5)
    assert np.round(linear_to_srgb(half) * 255) == pytest.approx(188)  # IEC 61966-2-1 of 0.5
    rng = np.random.default_rng(0).uniform(size=(90, 60, 3)).astype(np.float32)
    assert averaged(rng, (20, 30)) == pytest.approx(rng.reshape(30, 3, 20, 3, 3).mean(axis=(1, 3)), abs=1e-6)


@pytest.mark.parametrize(("large", "small"), [(7, 3), (800, 640), (1023, 512), (613, 490), (3, 3), (97, 1)])
def test_every_pixel_counts_once(large: int, small: int) -> None:
    weights = area_weights(large, small).toarray()
    assert weights.sum(axis=1) == pytest.approx(np.ones(small), abs=1e-9)
    assert weights.sum(axis=0) == pytest.approx(np.full(large, small / large), abs=1e-9)
    assert (weights >= 0).all()


def test_a_pixel_follows_from_what_it_covers_alone() -> None:
    """To the bit, whatever stands beside it: so the same picture has the same name on every machine."""
    parts = np.random.default_rng(1).uniform(size=(3, 400, 300, 3)).astype(np.float32)
    together = averaged(np.concatenate(parts, axis=1), (3 * 240, 320))
    assert np.array_equal(together, np.concatenate([averaged(part, (240, 320)) for part in parts], axis=1))


def test_gold_items_are_obvious(run: RunFolder, tmp_path: Path) -> None:
    spoilt = degraded(srgb_to_linear(study_runs.photograph()), 80.0)
    tones = np.unique(np.round(linear_to_srgb(luminance(spoilt)) * STEPS - 0.5, 2))
    assert 1 < len(tones) <= STEPS
    made = build(order_of(run), tmp_path / "study")
    real, gold = (pixels(tmp_path / "study", made["s1", PHOTOGRAPH, spoilt]) for spoilt in (False, True))
    # The noise of the photograph is gone: neighbours differ at the steps alone.
    assert np.median(np.abs(np.diff(gold, axis=0))) == 0 < np.median(np.abs(np.diff(real, axis=0)))
    assert made["s1", PHOTOGRAPH, True].condition == PHOTOGRAPH


def test_gold_brings_the_photograph(run: RunFolder, tmp_path: Path) -> None:
    made = build(order_of(run, conditions=("alpha",)), tmp_path / "study")
    assert {key[1:] for key in made} == {("alpha", False), (PHOTOGRAPH, False), (PHOTOGRAPH, True)}


@pytest.mark.parametrize("field", ["sha256", "media_type", "degraded", "width"])
def test_a_damaged_catalogue_is_refused(run: RunFolder, tmp_path: Path, field: str) -> None:
    build(order_of(run), tmp_path / "study")
    path = tmp_path / "study" / "stimuli.json"
    record = read_json(path)
    record["stimuli"][2][field] = "../../secret"
    write_json(path, record)
    with pytest.raises(InputError, match="is damaged"):
        read_catalogue(tmp_path / "study")


def test_a_catalogue_vouches_for_its_files(run: RunFolder, tmp_path: Path) -> None:
    made = build(order_of(run), tmp_path / "study")
    picture_of(tmp_path / "study", made["s1", "alpha", False]).unlink()
    with pytest.raises(InputError, match="is missing: make the stimuli again"):
        read_catalogue(tmp_path / "study")


def study_file(folder: Path, run: RunFolder) -> Path:
    """The ready split-face study on the toy run."""
    from study import specification

    text = (Path(specification.__file__).parent / "examples" / "split_face.yaml").read_text(encoding="utf-8")
    changes = {
        "conditions: [photograph, deep, deep-linear, deep-nearest, pca, visio]": "conditions: [photograph, alpha]",
        "runs: [../../runs/first]": f"runs: [{run.path}]",
        "protocol: blur:8": "protocol: identity",
        'training_subjects: ["140", "141"]': "training_subjects: [s2]",
        "people: 11": "people: 1",
        "width: 512": "width: 96",
        "height: 640": "height: 120",
    }
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after, 1)
    folder.mkdir()
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return folder / "study.yaml"


def test_the_command_builds_what_the_study_file_says(run: RunFolder, tmp_path: Path) -> None:
    from study.stimuli_commands import stimuli

    file = study_file(tmp_path / "study", run)
    done = CliRunner().invoke(stimuli, [str(file.parent)], standalone_mode=False)
    assert done.exception is None and done.return_value == 0
    assert "6 stimuli of 2 people, 0 missing" in done.output
    made = read_catalogue(file.parent).stimuli
    assert {(one.composition, one.width, one.height) for one in made} == {("split", 96, 120)}
    shutil.rmtree(run.result(ResultKey("alpha", "identity", "s2")))
    done = CliRunner().invoke(stimuli, [str(file), "--json", "-q"], standalone_mode=False)
    assert done.return_value == 5
    said = json.loads(done.stdout)
    assert said["stimuli"] == 5
    assert said["gaps"] == [{"subject": "s2", "condition": "alpha", "reason": "not made yet: run to the end"}]
