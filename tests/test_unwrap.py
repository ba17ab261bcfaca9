"""Unwrapping a photograph: positions in closed form, what hides what, averaging, and what may not be read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from texture_toy import Map, face, known_fit, observation_of, photograph_of, skin_texture

from recon.data.protocols import parse_protocol
from recon.errors import NoVisibleSkinError
from recon.face_model.model import MorphableModel
from recon.fitting import Camera, SphericalHarmonicsLighting
from recon.texture.observe import observe, remove_shading, unwrap_reference, withheld_pixels
from recon.texture.unwrap import Surface, sample_photograph, surface, unwrap
from recon.texture.uv_map import uv_map

SIZE = 64


def facing_camera(distance: float, focal: float, side: int) -> Camera:
    """A camera on the z axis that looks at the origin."""
    return Camera(np.diag([1.0, -1.0, -1.0]), np.array([0, 0, distance]), focal, (side / 2, side / 2), side, side)


def shaped(height: Map | float) -> MorphableModel:
    """The toy's grid, 16 × 16 wide, with another height."""
    model = face()
    flat = model.mean[:, :2] * (1.0, 0.8)
    return replace(model, mean=np.column_stack([flat, np.broadcast_to(height, len(flat))]).astype(np.float32))


def texel_plane(size: int) -> np.ndarray:
    """``(S, S, 2)`` x, y of the texels of :func:`shaped`."""
    steps = ((np.arange(size) + 0.5) / size - 0.5) * 16
    return np.stack(np.meshgrid(steps, steps[::-1]), axis=-1)


def linear_image(side: int) -> Map:
    """A picture that is linear in pixel position, which bilinear samples and symmetric averages reproduce exactly."""
    y, x = np.mgrid[:side, :side] + 0.5
    return np.stack([x / side, y / side, 0.3 + 0.2 * (x - y) / side], axis=-1).astype(np.float32)


def test_a_plane_is_unwrapped_in_closed_form() -> None:
    model, camera = shaped(0.0), facing_camera(100.0, 700.0, 128)
    found, seen = unwrap(linear_image(128), model, model.mean, camera, SIZE)
    x = 64 + 7.0 * texel_plane(SIZE)[..., 0]
    y = 64 - 7.0 * texel_plane(SIZE)[..., 1]
    assert seen.visible.all()
    assert np.abs(seen.pixels - np.stack([x, y], -1)).max() < 1e-3
    expected = np.stack([x, y, 38.4 + 0.2 * (x - y)], axis=-1) / 128
    assert np.abs(found - expected)[1:-1, 1:-1].max() < 1e-4


def test_a_sphere_faces_the_camera_as_its_normals_say() -> None:
    """Cap of a sphere of radius 13 about the origin: the normal is the position over the radius."""
    radius, distance = 13.0, 100.0
    flat = face().mean[:, :2] * (1.0, 0.8)
    model = shaped(np.sqrt(radius**2 - (flat**2).sum(axis=1)).astype(np.float32))
    seen = surface(model, uv_map(model, SIZE), model.mean, facing_camera(distance, 700.0, 160), grazing=0.7)
    plane = texel_plane(SIZE)
    point = np.concatenate([plane, np.sqrt(radius**2 - (plane**2).sum(-1))[..., None]], axis=-1)
    towards = np.array([0, 0, distance]) - point
    cosine = (point * towards).sum(-1) / radius / np.linalg.norm(towards, axis=-1)
    inner = np.abs(plane).max(axis=-1) < 7.4  # at the rim of the mesh a vertex lacks half of its triangles
    assert np.abs(seen.facing - cosine)[inner].max() < 0.01
    assert np.abs(seen.normals - point / radius)[inner].max() < 0.02
    sure = inner & (np.abs(cosine - 0.7) > 0.01)
    assert (seen.visible == (cosine > 0.7))[sure].all()
    assert 0.2 < seen.visible.mean() < 0.95


def with_card(material: str) -> MorphableModel:
    """The plane z = 0 and, 20 in front of it, a card that covers −2 < x < 3, −1 < y < 4."""
    model = shaped(0.0)
    card = np.array([[-2, -1, 20], [3, -1, 20], [3, 4, 20], [-2, 4, 20]], np.float32)
    first = len(model.mean)
    triangles = np.array([[first, first + 1, first + 2], [first, first + 2, first + 3]], np.int32)
    return replace(
        model,
        mean=np.concatenate([model.mean, card]),
        triangles=np.concatenate([model.triangles, triangles]),
        uv_triangles=np.concatenate([model.uv_triangles, triangles - first]),
        material_names=("face", material),
        triangle_material=np.append(model.triangle_material, [1, 1]).astype(np.int16),
    )


def test_a_card_in_front_hides_its_central_projection() -> None:
    model = with_card("glasses")
    seen = surface(model, uv_map(model, SIZE), model.mean, facing_camera(100.0, 700.0, 128))
    # A ray from (0, 0, 100) meets the card's plane at 0.8 of its way.
    x, y = 0.8 * np.moveaxis(texel_plane(SIZE), -1, 0)
    hidden = (x > -2) & (x < 3) & (y > -1) & (y < 4)
    assert (seen.visible == ~hidden).all()


def test_lashes_hide_nothing() -> None:
    model = with_card("lashes")
    assert surface(model, uv_map(model, SIZE), model.mean, facing_camera(100.0, 700.0, 128)).visible.all()


def test_the_back_and_what_lies_outside_the_picture_are_unseen() -> None:
    model = shaped(0.0)
    layout = uv_map(model, SIZE)
    behind = Camera(np.diag([1.0, -1.0, -1.0]), np.array([0, 0, -100.0]), -700.0, (64.0, 64.0), 128, 128)
    assert not surface(model, layout, model.mean, behind).visible.any()
    close = surface(model, layout, model.mean, facing_camera(100.0, 1400.0, 128))
    assert (close.visible == (np.abs(texel_plane(SIZE)).max(-1) <= 63.5 / 14)).all()


def test_supersampling_is_the_area_average() -> None:
    """Texels of exactly two pixels: the four samples are the four pixel centres, so the result is their mean."""
    noise = np.random.default_rng(0).uniform(size=(128, 128, 3)).astype(np.float32)
    model, camera = shaped(0.0), facing_camera(100.0, 800.0, 128)
    seen = surface(model, uv_map(model, SIZE), model.mean, camera)
    blocks = noise.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    found = sample_photograph(noise, seen, supersample=2)
    assert np.abs(found - blocks)[2:-2, 2:-2].max() < 1e-3
    # One bilinear sample between four pixels is the same mean here; four texels to a side show the difference.
    coarse = surface(model, uv_map(model, SIZE // 2), model.mean, camera)
    wide = noise.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    errors = [np.abs(sample_photograph(noise, coarse, n) - wide)[2:-2, 2:-2].max() for n in (1, 4)]
    assert errors[1] < 1e-3 < 0.1 < errors[0]


def test_unseen_texels_are_zero() -> None:
    model = with_card("glasses")
    found, seen = unwrap(linear_image(128), model, model.mean, facing_camera(100.0, 700.0, 128), SIZE)
    assert (found[~seen.visible] == 0).all() and (found[seen.visible] > 0).all()


def test_shading_is_divided_out() -> None:
    """Radiance made as albedo × shading gives the albedo back wherever the shading is not below its floor."""
    fit = known_fit(yaw=20)
    layout = uv_map(face(), SIZE)
    seen = surface(face(), layout, fit.vertices, fit.camera)
    albedo = skin_texture(1, SIZE)
    shading = fit.lighting.shading(seen.normals.reshape(-1, 3)).reshape(SIZE, SIZE, 3)
    found = remove_shading(albedo * shading * seen.visible[..., None], seen, fit)
    lit = seen.visible & (shading.min(-1) > 0.2 * np.median(shading[seen.visible]))
    assert np.abs(found - albedo)[lit].max() < 1e-5
    assert (found[~seen.visible] == 0).all()
    black = replace(fit, lighting=SphericalHarmonicsLighting(np.zeros((9, 3))))
    assert np.isfinite(remove_shading(albedo, seen, black)).all()


def test_a_photographed_texture_is_read_back() -> None:
    """Photograph and unwrapping, each by its own route, blur by about a texel: smooth colour comes back whole."""
    from recon.texture.masked import masked_gaussian

    truth = skin_texture(2)
    found = observation_of(truth, yaw=15)
    assert found.skin.mean() > 0.3 and not (found.skin & ~found.visible).any()
    assert (found.confidence[~found.visible] == 0).all() and found.confidence.max() == 1
    smooth = [masked_gaussian(texture, found.skin, 2.0)[found.skin] for texture in (found.albedo, truth)]
    assert np.abs(smooth[0] / smooth[1] - 1).max() < 0.06


@pytest.mark.parametrize("side", ["left", "right"])
def test_withheld_pixels_are_the_subjects_own_side(side: str) -> None:
    """Facing the camera the subject's right lies left in the picture; the strip along the midline is withheld too."""
    fit = known_fit()
    hidden = withheld_pixels(fit.landmarks, (290, 240), side)
    column = np.arange(240) + 0.5
    strip = 0.01 * np.linalg.norm(fit.landmarks[16] - fit.landmarks[0])
    expected = column < 120 + strip if side == "right" else column > 120 - strip
    assert (hidden == expected).all()


@pytest.mark.parametrize("yaw", [0.0, 25.0])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("fill", [np.nan, 1e9, "noise"])
def test_nothing_of_the_withheld_half_reaches_the_observation(yaw: float, side: str, fill: float | str) -> None:
    fit, protocol = known_fit(yaw), parse_protocol(f"occlude:{side}")
    photograph = photograph_of(skin_texture(3), fit, samples=1)
    clean = observe(photograph, protocol, face(), SIZE, fit=fit)
    hidden = withheld_pixels(fit.landmarks, photograph.srgb.shape[:2], side)
    noise = np.random.default_rng(1).uniform(size=photograph.srgb.shape)
    spoilt = np.where(hidden[..., None], noise if fill == "noise" else fill, photograph.srgb).astype(np.float32)
    assert not np.array_equal(spoilt, photograph.srgb)
    other = observe(replace(photograph, srgb=spoilt), protocol, face(), SIZE, fit=fit)
    for name in ("albedo", "visible", "skin", "confidence", "withheld"):
        assert np.array_equal(getattr(clean, name), getattr(other, name)), name
    assert not (clean.visible & clean.withheld).any()
    assert clean.skin.sum() > 200


def test_the_withheld_half_is_the_models_own_half() -> None:
    found = observation_of(skin_texture(3), "occlude:right")
    x = uv_map(face(), found.size).interpolate(face().mean)[..., 0]
    assert found.withheld[x < 0].all() and not found.withheld[x > 0.3].any()
    assert not observation_of(skin_texture(3)).withheld.any()


def test_the_reference_sees_what_the_method_did_not() -> None:
    texture = skin_texture(3)
    fit = known_fit()
    photograph = photograph_of(texture, fit)
    given = observe(photograph, parse_protocol("occlude:left"), face(), SIZE, fit=fit)
    reference = unwrap_reference(photograph, given, face())
    whole = observe(photograph, parse_protocol("identity"), face(), SIZE, fit=fit)
    assert np.array_equal(reference.albedo, whole.albedo) and np.array_equal(reference.skin, whole.skin)
    assert np.array_equal(reference.withheld, given.withheld) and given.withheld.any()


def test_a_face_without_usable_skin_is_refused() -> None:
    fit = known_fit()
    photograph = replace(photograph_of(skin_texture(0), fit, name="white.png", samples=1))
    white = replace(photograph, srgb=np.ones_like(photograph.srgb))
    with pytest.raises(NoVisibleSkinError, match=r"white\.png"):
        observe(white, parse_protocol("identity"), face(), SIZE, fit=fit)


def test_surface_maps_have_the_declared_types() -> None:
    seen = surface(face(), uv_map(face(), SIZE), face().mean, known_fit().camera)
    assert isinstance(seen, Surface)
    assert seen.positions.dtype == seen.normals.dtype == seen.pixels.dtype == seen.facing.dtype == np.float32
    assert seen.visible.dtype == bool
    assert np.abs(np.linalg.norm(seen.normals, axis=-1) - 1).max() < 1e-5
