"""``mesoface results import``: what another system wrote becomes results of a run, or is refused by name."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import png
import pytest
from PIL import Image
from texture_toy import face, known_fit, photograph_of, skin_texture

import mesoface
from recon.capture.scan import read_scan
from recon.colour import linear_to_srgb
from recon.errors import InputError
from recon.images import read_png, write_png
from recon.methods.contract import Reconstruction
from recon.runs.folder import FORMAT, ResultKey, RunFolder, file_hashes
from recon.runs.importing.pictures import read_picture
from recon.runs.importing.scan_folder import described_scan, scan_source
from recon.runs.pictures import PictureOrder, pending
from recon.runs.views import crop_box, cropped, fitted_view, scene_of, write_head
from recon.storage import read_json, write_json
from recon.texture.completion import face_masks
from recon.worker_pool import Event, Finished, Reported

SIZE = 128
PEOPLE = ("anna", "bert")
PROTOCOLS = ("identity", "blur:3")
Outcome = tuple[int, dict[str, Any], str]


def in_this_process(tasks: Any, prepare: Any, argument: Any, *, jobs: int, threads: int) -> Iterator[Event]:
    work = prepare(argument)
    for task in tasks:
        reports: list[Any] = []
        work(task, reports.append)
        yield from (Reported(task, content) for content in reports)
        yield Finished(task)


def albedo_of(name: str) -> np.ndarray:
    """Linear albedo of a person, as 8 bits of sRGB hold it."""
    from recon.colour import srgb_to_linear

    return srgb_to_linear(np.floor(linear_to_srgb(skin_texture(PEOPLE.index(name), SIZE)) * 255 + 0.5) / 255)


def write_reference(run: RunFolder, name: str, protocol: str) -> None:
    fit = known_fit()
    place, box = run.judged(name, protocol), crop_box(face(), fit)
    write_png(place / "albedo.png", linear_to_srgb(albedo_of(name)))
    write_png(run.given(name, protocol), photograph_of(albedo_of(name), fit, samples=1).srgb)
    camera = {
        "rotation": fit.camera.rotation,
        "translation": fit.camera.translation,
        "focal": fit.camera.focal,
        "principal": list(fit.camera.principal),
        "width": fit.camera.width,
        "height": fit.camera.height,
    }
    known = {
        "identity": fit.identity,
        "expression": fit.expression,
        "landmarks": fit.landmarks,
        "camera": camera,
        "lighting": fit.lighting.coefficients,
        "verdict": "pass",
        "reasons": [],
        "landmark_error": 0.0,
        "interocular": fit.interocular,
        "notes": [],
    }
    write_json(place / "reference.json", {"crop": list(box), "fit": known, "files": file_hashes(place, ["albedo.png"])})


def write_result(run: RunFolder, key: ResultKey) -> None:
    """A result as the run itself makes it, of the method ``own``."""
    fit, place = known_fit(), run.result(key)
    box = crop_box(face(), fit)
    mask = face_masks(face(), SIZE).face
    made = Reconstruction(fit.vertices, albedo_of(key.subject), mask, fit.camera, fit.lighting)
    scene = scene_of(face(), made, box)
    given = cropped(read_png(run.given(key.subject, key.protocol)), box)
    view = fitted_view(given, scene, mask, np.zeros(given.shape[:2], bool), "gbuffer")
    write_png(place / "albedo.png", linear_to_srgb(made.albedo))
    write_png(place / "mask.png", mask)
    write_head(place / "head.glb", scene)
    write_png(place / "views" / "fitted.png", view.srgb)
    write_png(place / "views" / "fitted_mask.png", view.mask)
    files = ["albedo.png", "mask.png", "head.glb", "views/fitted.png", "views/fitted_mask.png"]
    write_json(place / "result.json", {"inputs": {}, "files": file_hashes(place, files)})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two people, two protocols and one method, made once."""
    run = RunFolder(tmp_path_factory.mktemp("finished") / "run")
    write_json(
        run.config,
        {
            "format": FORMAT,
            "settings": {"face_model": {"name": "toy", "version": "1"}, "size": SIZE, "renderer": "gbuffer"},
            "methods": {"own": {}},
            "protocols": list(PROTOCOLS),
            "subjects": list(PEOPLE),
        },
    )
    for name in PEOPLE:
        write_json(run.reference(name) / "subject.json", {"photograph": f"{name}_front.jpg", "sha256": f"of {name}"})
        for protocol in PROTOCOLS:
            write_reference(run, name, protocol)
            write_result(run, ResultKey("own", protocol, name))
    return run.path


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setattr("recon.runs.importing.making.work_through", in_this_process)
    monkeypatch.setattr("recon.face_model.load_face_model", lambda name: {"toy": face()}[name])
    shutil.copytree(finished, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def command(run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs ``mesoface results import … --json``: exit code, what it printed, errors."""
    entry = mesoface.Entry("metrics.import_commands", "results", "")
    monkeypatch.setitem(mesoface.COMMANDS, "results", entry)

    def call(folder: Path, *more: str) -> Outcome:
        arguments = ["results", "import", str(folder), "--run", str(run.path), "--method", "theirs", "--json", *more]
        with pytest.raises(SystemExit) as ended:
            mesoface.main(arguments)
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, json.loads(captured.out) if captured.out else {}, captured.err

    return call


def everyone() -> Iterator[tuple[str, str]]:
    return ((protocol, name) for protocol in PROTOCOLS for name in PEOPLE)


@pytest.fixture
def views(run: RunFolder, tmp_path: Path) -> Path:
    """The pictures of ``own``, as if another system had written them; named by protocol and id."""
    folder = tmp_path / "views"
    for protocol, name in everyone():
        own, place = run.result(ResultKey("own", protocol, name)) / "views", folder / protocol.replace(":", "-")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(own / "fitted.png", place / f"{name}.png")
        shutil.copy(own / "fitted_mask.png", place / f"{name}.mask.png")
    return folder


@pytest.fixture
def albedos(run: RunFolder, tmp_path: Path) -> Path:
    """The maps of ``own``, named by the protocol as the command line has it and the photograph's file."""
    folder = tmp_path / "albedos"
    for protocol, name in everyone():
        (folder / protocol).mkdir(parents=True, exist_ok=True)
        shutil.copy(
            run.result(ResultKey("own", protocol, name)) / "albedo.png", folder / protocol / f"{name}_front.png"
        )
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_views_become_results_of_the_same_bytes(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    """The same files are the same numbers, whatever measures them."""
    code, said, _ = command(views, "--licence", "CC0", "--source", "a paper")
    assert code == 0
    assert (said["kind"], said["guessed"], said["imported"]["made"]) == ("views", True, 4)
    for protocol, name in everyone():
        theirs, own = (run.result(ResultKey(method, protocol, name)) for method in ("theirs", "own"))
        record = run.finished(ResultKey("theirs", protocol, name))
        assert record is not None
        assert sorted(record["files"]) == ["views/fitted.png", "views/fitted_mask.png"]
        for file in record["files"]:
            assert (theirs / file).read_bytes() == (own / file).read_bytes()
    parameters = run.read_config()["methods"]["theirs"]
    assert {k: parameters[k] for k in ("imported", "source", "licence", "files")} == {
        "imported": "views",
        "source": "a paper",
        "licence": "CC0",
        "files": 8,
    }
    assert len(parameters["sha256"]) == 64


def test_a_view_of_the_whole_photograph_is_cut_to_the_crop(
    run: RunFolder, views: Path, command: Callable[..., Outcome]
) -> None:
    fit = known_fit()
    box = crop_box(face(), fit)
    whole = np.random.default_rng(0).integers(0, 256, (fit.camera.height, fit.camera.width, 3)).astype(np.uint8)
    (views / "identity" / "anna.mask.png").unlink()
    Image.fromarray(whole).save(views / "identity" / "anna.png")
    code, said, _ = command(views, "--kind", "views")
    assert code == 0, said
    place = run.result(ResultKey("theirs", "identity", "anna")) / "views"
    assert (np.asarray(Image.open(place / "fitted.png")) == cropped(whole, box)).all()
    assert read_png(place / "fitted_mask.png").all(), "without a mask the whole picture counts"


def test_a_transparent_view_lies_over_what_the_method_was_given(
    run: RunFolder, views: Path, command: Callable[..., Outcome]
) -> None:
    file = views / "identity" / "anna.png"
    (views / "identity" / "anna.mask.png").unlink()
    colours = np.asarray(Image.open(file))
    alpha = np.zeros(colours.shape[:2], np.uint8)
    alpha[20:60, 20:60], alpha[60:80, 20:60] = 255, 51
    Image.fromarray(np.dstack([colours, alpha])).save(file)
    code, said, _ = command(views, "--kind", "views")
    assert code == 0
    assert ["has an alpha channel"] in [fit["notes"] for fit in said["fits"]]
    place = run.result(ResultKey("theirs", "identity", "anna")) / "views"
    given = cropped(read_png(run.given("anna", "identity")), crop_box(face(), known_fit()))
    assert (read_png(place / "fitted_mask.png") == (alpha == 255)).all()
    made = read_png(place / "fitted.png")
    weight = alpha[..., None] / 255
    assert made == pytest.approx(weight * colours / 255 + (1 - weight) * given, abs=0.6 / 255)


def test_an_albedo_map_is_rendered_as_the_run_renders(
    run: RunFolder, albedos: Path, command: Callable[..., Outcome]
) -> None:
    """Of an albedo that 8 bits hold exactly, every file is the one that the run itself made."""
    code, said, _ = command(albedos)
    assert (code, said["kind"]) == (0, "albedo")
    for protocol, name in everyone():
        theirs, own = (run.result(ResultKey(method, protocol, name)) for method in ("theirs", "own"))
        for file in ("albedo.png", "mask.png", "views/fitted_mask.png", "views/fitted.png"):
            assert read_png(theirs / file) == pytest.approx(read_png(own / file), abs=1e-6), file
        assert (theirs / "head.glb").is_file()


def test_an_albedo_of_another_size_is_averaged_and_its_mask_kept(
    run: RunFolder, albedos: Path, command: Callable[..., Outcome]
) -> None:
    """A map of doubled texels has the mean of four equal ones."""
    file = albedos / "identity" / "anna_front.png"
    pixels = np.asarray(Image.open(file))
    marked = np.zeros(pixels.shape[:2], bool)
    marked[:, : SIZE // 2] = True
    Image.fromarray(pixels.repeat(2, 0).repeat(2, 1)).save(file)
    Image.fromarray(marked.repeat(2, 0).repeat(2, 1)).save(file.with_name("anna_front.mask.png"))
    assert command(albedos, "--kind", "albedo")[0] == 0
    place = run.result(ResultKey("theirs", "identity", "anna"))
    assert (np.asarray(Image.open(place / "albedo.png")) == pixels).all()
    assert (read_png(place / "mask.png") == (marked & face_masks(face(), SIZE).face)).all()


def write_mesh(folder: Path, name: str) -> np.ndarray:
    """The toy's mean head, turned, moved, in millimetres, with u and v exchanged and the person's texture; what the
    texture holds, ``(SIZE, SIZE, 3)`` linear."""
    model, place = face(), folder / "identity" / name
    place.mkdir(parents=True)
    turn = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    vertices = 10.0 * model.mean @ turn.T + (30, -400, 12)
    with (place / "mesh.obj").open("w") as file:
        file.write("mtllib mesh.mtl\nusemtl skin\n")
        np.savetxt(file, vertices, "v %.6f %.6f %.6f")
        np.savetxt(file, model.uv[:, ::-1], "vt %.6f %.6f")
        # Exchanging u and v mirrors the layout, not the surface.
        np.savetxt(file, np.repeat(model.triangles + 1, 2, axis=1), "f %d/%d %d/%d %d/%d")
    (place / "mesh.mtl").write_text("newmtl skin\nmap_Kd texture.png\n")
    laid = albedo_of(name)
    # Texel (row, column) lies at u = column, v = S − 1 − row: exchanged, rows and columns swap about the diagonal.
    write_png(place / "texture.png", linear_to_srgb(laid[::-1, ::-1].swapaxes(0, 1)))
    points = 10.0 * model.landmarks(model.mean) @ turn.T + (30, -400, 12)
    listed = ", ".join(f"[{x:.3f}, {y:.3f}, {z:.3f}]" for x, y, z in points)
    (place / "subject.toml").write_text(
        f'units = "millimetre"\nlandmarks = [{listed}]\n[maps.albedo]\nfile = "texture.png"\n'
    )
    return laid


def test_a_mesh_is_laid_onto_the_fitted_head(run: RunFolder, tmp_path: Path, command: Callable[..., Outcome]) -> None:
    """The fitted head itself, moved and in another layout, comes back where and as it was."""
    from recon.runs.views import read_vertices

    wanted = write_mesh(tmp_path / "meshes", "anna")
    code, said, error = command(tmp_path / "meshes", "--protocols", "identity")
    assert code == 5, error
    assert (said["kind"], len(said["missing"]), said["imported"]["failed"]) == ("mesh", 1, [])
    place = run.result(ResultKey("theirs", "identity", "anna"))
    mask = read_png(place / "mask.png").astype(bool)
    assert mask.sum() > 0.9 * face_masks(face(), SIZE).face.sum()
    off = np.abs(read_png(place / "albedo.png") - linear_to_srgb(wanted))[mask]
    assert np.median(off) < 2 / 255
    vertices = read_vertices(place / "head.glb", face(), face().mean)
    inside = face().regions["face"]
    assert np.linalg.norm(vertices - face().mean, axis=1)[inside].max() < 0.03, "0.3 mm"
    record = run.finished(ResultKey("theirs", "identity", "anna"))
    assert record is not None
    assert record["record"]["mesh"]["landmarks"]["origin"] == "given"


def as_glb(place: Path) -> Path:
    """The mesh of ``place`` as one file, with a second, smaller material that has no texture."""
    import trimesh

    scene = trimesh.load_scene(place / "mesh.obj", process=False)
    scene.add_geometry(trimesh.creation.icosphere(subdivisions=1, radius=0.1))
    path = place.parent / f"{place.name}.glb"
    scene.export(path)
    return path


def test_the_texture_of_a_mesh_is_found_in_its_own_material(tmp_path: Path) -> None:
    """OBJ with its MTL, and the same as GLB: one scan, one texture."""
    write_mesh(tmp_path, "anna")
    place = tmp_path / "identity" / "anna"
    (place / "subject.toml").unlink()
    found = []
    for source in (place, as_glb(place)):
        scratch = tmp_path / f"scratch{source.suffix}"
        scratch.mkdir()
        known = scan_source(source, scratch)
        scan, texture = read_scan(known.mesh), np.asarray(Image.open(known.maps["albedo"].path))
        assert (texture == np.asarray(Image.open(place / "texture.png"))).all()
        found.append(scan)
    assert described_scan(place)[0] == f"{len(face().triangles)} triangles, texture {SIZE}×{SIZE}"
    assert "1 other parts are left out" in described_scan(as_glb(place))[1][0]
    corners = [scan.vertices[scan.triangles] for scan in found]
    assert corners[0] == pytest.approx(corners[1], rel=1e-6, abs=1e-4)
    coordinates = [scan.uv[scan.uv_triangles] for scan in found]
    assert coordinates[0] == pytest.approx(coordinates[1], abs=1e-5)


@pytest.mark.parametrize("how", ["absent", "damaged", "no mesh", "two meshes", "cut off"])
def test_a_mesh_that_cannot_be_used_is_named(tmp_path: Path, how: str) -> None:
    write_mesh(tmp_path, "anna")
    place = tmp_path / "identity" / "anna"
    (place / "subject.toml").unlink()
    source, words = place, "mesh.obj' has no texture"
    if how == "absent":
        (place / "texture.png").unlink()
    elif how == "damaged":
        (place / "texture.png").write_bytes(b"no picture")
    elif how == "no mesh":
        (place / "mesh.obj").unlink()
        words = "holds no mesh"
    elif how == "two meshes":
        shutil.copy(place / "mesh.obj", place / "other.obj")
        words = "several meshes"
    else:
        source = as_glb(place)
        source.write_bytes(source.read_bytes()[:20000])
        words = "anna.glb' cannot be read"
    with pytest.raises(InputError, match=words):
        described_scan(source)


def test_a_dry_run_writes_nothing(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    before = tree(run.path)
    code, said, _ = command(views, "--dry-run")
    assert (code, len(said["fits"]), said["imported"]) == (0, 4, None)
    assert tree(run.path) == before


def test_gaps_and_strangers_are_named_and_the_rest_is_imported(
    run: RunFolder, views: Path, command: Callable[..., Outcome]
) -> None:
    (views / "identity" / "bert.png").rename(views / "identity" / "brt.png")
    (views / "blur-3").rename(views / "blur-4")
    code, said, _ = command(views, "--kind", "views")
    assert code == 5
    assert said["imported"]["made"] == 1
    assert said["missing"] == [
        {"protocol": "identity", "subject": "bert"},
        {"protocol": "blur:3", "subject": "anna"},
        {"protocol": "blur:3", "subject": "bert"},
    ]
    reasons = {entry["file"]: entry["reason"] for entry in said["extra"]}
    assert "did you mean 'bert'" in reasons["identity/brt.png"]
    assert "did you mean 'blur-3'" in reasons["blur-4/"]


def sixteen_bits(path: Path, size: tuple[int, int]) -> None:
    rows = np.full((size[1], size[0] * 3), 40000, np.uint16)
    with path.open("wb") as file:
        png.Writer(*size, bitdepth=16, greyscale=False).write(file, rows.tolist())


def spoil(path: Path, how: str) -> None:
    with Image.open(path) as image:
        picture, size = image.copy(), image.size
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "no picture":
        path.write_text("no picture")
    elif how == "one pixel":
        picture.crop((0, 0, 1, 1)).save(path)
    elif how == "other size":
        picture.resize((size[0] + 1, size[1])).save(path)
    elif how == "cmyk":
        picture.convert("CMYK").save(path, format="TIFF")
    elif how == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(path, exif=exif)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "truncated or damaged"),
        ("empty", "is an empty file"),
        ("no picture", "is no picture that can be read"),
        ("one pixel", "is 1×1, a view of it has"),
        ("other size", "a view of it has"),
        ("cmyk", "colour mode CMYK"),
        ("turned", "save it upright"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_the_others_go_on(
    run: RunFolder, views: Path, command: Callable[..., Outcome], how: str, words: str
) -> None:
    spoil(views / "identity" / "anna.png", how)
    code, said, _ = command(views, "--kind", "views")
    assert code == 5
    assert said["imported"]["made"] == 3
    (bad,) = said["unusable"]
    assert (bad["protocol"], bad["subject"]) == ("identity", "anna")
    assert "anna.png" in bad["message"] and words in bad["message"]
    assert not run.result(ResultKey("theirs", "identity", "anna")).exists()


def test_what_is_unusual_about_a_picture_is_said(tmp_path: Path) -> None:
    """Modes that Pillow and pypng write; 40000 of 65535 is 155.6 of 255, of which Pillow keeps 40000 >> 8 = 156."""
    path = tmp_path / "a.png"
    sixteen_bits(path, (8, 6))
    deep = read_picture(path)
    assert deep.notes == ("16 bits, kept as 8",) and deep.size == (8, 6)
    assert deep.srgb == pytest.approx(156 / 255, abs=1e-6)
    Image.new("L", (8, 6), 51).save(path)
    assert read_picture(path).notes == ("grey",)
    assert read_picture(path).srgb == pytest.approx(0.2, abs=1e-6)
    Image.new("I;16", (8, 6), 13107).save(path)
    assert read_picture(path).srgb == pytest.approx(0.2, abs=1e-6)
    Image.new("RGBA", (8, 6), (1, 2, 3, 255)).save(path)
    opaque = read_picture(path)
    assert opaque.alpha is None and "opaque" in opaque.notes[0]
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg")
    assert "compression" in read_picture(tmp_path / "a.jpg").notes[0]


def test_the_kind_is_asked_for_where_files_do_not_tell(
    run: RunFolder, albedos: Path, views: Path, command: Callable[..., Outcome]
) -> None:
    shutil.copy(albedos / "identity" / "anna_front.png", views / "identity" / "anna.png")
    code, _, error = command(views)
    assert code == 2
    assert "--kind" in error


@pytest.mark.parametrize("name", ["pca", "own", "external", "a/b", "", "-x"])
def test_a_name_of_mesoface_is_refused(run: RunFolder, views: Path, command: Callable[..., Outcome], name: str) -> None:
    before = tree(run.path)
    code, _, error = command(views, "--method", name, "--force")
    assert code == 2
    assert "--method" in error or "is a method of mesoface" in error
    assert tree(run.path) == before


def test_other_results_under_the_name_need_force(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    assert command(views)[0] == 0
    before = tree(run.path)
    assert command(views)[1]["imported"] == {"made": 0, "kept": 4, "removed": [], "failed": []}
    assert tree(run.path) == before
    Image.new("RGB", Image.open(views / "identity" / "anna.png").size, (9, 9, 9)).save(views / "identity" / "anna.png")
    (views / "blur-3" / "bert.png").unlink()
    code, _, error = command(views)
    assert code == 2
    assert "1 would change" in error and "--force" in error
    assert tree(run.path) == before
    code, said, _ = command(views, "--force")
    assert code == 5
    assert (said["imported"]["made"], said["imported"]["kept"]) == (1, 2)
    assert said["imported"]["removed"] == [{"protocol": "blur:3", "subject": "bert"}]
    assert run.finished(ResultKey("theirs", "blur:3", "bert")) is None


def test_what_comes_later_is_added_without_force(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    """In two steps the run says the same as in one."""
    assert command(views, "--protocols", "identity")[0] == 0
    code, said, _ = command(views)
    assert (code, said["imported"]["made"], said["imported"]["kept"]) == (0, 2, 2)
    in_two = run.read_config()["methods"]["theirs"]
    shutil.rmtree(run.path / "results" / "theirs")
    assert command(views)[0] == 0
    assert run.read_config()["methods"]["theirs"] == in_two


def test_folders_of_one_source_add_up_and_another_licence_needs_force(
    run: RunFolder, views: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (views / "blur-3").rename(other / "blur-3")
    assert command(views, "--source", "a paper")[0] == 5
    code, said, _ = command(other, "--source", "a paper")
    assert (code, said["imported"]["made"], said["imported"]["removed"]) == (5, 2, [])
    assert run.read_config()["methods"]["theirs"]["files"] == 8
    before = tree(run.path)
    code, _, error = command(other, "--source", "a paper", "--licence", "CC0")
    assert (code, "from 'a paper' under 'unknown'" in error) == (2, True)
    assert tree(run.path) == before
    code, said, _ = command(other, "--source", "a paper", "--licence", "CC0", "--protocols", "blur:3", "--force")
    assert code == 0
    assert [gone["protocol"] for gone in said["imported"]["removed"]] == ["identity", "identity"], "of other terms"
    assert run.read_config()["methods"]["theirs"]["licence"] == "CC0"


def test_a_missing_folder_an_empty_one_and_an_unknown_protocol(
    run: RunFolder, views: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    code, _, error = command(tmp_path / "nowhere")
    assert (code, "is no folder" in error) == (3, True)
    (tmp_path / "empty").mkdir()
    code, _, error = command(tmp_path / "empty")
    assert (code, "holds nothing of the kind" in error) == (3, True)
    code, _, error = command(views, "--protocols", "blur:4")
    assert (code, "did you mean 'blur:3'" in error) == (2, True)


def test_imported_views_have_no_head_to_render(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    from recon.errors import UsageError
    from recon.runs.pictures import render_run

    assert command(views)[0] == 0
    order = PictureOrder(run.path, "gbuffer", ("fitted",))
    tasks, _ = pending(order, run, ["own", "theirs"], list(PROTOCOLS), list(PEOPLE))
    assert {task.key.method for task in tasks} == {"own"}
    with pytest.raises(UsageError, match="imported as views"):
        render_run(order, lambda stage, done, total: None, methods=["theirs"])


def test_a_killed_import_goes_on(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    """Killed by the system between two results; the second call gives what an undisturbed one gives."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from recon.runs.importing import making, survey\n"
        "real, calls = making.write_json, []\n"
        "def slow(path, value):\n"
        "    calls.append(path)\n"
        "    if len(calls) == 2: print('ready', flush=True); time.sleep(60)\n"
        "    real(path, value)\n"
        "making.write_json = slow\n"
        "from recon.runs.folder import RunFolder\n"
        "run = RunFolder(Path(sys.argv[1]))\n"
        "found = survey(Path(sys.argv[2]), run, 'theirs')\n"
        "making.import_results(found, run, 'theirs', making.Terms('views'))\n"
    )
    root = Path(mesoface.__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(run.path), str(views)],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert sum(run.finished(ResultKey("theirs", *place)) is not None for place in everyone()) == 1
    code, said, _ = command(views)
    assert (code, said["imported"]["made"], said["imported"]["kept"]) == (0, 3, 1)
    interrupted = tree(run.path / "results" / "theirs")
    shutil.rmtree(run.path / "results" / "theirs")
    assert command(views)[0] == 0
    assert tree(run.path / "results" / "theirs") == interrupted


def test_a_run_that_lacks_a_reference_says_so(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    (run.judged("bert", "identity") / "reference.json").unlink()
    code, said, _ = command(views, "--kind", "views")
    assert (code, said["imported"]["made"]) == (5, 3)
    assert "no complete reference" in said["unusable"][0]["message"]


def test_another_version_of_the_face_model_is_refused(
    run: RunFolder, albedos: Path, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recon.face_model.load_face_model", lambda name: replace(face(), version="2"))
    code, _, error = command(albedos)
    assert (code, "version 1" in error) == (3, True)
    assert read_json(run.config)["methods"]["own"] == {}
