"""``mesoface results import``: another system's meshes are laid onto the fitted head."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from import_toy import SIZE, Outcome, albedo_of
from PIL import Image
from texture_toy import face

from recon.capture.scan import read_scan
from recon.colour import linear_to_srgb
from recon.errors import InputError
from recon.images import read_png, write_png
from recon.runs.folder import ResultKey, RunFolder
from recon.runs.importing.scan_folder import described_scan, scan_source
from recon.texture.completion import face_masks


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
