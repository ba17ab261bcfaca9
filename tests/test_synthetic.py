"""Made-up people: patterns against closed forms, tone groups by their definition, portraits that a detector finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recon.colour import linear_to_srgb
from recon.data.person import TONE_GROUPS, Person, draw_person
from recon.data.procedural import average, lattice_noise, line_distance, resolved, scatter, strokes
from recon.data.skin import SkinSurface, paint_skin, skin_surface
from recon.data.studio import _light, _sphere
from recon.data.synthetic import demo_subjects, individual_typology_angle, synthetic_textures
from recon.face_model.anny import load_anny, load_population
from recon.face_model.model import MorphableModel
from recon.images import read_photograph


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


def test_light_of_an_even_room_is_the_rooms_radiance() -> None:
    """On a convex body in even light of radiance 1 the irradiance over π is 1 everywhere, and every direction open."""

    class EvenRoom:
        def radiance(self, directions: np.ndarray) -> np.ndarray:
            return np.ones((len(directions), 3), np.float32)

    from scipy.spatial import ConvexHull

    ball = _sphere(400)
    hull = ConvexHull(ball).simplices
    inward = (
        np.einsum(
            "tx,tx->t",
            np.cross(ball[hull[:, 1]] - ball[hull[:, 0]], ball[hull[:, 2]] - ball[hull[:, 0]]),
            ball[hull[:, 0]],
        )
        < 0
    )
    hull[inward] = hull[inward][:, ::-1]
    light, openness = _light(ball, ball, hull.astype(np.int32), np.full((400, 3), 0.5, np.float32), EvenRoom())  # type: ignore[arg-type]
    lit = ball[:, 2] > -0.4  # what looks away from the camera is left out
    np.testing.assert_allclose(light[lit], 1.0, atol=0.03)  # 256 directions
    np.testing.assert_allclose(openness[lit], 1.0, atol=0.01)
    assert not light[~lit].any()


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
