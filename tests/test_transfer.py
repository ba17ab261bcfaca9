"""Transfer of a scan's maps into the model's UV square, against functions of space that are known everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from capture_scans import CylinderScan, cylinder_scan, deformed, layout_positions
from numpy.typing import NDArray

from recon.capture.registration import Registration, Residual
from recon.capture.transfer import (
    Partners,
    SeenMap,
    find_partners,
    object_normals,
    transfer_map,
    transfer_views,
)
from recon.errors import InputError
from recon.face_model.anny import load_anny
from recon.face_model.model import MorphableModel
from recon.fitting.pose import rotation_of
from recon.rendering.rays import RayScene
from recon.rendering.view_sets import studio_camera
from recon.texture.masked import extend
from recon.texture.uv_map import uv_map

SIZE = 192
TRANSFORM = np.eye(4)
TRANSFORM[:3, :3] = 0.1 * rotation_of(np.array([0.1, -0.4, 0.2]))
TRANSFORM[:3, 3] = [1.0, 20.0, -3.0]


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_anny()


@pytest.fixture(scope="module")
def shape(model: MorphableModel) -> NDArray[np.float32]:
    return deformed(model, 2, 0.1)


@pytest.fixture(scope="module")
def scanned(model: MorphableModel, shape: NDArray[np.float32]) -> CylinderScan:
    """In millimetres and a frame of its own: ``TRANSFORM`` brings it back."""
    found = cylinder_scan(model, shape, 200)
    return replace(found, scan=found.scan.moved(np.linalg.inv(TRANSFORM)))


@pytest.fixture(scope="module")
def registration(model: MorphableModel, shape: NDArray[np.float32]) -> Registration:
    """The registration that a perfect one would be: transfer is tested alone."""
    nothing = np.zeros(0, np.float32)
    return Registration(shape, TRANSFORM, nothing, nothing, nothing, Residual(0, 0, 1, 1, 1, 1))


@pytest.fixture(scope="module")
def partners(scanned: CylinderScan, registration: Registration, model: MorphableModel) -> Partners:
    return find_partners(scanned.scan, registration, model, SIZE)


@pytest.fixture(scope="module")
def points(partners: Partners, model: MorphableModel, shape: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N, 3)`` the model's own surface at the texels that have a partner, centimetres."""
    return uv_map(model, SIZE).interpolate(shape)[partners.mask]


def field(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """A colour for every place; changes by at most a tenth of its range a millimetre."""
    x, y, z = np.moveaxis(points, -1, 0)
    colour = np.stack([np.sin(1.2 * x + 0.4 * y), np.sin(y + 1), np.cos(0.8 * z + 0.5 * x)], axis=-1)
    return (0.5 + 0.35 * colour).astype(np.float32)


def painted(model: MorphableModel, shape: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The field as a map of the scan's layout, continued beyond the scan."""
    places = layout_positions(model, shape, size)
    known = np.isfinite(places[..., 0])
    return extend(field(np.nan_to_num(places)), known)


@pytest.mark.parametrize("side", [512, 1000])
def test_a_field_of_colour_arrives_where_it_was(
    side: int, model: MorphableModel, shape: NDArray[np.float32], partners: Partners, points: NDArray[np.float32]
) -> None:
    """Also from a map that is much finer, and whose side is no multiple of anything."""
    found = transfer_map(painted(model, shape, side), partners)
    error = 255 * np.abs(found[partners.mask] - field(points)).max(axis=1)
    assert np.median(error) < 0.5 and np.percentile(error, 99) < 2.0
    assert not found[~partners.mask].any()


def test_most_of_the_scanned_face_has_a_partner(partners: Partners, model: MorphableModel) -> None:
    layout = uv_map(model, SIZE)
    inner = model.regions["cheeks"] | model.regions["forehead"] | model.regions["chin"]
    skin = layout.interpolate(inner[:, None].astype(np.float32))[..., 0] > 0.99
    assert (partners.mask & skin).sum() / skin.sum() > 0.98
    assert np.median(partners.distance_mm) < 0.05  # chords of a 1.5 mm grid


def test_averages_are_taken_in_the_values_given(model: MorphableModel, partners: Partners) -> None:
    """A fine checkerboard of 0 and 1 arrives as its mean: nothing is picked by chance."""
    board = np.indices((2048, 2048)).sum(axis=0) % 2
    found = transfer_map(board[..., None].astype(np.float32), partners)[partners.mask]
    assert abs(float(found.mean()) - 0.5) < 0.002 and float(np.std(found)) < 0.05


def test_places_far_off_have_no_partner(
    scanned: CylinderScan, registration: Registration, model: MorphableModel, partners: Partners
) -> None:
    """A dent of 8 mm in the registered nose is farther from the scan than the limit."""
    nose = model.regions["nose"]
    dented = registration.vertices - np.float32([0, 0, 0.8]) * nose[:, None]
    found = find_partners(scanned.scan, replace(registration, vertices=dented), model, SIZE)
    inner = uv_map(model, SIZE).interpolate(nose[:, None].astype(np.float32))[..., 0] > 0.99
    assert (found.mask & inner).sum() < 0.35 * (partners.mask & inner).sum()
    assert found.distance_mm.max() <= 4.0


def test_surfaces_that_face_away_are_no_partners(
    scanned: CylinderScan, registration: Registration, model: MorphableModel, partners: Partners
) -> None:
    scan = scanned.scan
    inside_out = replace(scan, triangles=scan.triangles[:, ::-1].copy(), uv_triangles=scan.uv_triangles[:, ::-1].copy())
    assert find_partners(inside_out, registration, model, SIZE).mask.sum() < 0.02 * partners.mask.sum()


def test_a_scan_that_lies_elsewhere_is_said(
    scanned: CylinderScan, registration: Registration, model: MorphableModel
) -> None:
    away = np.eye(4)
    away[1, 3] = 1000.0
    with pytest.raises(InputError, match="cylinder: no texel of the face model"):
        find_partners(scanned.scan.moved(away), registration, model, SIZE)


def test_other_materials_are_no_partners(
    scanned: CylinderScan, registration: Registration, model: MorphableModel, partners: Partners
) -> None:
    scan = scanned.scan
    left = scan.vertices[scan.triangles].mean(axis=1) @ TRANSFORM[:3, :3].T + TRANSFORM[:3, 3]
    half = find_partners(replace(scan, skin=left[:, 0] > 0), registration, model, SIZE)
    layout = uv_map(model, SIZE).interpolate(registration.vertices)
    assert not (half.mask & (layout[..., 0] < -0.2)).any()
    assert (half.mask & (layout[..., 0] > 0.5)).sum() > 0.95 * (partners.mask & (layout[..., 0] > 0.5)).sum()


@pytest.mark.parametrize("space", ["object", "tangent"])
def test_normal_maps_arrive_in_the_models_frame(
    space: str, scanned: CylinderScan, partners: Partners, model: MorphableModel
) -> None:
    """A flat tangent map means the scan's own normals; an object map of one direction means that direction, turned."""
    texture = np.full((256, 256, 3), 0.5, np.float32)
    texture[..., 2] = 1.0
    found = object_normals(texture, partners, space)[partners.mask]
    rotation = TRANSFORM[:3, :3] / 0.1
    expected = partners.normals @ rotation.T if space == "tangent" else np.broadcast_to(rotation[:, 2], found.shape)
    assert found == pytest.approx(expected, abs=2e-3)


def test_tangents_follow_the_layout(scanned: CylinderScan, partners: Partners) -> None:
    """In this layout u runs around the head and v up it: (1, 0, 0) points to the head's left, (0, 1, 0) upwards."""
    for channel, axis in ((0, 0), (1, 1)):
        texture = np.full((256, 256, 3), 0.5, np.float32)
        texture[..., channel] = 1.0
        found = object_normals(texture, partners, "tangent")[partners.mask]
        front = (partners.normals @ (TRANSFORM[:3, :3].T / 0.1)[:, 2]) > 0.95
        assert np.median(found[front][:, axis]) > 0.95


def test_cameras_together_see_the_field(
    model: MorphableModel, shape: NDArray[np.float32], registration: Registration
) -> None:
    """Pictures from three sides, of a capture without a UV layout; each texel takes those that see it."""
    found = cylinder_scan(model, shape, 200)
    scan = replace(found.scan, uv=np.zeros((0, 2)), uv_triangles=np.zeros((0, 3), np.int32))
    partners = find_partners(scan, replace(registration, transform=np.eye(4)), model, SIZE)
    rays = RayScene(scan.vertices, scan.triangles)
    views = []
    for yaw in (0.0, 50.0, -50.0):
        camera = studio_camera(model, shape, yaw, 300, 360)
        x, y = np.meshgrid(np.arange(300) + 0.5, np.arange(360) + 0.5)
        hits = rays.first_hit(camera.centre, camera.pixel_rays(x.ravel(), y.ravel()))
        hit = hits.triangle >= 0
        seen = np.zeros((300 * 360, 3), np.float32)
        corners = scan.vertices[scan.triangles[hits.triangle[hit]]]
        seen[hit] = field(np.einsum("ncx,nc->nx", corners, hits.barycentric[hit]))
        views.append(SeenMap(camera, seen.reshape(360, 300, 3), hit.reshape(360, 300)))
    one, by_one = transfer_views(views[:1], partners)
    all_three, by_three = transfer_views(views, partners)
    assert by_three.sum() > 1.15 * by_one.sum() and not (by_one & ~by_three).any()
    places = uv_map(model, SIZE).interpolate(shape)
    for values, seen_mask in ((one, by_one), (all_three, by_three)):
        error = 255 * np.abs(values - field(places))[seen_mask].max(axis=1)
        # Pixels are 1.3 mm wide, so the field's curvature shows a little.
        assert np.median(error) < 1.0 and np.percentile(error, 97) < 4.0


def test_a_hidden_place_is_not_read_through_what_hides_it(
    model: MorphableModel, shape: NDArray[np.float32], registration: Registration
) -> None:
    found = cylinder_scan(model, shape, 150)
    partners = find_partners(found.scan, replace(registration, transform=np.eye(4)), model, SIZE)
    camera = studio_camera(model, shape, 80.0, 200, 240)
    everything = SeenMap(camera, np.ones((240, 200, 1), np.float32), np.ones((240, 200), bool))
    _, seen = transfer_views([everything], partners)
    places = uv_map(model, SIZE).interpolate(shape)
    far_side = partners.mask & (places[..., 0] < -2.5)
    assert seen[partners.mask & (places[..., 0] > 2.5)].mean() > 0.8 and not seen[far_side].any()
