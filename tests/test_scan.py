"""Reading scans: meshes of every format, maps and their colour spaces, and what cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from capture_scans import CylinderScan, cylinder_scan, write_obj
from PIL import Image
from scipy.spatial import cKDTree

from recon.capture.scan import Scan, read_scan
from recon.capture.scan_landmarks import find_face, upright
from recon.capture.texture_map import MapFile, read_map
from recon.colour import linear_to_srgb
from recon.errors import FaceNotFoundError, InputError
from recon.exr import write_exr
from recon.face_model.anny import load_anny
from recon.png16 import write_png16


@pytest.fixture(scope="module")
def scanned() -> CylinderScan:
    model = load_anny()
    return cylinder_scan(model, model.mean, 100)


# --- meshes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_other_mesh_formats_say_the_same(suffix: str, tmp_path: Path, scanned: CylinderScan) -> None:
    import trimesh

    mesh = scanned.scan
    write_obj(tmp_path / "mesh.obj", scanned)
    visual = trimesh.visual.TextureVisuals(uv=mesh.uv)
    trimesh.Trimesh(mesh.vertices * 10, mesh.triangles, visual=visual, process=False).export(tmp_path / f"m{suffix}")
    one, other = read_scan(tmp_path / "mesh.obj"), read_scan(tmp_path / f"m{suffix}")
    assert len(one.triangles) == len(other.triangles)
    middles = [found.vertices[found.triangles].mean(axis=1) for found in (one, other)]
    gap, partner = cKDTree(middles[0]).query(middles[1])
    assert gap.max() < 1e-3 and len(np.unique(partner)) == len(partner)
    uv = [found.uv[found.uv_triangles].mean(axis=1) for found in (one, other)]
    assert uv[1] == pytest.approx(uv[0][partner], abs=1e-4)


def test_seams_of_the_layout_are_no_seams_of_the_surface(tmp_path: Path, scanned: CylinderScan) -> None:
    """Every triangle with corners of its own, as glTF and many scanners write them."""
    import trimesh

    mesh = scanned.scan
    corners = mesh.triangles.ravel()
    separate = np.arange(len(corners)).reshape(-1, 3)
    visual = trimesh.visual.TextureVisuals(uv=mesh.uv[corners])
    trimesh.Trimesh(mesh.vertices[corners], separate, visual=visual, process=False).export(tmp_path / "soup.ply")
    found = read_scan(tmp_path / "soup.ply")
    assert len(found.vertices) == len(np.unique(mesh.vertices[np.unique(mesh.triangles)].astype(np.float32), axis=0))
    assert found.border.mean() < 0.1


def broken_mesh(path: Path, scanned: CylinderScan, how: str) -> None:
    mesh = scanned.scan
    if how == "no uv":
        with path.open("w") as file:
            np.savetxt(file, mesh.vertices, "v %.5f %.5f %.5f")
            np.savetxt(file, mesh.triangles + 1, "f %d %d %d")
    elif how == "not manifold":
        doubled = replace(mesh, triangles=np.tile(mesh.triangles, (2, 1)))
        write_obj(path, replace(scanned, scan=doubled))
    elif how == "flipped at random":
        flip = np.random.default_rng(0).random(len(mesh.triangles)) < 0.3
        mixed = np.where(flip[:, None], mesh.triangles[:, ::-1], mesh.triangles)
        write_obj(path, replace(scanned, scan=replace(mesh, triangles=mixed)))
    elif how == "many tiles":
        write_obj(path, replace(scanned, scan=replace(mesh, uv=mesh.uv * 3)))
    elif how == "a proxy":
        write_obj(path, replace(scanned, scan=replace(mesh, triangles=mesh.triangles[:200])))
    elif how == "text":
        path.write_text("once upon a time\n")
    elif how == "truncated":
        write_obj(path, scanned)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10] + b"\nf 99999999/1 2/2 3/3\n")
    elif how == "nan":
        worse = mesh.vertices.copy()
        worse[5] = np.nan
        write_obj(path, replace(scanned, scan=replace(mesh, vertices=worse)))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no uv", "has no texture coordinates.*export it with UV"),
        ("not manifold", "not a manifold surface.*three triangles"),
        ("flipped at random", "not a manifold surface.*neighbours face apart"),
        ("many tiles", "several UV tiles"),
        ("a proxy", "too few for a face"),
        ("text", "no polygons"),
        ("truncated", "export it again"),
        ("nan", "not finite"),
    ],
)
def test_a_mesh_that_cannot_be_used_is_said(how: str, says: str, tmp_path: Path, scanned: CylinderScan) -> None:
    path = tmp_path / "bad mesh.obj"
    broken_mesh(path, scanned, how)
    with pytest.raises(InputError, match=rf"bad mesh\.obj.*{says}"):
        read_scan(path)


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_damaged_files_of_other_formats_are_said(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(b"glTF or ply, who knows" * 9)
    with pytest.raises(InputError, match=rf"bad\{suffix}' (cannot be read|has no polygons).*export it again"):
        read_scan(path)


def test_a_material_that_is_not_there_is_said(tmp_path: Path, scanned: CylinderScan) -> None:
    write_obj(tmp_path / "mesh.obj", scanned)
    with pytest.raises(InputError, match=r"mesh\.obj' has no material 'Skin'"):
        read_scan(tmp_path / "mesh.obj", ("Skin",))


# --- maps ---


def test_colour_spaces_are_guessed_from_the_format_and_reported(tmp_path: Path) -> None:
    """Half of the light everywhere, stored in four ways; sRGB of 0.5 is 188/255 (IEC 61966-2-1)."""
    half = np.full((128, 128, 3), 0.5, np.float32)
    write_exr(tmp_path / "a.exr", half)
    write_png16(tmp_path / "b.png", linear_to_srgb(half))
    Image.fromarray(np.full((128, 128, 3), 188, np.uint8)).save(tmp_path / "c.jpg", quality=100)
    for name, says in (("a.exr", "linear (floating point)"), ("b.png", "sRGB (16 bits)"), ("c.jpg", "sRGB (8 bits)")):
        found = read_map("albedo", MapFile(tmp_path / name))
        assert found.values == pytest.approx(0.5, abs=4e-3) and found.record["guessed"]
        assert any(says in note for note in found.notes)
    declared = read_map("albedo", MapFile(tmp_path / "b.png", "linear"))
    assert declared.values == pytest.approx(float(linear_to_srgb(np.float32(0.5))), abs=1e-4)
    assert not declared.record["guessed"] and not declared.notes


# --- orientation ---


def test_a_ball_has_no_face(asset: Callable[[str], Path]) -> None:
    import trimesh

    asset("dlib-landmarks")
    ball = trimesh.creation.icosphere(subdivisions=4)
    faces = np.asarray(ball.faces, np.int32)
    scan = Scan("ball.obj", np.asarray(ball.vertices), faces, np.zeros((0, 2)), faces, np.ones(len(faces), bool))
    with pytest.raises(FaceNotFoundError, match=r"'ball\.obj'.*subject\.toml"):
        find_face(scan, None, ("+y", "+z"))


def test_upright_is_a_rotation_that_does_what_it_says() -> None:
    for up, forward in (("+z", "-y"), ("-x", "+z"), ("+y", "+z")):
        rotation = upright(up, forward)
        assert np.linalg.det(rotation) == pytest.approx(1)
        axis = {name: np.eye(3)["xyz".index(name[1])] * (1 if name[0] == "+" else -1) for name in (up, forward)}
        assert rotation @ axis[up] == pytest.approx([0, 1, 0]) and rotation @ axis[forward] == pytest.approx([0, 0, 1])
