"""The method ``lightstage``: a captured head takes the place of the fitted one."""

from __future__ import annotations

import numpy as np
import pytest

from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.fitting.pose import rotation_of
from recon.methods.lightstage import _carried, _completed, _turned, resampled


def test_maps_shrink_by_area_in_linear_light_and_unknown_texels_do_not_count() -> None:
    values = np.random.default_rng(0).random((8, 8, 3)).astype(np.float32)
    known = np.ones((8, 8), bool)
    found, mask = resampled(values, known, 4)
    assert found == pytest.approx(values.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3)), abs=1e-6) and mask.all()
    known[:2, :2] = [[True, False], [False, False]]
    known[0, 2] = False
    values[~known] = 100.0
    found, mask = resampled(values, known, 4)
    assert found[0, 0] == pytest.approx(values[0, 0], abs=1e-5) and not mask[0, 0]
    assert found[0, 1] == pytest.approx(values[:2, 2:4][known[:2, 2:4]].mean(axis=0), abs=1e-5) and mask[0, 1]
    grown, wide = resampled(np.full((4, 4, 3), 0.3, np.float32), np.ones((4, 4), bool), 10)
    assert grown == pytest.approx(np.float32(0.3)) and wide.all() and grown.shape == (10, 10, 3)


def test_camera_and_light_are_carried_to_the_captured_head() -> None:
    """The head that was captured is seen where, and lit as, the one that was fitted would be."""
    rng = np.random.default_rng(1)
    rotation, scale, shift = rotation_of(np.array([0.1, -0.2, 0.05])), 0.97, np.array([0.3, -0.2, 1.1])
    camera = Camera(np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 60.0]), 900.0, (250.0, 240.0), 500, 480)
    points = rng.normal(size=(30, 3)) * 5
    moved = scale * points @ rotation.T + shift
    assert _carried(camera, rotation, scale, shift).project(points) == pytest.approx(camera.project(moved))
    light = SphericalHarmonicsLighting(rng.normal(size=(9, 3)))
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)
    turned = _turned(light, rotation).shading(normals)
    assert turned == pytest.approx(light.shading(normals @ rotation.T), abs=1e-5)


def test_places_that_nobody_measured_are_filled_and_others_kept() -> None:
    values = np.full((16, 16, 3), 0.4, np.float32)
    known = np.ones((16, 16), bool)
    known[4:8, 4:8] = False
    known[12, 12] = False  # unknown, but not empty: hair of a made-up head
    values[4:8, 4:8] = 0
    values[12, 12] = 0.1
    found = _completed(values, known)
    assert found[4:8, 4:8] == pytest.approx(0.4, abs=0.05) and (found[12, 12] == np.float32(0.1)).all()
    assert (found[known] == values[known]).all()
