"""What a reconstruction method must do to be compared with the others, tested on a made-up subject.

The subject is computer-made (:mod:`recon.data.synthetic`) on the face model that ``auto`` names, photographed from the
front, with maps of 128 texels and a database of six other made-up people: a method that is correct there may still be
poor, but one that is not cannot be compared with anything. It is tested with the whole photograph and with the half of
it withheld.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from recon.conformance import (
    Finding,
    Findings,
    NotKept,
    fingerprint,
    other_global_seeds,
    require,
    require_json,
    watched_writes,
)
from recon.data.protocols import parse_protocol
from recon.data.subject import Photograph
from recon.errors import MesofaceError
from recon.methods import METHODS
from recon.methods.contract import Context, Method, Reconstruction

SIZE = 128
PEOPLE = 6
_SIDE = 288


@dataclass(frozen=True, eq=False)
class MadeUp:
    """A subject as a method gets it, under two protocols."""

    photograph: Photograph
    context: Context
    half: Photograph
    half_context: Context


def check_method(name: str, piece: Any) -> list[Finding]:
    """All conformance tests of the method that an entry point ``name`` names.

    Args:
        piece: what the entry point gives: a class, or a method itself.

    Raises:
        AssetError: no face model is on this machine.
    """
    findings = Findings()
    made: list[Method] = []
    findings.check("its name is free", lambda: _free_name(name))
    if not findings.check("it can be made without arguments", lambda: made.append(_instance(piece))):
        return findings.found
    method = made[0]
    if not findings.check("it states name, needs_database and defaults", lambda: _states(name, method)):
        return findings.found
    load = getattr(method, "load", None)
    if load is not None and not findings.check("load() loads what it needs", load):
        return findings.found
    subject = _subject()
    if not findings.check("applies() answers None or a reason", lambda: _applies(method, subject)):
        return findings.found
    reason = method.applies(_with(method, subject.context))
    if reason is not None:
        findings.skip("reconstruct()", f"it says that it does not apply to a made-up subject: {reason}")
        return findings.found
    _check_results(findings, method, subject)
    return findings.found


def _check_results(findings: Findings, method: Method, subject: MadeUp) -> None:
    results: list[Reconstruction] = []
    context = _with(method, subject.context)
    before = fingerprint([subject.photograph, _inputs(context)])
    written: list[str] = []

    def first() -> None:
        import tempfile

        from recon.assets import home

        started = time.perf_counter()
        assert context.database is not None
        allowed = (home(), Path(tempfile.gettempdir()), context.database.folder)
        with other_global_seeds(1), watched_writes(allowed) as outside:
            results.append(method.reconstruct(subject.photograph, context))
        written.extend(outside)
        if (seconds := time.perf_counter() - started) > 600:
            raise NotKept(f"it took {seconds:.0f} s for {SIZE} texels: nobody can wait for a test set of that.")

    if not findings.check("it finishes on a made-up subject", first):
        return
    findings.check(
        "it changes nothing that it is given",
        lambda: require(
            fingerprint([subject.photograph, _inputs(context)]) == before,
            "photograph or observation are not what they were before reconstruct(): copy arrays before changing them, "
            "all methods share them.",
        ),
    )
    findings.check(
        "it writes no files",
        lambda: require(
            not written, f"it wrote '{', '.join(written[:3])}': return everything, the run folder keeps it."
        ),
    )
    if not findings.check("its result keeps the contract", lambda: _keeps(results[0], context)):
        return
    findings.check("the same seed gives the same result", lambda: _repeats(method, subject, context, results[0]))
    findings.check("it refuses a parameter that it does not have", lambda: _refuses(method, subject, context))
    findings.check("it works with half of the face withheld", lambda: _half(method, subject))


def _free_name(name: str) -> None:
    require(name not in METHODS.built_in, f"'{name}' is a method of mesoface itself and keeps its meaning: rename it.")
    require(
        bool(name) and not set(name) & set("/\\,:. ="),
        f"'{name}' cannot be a folder or stand in a list: use letters, digits and '-'.",
    )


def _instance(piece: Any) -> Method:
    made: Method = piece() if isinstance(piece, type) else piece
    return made


def _states(name: str, method: Any) -> None:
    for attribute in ("name", "needs_database", "defaults", "applies", "reconstruct"):
        require(hasattr(method, attribute), f"it has no '{attribute}': see recon/methods/contract.py.")
    require(method.name == name, f"its name is {method.name!r}, its entry point {name!r}: call both alike.")
    require(isinstance(method.needs_database, bool), "needs_database is neither True nor False.")
    require(isinstance(method.defaults, Mapping), "defaults is no dictionary of parameters.")
    require_json(dict(method.defaults), "defaults")
    require(
        callable(method.applies) and callable(method.reconstruct), "applies and reconstruct must be functions of it."
    )


@cache
def _subject() -> MadeUp:
    """The made-up subject, once a program; its database lies in a folder that goes with the program."""
    import atexit
    import tempfile

    from recon.data.synthetic import synthetic_textures
    from recon.face_model import load_face_model
    from recon.fitting import Fit, SphericalHarmonicsLighting
    from recon.rendering.scene import Scene
    from recon.rendering.views import view_named
    from recon.runs.views import over_photograph, render_view
    from recon.texture.completion import face_masks
    from recon.texture.database_build import database_from_textures
    from recon.texture.observe import observe

    model = load_face_model("auto")
    masks = face_masks(model, SIZE)
    (_, albedo, _), *others = synthetic_textures(model, SIZE, range(PEOPLE + 1))
    scratch = tempfile.TemporaryDirectory()
    atexit.register(scratch.cleanup)
    database = database_from_textures(
        others, model, Path(scratch.name) / "database", SIZE, "made-up", "CC0", masks.face & ~masks.features
    )
    camera = view_named("front").camera(model, model.mean, _SIDE, _SIDE)
    light = SphericalHarmonicsLighting.ambient()
    background = np.full((_SIDE, _SIDE, 3), 0.5, np.float32)
    drawn = render_view(Scene(model, model.mean, albedo, camera, light), "fitted")
    # As if everything were withheld: the whole head is drawn, eyes and all.
    everywhere = np.ones((_SIDE, _SIDE), bool)
    picture = over_photograph(background, drawn, np.ones((SIZE, SIZE), bool), everywhere).srgb
    landmarks = camera.project(model.landmarks(model.mean)).astype(np.float32)
    fit = Fit(
        identity=np.zeros(len(model.identity_basis), np.float32),
        expression=np.zeros(len(model.expression_basis), np.float32),
        vertices=model.mean,
        camera=camera,
        lighting=light,
        landmarks=landmarks,
        landmark_error=0.0,
        interocular=float(np.linalg.norm(landmarks[36] - landmarks[45])),
        verdict="pass",
    )
    photograph = Photograph(picture, "made-up.png", "made-up")
    given = {}
    for name in ("identity", "occlude:right"):
        protocol = parse_protocol(name)
        observation = observe(photograph, protocol, model, SIZE, fit=fit)
        given[name] = Context(model, observation, database, features="filter-bank", size=SIZE, seed=7, device="cpu")
    hidden = picture.copy()
    hidden[:, : _SIDE // 2] = 0.5  # the subject's right is the picture's left
    return MadeUp(photograph, given["identity"], replace(photograph, srgb=hidden), given["occlude:right"])


def _with(method: Method, context: Context) -> Context:
    return replace(context, parameters=dict(method.defaults))


def _inputs(context: Context) -> list[Any]:
    return [context.observation, dict(context.parameters)]


def _applies(method: Method, subject: MadeUp) -> None:
    for context in (subject.context, subject.half_context):
        answer = method.applies(_with(method, context))
        require(
            answer is None or (isinstance(answer, str) and bool(answer)),
            f"applies() gave {answer!r}: None where it applies, else the reason in words.",
        )


def _keeps(made: Any, context: Context) -> None:
    """Shapes, types and ranges of a result."""
    require(isinstance(made, Reconstruction), f"it gave a {type(made).__name__}, not a Reconstruction.")
    size, wanted = context.size, context.model.mean.shape
    for name, shape in (("albedo", (size, size, 3)), ("mask", (size, size)), ("vertices", wanted)):
        array = getattr(made, name)
        require(isinstance(array, np.ndarray), f"{name} is a {type(array).__name__}, not an array of numpy.")
        require(array.shape == shape, f"{name} has the shape {array.shape}, {shape} was asked for.")
    require(made.mask.dtype == np.bool_, f"mask holds {made.mask.dtype}, not bool.")
    for name in ("albedo", "vertices"):
        found = getattr(made, name).dtype
        require(found == np.float32, f"{name} holds {found}, not float32.")
    require(bool(made.mask.any()), "its mask is empty: it vouches for nothing.")
    require(bool(np.isfinite(made.vertices).all()), "vertices holds numbers that are not finite.")
    inside = made.albedo[made.mask]
    require(bool(np.isfinite(inside).all()), "albedo is not finite everywhere in its mask.")
    require(
        bool(inside.min() >= 0 and inside.max() <= 1),
        f"albedo reaches from {inside.min():.3g} to {inside.max():.3g}: it is linear RGB in [0, 1].",
    )
    require(isinstance(made.record, Mapping), "record is no dictionary.")
    from recon.runs.record import plain

    require_json(plain(dict(made.record)), "record")


def _repeats(method: Method, subject: MadeUp, context: Context, first: Reconstruction) -> None:
    with other_global_seeds(2), watched_writes(()):
        again = method.reconstruct(subject.photograph, context)
    for name in ("albedo", "mask", "vertices"):
        require(
            np.array_equal(getattr(first, name), getattr(again, name), equal_nan=True),
            f"{name} differs between two runs with one seed: draw every random number from "
            "np.random.default_rng(context.seed), and torch's from a Generator of that seed.",
        )


def _refuses(method: Method, subject: MadeUp, context: Context) -> None:
    try:
        with watched_writes(()):  # in a folder of its own, should it write
            method.reconstruct(subject.photograph, replace(context, parameters={"no such parameter": 1}))
    except MesofaceError:
        return
    raise NotKept(
        "an unknown parameter was ignored: pass context.parameters through recon.methods.parameters.settings."
    )


def _half(method: Method, subject: MadeUp) -> None:
    context = _with(method, subject.half_context)
    if method.applies(context) is not None:
        return
    with watched_writes(()):
        made = method.reconstruct(subject.half, context)
    _keeps(made, context)
