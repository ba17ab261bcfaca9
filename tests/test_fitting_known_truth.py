"""The fit recovers parameters that are known, from landmarks and from pictures of an independent renderer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from fitting_toy import render, toy_albedo, toy_light, toy_model
from numpy.typing import NDArray

from recon.colour import linear_to_srgb
from recon.data.subject import Photograph
from recon.errors import FitError, ImageError
from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting import Fit, fit_face
from recon.fitting.landmark_fit import FaceParameters, contour_rows, fit_landmarks, landmark_rig
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.fitting.pose import Pose, rotation_of
from recon.fitting.skin_light import model_albedo

WIDTH, HEIGHT = 420, 480


@dataclass(frozen=True, eq=False)
class Known:
    """A made-up person in a made-up photograph."""

    model: MorphableModel
    face: FaceParameters
    vertices: NDArray[np.float32]
    landmarks: NDArray[np.float64]
    photograph: Photograph


def known_face(yaw: float = 15.0, seed: int = 1) -> FaceParameters:
    rng = np.random.default_rng(seed)
    pose = Pose(
        rotation=rotation_of(np.array([0.05, -np.deg2rad(yaw), 0.03])) @ np.diag([1.0, -1.0, -1.0]),
        shift=np.array([0.3, -0.2]),
        log_scale=np.log(17.0),
        log_distance=np.log(110.0),
        pivot=np.array([0.0, 0.0, 8.0]),
        principal=np.array([WIDTH / 2, HEIGHT / 2]),
    )
    return FaceParameters(pose, rng.normal(0, 0.8, 10), np.array([0.35, 0.0, 0.0]))


def true_landmarks(model: MorphableModel, face: FaceParameters) -> NDArray[np.float64]:
    rig = landmark_rig(model)
    projected = face.pose.project(rig.points(face))
    return projected[contour_rows(rig, projected)]


@pytest.fixture(scope="module")
def known() -> Known:
    model = toy_model()
    face = known_face()
    vertices = model.vertices(face.identity.astype(np.float32), face.expression.astype(np.float32))
    albedo = model_albedo(toy_albedo(model), np.array([0.5, 1.0, -0.8, 0.6]))
    picture = render(model, vertices, face.pose.camera(WIDTH, HEIGHT), albedo, toy_light())
    landmarks = true_landmarks(model, face)
    return Known(model, face, vertices, landmarks, Photograph(linear_to_srgb(picture), "made-up.png", ""))


def noisy(known: Known, pixels: float, seed: int = 0) -> NDArray[np.float64]:
    return known.landmarks + np.random.default_rng(seed).normal(0, pixels, (68, 2))


def image_error(known: Known, fit: Fit) -> float:
    """Root mean square distance in pixels between fitted and true vertices of the face region in the picture."""
    face = known.model.regions["face"]
    truth = known.face.pose.project(known.vertices[face])
    return float(np.sqrt(np.mean(np.sum((fit.camera.project(fit.vertices[face]) - truth) ** 2, axis=1))))


@pytest.mark.parametrize("yaw", [0.0, 20.0, -35.0])
def test_exact_landmarks_give_the_pose_back(yaw: float) -> None:
    model = toy_model()
    face = known_face(yaw)
    found = fit_landmarks(model, true_landmarks(model, face), WIDTH, HEIGHT)
    assert found.parameters.pose.yaw == pytest.approx(face.pose.yaw, abs=3.0)
    assert found.root_mean_square < 2.0  # about 1.5 % of the distance between the eyes
    assert np.exp(found.parameters.pose.log_scale) == pytest.approx(17.0, rel=0.05)


def test_a_resting_face_is_not_explained_by_expression() -> None:
    model = toy_model()
    face = replace(known_face(0.0), expression=np.zeros(3))
    found = fit_landmarks(model, true_landmarks(model, face), WIDTH, HEIGHT)
    assert found.parameters.expression.max() < 0.15


def test_an_open_mouth_is_found_and_stays_in_bounds() -> None:
    model = toy_model()
    face = replace(known_face(0.0), expression=np.array([0.9, 0.0, 0.0]))
    found = fit_landmarks(model, true_landmarks(model, face), WIDTH, HEIGHT).parameters
    assert found.expression[0] > 0.5
    assert (found.expression >= 0.0).all()
    assert (found.expression <= 1.0).all()
    assert found.expression[2] == 0.0, "gaze does not show in landmarks"


def test_one_wild_landmark_is_outvoted() -> None:
    model = toy_model()
    face = known_face(10.0)
    spoilt = true_landmarks(model, face)
    clean = fit_landmarks(model, spoilt, WIDTH, HEIGHT).parameters
    spoilt[30] += 80.0
    found = fit_landmarks(model, spoilt, WIDTH, HEIGHT).parameters
    assert found.pose.yaw == pytest.approx(clean.pose.yaw, abs=2.0)


def test_jaw_landmarks_slide_to_the_outside() -> None:
    model = toy_model()
    rig = landmark_rig(model)
    projected = known_face(0.0).pose.project(rig.points(known_face(0.0)))
    rows = contour_rows(rig, projected)
    assert (rows[17:] == np.arange(17, 68)).all()
    nose = projected[30]
    for landmark, candidates in enumerate(rig.candidates):
        assert rows[landmark] in candidates
        chosen = np.linalg.norm(projected[rows[landmark]] - nose)
        assert chosen >= np.linalg.norm(projected[candidates] - nose, axis=1).max() - 1.0


def test_bad_landmarks_are_refused_with_the_mend() -> None:
    model = toy_model()
    good = true_landmarks(model, known_face())
    for bad in (good[:60], np.where(np.arange(68)[:, None] == 3, np.nan, good), np.repeat(good[:, :1], 2, axis=1)):
        with pytest.raises(FitError, match=r"portrait\.jpg.*check"):
            fit_landmarks(model, bad, WIDTH, HEIGHT, name="portrait.jpg")


def test_the_picture_improves_on_noisy_landmarks(known: Known) -> None:
    before, after = [], []
    for seed in range(3):
        landmarks = noisy(known, 2.5, seed)
        before.append(image_error(known, fit_face(known.photograph, known.model, landmarks=landmarks)))
        refined = fit_face(known.photograph, known.model, albedo_model=toy_albedo(known.model), landmarks=landmarks)
        assert refined.record["photometric"]["used"]
        after.append(image_error(known, refined))
    # Weighed for real faces, whose albedo no model knows exactly, the picture mends part of the landmarks' error.
    assert all(refined < landmarks for refined, landmarks in zip(after, before, strict=True))
    assert np.mean(after) < 0.85 * np.mean(before)


def test_light_and_albedo_are_recovered_up_to_the_gauge(known: Known) -> None:
    albedo_model = toy_albedo(known.model)
    fit = fit_face(known.photograph, known.model, albedo_model=albedo_model, landmarks=noisy(known, 1.0))
    normals = vertex_normals(known.vertices, known.model.triangles)
    skin = known.model.regions["face"] & ~known.model.regions["eyes"] & ~known.model.regions["lips"]
    towards = known.face.pose.camera(WIDTH, HEIGHT).centre - known.vertices
    skin &= np.sum(normals * towards, axis=1) > 0.4 * np.linalg.norm(towards, axis=1)
    truth, found = toy_light().shading(normals[skin]), fit.lighting.shading(normals[skin])
    ratio = (found / found.mean(axis=0)) / (truth / truth.mean(axis=0))
    assert found.min() > 0
    assert found.mean() == pytest.approx(1.0, abs=0.05)
    assert np.sqrt(np.mean((ratio - 1.0) ** 2)) < 0.06


def test_without_an_albedo_model_geometry_is_that_of_the_landmarks(known: Known) -> None:
    landmarks = noisy(known, 1.0)
    fit = fit_face(known.photograph, known.model, landmarks=landmarks)
    alone = fit_landmarks(known.model, landmarks.astype(np.float32), WIDTH, HEIGHT)
    np.testing.assert_array_equal(fit.identity, alone.parameters.identity.astype(np.float32))
    assert not fit.record["photometric"]["used"]


def test_ignored_pixels_are_never_read(known: Known) -> None:
    ignore = np.zeros((HEIGHT, WIDTH), dtype=bool)
    ignore[:, WIDTH // 2 :] = True
    spoilt = known.photograph.srgb.copy()
    spoilt[ignore] = np.nan
    albedo_model, landmarks = toy_albedo(known.model), noisy(known, 1.0)
    clean = fit_face(known.photograph, known.model, albedo_model=albedo_model, landmarks=landmarks, ignore=ignore)
    blind = fit_face(
        replace(known.photograph, srgb=spoilt),
        known.model,
        albedo_model=albedo_model,
        landmarks=landmarks,
        ignore=ignore,
    )
    assert clean.record["photometric"]["used"]
    assert clean.record["measured"]["missing_skin"] > 0.3
    np.testing.assert_array_equal(clean.vertices, blind.vertices)
    np.testing.assert_array_equal(clean.lighting.coefficients, blind.lighting.coefficients)


def test_the_same_photograph_gives_the_same_bits(known: Known) -> None:
    landmarks, albedo_model = noisy(known, 1.0), toy_albedo(known.model)
    first, second = (
        fit_face(known.photograph, known.model, albedo_model=albedo_model, landmarks=landmarks) for _ in range(2)
    )
    np.testing.assert_array_equal(first.vertices, second.vertices)
    np.testing.assert_array_equal(first.camera.rotation, second.camera.rotation)
    np.testing.assert_array_equal(first.lighting.coefficients, second.lighting.coefficients)


def test_landmarks_far_from_the_picture_leave_ambient_light(known: Known) -> None:
    fit = fit_face(known.photograph, known.model, landmarks=known.landmarks + 5000.0)
    assert fit.verdict == "fail"
    np.testing.assert_array_equal(fit.lighting.coefficients, SphericalHarmonicsLighting.ambient().coefficients)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_black_or_clipped_photograph_leaves_ambient_light(known: Known, value: float) -> None:
    empty = replace(known.photograph, srgb=np.full_like(known.photograph.srgb, value))
    fit = fit_face(empty, known.model, albedo_model=toy_albedo(known.model), landmarks=known.landmarks)
    assert fit.verdict == "fail"
    assert not fit.record["photometric"]["used"]
    np.testing.assert_array_equal(fit.lighting.coefficients, SphericalHarmonicsLighting.ambient().coefficients)


def test_a_mask_of_another_size_is_refused(known: Known) -> None:
    with pytest.raises(ImageError, match=r"made-up\.png.*10×10"):
        fit_face(known.photograph, known.model, landmarks=known.landmarks, ignore=np.zeros((10, 10), dtype=bool))


def test_an_albedo_model_of_another_face_model_is_refused(known: Known) -> None:
    albedo = toy_albedo(known.model)
    with pytest.raises(FitError, match="same face model"):
        fit_face(
            known.photograph,
            known.model,
            albedo_model=replace(albedo, mean=albedo.mean[:10], basis=albedo.basis[:, :10]),
            landmarks=known.landmarks,
        )
