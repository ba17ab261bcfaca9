"""The data set ``light-stage``: folders of every layout, made from a face model, become subjects with ground truth."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from capture_scans import CylinderScan, cylinder_scan, layout_positions, write_obj
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from recon.capture.captured_truth import RENDERED, OpenScan, ScanTruth
from recon.capture.scan import read_scan
from recon.capture.scan_landmarks import find_face, upright
from recon.capture.scan_source import read_scan_folder
from recon.colour import linear_to_srgb
from recon.data import DATASETS, load_test_set
from recon.data.light_stage import read_captures
from recon.data.person import Person, draw_person
from recon.data.skin import PaintedSkin, paint_skin, skin_surface
from recon.data.subject import Subject
from recon.errors import InputError, UsageError
from recon.exr import write_exr
from recon.face_model.anny import load_anny, load_population
from recon.face_model.model import MorphableModel, vertex_normals
from recon.methods.lightstage import resampled
from recon.png16 import write_png16
from recon.rendering.sampling import padded, sample_bilinear
from recon.storage import read_json
from recon.texture.masked import extend
from recon.texture.uv_map import uv_map

Float = NDArray[np.float32]
SIZE, MAP = 128, 512


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_anny()


@pytest.fixture(scope="module")
def person() -> Person:
    return draw_person("made", 7, 2, "female", load_population())


@pytest.fixture(scope="module")
def head(model: MorphableModel, person: Person) -> Float:
    return model.vertices(load_population().identity[person.row])


@pytest.fixture(scope="module")
def painted(model: MorphableModel, person: Person) -> PaintedSkin:
    return paint_skin(skin_surface(model, MAP), person)


@pytest.fixture(scope="module")
def scanned(model: MorphableModel, head: Float) -> CylinderScan:
    return cylinder_scan(model, head, 120)


@pytest.fixture(scope="module")
def albedo(model: MorphableModel, head: Float, painted: PaintedSkin) -> Float:
    """The skin as a map of the scan's layout, linear."""
    corner_uv = np.zeros((len(model.mean), 2), np.float32)
    corner_uv[model.triangles[model.uv_triangle_ids]] = model.uv[model.uv_triangles[model.uv_triangle_ids]]
    owned = np.zeros((len(model.mean), 1))
    owned[np.unique(model.triangles[model.uv_triangle_ids])] = 1.0
    found = layout_positions(model, head, MAP, np.concatenate([corner_uv, owned], axis=1)).reshape(-1, 3)
    known = np.nan_to_num(found[:, 2]) > 0.999
    texture = np.zeros((MAP * MAP, 3), np.float32)
    texture[known] = sample_bilinear(padded(painted.albedo, model), found[known, :2])
    return extend(texture.reshape(MAP, MAP, 3), known.reshape(MAP, MAP))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, scanned: CylinderScan, albedo: Float) -> Path:
    """A plain folder in millimetres, with an EXR map, found landmarks, and no photograph."""
    folder = tmp_path_factory.mktemp("written")
    write_obj(folder / "mesh.obj", scanned)
    write_exr(folder / "albedo.exr", albedo)
    (folder / "subject.toml").write_text('licence = "CC0-1.0"\nsynthetic = true\n[attributes]\nage = 34\n')
    return folder


@pytest.fixture
def plain(tmp_path: Path, written: Path) -> Path:
    """The test's own copy of that folder."""
    return Path(shutil.copytree(written, tmp_path / "captures" / "anna"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mesoface_home: Path, model: MorphableModel) -> None:
    """A cache of the test's own; the converted face model is taken along."""
    home = tmp_path / "home"
    home.mkdir()
    if (mesoface_home / "face_model").is_dir():
        (home / "face_model").symlink_to(mesoface_home / "face_model")
    monkeypatch.setenv("MESOFACE_HOME", str(home))


@pytest.fixture
def landmarks(asset: Callable[[str], Path]) -> Path:
    return asset("dlib-landmarks")


def only(folder: Path) -> Subject:
    (subject,) = read_captures(folder).subjects
    return subject


# --- the whole way ---------------------------------------------------------------------------------------------------


def test_a_plain_folder_becomes_a_subject_with_truth(
    plain: Path, landmarks: Path, model: MorphableModel, head: Float, painted: PaintedSkin, tmp_path: Path
) -> None:
    subject = only(plain.parent)
    assert (subject.id, subject.source, subject.licence.name) == ("anna", "light-stage", "CC0-1.0")
    assert subject.synthetic and subject.attributes == {"age": "34"}
    with Image.open(subject.photograph) as picture:
        assert picture.size == (768, 960) and np.asarray(picture).std() > 10
    truth = subject.truth_for(model, SIZE)
    assert truth is not None and truth.face_model == "anny" and truth.vertices is not None
    found, mask = np.load(truth.albedo).astype(np.float32), np.load(truth.mask)
    assert found.shape == (SIZE, SIZE, 3) and mask.shape == (SIZE, SIZE)

    record = read_json(truth.record)  # type: ignore[arg-type]
    assert record["photograph"]["origin"] == RENDERED
    assert record["capture"]["units"] == {"name": "millimetre", "origin": "told from the size of the face"}
    assert record["capture"]["orientation"] == ["+y", "+z"]
    assert record["capture"]["landmarks"]["origin"] == "detected"
    assert any("'albedo.exr' was taken for linear" in note for note in record["capture"]["notes"])
    assert record["registration"]["residual"]["median_mm"] < 0.5

    # The true map, averaged to the same size: what differs is where the registration put each texel.
    known, flat = resampled(painted.albedo, painted.skin, SIZE)
    both = mask & flat
    assert both.sum() > 0.6 * flat.sum()
    difference = deltaE_ciede2000(rgb2lab(linear_to_srgb(found[both])), rgb2lab(linear_to_srgb(known[both])))
    assert float(np.median(difference)) < 2.0
    vertices = np.load(truth.vertices)
    face = model.regions["face"]
    assert 10 * np.median(np.linalg.norm(vertices - head, axis=1)[face]) < 3.0  # millimetres; dlib placed it

    # All of it is kept: nothing is made again, and another program finds it.
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "home" / "captures").rglob("*") if path.is_file()}
    again = only(plain.parent)
    assert again.photograph == subject.photograph and again.truth_for(model, SIZE) == truth
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    other = again.truth_for(model, 64)
    assert other is not None and np.load(other.albedo).shape == (64, 64, 3)
    kept = truth.vertices.parent / "registration.npz"
    assert kept.stat().st_mtime_ns == stamps[kept]


def test_a_changed_file_is_a_changed_capture(plain: Path) -> None:
    before = ScanTruth(read_scan_folder(plain), plain).folder
    os.utime(plain / "albedo.exr", ns=(1, 1))
    after = ScanTruth(read_scan_folder(plain), plain).folder
    (plain / "subject.toml").write_text('units = "metre"\n')
    assert len({before, after, ScanTruth(read_scan_folder(plain), plain).folder}) == 3


def test_a_damaged_cache_says_what_to_delete(tmp_path: Path, model: MorphableModel) -> None:
    from recon.capture.captured_truth import kept_registration
    from recon.errors import StorageError

    (tmp_path / "registration.npz").write_bytes(b"half")
    with pytest.raises(StorageError, match=r"registration\.npz' is damaged.*delete it"):
        kept_registration(tmp_path, model, lambda: None)


def test_given_landmarks_units_and_maps_are_taken(
    plain: Path, model: MorphableModel, head: Float, scanned: CylinderScan, albedo: Float
) -> None:
    """No detector is asked; a specular map comes along; the photograph is the folder's."""
    marks = model.landmarks(head) * 10
    write_png16(plain / "specular.png", np.full((MAP // 2, MAP // 2), 0.5))
    write_exr(plain / "displacement.exr", np.full((MAP, MAP), 0.25, np.float32))
    Image.fromarray(np.full((200, 150, 3), 90, np.uint8)).save(plain / "photo.png")
    (plain / "subject.toml").write_text(
        'id = "given"\nunits = "millimetre"\n'
        f"landmarks = {marks.round(4).tolist()}\n"
        '[maps.specular]\ncolour_space = "linear"\nscale = 0.1\n'
    )
    subject = only(plain)
    assert subject.id == "given" and subject.photograph == plain / "photo.png"
    truth = subject.truth_for(model, SIZE)
    assert truth is not None and set(truth.maps) == {"specular", "displacement"}
    mask = np.load(truth.mask)
    assert np.load(truth.maps["specular"])[mask] == pytest.approx(0.05, abs=1e-3)  # 0.5 linear, times 0.1
    assert np.load(truth.maps["displacement"])[mask] == pytest.approx(0.25, abs=1e-3)
    record = read_json(truth.record)  # type: ignore[arg-type]
    assert record["capture"]["units"]["origin"] == "declared"
    assert record["capture"]["landmarks"]["origin"] == "given"
    assert record["photograph"]["origin"] == "supplied with the capture"
    face = model.regions["face"]
    assert 10 * np.median(np.linalg.norm(np.load(truth.vertices) - head, axis=1)[face]) < 1.0  # type: ignore[arg-type]


# --- other layouts -------------------------------------------------------------------------------------------------


def test_digital_emily_2_is_recognised(tmp_path: Path, scanned: CylinderScan, albedo: Float, landmarks: Path) -> None:
    root = tmp_path / "emily"
    (root / "Emily_2_1_OBJ").mkdir(parents=True)
    textures = root / "Emily_2_1_Textures" / "Textures" / "Color_raw"
    textures.mkdir(parents=True)
    count = len(scanned.scan.vertices)
    eye = "v -3 3 8\nv -2 3 8\nv -2 4 8\nusemtl Eye\n" + f"f {count + 1}/1/1 {count + 2}/2/1 {count + 3}/3/1\n"
    write_obj(root / "Emily_2_1_OBJ" / "Emily_2_1.obj", scanned, 1.0, "Skin_Blend_01", eye)
    write_exr(textures / "00_diffuse_unlit_raw.exr", albedo * 0.1)
    write_exr(textures / "00_diffuse_unlit_unpainted.exr", albedo)
    write_exr(textures / "00_specular_unlit_unpainted.exr", albedo[..., 0] * 0.2)
    subject = only(root)
    assert subject.id == "emily" and "not commercial" in subject.licence.name and not subject.licence.redistributable
    assert isinstance(subject.capture, ScanTruth)
    source = subject.capture.source
    assert source.maps["albedo"].path.name == "00_diffuse_unlit_unpainted.exr"
    assert source.maps["specular"].path.name == "00_specular_unlit_unpainted.exr"
    scan = read_scan(source.mesh, source.skin)
    assert int((~scan.skin).sum()) == 1
    assert OpenScan(source, load_anny()).millimetres_per_unit == 10.0
    assert only(tmp_path).id == "emily"  # also from the folder above


def test_facescape_is_recognised(tmp_path: Path, scanned: CylinderScan, albedo: Float, landmarks: Path) -> None:
    for number in ("17", "4"):
        folder = tmp_path / "set" / number / "models_reg"
        folder.mkdir(parents=True)
        (tmp_path / "set" / number / "dpmap").mkdir()
        for expression in ("1_neutral", "2_smile"):
            write_obj(folder / f"{expression}.obj", scanned)
            if number == "17":
                picture = Image.fromarray((linear_to_srgb(albedo) * 255).astype(np.uint8))
                picture.save(folder / f"{expression}.jpg", quality=95)
        write_png16(tmp_path / "set" / number / "dpmap" / "1_neutral.png", np.full((MAP, MAP), 0.5))
    found = read_captures(tmp_path / "set")
    assert [subject.id for subject in found.subjects] == ["facescape-17"]
    ((place, reason),) = found.skipped
    assert place == "4/1_neutral.obj" and "albedo map" in reason and "1_neutral.jpg' does not exist" in reason
    first = found.subjects[0]
    assert first.attributes["expression"] == "1_neutral" and "non-commercial" in first.licence.name
    assert isinstance(first.capture, ScanTruth) and set(first.capture.source.maps) == {"albedo", "displacement"}
    assert first.capture.source.maps["albedo"].colour_space == "srgb"


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Float, NDArray[np.bool_]]:
    """A raw sequence from the synthetic stage, the head's albedo map, and where that is bare skin."""
    from recon.capture.made_up import made_up_person, stage_cameras, stage_of
    from recon.capture.stage_folder import Sensor, write_sequence

    someone = made_up_person(3)
    stage, skin = stage_of(someone, 256)
    folder = tmp_path_factory.mktemp("set") / "front only"
    write_sequence(folder, stage, stage_cameras(stage, ("front",), 176), Sensor(), someone.id, skin)
    return folder, stage.scene.albedo, skin


def test_a_gradient_sequence_becomes_a_subject_with_truth(
    sequence: tuple[Path, Float, NDArray[np.bool_]], model: MorphableModel
) -> None:
    """From the synthetic stage's pictures to the UV square: the albedo is that which the head was given."""
    folder, albedo, skin = sequence
    subject = only(folder.parent)
    assert subject.id == "captured-0003" and subject.synthetic and subject.photograph.is_file()
    truth = subject.truth_for(model, SIZE)
    assert truth is not None and set(truth.maps) == {"specular", "normal"} and truth.record is not None
    record = read_json(truth.record)
    assert record["registration"]["residual"]["median_mm"] < 0.5
    assert "full-on" in record["photograph"]["origin"]
    found, mask = np.load(truth.albedo).astype(np.float32), np.load(truth.mask)
    known, flat = resampled(albedo, skin, SIZE)
    both = mask & flat
    difference = deltaE_ciede2000(rgb2lab(linear_to_srgb(found[both])), rgb2lab(linear_to_srgb(known[both])))
    assert both.sum() > 0.4 * flat.sum() and float(np.mean(difference)) < 2.0  # the bound for sequences
    normals = np.load(truth.maps["normal"]).astype(np.float32)[mask]
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1, abs=2e-3)
    layout = uv_map(model, SIZE).interpolate(vertex_normals(np.load(truth.vertices), model.triangles))[mask]  # type: ignore[arg-type]
    cosine = (normals * layout).sum(axis=1) / np.linalg.norm(layout, axis=1)
    assert np.degrees(np.arccos(np.clip(np.median(cosine), -1, 1))) < 8.0  # the map has pores that the mesh has not


def test_a_sequence_without_a_mesh_cannot_be_laid_out(
    sequence: tuple[Path, Float, NDArray[np.bool_]], tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    shutil.copytree(sequence[0], folder)
    text = (folder / "subject.toml").read_text()
    start = text.index("[mesh]")
    (folder / "subject.toml").write_text(text[:start] + text[text.index("[[camera]]", start) :])
    with pytest.raises(InputError, match=r"subject\.toml' names no mesh.*\[mesh\] file"):
        read_captures(folder)


def test_the_name_is_registered(tmp_path: Path) -> None:
    assert "light-stage" in DATASETS
    with pytest.raises(UsageError, match="light-stage=PATH"):
        load_test_set("light-stage")
    with pytest.raises(InputError, match="does not exist"):
        load_test_set(f"light-stage={tmp_path / 'no'}")
    with pytest.raises(InputError, match=r"no usable capture.*mesh\.obj"):
        load_test_set(f"light-stage={tmp_path / 'home'}")


# --- maps ------------------------------------------------------------------------------------------------------------


def break_map(folder: Path, albedo: Float, how: str) -> None:
    file = folder / "albedo.exr"
    if how == "missing":
        file.unlink()
    elif how == "unreadable":
        file.write_bytes(file.read_bytes()[:200])
    elif how == "8 bits linear":
        file.unlink()
        Image.fromarray((albedo * 255).astype(np.uint8)).save(folder / "albedo.png")
        (folder / "subject.toml").write_text('[maps.albedo]\ncolour_space = "linear"\n')
    elif how == "nan":
        import OpenEXR

        values = albedo.copy()
        values[7, 9] = np.nan
        with OpenEXR.File({"type": OpenEXR.scanlineimage}, {"RGB": values}) as exr:
            exr.write(str(file))
    elif how == "other size":
        write_exr(folder / "specular.exr", albedo[:300, :, 0])
    elif how == "small":
        write_exr(file, albedo[:60, :60])
    elif how == "not a share":
        write_exr(file, albedo * 300)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", r"no albedo map.*albedo\.exr"),
        ("unreadable", r"albedo\.exr' cannot be read.*again"),
        ("8 bits linear", r"albedo\.png' has 8 bits.*colour_space = \"srgb\""),
        ("nan", r"albedo\.exr' has \d+ values that are not finite.*row 7, column 9.*again"),
        ("other size", r"specular\.exr' is 512×300, but the albedo 'albedo\.exr' 512×512"),
        ("small", r"albedo\.exr' has 60×60 texels"),
        ("not a share", r"albedo\.exr' exceeds 1.*scale"),
    ],
)
def test_one_bad_capture_is_named_and_the_others_go_on(
    how: str, says: str, plain: Path, albedo: Float, landmarks: Path
) -> None:
    good = plain.parent / "good"
    shutil.copytree(plain, good)
    Image.fromarray(np.full((200, 150, 3), 90, np.uint8)).save(good / "photo.png")  # spares a rendering
    break_map(plain, albedo, how)
    found = read_captures(plain.parent)
    assert [subject.id for subject in found.subjects] == ["good"]
    ((name, reason),) = found.skipped
    assert name == "anna"
    with pytest.raises(InputError, match=says):
        raise InputError(reason)


# --- subject.toml and ids --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("units = 'parsec'", r"units.*millimetre"),
        ("up = '+y'", r"forward is missing"),
        ("up = '+y'\nforward = '-y'", r"one axis"),
        ("up = 'north'\nforward = '+z'", r"no axis"),
        ("landmarks = [[1, 2, 3]]", r"landmarks must be.*68×3"),
        ("mesh = 'other.obj'", r"mesh '.*other\.obj' does not exist"),
        ("mesh = '../../mesh.obj'", r"inside the capture's folder"),
        ("photograph = 'me.jpg'", r"photograph '.*me\.jpg' does not exist"),
        ("skins = ['a']", r"unknown key 'skins': did you mean 'skin'"),
        ("[maps.albedo]\ncolour_space = 'rec709'", r"\[maps\.albedo\] colour_space.*linear or srgb"),
        ("[maps.albedo]\nfile = 'diffuse.exr'", r"albedo map '.*diffuse\.exr' does not exist"),
        ("kind = 'photogrammetry'", r"kind must be"),
        ("units = ", r"not valid TOML"),
    ],
)
def test_what_subject_toml_gets_wrong_is_said(text: str, says: str, plain: Path) -> None:
    (plain / "subject.toml").write_text(text)
    with pytest.raises(InputError, match=says) as error:
        read_scan_folder(plain)
    assert "anna" in str(error.value)


def test_two_captures_of_one_id_are_not_mixed_up(plain: Path, landmarks: Path) -> None:
    Image.fromarray(np.full((200, 150, 3), 90, np.uint8)).save(plain / "photo.png")
    other = plain.parent / "bea"
    shutil.copytree(plain, other)
    (other / "subject.toml").write_text('id = "Anna"\n')  # differs in case alone
    found = read_captures(plain.parent)
    assert len(found.subjects) == 1
    assert found.skipped == (("bea", found.skipped[0][1]),) and "already that of 'anna'" in found.skipped[0][1]


def test_vertex_numbers_count_in_the_order_of_the_file(
    plain: Path, scanned: CylinderScan, model: MorphableModel
) -> None:
    numbers = np.random.default_rng(0).integers(0, len(scanned.scan.vertices), 68)
    (plain / "subject.toml").write_text(f"landmark_vertices = {numbers.tolist()}\n")
    found = OpenScan(read_scan_folder(plain), model).landmarks
    assert found.origin == "given" and found.points == pytest.approx(10 * scanned.scan.vertices[numbers], abs=1e-4)
    (plain / "subject.toml").write_text(f"landmark_vertices = {[10**7] * 68}\n")
    with pytest.raises(InputError, match=r"mesh\.obj' has \d+ vertices, landmark_vertices names number 10000000"):
        _ = OpenScan(read_scan_folder(plain), model).landmarks


# --- landmarks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("up", "forward"), [("+z", "-y"), ("+y", "+x")])
def test_landmarks_and_orientation_are_found(
    up: str, forward: str, scanned: CylinderScan, albedo: Float, head: Float, model: MorphableModel, landmarks: Path
) -> None:
    turned = np.eye(4)
    turned[:3, :3] = upright(up, forward).T * 10
    found = find_face(scanned.scan.moved(turned), albedo)
    assert found.orientation == (up, forward) and found.landmarks.origin == "detected"
    error = np.linalg.norm(found.landmarks.points - model.landmarks(head) @ turned[:3, :3].T, axis=1)
    assert np.isfinite(error[17:]).sum() > 30 and not np.isfinite(error[:17]).any()
    # dlib's own error on photographs is some 3 % of the distance between the eyes, here 90 mm (Sagonas et al. 2016).
    assert np.nanmedian(error) < 4.0
