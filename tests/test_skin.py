"""Which texels are skin: features, off-colour patches, hair and clipping are left out, stubble is not."""

from __future__ import annotations

import numpy as np
import pytest
from texture_toy import SIZE, Map, Mask, face, known_fit, skin_area, skin_texture

from recon.texture.skin import beard_region, face_mask, feature_mask, find_skin
from recon.texture.unwrap import Surface, surface
from recon.texture.uv_map import uv_map

LAYOUT = uv_map(face(), SIZE)


@pytest.fixture(scope="module")
def seen() -> Surface:
    fit = known_fit()
    return surface(face(), LAYOUT, fit.vertices, fit.camera)


def skin_of(albedo: Map, seen: Surface, radiance: Map | None = None) -> Mask:
    """Skin of an albedo in even light, unless the photograph's own ``radiance`` is given."""
    return find_skin(albedo if radiance is None else radiance, albedo, seen, face(), LAYOUT)[0]


def place(x: float, y: float) -> tuple[int, int]:
    """Row and column of a point of the toy face."""
    return int((10 - y) / 20 * SIZE), int((x + 8) / 16 * SIZE)


def patch(x: float, y: float, half: int) -> tuple[slice, slice]:
    row, column = place(x, y)
    return slice(row - half, row + half + 1), slice(column - half, column + half + 1)


def test_plain_skin_is_skin_and_features_are_not(seen: Surface) -> None:
    for person in range(3):
        found = skin_of(skin_texture(person), seen)
        assert not (found & ~skin_area()).any()
        front = skin_area() & (seen.facing > 0.5)
        assert found[front].mean() > 0.93
        for x, y in ((3.2, 3.0), (-3.2, 3.0), (0.0, -3.8), (3.0, 4.8)):
            assert not found[place(x, y)]


def test_the_masks_lie_where_the_regions_are() -> None:
    features, whole = feature_mask(face(), LAYOUT), face_mask(face(), LAYOUT)
    rows, columns = np.nonzero(whole)
    x, y = (columns + 0.5) / SIZE * 16 - 8, 10 - (rows + 0.5) / SIZE * 20
    assert ((x / 7.2) ** 2 + ((y + 0.5) / 8.6) ** 2).max() < 1.1
    assert whole.mean() == pytest.approx(np.pi * 7.2 * 8.6 / 320, rel=0.03)
    for region in ("eyes", "lips", "brows"):
        at = LAYOUT.interpolate(face().regions[region][:, None].astype(np.float32))[..., 0] > 0.5
        assert features[at].all()


@pytest.mark.parametrize("colour", [(0.05, 0.3, 0.05), (0.1, 0.1, 0.6), (0.01, 0.01, 0.01)])
def test_a_patch_of_another_colour_is_left_out(seen: Surface, colour: tuple[float, float, float]) -> None:
    albedo = skin_texture(1).copy()
    where = patch(3.5, -1.0, 6)
    assert skin_of(albedo, seen)[where].mean() > 0.9
    albedo[where] = colour
    assert not skin_of(albedo, seen)[where].any()
    # The rest of the face is not given up for it.
    assert skin_of(albedo, seen).sum() > 0.9 * skin_of(skin_texture(1), seen).sum() - 400


def test_clipped_texels_are_left_out(seen: Surface) -> None:
    """A highlight is told by the photograph's radiance, though its albedo looks like skin."""
    albedo = skin_texture(1)
    radiance = albedo.copy()
    where = patch(0.0, 7.0, 4)
    radiance[where] = 0.999
    assert not skin_of(albedo, seen, radiance)[where].any()
    assert skin_of(albedo, seen)[where].any()


def test_hair_is_left_out_by_its_contrast(seen: Surface) -> None:
    """Dark and light strands whose mean is the skin's own colour."""
    albedo = skin_texture(1).copy()
    where = patch(0.0, 7.0, 7)
    strands = np.where(np.arange(15) % 2 < 1, 1.3, 0.7)[None, :, None]
    albedo[where] *= strands
    inner = patch(0.0, 7.0, 4)
    found, record = find_skin(albedo, albedo, seen, face(), LAYOUT)
    assert not found[inner].any() and skin_of(skin_texture(1), seen)[inner].all()
    assert record["skin_removed"]["hair"] > 0.01 > record["skin_removed"]["colour"]


def test_beards_have_more_room_than_foreheads(seen: Surface) -> None:
    """The same darkening is stubble on the jaw and a fringe on the forehead."""
    beard = beard_region(face(), LAYOUT)
    assert beard[place(4.0, -4.0)] and not beard[place(0.0, 7.0)]
    kept = {}
    for name, (x, y) in {"jaw": (0.0, -7.0), "forehead": (0.0, 7.0)}.items():
        kept[name] = []
        for factor in (0.85, 0.75, 0.65, 0.55):
            albedo = skin_texture(4).copy()
            albedo[patch(x, y, 5)] *= factor
            kept[name].append(skin_of(albedo, seen)[patch(x, y, 3)].mean())
    assert sum(kept["jaw"]) > sum(kept["forehead"]) + 0.5


def test_skin_seen_at_a_grazing_angle_is_left_out() -> None:
    fit = known_fit(yaw=40)
    seen = surface(face(), LAYOUT, fit.vertices, fit.camera)
    found = skin_of(skin_texture(2), seen)
    assert not (found & (seen.facing < 0.35)).any() and not (found & ~seen.visible).any()
    assert (seen.visible & (seen.facing < 0.35)).any() and found.sum() > 500


def test_unseen_texels_are_never_read(seen: Surface) -> None:
    fit = known_fit(yaw=40)
    turned = surface(face(), LAYOUT, fit.vertices, fit.camera)
    albedo = skin_texture(2)
    spoilt = np.where(turned.visible[..., None], albedo, 0.9).astype(np.float32)
    assert (~turned.visible).any()
    assert np.array_equal(skin_of(albedo, turned), skin_of(spoilt, turned))


def test_without_a_face_in_view_there_is_no_skin(seen: Surface) -> None:
    from dataclasses import replace

    hidden = replace(seen, visible=np.zeros_like(seen.visible))
    found, record = find_skin(skin_texture(0), skin_texture(0), hidden, face(), LAYOUT)
    assert not found.any() and record["skin_removed"] == {"unseen": 1.0}
