"""The raster of the UV square against an independent rasteriser, and what it interpolates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import Delaunay
from skimage.draw import polygon2mask
from texture_toy import face

from recon.face_model.model import MorphableModel
from recon.texture.uv_map import UVMap, uv_map

SIZE = 96


@pytest.fixture(scope="module")
def scattered() -> MorphableModel:
    """A layout of 120 irregular triangles in a part of the square; another material lies across all of it."""
    places = np.random.default_rng(2).uniform(0.08, 0.93, (70, 2)).astype(np.float32)
    cover = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    corners = Delaunay(places).simplices.astype(np.int32)
    uv_triangles = np.concatenate([[[70, 71, 72], [70, 72, 73]], corners]).astype(np.int32)
    # Vertices are numbered otherwise than texture coordinates, as in an OBJ file.
    order = np.random.default_rng(3).permutation(74).astype(np.int32)
    positions = np.random.default_rng(4).normal(size=(74, 3)).astype(np.float32)
    return replace(
        face(),
        mean=positions,
        uv=np.concatenate([places, cover]),
        uv_triangles=uv_triangles,
        triangles=order[uv_triangles],
        material_names=("sclera", "face"),
        triangle_material=np.array([0, 0] + [1] * len(corners), np.int16),
    )


def centres(size: int) -> np.ndarray:
    """``(S, S, 2)`` u, v of the texel centres: row 0 lies at v = 1."""
    steps = (np.arange(size) + 0.5) / size
    return np.stack(np.meshgrid(steps, steps[::-1]), axis=-1)


@pytest.fixture(scope="module")
def raster(scattered: MorphableModel) -> UVMap:
    return uv_map(scattered, SIZE)


def test_every_triangle_covers_what_scikit_image_fills(scattered: MorphableModel, raster: UVMap) -> None:
    """``polygon2mask`` tests the centres of texels; one within 1e-3 texels of an edge may go either way."""
    for triangle in scattered.uv_triangle_ids:
        uv = scattered.uv[scattered.uv_triangles[triangle]].astype(np.float64)
        corners = np.stack([(1 - uv[:, 1]) * SIZE - 0.5, uv[:, 0] * SIZE - 0.5], axis=1)
        expected = polygon2mask((SIZE, SIZE), corners)
        for row, column in np.argwhere(expected != (raster.triangle == triangle)):
            a, b = corners, np.roll(corners, -1, axis=0)
            along = b - a
            across = along[:, 0] * (column - a[:, 1]) - along[:, 1] * (row - a[:, 0])
            assert np.abs(across / np.linalg.norm(along, axis=1)).min() < 1e-3


def test_the_covered_area_is_that_of_the_layout(scattered: MorphableModel) -> None:
    corners = scattered.uv[scattered.uv_triangles[scattered.uv_triangle_ids]].astype(np.float64)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).sum() / 2
    # A boundary of length about 3 is off by some texels at random: the square root of 3 · 400 texels of 160,000.
    assert uv_map(scattered, 400).covered.mean() == pytest.approx(area, abs=5e-4)


def test_barycentric_weights_give_the_texture_coordinates_back(scattered: MorphableModel, raster: UVMap) -> None:
    covered = raster.covered
    weights = raster.barycentric[covered]
    uv = np.einsum("ncx,nc->nx", scattered.uv[scattered.uv_triangles[raster.triangle[covered]]], weights)
    assert np.abs(uv - centres(SIZE)[covered]).max() < 1e-5
    assert weights.min() > -1e-4 and np.abs(weights.sum(axis=1) - 1).max() < 1e-5


def test_materials_that_reuse_the_square_are_left_out(scattered: MorphableModel, raster: UVMap) -> None:
    assert set(np.unique(raster.triangle)) <= {-1, *scattered.uv_triangle_ids.tolist()}
    assert not raster.covered.all()


def test_outside_the_layout_all_is_zero(raster: UVMap) -> None:
    outside = ~raster.covered
    assert (raster.triangle[outside] == -1).all() and (raster.barycentric[outside] == 0).all()
    assert (raster.interpolate(np.ones((74, 2), np.float32))[outside] == 0).all()


def test_vertex_values_are_interpolated_over_the_surface(scattered: MorphableModel, raster: UVMap) -> None:
    """Texture coordinates given as vertex values come back as the texel's own, though vertices are numbered anew."""
    at_vertices = np.zeros((74, 2), np.float32)
    at_vertices[scattered.triangles.ravel()] = scattered.uv[scattered.uv_triangles.ravel()]
    found = raster.interpolate(at_vertices)
    assert np.abs(found - centres(SIZE))[raster.covered].max() < 1e-5


def test_a_texel_keeps_its_place_at_another_size() -> None:
    """The toy's texture coordinates are its x and y, so interpolated positions are known at every size."""
    for size in (32, 128):
        found = uv_map(face(), size).interpolate(face().mean)[..., :2]
        assert np.abs(found - (centres(size) * (16, 20) - (8, 10))).max() < 1e-4
