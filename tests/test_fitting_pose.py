"""Pose and projection: closed forms, agreement with the camera, derivatives against finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon.fitting.pose import POSE_SIZE, Pose, pose_from_points, rotation_of

FRONTAL = np.diag([1.0, -1.0, -1.0])


def _pose(turn: tuple[float, float, float] = (0.1, -0.3, 0.05)) -> Pose:
    return Pose(
        rotation=rotation_of(np.array(turn)) @ FRONTAL,
        shift=np.array([0.7, -0.4]),
        log_scale=np.log(30.0),
        log_distance=np.log(80.0),
        pivot=np.array([0.1, 0.5, 9.0]),
        principal=np.array([320.0, 240.0]),
    )


def test_frontal_projection_is_the_pinhole_equation() -> None:
    pose = replace(_pose((0.0, 0.0, 0.0)), shift=np.zeros(2), pivot=np.zeros(3))
    # A point 3 left of the subject, 2 up and 5 towards a camera 80 away: focal 30·80 px over depth 75.
    expected = [320.0 + 2400.0 * 3.0 / 75.0, 240.0 - 2400.0 * 2.0 / 75.0]
    np.testing.assert_allclose(pose.project(np.array([[3.0, 2.0, 5.0]]))[0], expected, rtol=1e-12)


def test_projection_equals_the_camera() -> None:
    points = np.random.default_rng(0).normal(0, 5, (50, 3))
    pose = _pose()
    camera = pose.camera(640, 480)
    np.testing.assert_allclose(pose.project(points), camera.project(points), atol=1e-9)
    assert camera.focal == pytest.approx(30.0 * 80.0)
    np.testing.assert_allclose(camera.to_camera(pose.pivot)[2], 80.0)


def test_pixel_rays_meet_the_points() -> None:
    points = np.random.default_rng(1).normal(0, 5, (50, 3))
    camera = _pose().camera(640, 480)
    pixels = camera.project(points)
    rays = camera.pixel_rays(pixels[:, 0], pixels[:, 1])
    towards = points - camera.centre
    np.testing.assert_allclose(rays, towards / np.linalg.norm(towards, axis=1, keepdims=True), atol=1e-9)


def test_derivatives_equal_finite_differences() -> None:
    points = np.random.default_rng(2).normal(0, 5, (20, 3))
    pose = _pose()
    positions, by_pose, by_point = pose.derivatives(points)
    np.testing.assert_allclose(positions, pose.project(points), atol=1e-10)
    step = 1e-6
    for unknown in range(POSE_SIZE):
        delta = np.zeros(POSE_SIZE)
        delta[unknown] = step
        numeric = (pose.moved(delta).project(points) - pose.moved(-delta).project(points)) / (2 * step)
        np.testing.assert_allclose(by_pose[:, :, unknown], numeric, rtol=1e-5, atol=1e-4)
    for axis in range(3):
        delta = np.zeros(3)
        delta[axis] = step
        numeric = (pose.project(points + delta) - pose.project(points - delta)) / (2 * step)
        np.testing.assert_allclose(by_point[:, :, axis], numeric, rtol=1e-5, atol=1e-4)


def test_scaled_orthographic_pose_is_recovered() -> None:
    points = np.random.default_rng(3).normal(0, 4, (40, 3))
    truth = replace(_pose((0.2, 0.6, -0.1)), log_distance=np.log(1e9))
    found = pose_from_points(points, truth.project(points), truth.principal, 1e9)
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-6)
    np.testing.assert_allclose(found.project(points), truth.project(points), atol=1e-4)


@pytest.mark.parametrize("degrees", [-50.0, 0.0, 25.0])
def test_angles_have_the_documented_signs(degrees: float) -> None:
    angle = np.deg2rad(degrees)
    # In the camera frame (y down) a turn about −y moves the face's forward direction (0, 0, −1) towards +x, one about
    # −x moves it up, and one about +z moves the top of the head towards +x.
    assert replace(_pose(), rotation=rotation_of(np.array([0, -angle, 0])) @ FRONTAL).yaw == pytest.approx(degrees)
    assert replace(_pose(), rotation=rotation_of(np.array([-angle, 0, 0])) @ FRONTAL).pitch == pytest.approx(degrees)
    assert replace(_pose(), rotation=rotation_of(np.array([0, 0, angle])) @ FRONTAL).roll == pytest.approx(degrees)
