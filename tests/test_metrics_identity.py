"""Identity: dlib's own numbers, what the network is shown and what not, real faces, and impostors in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from metrics import identity
from metrics.contract import Judged
from metrics.identity import (
    D_PRIME,
    EQUAL_ERROR,
    FILL,
    IDENTITY,
    IMPOSTORS,
    MARGIN,
    RANK_1,
    embedding,
    equal_error_rate,
    face_chip,
    face_window,
    gather_impostors,
    shown_of,
    similarity,
)
from recon.errors import AssetError, InputError


@pytest.fixture(autouse=True, scope="module")
def forget_the_network() -> Iterator[None]:
    yield
    identity._network.cache_clear()


@pytest.fixture(scope="module")
def network(asset: Callable[[str], Path]) -> Path:
    return asset("dlib-embedding")


def landmarks_of(srgb: np.ndarray, asset: Callable[[str], Path]) -> np.ndarray:
    from recon.data.subject import Photograph
    from recon.fitting.landmarks import detect_landmarks

    asset("dlib-landmarks")
    return detect_landmarks(Photograph(srgb, "p.png", "0")).points


@pytest.fixture(scope="module")
def portrait(asset: Callable[[str], Path]) -> tuple[np.ndarray, np.ndarray]:
    """NASA's astronaut, sRGB-encoded, and her landmarks."""
    from skimage.data import astronaut

    picture = (astronaut()[:300, 80:380] / np.float32(255)).astype(np.float32)
    return picture, landmarks_of(picture, asset)


@pytest.fixture(scope="module")
def londoners(
    london_folder: Path, network: Path, asset: Callable[[str], Path]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Embeddings ``(4, 128)`` of four people's photographs and of the same, mirrored, with landmarks of their own."""
    from recon.images import read_photograph

    names = ["003", "018", "030", "042"]
    found: list[list[np.ndarray]] = [[], []]
    for name in names:
        picture = read_photograph(london_folder / "neutral_front" / f"{name}_03.jpg").srgb
        for kept, one in zip(found, (picture, np.ascontiguousarray(picture[:, ::-1])), strict=True):
            chip = face_chip(one, all_of(one, landmarks_of(one, asset)))
            assert chip is not None
            kept.append(embedding(chip))
    return np.stack(found[0]), np.stack(found[1]), names


def judged(result: np.ndarray, reference: np.ndarray, points: np.ndarray, region: np.ndarray | None = None) -> Judged:
    everywhere = np.ones(reference.shape[:2], bool)
    part = everywhere if region is None else region
    return Judged(result, reference, part, part, part, "anna", landmarks=points)


def all_of(picture: np.ndarray, points: np.ndarray) -> identity.Shown:
    everywhere = np.ones(picture.shape[:2], bool)
    return shown_of(everywhere, everywhere, everywhere, points)


def measured(*batch: Judged) -> list[float]:
    return [numbers[0] for numbers in IDENTITY.measure(batch, "cpu")]


def around_face(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A box about the landmarks, a fifth of its height higher: all of the window lies in it."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    high = top - 0.2 * (bottom - top)
    return np.asarray((rows >= high) & (rows <= bottom) & (columns >= left) & (columns <= right))


def test_the_chip_is_dlibs_inside_the_window_and_one_colour_outside(portrait: tuple[np.ndarray, np.ndarray]) -> None:
    import dlib

    picture, points = portrait
    eight = np.rint(picture * 255).astype(np.uint8)
    places = [dlib.point(int(x), int(y)) for x, y in np.rint(points - 0.5)]
    box = dlib.rectangle(*(int(v) for v in (*points.min(axis=0), *points.max(axis=0))))
    theirs = dlib.get_face_chip(eight, dlib.full_object_detection(box, dlib.points(places)), size=150, padding=0.25)
    ours = face_chip(picture, all_of(picture, points))
    assert ours is not None
    assert (ours[face_window()] == theirs[face_window()]).all()
    assert (ours[~face_window()] == FILL).all()


def test_the_embedding_is_dlibs(portrait: tuple[np.ndarray, np.ndarray], network: Path) -> None:
    """Of the whole chip, cut by dlib itself from the picture."""
    import dlib

    picture, points = portrait
    eight = np.rint(picture * 255).astype(np.uint8)
    places = dlib.points([dlib.point(int(x), int(y)) for x, y in np.rint(points - 0.5)])
    shape = dlib.full_object_detection(dlib.rectangle(0, 0, 1, 1), places)
    theirs = dlib.face_recognition_model_v1(str(network)).compute_face_descriptor(eight, shape, 0, 0.25)
    assert embedding(dlib.get_face_chip(eight, shape, size=150, padding=0.25)) == pytest.approx(
        np.array(theirs), abs=1e-6
    )


def test_the_weights_are_named_by_the_file_that_was_read(network: Path) -> None:
    from recon.asset_table import ASSETS

    assert IDENTITY.weights is not None
    assert IDENTITY.weights().sha256 == ASSETS["dlib-embedding"].sha256


def test_the_same_picture_is_the_same_person_and_blur_makes_it_less_so(
    portrait: tuple[np.ndarray, np.ndarray], network: Path
) -> None:
    picture, points = portrait
    softer = [gaussian_filter(picture, (sigma, sigma, 0)) for sigma in (0.0, 1.5, 3.0, 6.0)]
    same, *blurred = measured(*(judged(side, picture, points) for side in softer))
    assert same == pytest.approx(1, abs=1e-6)
    assert 1 > blurred[0] > blurred[1] > blurred[2]


def test_it_is_symmetric(portrait: tuple[np.ndarray, np.ndarray], network: Path) -> None:
    picture, points = portrait
    dark = picture * np.float32(0.7)
    first, second = measured(judged(dark, picture, points), judged(picture, dark, points))
    assert first == pytest.approx(second, abs=1e-6)
    assert first < 0.9999


def test_hair_background_and_eyes_say_nothing(portrait: tuple[np.ndarray, np.ndarray], network: Path) -> None:
    """They are copied from the photograph: another background, other eyes, and the number stays the same."""
    picture, points = portrait
    other = np.random.default_rng(0).uniform(0, 1, picture.shape).astype(np.float32)
    changed = np.where(around_face(points, picture.shape)[..., None], picture, other)
    for eye in (points[36:42], points[42:48]):
        (left, top), (right, bottom) = eye.min(axis=0).astype(int), eye.max(axis=0).astype(int)
        changed[top : bottom + 1, left + 1 : right] = 0
    assert np.abs(changed - picture).max() > 0.5
    result = gaussian_filter(picture, (3, 3, 0))
    mixed = np.where(changed == picture, result, changed)
    plain, spoiled = measured(judged(result, picture, points), judged(mixed, picture, points))
    assert spoiled == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_what_the_method_does_not_vouch_for_is_not_read(
    portrait: tuple[np.ndarray, np.ndarray], network: Path, poison: float
) -> None:
    picture, points = portrait
    left = np.zeros(picture.shape[:2], bool)
    left[:, : int(points[27, 0])] = True
    everywhere = np.ones_like(left)
    result = gaussian_filter(picture, (2, 2, 0))
    spoiled = np.where(left[..., None], result, np.float32(poison))
    halves = [Judged(side, picture, everywhere, left, left, landmarks=points) for side in (result, spoiled)]
    first, second = measured(*halves)
    assert first == second
    assert first != measured(judged(result, picture, points))[0]


def test_brows_and_lips_count_with_the_skin_around_them(portrait: tuple[np.ndarray, np.ndarray]) -> None:
    """Skin with a hole for the mouth; of one half, its half of the mouth is shown, and nothing of the other."""
    picture, points = portrait
    skin = np.ones(picture.shape[:2], bool)
    (left, top), (right, bottom) = points[48:60].min(axis=0).astype(int), points[48:60].max(axis=0).astype(int)
    skin[top : bottom + 1, left : right + 1] = False
    assert (shown_of(skin, skin, skin, points).window == face_window()).all()
    side = np.broadcast_to(np.arange(skin.shape[1]) < points[27, 0], skin.shape)
    half, other = (shown_of(skin & part, skin & part, skin, points).window for part in (side, ~side))
    assert ((half | other) == face_window()).all() and not (half & other).any()
    assert 0.3 < half.mean() / face_window().mean() < 0.7
    assert (shown_of(skin, skin & side, skin & side, points).window == half).all(), "as where nobody vouches"
    assert not shown_of(skin, np.zeros_like(skin), np.zeros_like(skin), points).window.any()


def test_beside_the_skin_lies_background(portrait: tuple[np.ndarray, np.ndarray]) -> None:
    """Of a head that is turned, or a half that the method leaves to the photograph, the window holds what is no face.
    With skin about the nose alone, a disc is shown, holes and all, and nothing around it."""
    picture, points = portrait
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    across = np.hypot(columns - points[30, 0], rows - points[30, 1]) / np.linalg.norm(points[45] - points[36])
    disc, hole = across < 0.5, across < 0.1
    found = shown_of(disc & ~hole, disc & ~hole, disc & ~hole, points).window
    assert (found == shown_of(disc, disc, disc, points).window).all()
    assert (found & ~identity._in_chip(across < 0.52, identity._chip_place(points))).sum() == 0
    assert 0.3 < found.sum() / face_window().sum() < 0.95
    side = np.broadcast_to(np.arange(picture.shape[1]) < points[27, 0], picture.shape[:2])
    given, known = shown_of(side | ~side, side, side, points).window, shown_of(side, side, side, points).window
    assert (given != known).sum() < 0.02 * given.sum(), "however little is known of the other half"


def test_too_little_of_a_face_has_no_value(portrait: tuple[np.ndarray, np.ndarray], network: Path) -> None:
    picture, points = portrait
    whole = np.ones(picture.shape[:2], bool)
    crumb = np.zeros_like(whole)
    crumb[:, : int(points[36, 0])] = True
    few = Judged(picture, picture, crumb, crumb, whole, landmarks=points)
    assert np.isnan(measured(few))
    ((ours, theirs),) = IMPOSTORS.describe([few], "cpu")
    assert np.isnan(ours).all() and np.isnan(theirs).all() and ours.shape == (128,)


def test_the_photograph_is_looked_at_once_for_all_methods(
    portrait: tuple[np.ndarray, np.ndarray], network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, points = portrait
    seen = []

    def counted(chip: np.ndarray) -> np.ndarray:
        seen.append(chip)
        return embedding(chip)

    monkeypatch.setattr("metrics.identity.embedding", counted)
    first = judged(picture * np.float32(0.9), picture, points)
    second = Judged(picture * np.float32(0.8), picture, first.demanded, first.region, first.whole, "anna", points,
                    of_reference=first.of_reference)  # fmt: skip
    measured(first, second)
    IMPOSTORS.describe([first, second], "cpu")
    assert len(seen) == 3


def test_missing_landmarks_are_named(portrait: tuple[np.ndarray, np.ndarray]) -> None:
    picture, points = portrait
    everywhere = np.ones(picture.shape[:2], bool)
    for wanting in (None, np.full_like(points, np.nan)):
        with pytest.raises(InputError, match=r"anna.*landmarks="):
            measured(Judged(picture, picture, everywhere, everywhere, everywhere, "anna", landmarks=wanting))


@pytest.mark.parametrize("content", [None, b"no network", b""])
def test_an_absent_or_damaged_network_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    from recon.assets import asset_variable

    path = tmp_path / "network.dat"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(asset_variable("dlib-embedding"), str(path))
    identity._network.cache_clear()
    assert IDENTITY.weights is not None and IMPOSTORS.weights is not None
    for weights in (IDENTITY.weights, IMPOSTORS.weights):
        with pytest.raises(AssetError, match="dlib-embedding"):
            weights()


def test_people_are_told_apart_though_only_their_faces_are_shown(
    londoners: tuple[np.ndarray, np.ndarray, list[str]],
) -> None:
    """A mirrored portrait is nearly the same picture to the network, which was trained with mirrored ones too."""
    photographs, mirrored, names = londoners
    table = similarity(mirrored, photographs)
    others = table[~np.eye(len(names), dtype=bool)]
    assert np.diag(table).min() > others.max() + 0.02
    found = gather_impostors(names, mirrored, photographs)
    assert (found[RANK_1], found[EQUAL_ERROR]) == (1.0, 0.0)


def test_impostors_in_closed_form() -> None:
    """Orthogonal people: one's own photograph at 1, all others at 0; everybody taken for the next one, reversed."""
    people = np.eye(5, 128, dtype=np.float32)
    names = list("abcde")
    right = gather_impostors(names, 3 * people, people)
    assert set(right) == {component.name for component in IMPOSTORS.components}
    assert right[MARGIN] == pytest.approx([1] * 5)
    assert (right[RANK_1], right[EQUAL_ERROR]) == (1.0, 0.0)
    assert right["own similarity (mean)"] == pytest.approx(1)
    assert right["impostor similarity (mean)"] == pytest.approx([0] * 5)
    wrong = gather_impostors(names, np.roll(people, 1, axis=0), people)
    assert wrong[MARGIN] == pytest.approx([-1] * 5)
    assert wrong["impostor similarity (mean)"] == pytest.approx([0.25] * 5)
    assert wrong[RANK_1] == 0.0
    # Owners at 0, a quarter of the impostors at 1, the rest at 0. Refused and accepted are 0 and 1 at the threshold 0,
    # 1 and 1/4 at the threshold 1; the line between them has equal shares at 4/7.
    assert wrong[EQUAL_ERROR] == pytest.approx(4 / 7)


def test_order_of_people_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    photographs = rng.normal(size=(8, 128)).astype(np.float32)
    results = photographs + rng.normal(size=(8, 128)).astype(np.float32)
    names, order = list("abcdefgh"), rng.permutation(8)
    first = gather_impostors(names, results, photographs)
    second = gather_impostors([names[k] for k in order], results[order], photographs[order])
    for name, value in first.items():
        assert np.asarray(second[name]) == pytest.approx(np.asarray(value)[order] if np.ndim(value) else value)


def test_few_people_have_no_impostors() -> None:
    found = gather_impostors(["a", "b"], np.eye(2, 128), np.eye(2, 128))
    assert all(np.isnan(value).all() for value in found.values())
    assert np.shape(found[MARGIN]) == (2,)
    assert np.isnan(gather_impostors([], np.zeros((0, 128)), np.zeros((0, 128)))[D_PRIME])


@pytest.mark.parametrize("apart", [0.0, 1.0, 2.5])
def test_equal_error_rate_of_two_normal_distributions(apart: float) -> None:
    """With equal spread the threshold lies in the middle: Φ(−d′ / 2)."""
    rng = np.random.default_rng(0)
    own, impostor = rng.normal(apart, 1, 40_000), rng.normal(0, 1, 60_000)
    assert equal_error_rate(own, impostor) == pytest.approx(norm.cdf(-apart / 2), abs=0.005)
