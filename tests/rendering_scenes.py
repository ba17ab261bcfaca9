"""Synthetic heads of known shape, colour and light, for the tests of rendering."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting, sh_basis
from recon.rendering import (
    Scene,
)

EYE_CENTRE = (0.35, 0.3, 0.75)
EYE_RADIUS = 0.2
UNIT = 0.1  # metres: the synthetic head has a radius of 10 cm


def sphere_grid(radius: float, centre: tuple[float, float, float], n: int) -> tuple[NDArray, NDArray, NDArray]:
    """A latitude-longitude sphere with its seam at the back: positions, triangles (outward), uv in [0, 1]."""
    u, v = np.meshgrid(np.linspace(0, 1, 2 * n + 1), np.linspace(0, 1, n + 1))
    azimuth, polar = (u - 0.5) * 2 * np.pi, (1 - v) * np.pi
    positions = np.stack(
        [np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], axis=-1
    ).reshape(-1, 3) * radius + np.asarray(centre)
    index = np.arange((n + 1) * (2 * n + 1)).reshape(n + 1, 2 * n + 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return positions.astype(np.float32), triangles, np.stack([u, v], -1).reshape(-1, 2).astype(np.float32)


def model_of(
    meshes: list[tuple[str, NDArray, NDArray, NDArray]], regions: dict[str, NDArray] | None = None
) -> MorphableModel:
    """A face model without bases from named meshes ``(material, positions, triangles, uv)``; ``face`` owns the UV."""
    start = np.cumsum([0, *(len(positions) for _, positions, _, _ in meshes)])
    triangles = np.concatenate([t + s for (_, _, t, _), s in zip(meshes, start, strict=False)]).astype(np.int32)
    positions = np.concatenate([p for _, p, _, _ in meshes]).astype(np.float32)
    names = list(dict.fromkeys(name for name, _, _, _ in meshes))
    material = np.concatenate([np.full(len(t), names.index(name)) for name, _, t, _ in meshes])
    face = positions[: start[1]]
    # iBUG landmarks where a face would have them, on the sphere's front; enough for framing and crops.
    x = np.zeros(68)
    y = np.zeros(68)
    x[17:27], y[17:27] = np.linspace(-0.5, 0.5, 10), 0.45
    x[:17], y[:17] = np.sin(np.linspace(-1.2, 1.2, 17)) * 0.8, -0.75 * np.cos(np.linspace(-1.2, 1.2, 17))
    x[36:42], x[42:48], y[36:48] = np.linspace(-0.5, -0.2, 6), np.linspace(0.2, 0.5, 6), 0.3
    x[48:68], y[48:68] = np.linspace(-0.25, 0.25, 20), -0.4
    nearest = [
        int(np.argmin((face[:, 0] - a) ** 2 + (face[:, 1] - b) ** 2 - face[:, 2])) for a, b in zip(x, y, strict=True)
    ]
    return MorphableModel(
        name="test",
        unit="decimetre",
        metres_per_unit=UNIT,
        licence="",
        version="",
        mean=positions,
        identity_basis=np.zeros((0, len(positions), 3), np.float32),
        expression_basis=np.zeros((0, len(positions), 3), np.float32),
        expression_names=(),
        triangles=triangles,
        uv=np.concatenate([uv for _, _, _, uv in meshes]).astype(np.float32),
        uv_triangles=triangles,
        material_names=tuple(names),
        triangle_material=material.astype(np.int16),
        uv_materials=frozenset({"face"}),
        landmark_triangles=np.repeat(np.array(nearest, np.int32)[:, None], 3, axis=1),
        landmark_barycentric=np.tile(np.array([1, 0, 0], np.float32), (68, 1)),
        jaw_slides=tuple(np.zeros(0, np.int32) for _ in range(17)),
        regions=regions or {},
    )


@lru_cache(maxsize=1)
def ball() -> MorphableModel:
    """A textured sphere of radius 1."""
    return model_of([("face", *sphere_grid(1.0, (0, 0, 0), 60))])


@lru_cache(maxsize=1)
def head() -> MorphableModel:
    """A textured front half, a back half of another material that shares its rim, and an eye that sticks out."""
    positions, triangles, uv = sphere_grid(1.0, (0, 0, 0), 60)
    front = positions[triangles].mean(axis=1)[:, 2] > 0
    half = model_of([("face", positions, triangles[front], uv), ("body", positions, triangles[~front], uv)])
    eye = sphere_grid(EYE_RADIUS, EYE_CENTRE, 24)
    # A second mesh with the same vertices is not shared by index; the border is found by position.
    assert half.material_names == ("face", "body")
    return model_of(
        [("face", positions, triangles[front], uv), ("body", positions, triangles[~front], uv), ("sclera_left", *eye)]
    )


@lru_cache(maxsize=1)
def square() -> MorphableModel:
    """A unit square in the plane z = 0 that faces +z; u = x and v = y."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    return model_of([("face", corners, np.array([[0, 1, 2], [0, 2, 3]]), corners[:, :2])])


def looking(distance: float, focal: float, size: int, target: tuple[float, float] = (0.0, 0.0)) -> Camera:
    """A camera on the +z side that looks along −z at ``target`` in the plane z = 0."""
    rotation = np.diag([1.0, -1.0, -1.0])
    centre = np.array([target[0], target[1], distance])
    return Camera(rotation, -rotation @ centre, focal, (size / 2, size / 2), size, size)


def smooth_albedo(size: int = 256) -> NDArray[np.float32]:
    v, u = np.mgrid[size - 0.5 : -0.5 : -1, 0.5:size] / size
    return np.stack(
        [0.4 + 0.2 * np.sin(9 * u), 0.3 + 0.1 * np.cos(7 * v), 0.25 + 0.1 * np.sin(5 * u + 4 * v)], -1
    ).astype(np.float32)


def directed(ambient: float = 0.5, strength: float = 0.5) -> SphericalHarmonicsLighting:
    """Even light and one distant source, different in each channel."""
    towards = np.array([0.4, 0.5, 0.77])
    one = sh_basis((towards / np.linalg.norm(towards))[None])[0][:, None]
    even = SphericalHarmonicsLighting.ambient(ambient).coefficients
    return SphericalHarmonicsLighting(even + np.pi * strength * one * np.array([1.0, 0.9, 0.8]))


def scene_of(model: MorphableModel, camera: Camera, albedo: NDArray | None = None, light=None) -> Scene:
    return Scene(model, model.mean, smooth_albedo() if albedo is None else albedo, camera, light or directed())
