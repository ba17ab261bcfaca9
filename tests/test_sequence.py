"""Raw gradient sequences end to end: a ball of which all is known in closed form, a made-up face, and bad input."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.capture.capture import Capture
from recon.capture.capture_folder import REPORT, write_capture
from recon.capture.linear_images import read_stored
from recon.capture.made_up import made_up_person, stage_cameras, stage_of
from recon.capture.occlusion import mesh_shadows, rotated
from recon.capture.recovery import angles, colour_differences, measure_recovery
from recon.capture.scan import read_scan
from recon.capture.sequence import is_sequence, process_sequence
from recon.capture.sequence_file import FILE, read_sequence_file
from recon.capture.stage import Stage
from recon.capture.stage_folder import Sensor, write_sequence
from recon.capture_commands import capture as command
from recon.errors import EXIT_DONE, EXIT_PARTIAL, ImageError, InputError, MesofaceError
from recon.exr import write_exr
from recon.png16 import write_png16
from recon.rendering.scene import Scene
from recon.storage import read_json
from tests.rendering_scenes import ball, directed, looking, smooth_albedo

CAMERA = looking(4.0, 150.0, 96)
# Sensor noise so small that what is left of errors is the method's.
QUIET = Sensor(full_well=1e9, read_noise=0, suffix=".exr")


@pytest.fixture(scope="module")
def stages() -> dict[bool, Stage]:
    scene = Scene(ball(), ball().mean, smooth_albedo(), CAMERA, directed())
    return {binary: Stage(scene, binary, diffuse_rays=256, specular_rays=64) for binary in (False, True)}


@pytest.fixture(scope="module")
def written(stages: dict[bool, Stage], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A raw sequence of the ball, made once for each sensor."""
    made: dict[object, Path] = {}

    def write(sensor: Sensor = QUIET, binary: bool = False) -> Path:
        key = (sensor, binary)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("raw") / "ball"
            write_sequence(made[key], stages[binary], {"front": CAMERA}, sensor, "ball")
        return made[key]

    return write


@pytest.fixture
def copied(written: Callable[..., Path], tmp_path: Path) -> Path:
    """A sequence of the ball to be spoiled."""
    return Path(shutil.copytree(written(), tmp_path / "ball"))


def ball_normals() -> np.ndarray:
    """Normals of the unit ball where the rays of the pixels' centres meet it; NaN beside it."""
    x, y = np.meshgrid(np.arange(96) + 0.5, np.arange(96) + 0.5)
    direction = CAMERA.pixel_rays(x.ravel(), y.ravel())
    along = -direction @ CAMERA.centre
    root = along**2 - (CAMERA.centre @ CAMERA.centre - 1)
    with np.errstate(invalid="ignore"):
        point = CAMERA.centre + (along - np.sqrt(root))[:, None] * direction
    return point.reshape(96, 96, 3)


def inner(margin: float = 0.25) -> np.ndarray:
    """Pixels whose surface faces the camera, on which interpolated normals are the ball's own."""
    return np.nan_to_num(ball_normals()[..., 2], nan=-1) > margin


def errors(made: Capture, folder: Path) -> tuple[float, float]:
    """Mean angle to the ball's own normals in degrees, mean CIEDE2000 to the texture."""
    view, pixels = made.views[0], inner() & made.views[0].measured
    assert pixels.sum() > 0.95 * inner().sum()
    truth = read_stored(folder / "truth" / "front_albedo.exr").values
    return (
        float(angles(view.diffuse_normals[pixels], ball_normals()[pixels]).mean()),
        float(colour_differences(view.diffuse_albedo[pixels], truth[pixels]).mean()),
    )


SENSORS = {
    "gradients with complements": (QUIET, False),
    "gradients alone": (replace(QUIET, complements=False), False),
    "hemispheres": (QUIET, True),
    "axes permuted and reversed": (replace(QUIET, axes=("-z", "+x", "-y")), False),
    "stored upside down": (replace(QUIET, flip="up-down"), False),
    "stored mirrored, 16-bit": (replace(QUIET, flip="left-right", suffix=".png"), False),
}


@pytest.mark.parametrize("kind", SENSORS)
def test_a_ball_is_recovered_from_every_kind_of_sequence(kind: str, written: Callable[..., Path]) -> None:
    sensor, binary = SENSORS[kind]
    folder = written(sensor, binary)
    made = process_sequence(folder, "none")  # a ball has no shadows to take out
    degrees, delta_e = errors(made, folder)
    # Interpolated normals of the ball's mesh and 256 rays; hemispheres' edges fall between rays.
    assert degrees < (1.0 if binary else 0.3)
    assert delta_e < 0.5
    report = made.views[0].report
    assert report["calibration"]["by"] == "checker"
    assert report["calibration"]["mean_delta_e"] < 0.3
    assert report["normal_length"][1] == pytest.approx(1, abs=0.01)
    if sensor.complements:
        assert all(values["mean"] < 0.002 for values in (report["complement_residual"] or {}).values())
    else:
        assert report["complement_residual"] is None


def test_specular_normals_of_the_ball(written: Callable[..., Path]) -> None:
    """A broad lobe leans away from grazing views by some degrees; facing the camera the normals agree."""
    view = process_sequence(written(), "none").views[0]
    assert view.specular_normals is not None and view.specular_albedo is not None
    facing = inner(0.7)
    assert angles(view.specular_normals[facing], ball_normals()[facing]).mean() < 1
    # Fresnel's reflectance at right angles is 0.08 · 0.35 (see the stage); GGX loses little of it.
    middle = view.specular_albedo[44:52, 44:52]
    assert middle.mean() == pytest.approx(0.028, rel=0.06)
    assert process_sequence(written(QUIET, True), "none").views[0].specular_normals is None


def test_without_polarisers_the_gloss_is_in_the_albedo_and_the_report_says_so(written: Callable[..., Path]) -> None:
    folder = written(replace(QUIET, polarised=False))
    view = process_sequence(folder, "none").views[0]
    assert view.specular_albedo is None and "mirrored light" in view.report["notes"][0]
    truth = read_stored(folder / "truth" / "front_albedo.exr").values
    gloss = (view.diffuse_albedo - truth)[44:52, 44:52].mean()
    assert gloss == pytest.approx(0.028, rel=0.15)


def test_other_signs_in_the_description_turn_the_normals(copied: Path) -> None:
    before = process_sequence(copied, "none").views[0].diffuse_normals
    edit(copied, 'x = "+x"\ny = "+y"', 'x = "-y"\ny = "+x"')
    after = process_sequence(copied, "none").views[0].diffuse_normals
    np.testing.assert_allclose(after, np.stack([before[..., 1], -before[..., 0], before[..., 2]], -1), atol=1e-6)


def test_a_confused_full_on_image_shows_in_the_residual(copied: Path) -> None:
    for state in ("cross", "parallel"):
        image = read_stored(copied / "front" / f"{state}_full.exr").values
        write_exr(copied / "front" / f"{state}_full.exr", 0.9 * image)
    residual = process_sequence(copied, "none").views[0].report["complement_residual"]
    # L + L̄ is 1, and is told to be 0.9 (the ambient frame, 1 % of it, stays as it is).
    assert residual["z"]["mean"] == pytest.approx(1 / 0.9 - 1, rel=0.02)


def test_clipped_and_dark_pixels_are_left_out_and_counted(copied: Path) -> None:
    image = read_stored(copied / "front" / "parallel_x.exr").values.copy()
    image[40:44, 40:48] = 2.0
    write_exr(copied / "front" / "parallel_x.exr", image)
    view = process_sequence(copied, "none").views[0]
    assert not view.measured[40:44, 40:48].any()
    assert not view.diffuse_normals[40:44, 40:48].any()
    inside = view.report["pixels"]["mask"]
    assert view.report["excluded"]["clipped"] == pytest.approx(32 / inside)
    assert view.report["pixels"]["measured"] == view.measured.sum()


def test_the_white_value_does_what_the_chart_does(copied: Path) -> None:
    """A grey camera (its colours are linear sRGB times a factor): the factor is known from a white surface."""
    file = copied / FILE
    text = file.read_text(encoding="utf-8")
    start = text.index("[camera.checker]")
    by_chart = process_sequence(copied, "none").views[0]
    file.write_text(text[:start], encoding="utf-8")
    bare = process_sequence(copied, "none").views[0]
    assert bare.report["calibrated"] is False
    edit(copied, 'mask = "mask.png"', 'mask = "mask.png"\nwhite = [0.5, 0.25, 0.125]')
    scaled = process_sequence(copied, "none").views[0]
    np.testing.assert_allclose(scaled.diffuse_albedo, bare.diffuse_albedo * [2, 4, 8], rtol=1e-5)
    assert by_chart.report["calibrated"] and not np.allclose(by_chart.diffuse_albedo, bare.diffuse_albedo, rtol=0.1)


def test_a_distant_camera_needs_only_its_direction(copied: Path) -> None:
    text = (copied / FILE).read_text(encoding="utf-8")
    start, end = text.index("rotation = "), text.index("mask = ")
    (copied / FILE).write_text(text[:start] + "view = [0, 0, 2]\n" + text[end:], encoding="utf-8")
    made = process_sequence(copied)
    view = made.views[0]
    assert view.camera is None and view.openness is None and made.mesh is not None
    assert view.specular_normals is not None
    middle = np.s_[44:52, 44:52]
    assert angles(view.specular_normals[middle], ball_normals()[middle]).mean() < 2


# --- a face ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    person = made_up_person(3)
    stage, skin = stage_of(person, 256)
    folder = tmp_path_factory.mktemp("face") / person.id
    write_sequence(folder, stage, stage_cameras(stage, ("front",), 176), Sensor(), person.id, skin, {"age": "54"})
    return folder


def test_normals_and_albedo_of_a_face_are_recovered(face: Path) -> None:
    """Done when: under 3° and under 2 ΔE2000 in the mean inside the mask, noise, room light and 16 bits included."""
    made = process_sequence(face)
    assert made.synthetic and made.attributes == {"age": "54"} and made.landmarks is not None
    view = made.views[0]
    found = measure_recovery(made, face)["front"]
    for pixels in ("trusted", "measured", "face"):
        assert found[pixels]["normal_degrees"] < 2.0, pixels
        assert found[pixels]["albedo_delta_e"] < 1.5, pixels
    # What the mask leaves out is little: lid creases, between the lips.
    assert found["trusted"]["share"] > 0.97
    assert view.report["occlusion"] == "mesh" and view.report["trusted_where"] == {"openness": 0.5}
    assert view.openness is not None and view.openness[view.mask].min() >= 0.5


def test_shadows_left_in_bias_normals_and_are_told_by_their_length(face: Path) -> None:
    with_mesh = measure_recovery(process_sequence(face), face)["front"]["measured"]
    made = process_sequence(face, "none")
    without = measure_recovery(made, face)["front"]
    assert without["measured"]["normal_degrees"] > 2 * with_mesh["normal_degrees"]
    assert without["measured"]["albedo_delta_e"] > 1.2 * with_mesh["albedo_delta_e"]
    # The data's own criterion finds the half that is open.
    assert without["trusted"]["normal_degrees"] < 3.0
    assert without["trusted"]["albedo_delta_e"] < 2.0
    assert 0.4 < without["trusted"]["share"] < 0.9
    assert "as asked" in made.views[0].report["notes"][0]


def test_the_shadows_of_a_mesh_that_is_a_millimetre_off_still_help(face: Path, tmp_path: Path) -> None:
    import trimesh

    moved = Path(shutil.copytree(face, tmp_path / "moved"))
    mesh = trimesh.load(moved / "mesh.ply", process=False)
    mesh.apply_translation([0.1, 0.05, 0.0])  # centimetres
    mesh.export(moved / "mesh.ply")
    found = measure_recovery(process_sequence(moved), moved)["front"]["trusted"]
    assert found["normal_degrees"] < 3.0 and found["albedo_delta_e"] < 2.0


def test_light_computed_in_a_smaller_picture_is_the_same(face: Path, monkeypatch) -> None:
    """What large pictures are spared: only near creases and silhouettes may interpolation differ."""
    sequence = read_sequence_file(face)
    camera = sequence.cameras[0].camera
    assert sequence.mesh is not None and camera is not None
    scan = read_scan(sequence.mesh, need_uv=False)
    settings = (scan, camera, np.full(3, 0.4, np.float32), sequence.metres_per_unit, False)
    whole = mesh_shadows(*settings)
    monkeypatch.setattr("recon.capture.occlusion._MOST_PIXELS", 88 * 88)
    small = mesh_shadows(*settings)
    assert small.covered.shape == whole.covered.shape
    both = small.covered & whole.covered
    assert both.sum() > 0.97 * whole.covered.sum()
    assert np.abs(small.light - whole.light)[both].mean() < 0.01
    assert angles(small.expected, whole.expected)[both].mean() < 1.5
    assert (small.normals[small.covered] != 0).any(axis=1).all()


def test_the_rotation_takes_start_to_end_and_keeps_lengths() -> None:
    rng = np.random.default_rng(3)
    start, end, other = rng.normal(size=(3, 50, 3))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    end /= np.linalg.norm(end, axis=1, keepdims=True)
    np.testing.assert_allclose(rotated(start, start, end), end, atol=1e-5)
    turned = rotated(other, start, end)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(other, axis=1), rtol=1e-4)
    np.testing.assert_allclose((turned * end).sum(axis=1), (other * start).sum(axis=1), atol=1e-4)


# --- bad input ------------------------------------------------------------------------------------------------


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / FILE).read_text(encoding="utf-8")
    assert old in text
    (folder / FILE).write_text(text.replace(old, new, 1), encoding="utf-8")


def image(folder: Path, name: str = "cross_y.exr") -> Path:
    return folder / "front" / name


def spoil_with_nan(folder: Path) -> None:
    import OpenEXR

    values = read_stored(image(folder)).values.copy()
    values[7, 9] = np.nan
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": values}).write(str(image(folder)))


def save_in_eight_bits(folder: Path) -> None:
    values = np.clip(read_stored(image(folder)).values, 0, 1)
    Image.fromarray((255 * values).astype(np.uint8)).save(image(folder, "cross_y.png"))
    edit(folder, 'y = "cross_y.exr"', 'y = "cross_y.png"')


def overexpose(folder: Path) -> None:
    write_exr(image(folder), np.full((96, 96, 3), 1.5, np.float32))


def truncate(folder: Path) -> None:
    image(folder).write_bytes(image(folder).read_bytes()[:5000])


def as_photograph(folder: Path) -> None:
    edit(folder, 'transfer = "linear"', 'transfer = "srgb"')


def blacken(folder: Path) -> None:
    for path in (folder / "front").glob("*.exr"):
        if "checker" not in path.name:
            write_exr(path, np.zeros((96, 96, 3), np.float32))


SPOILT: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing image": (lambda f: image(f).unlink(), "cross_y.exr", "put it there"),
    "wrong size": (lambda f: write_exr(image(f), np.ones((96, 90, 3))), "cross_y.exr", "one size"),
    "not a number": (spoil_with_nan, "cross_y.exr", "row 7, column 9"),
    "8 bits called linear": (save_in_eight_bits, "cross_y.png", "Export 16 bits"),
    "floats called sRGB": (as_photograph, "cross_ambient.exr", 'say transfer = "linear"'),
    "truncated": (truncate, "cross_y.exr", "truncated or damaged"),
    "overexposed": (overexpose, "cross_y.exr", "expose the sequence less"),
    "black": (blacken, "front", "expose more"),
    "black mask": (lambda f: Image.new("1", (96, 96)).save(f / "front" / "mask.png"), "mask.png", "paint white"),
    "mesh gone": (lambda f: (f / "mesh.ply").unlink(), "mesh.ply", "put the mesh there"),
    "not TOML": (lambda f: edit(f, "kind =", "kind ="[::-1]), FILE, "not valid TOML"),
    "of another kind": (lambda f: edit(f, "gradient-sequence", "scan"), FILE, "gradient-sequence"),
    "axis missing": (lambda f: edit(f, 'z = "+z"\n', ""), FILE, "[gradients] z is missing"),
    "axis twice": (lambda f: edit(f, 'z = "+z"', 'z = "-x"'), FILE, "another axis"),
    "sign missing": (lambda f: edit(f, 'z = "+z"', 'z = "z"'), FILE, "+z"),
    "flip missing": (lambda f: edit(f, 'flip = "none"\n', ""), FILE, "[encoding] flip is missing"),
    "misspelt": (lambda f: edit(f, "focal =", "fokal ="), FILE, "focal"),
    "misspelt image": (lambda f: edit(f, "y_complement =", "y_compliment ="), FILE, "y_complement"),
    "partner missing": (lambda f: edit(f, 'y_complement = "cross_y_complement.exr"\n', ""), FILE, "add or drop"),
    "no rotation": (lambda f: edit(f, "rotation = [[1.0", "rotation = [[2.0"), FILE, "no rotation"),
    "one file twice": (lambda f: edit(f, '"cross_y.exr"', '"cross_x.exr"'), FILE, "image of its own"),
    "outside": (lambda f: edit(f, '"cross_y.exr"', '"../../cross_y.exr"'), FILE, "inside the capture's folder"),
    "chart cut off": (lambda f: edit(f, "patches = [[20.0, ", "patches = [[2.0, "), "checker.exr", "patch 1"),
    "no such chart": (lambda f: edit(f, "since-2014", "mine"), FILE, "since-2014"),
    "unsafe id": (lambda f: edit(f, 'id = "ball"', 'id = "../ball"'), FILE, "letters"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
def test_bad_input_is_named_with_its_mend(what: str, copied: Path) -> None:
    spoil, file, mend = SPOILT[what]
    spoil(copied)
    with pytest.raises(InputError) as caught:
        process_sequence(copied)
    message = str(caught.value)
    assert file in message and mend in message
    assert "\n" not in message and message.count(". ") <= 1


def test_unusual_but_fair_files_are_read(tmp_path: Path) -> None:
    grey = np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 16)
    write_png16(tmp_path / "g.png", grey)
    stored = read_stored(tmp_path / "g.png")
    assert stored.bits == 16 and not stored.floating
    np.testing.assert_allclose(stored.values, grey, atol=0.5 / 65535 + 1e-7)
    with_alpha = np.dstack([np.full((12, 16, 3), 200, np.uint8), np.full((12, 16), 7, np.uint8)])
    Image.fromarray(with_alpha, "RGBA").save(tmp_path / "a.tif")
    tiff = read_stored(tmp_path / "a.tif")
    assert tiff.bits == 8
    np.testing.assert_allclose(tiff.values, np.full((12, 16, 3), 200 / 255), rtol=1e-6)
    with pytest.raises(ImageError, match=r"g\.png' was not written.*not finite"):
        write_png16(tmp_path / "g.png", grey * np.nan)
    np.testing.assert_array_equal(read_stored(tmp_path / "g.png").values, stored.values)
    colour = np.random.default_rng(1).random((9, 7, 4)).astype(np.float32) * 40
    write_exr(tmp_path / "c.exr", colour, half=True)
    stored = read_stored(tmp_path / "c.exr")
    assert stored.bits == 16 and stored.floating
    np.testing.assert_array_equal(stored.values, colour[..., :3].astype(np.float16).astype(np.float32))


# --- folders and commands -------------------------------------------------------------------------------------


def test_a_processed_capture_can_be_read_back(written: Callable[..., Path], tmp_path: Path) -> None:
    folder = written()
    made = process_sequence(folder)
    write_capture(tmp_path / "out", made)
    record = read_json(tmp_path / "out" / REPORT)
    assert record["id"] == "ball" and record["views"]["front"]["calibrated"]
    front = tmp_path / "out" / "front"
    np.testing.assert_array_equal(read_stored(front / "diffuse_normals.exr").values, made.views[0].diffuse_normals)
    assert (front / "openness.exr").is_file() and (front / "preview.png").is_file()
    write_capture(tmp_path / "out", process_sequence(folder, "none"))
    assert not (front / "openness.exr").exists()  # of the earlier processing


def test_one_bad_capture_does_not_stop_the_others(written: Callable[..., Path], tmp_path: Path, capsys) -> None:
    raw = tmp_path / "raw"
    for name in ("a", "b"):
        shutil.copytree(written(), raw / name)
        edit(raw / name, 'id = "ball"', f'id = "{name}"')
    truncate(raw / "a")
    shutil.copytree(raw / "b", raw / "c")  # with the same id
    (raw / "d").mkdir()
    (raw / "d" / FILE).write_text("kind = gradient-sequence")
    (raw / "notes").mkdir()
    assert is_sequence(raw / "b") and not is_sequence(raw / "notes")
    arguments = ["process", str(raw), "--out", str(tmp_path / "maps")]
    assert command.main(arguments, standalone_mode=False) == EXIT_PARTIAL
    said = capsys.readouterr()
    assert "cross_y.exr" in said.err and "albedo" in said.out
    assert "the id 'b'" in said.err and "not valid TOML" in said.err
    assert (tmp_path / "maps" / "b" / REPORT).is_file() and not (tmp_path / "maps" / "a").exists()
    arguments = ["process", str(raw / "b"), "--out", str(tmp_path / "maps"), "--quiet"]
    assert command.main(arguments, standalone_mode=False) == EXIT_DONE
    with pytest.raises(MesofaceError, match="cross_y"):
        command.main(["process", str(raw / "a"), "--out", str(tmp_path / "maps")], standalone_mode=False)
    with pytest.raises(InputError, match="holds no raw capture"):
        command.main(["process", str(raw / "notes"), "--out", str(tmp_path / "maps")], standalone_mode=False)


def test_simulate_keeps_what_is_there(tmp_path: Path, capsys, monkeypatch) -> None:
    arguments = [
        "simulate",
        "--out",
        str(tmp_path),
        "--size",
        "96",
        "--texture",
        "128",
        "--views",
        "left",
        "--seed",
        "4",
    ]
    command.main(arguments, standalone_mode=False)
    place = Path(capsys.readouterr().out.strip())
    assert read_sequence_file(place).cameras[0].name == "left"
    monkeypatch.setattr("recon.capture.stage_folder.write_sequence", None)  # would fail if it were called again
    command.main(arguments, standalone_mode=False)
    assert capsys.readouterr().out.strip() == str(place)
    with pytest.raises(MesofaceError, match="front, left, right"):
        command.main(["simulate", "--out", str(tmp_path), "--views", "above"], standalone_mode=False)
