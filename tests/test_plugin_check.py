"""``mesoface plugin check``: a plugin that keeps its contract passes, and every way of breaking it is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from texture_toy import face, skin_texture

import mesoface
from metrics import METRICS
from metrics.conformance import check_metric, check_set_metric
from metrics.contract import Batch, Component, Metric, SetMetric, one_by_one
from metrics.made_up_pairs import made_up_pair, portrait
from recon.conformance import Finding, Findings, fingerprint, watched_writes
from recon.errors import AssetError
from recon.methods import METHODS, conformance
from recon.methods.conformance import check_method
from recon.methods.contract import Context, Reconstruction

ROOT = Path(mesoface.__file__).parent

HEADER = """
import numpy as np
from metrics.contract import Component, Metric, SetMetric, one_by_one
"""
GOOD = """
def error(judged):
    if not judged.region.any():
        return [float("nan")]
    return [float(np.abs(judged.result[judged.region] - judged.reference[judged.region]).mean())]

GOOD = Metric((Component("mean error (plugin)"),), "plugin", "1", {"power": 1}, frozenset({"uv", "image"}),
              one_by_one(error))

def describe(batch, device):
    empty = np.full(3, np.nan, np.float32)
    return [tuple(side[one.region].mean(axis=0) if one.region.any() else empty for side in (one.result, one.reference))
            for one in batch]

def gather(subjects, results, references):
    return {"mean tone error (plugin)": np.abs(results - references).mean() if len(subjects) else float("nan")}

TONE = SetMetric((Component("mean tone error (plugin)"),), "plugin", "1", {}, frozenset({"uv"}), describe, gather)
"""
# In place of a method that works: the mean of what is seen, everywhere.
METHOD = """
from recon.methods.parameters import settings
from recon.methods.result import reconstruction

class Flat:
    name = "flat"
    needs_database = False
    defaults = {"gain": 1.0}

    def applies(self, context):
        return None

    def reconstruct(self, photograph, context):
        chosen = settings(self.name, self.defaults, context.parameters)
        seen = context.observation
        albedo = np.empty((context.size, context.size, 3), np.float32)
        albedo[:] = chosen["gain"] * seen.albedo[seen.skin].mean(axis=0)
        return reconstruction(context, albedo, {"skin": int(seen.skin.sum())}, {})
"""


def install(site: Path, name: str, source: str, entries: dict[str, dict[str, str]]) -> Path:
    """A package as pip leaves it: a module and its metadata in a folder of packages."""
    module = name.replace("-", "_")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{key} = {module}:{value}\n" for key, value in pieces.items())
             for group, pieces in entries.items()]  # fmt: skip
    (info / "entry_points.txt").write_text("\n".join(lines))
    (site / f"{module}.py").write_text(HEADER + textwrap.dedent(source))
    return site


def call(site: Path, *arguments: str) -> tuple[int, str, str]:
    """The command line in a new process that finds packages in ``site``."""
    program = (
        "import mesoface\n"
        "mesoface.COMMANDS['plugin'] = mesoface.Entry('metrics.plugin_commands', 'plugin', '')\n"
        "mesoface.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    done = subprocess.run(
        [sys.executable, "-c", program, "plugin", "check", *arguments],
        capture_output=True, text=True, check=False, env=environment, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_good_pieces_pass_and_bad_ones_are_named_on_the_command_line(tmp_path: Path) -> None:
    """A good metric, a good set metric, one that reads everything, and one that cannot be imported."""
    leaky = """
    LEAKY = Metric((Component("leaky error"),), "plugin", "1", {}, frozenset({"uv"}),
                   one_by_one(lambda judged: [float(np.abs(judged.result - judged.reference).mean())]))
    """
    site = install(
        tmp_path,
        "good-metrics",
        GOOD,
        {"mesoface.metrics": {"good": "GOOD"}, "mesoface.set_metrics": {"good-tone": "TONE"}},
    )
    install(site, "bad-metrics", leaky, {"mesoface.metrics": {"leaky": "LEAKY", "absent": "ABSENT"}})
    code, out, error = call(site, "good-metrics", "--quiet")
    assert (code, out) == (0, ""), error
    code, out, _ = call(site, "bad_metrics", "--json")
    assert code == 3
    said = {piece["name"]: piece for piece in json.loads(out)}
    assert [piece["passed"] for piece in said.values()] == [False, False]
    assert "has no attribute 'ABSENT'" in said["absent"]["findings"][0]["message"]
    failed = [finding for finding in said["leaky"]["findings"] if finding["state"] == "failed"]
    assert [finding["check"] for finding in failed] == [
        "uv: nothing outside of the region is read",
        "uv: an empty region has no number",
    ]
    code, out, error = call(site, "good-metricks")
    assert (code, "did you mean 'good-metrics'?" in error) == (2, True)
    code, out, error = call(site, "numpy")
    assert (code, "declares nothing in mesoface.methods" in error) == (3, True)


def failures(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.message for finding in findings if finding.state == "failed"}


def error_of(batch: Batch, device: str) -> list[list[float]]:
    rows = []
    for one in batch:
        inside = np.abs(one.result - one.reference)[one.region]
        rows.append([float(inside.mean()) if len(inside) else float("nan")])
    return rows


def metric(measure: Any = error_of, **changes: Any) -> Metric:
    stated: dict[str, Any] = {
        "components": (Component("test error"),),
        "library": "test",
        "version": "1",
        "parameters": {},
        "spaces": frozenset({"image"}),
        "measure": measure,
    }
    return Metric(**{**stated, **changes})


def spoiling(batch: Batch, device: str) -> list[list[float]]:
    values = error_of(batch, device)
    for one in batch:
        one.result[:] = 0
    return values


def drawn(batch: Batch, device: str) -> list[list[float]]:
    return [[value + np.random.normal(0, 1e-3) if value else 0.0] for (value,) in error_of(batch, device)]  # noqa: NPY002


def relative_to_batch(batch: Batch, device: str) -> list[list[float]]:
    values = np.array(error_of(batch, device))
    return np.asarray(values / np.nanmax(values, initial=1e-9)).tolist()


def ending(batch: Batch, device: str) -> list[list[float]]:
    raise SystemExit(2)


def absent() -> Any:
    raise AssetError("the weights of 'net' are not here: fetch them.")


def test_a_good_metric_passes_every_test_and_the_built_in_ones_do_too() -> None:
    assert {finding.state for finding in check_metric("test", metric())} == {"passed"}
    for name in ("psnr", "ssim", "detail", "coverage", "truth-shape"):
        own = failures(check_metric(name, METRICS.get(name)))
        assert list(own) == ["its name is free"], own


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (metric(spoiling), "image: it changes nothing that it is given", "copy them first"),
        (metric(drawn), "image: equal calls give equal numbers", "seed"),
        (metric(relative_to_batch), "image: a batch is as good as one by one", "neighbours"),
        (metric(ending), "image: it measures a face, and finitely", "SystemExit"),
        (metric(lambda b, d: error_of(b, d)[:1]), "image: it measures a face, and finitely", "1 rows for 3 results"),
        (metric(lambda b, d: [[0.0, 1.0] for _ in b]), "image: it measures a face, and finitely", "2 numbers for 1"),
        (metric(lambda b, d: [[float("nan")] for _ in b]), "image: it measures a face, and finitely", "'test error'"),
        (metric(lambda b, d: [[-v] for (v,) in error_of(b, d)]), "image: more disturbance is not better", "direction"),
        (metric(lambda b, d: [[v + 1] for (v,) in error_of(b, d)]), "image: identical pictures have the ideal value",
         "ideal of the direction 'lower' is 0"),
        (metric(one_by_one(lambda j: [float(np.abs(j.result - j.reference)[j.region].sum())])),
         "image: an empty region has no number", "NaN"),
        (metric(parameters={"net": object()}), "its parameters can be written as JSON", "JSON"),
        (metric(spaces=frozenset({"image", "shape"})), "it names library, version, spaces and reference", "spaces"),
        (metric(version=""), "it names library, version, spaces and reference", "version"),
        (metric(components=(Component("PSNR"),)), "its components are named, and nobody else's", "'psnr'"),
        (metric(components=(Component("a", direction="up"),)),  # type: ignore[arg-type]
         "its components are named, and nobody else's", "higher, lower, one or none"),
        (error_of, "it is an instance of its contract", "not a Metric"),
    ],
)  # fmt: skip
def test_every_broken_promise_of_a_metric_is_named(broken: Any, check: str, words: str) -> None:
    found = failures(check_metric("test", broken))
    assert check in found, found
    assert words in found[check]


def test_a_built_in_name_and_absent_weights() -> None:
    assert "keeps its meaning" in failures(check_metric("psnr", metric()))["its name is free"]
    (last,) = check_metric("test", metric(weights=absent))[-1:]
    assert (last.state, "fetch them" in last.message) == ("not checked", True)


def tones(batch: Batch, device: str) -> list[tuple[np.ndarray, np.ndarray]]:
    empty = np.full(3, np.nan, np.float32)
    return [
        (one.result[one.region].mean(axis=0), one.reference[one.region].mean(axis=0))
        if one.region.any()
        else (empty, empty)
        for one in batch
    ]


def gap(subjects: Any, results: Any, references: Any) -> dict[str, Any]:
    return {"test tone": np.abs(results - references).mean() if len(subjects) else float("nan")}


def set_metric(describe: Any = tones, gather: Any = gap) -> SetMetric:
    return SetMetric((Component("test tone"),), "test", "1", {}, frozenset({"uv"}), describe, gather)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (set_metric(gather=lambda s, a, b: {"test tone": float(np.abs(a[0] - b[0]).mean())}),
         "uv: the order of people does not matter"),
        (set_metric(gather=lambda s, a, b: {"test tone": float(0 * a[0, 0] + np.abs(a - b).mean())}),
         "uv: too few people are no error"),
        (set_metric(gather=lambda s, a, b: {"tone": 0.0}), "uv: it measures a set of people, and finitely"),
        (set_metric(lambda batch, device: [(one.result.mean((0, 1)), one.reference.mean((0, 1))) for one in batch]),
         "uv: nothing outside of the region is read"),
        (set_metric(lambda batch, device: [(np.float64([1, 2]),) * 2 for _ in batch]),
         "uv: it measures a set of people, and finitely"),
        (set_metric(gather=lambda s, a, b: {"test tone": -np.abs(a - b).mean() if len(s) else np.nan}),
         "uv: more disturbance is not better"),
    ],
)  # fmt: skip
def test_every_broken_promise_of_a_set_metric_is_named(broken: SetMetric, check: str) -> None:
    found = failures(check_set_metric("test", broken))
    assert check in found, found


def test_a_good_set_metric_passes_every_test() -> None:
    assert {finding.state for finding in check_set_metric("test", set_metric())} == {"passed"}


@pytest.fixture(scope="module")
def flat() -> Iterator[type]:
    """The method of :data:`METHOD` as a class that tests may break; judged on the toy's people, who take no time."""

    def toys(model: Any, size: int, seeds: Iterable[int]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        return ((f"toy-{seed}", skin_texture(seed, size), np.ones((size, size), bool)) for seed in seeds)

    patch = pytest.MonkeyPatch()
    patch.setattr("recon.face_model.load_face_model", lambda name: face())
    patch.setattr("recon.data.synthetic.synthetic_textures", toys)
    conformance._subject.cache_clear()
    space: dict[str, Any] = {}
    exec(HEADER + METHOD, space)
    yield space["Flat"]
    patch.undo()
    conformance._subject.cache_clear()


def breaking(flat: type, spoil: Callable[[Context, Reconstruction], Any]) -> type:
    """``flat`` with its result, or the world, spoilt by ``spoil``."""

    def reconstruct(self: Any, photograph: Any, context: Context) -> Any:
        return spoil(context, flat.reconstruct(self, photograph, context))  # type: ignore[attr-defined]

    return type("Broken", (flat,), {"reconstruct": reconstruct})


def changed(made: Reconstruction, **values: Any) -> Reconstruction:
    from dataclasses import replace

    return replace(made, **values)


def writes(context: Context, made: Reconstruction) -> Reconstruction:
    Path("left behind.txt").write_text("here")
    return made


def changes_observation(context: Context, made: Reconstruction) -> Reconstruction:
    context.observation.albedo[0, 0] += 1
    return made


def noisy(context: Context, made: Reconstruction) -> Reconstruction:
    grain = np.random.uniform(0, 0.1, made.albedo.shape)  # noqa: NPY002
    return changed(made, albedo=np.clip(made.albedo + grain, 0, 1).astype(np.float32))


def test_a_good_method_passes_every_test(flat: type) -> None:
    found = check_method("flat", flat)
    assert {finding.state for finding in found} == {"passed"}, failures(found)
    assert list(failures(check_method("mirror", METHODS.get("mirror")))) == ["its name is free"]


@pytest.mark.parametrize(
    ("spoil", "check", "words"),
    [
        (writes, "it writes no files", "left behind.txt"),
        (changes_observation, "it changes nothing that it is given", "copy arrays"),
        (noisy, "the same seed gives the same result", "default_rng"),
        (lambda c, made: changed(made, mask=made.mask.astype(np.uint8)), "its result keeps the contract", "not bool"),
        (lambda c, made: changed(made, albedo=made.albedo[::2, ::2]), "its result keeps the contract", "(64, 64, 3)"),
        (lambda c, made: changed(made, albedo=made.albedo * 255), "its result keeps the contract", "linear RGB"),
        (lambda c, made: made.albedo, "its result keeps the contract", "not a Reconstruction"),
        (lambda c, made: changed(made, mask=made.mask & False), "its result keeps the contract", "vouches for nothing"),
        (lambda c, made: 1 / 0, "it finishes on a made-up subject", "ZeroDivisionError"),
        (lambda c, made: changed(made, albedo=made.albedo * np.where(c.observation.withheld.any(), np.nan, 1)
                                 .astype(np.float32)), "it works with half of the face withheld", "not finite"),
    ],
)  # fmt: skip
def test_every_broken_promise_of_a_method_is_named(flat: type, spoil: Any, check: str, words: str) -> None:
    found = failures(check_method("flat", breaking(flat, spoil)))
    assert check in found, found
    assert words in found[check]
    assert not Path("left behind.txt").exists(), "whatever a plugin writes, it is not where the user is"


def test_what_a_method_states_of_itself_is_checked(flat: type) -> None:
    assert "call both alike" in str(failures(check_method("other", flat)))
    assert "JSON" in str(failures(check_method("flat", type("Broken", (flat,), {"defaults": {"net": object()}}))))
    careless = type("Broken", (flat,), {"defaults": {"gain": 1.0, "no such parameter": 0}})
    assert list(failures(check_method("flat", careless))) == ["it refuses a parameter that it does not have"]
    silent = type("Broken", (flat,), {"applies": lambda self, context: False})
    assert list(failures(check_method("flat", silent))) == ["applies() answers None or a reason"]
    unloadable = type("Broken", (flat,), {"load": lambda self: 1 / 0})
    assert list(failures(check_method("flat", unloadable))) == ["load() loads what it needs"]
    picky = type("Broken", (flat,), {"applies": lambda self, context: "wants a beard"})
    (last,) = check_method("flat", picky)[-1:]
    assert (last.state, "wants a beard" in last.message) == ("not checked", True)


def test_writing_is_seen_where_it_happens_and_reading_is_free(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "there").write_text("before")
    with watched_writes([tmp_path / "kept"]) as outside:
        (tmp_path / "there").read_text()
        (tmp_path / "kept" / "new").write_text("allowed")
        os.rename(tmp_path / "there", tmp_path / "gone")
        Path("here").mkdir()
    assert [Path(path).name for path in outside] == ["gone", "here"]
    (tmp_path / "later").write_text("nobody watches")
    assert len(outside) == 2


def test_findings_tell_faults_from_absences() -> None:
    findings = Findings()
    assert findings.check("a", lambda: None)
    assert not findings.check("b", lambda: [][1])
    assert not findings.check("c", absent)
    assert [finding.state for finding in findings.found] == ["passed", "failed", "not checked"]
    assert findings.failed


def test_a_fingerprint_changes_with_every_number() -> None:
    one = made_up_pair("image", 1.0)
    before = fingerprint([one.result, {"a": (1, 2.0)}])
    assert fingerprint([one.result.copy(), {"a": (1, 2.0)}]) == before
    assert fingerprint([one.result, {"a": (1, 2.5)}]) != before
    one.result[3, 4, 1] += np.float32(1e-3)
    assert fingerprint([one.result, {"a": (1, 2.0)}]) != before


def test_made_up_pairs_are_faces_with_their_landmarks() -> None:
    """The mirror image of a face has its left eye where the right one was; a strength of 0 disturbs nothing."""
    picture, landmarks, region = portrait()
    assert picture.shape == (256, 256, 3) and landmarks.shape == (68, 2)
    assert region[tuple(landmarks[27:].T[::-1].astype(int))].all(), "eyes, nose and mouth lie in the face"
    plain, mirrored = made_up_pair("image", 0.0), made_up_pair("image", 0.0, seed=1)
    assert (plain.result == plain.reference).all()
    assert mirrored.landmarks is not None
    assert mirrored.landmarks[36, 0] < mirrored.landmarks[45, 0], "landmark 36 stays on the picture's left"
    assert mirrored.landmarks[8] == pytest.approx([256 - landmarks[8, 0], landmarks[8, 1]])
