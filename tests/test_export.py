"""Heads in the formats of studios, re-opened by independent readers: trimesh, pygltflib, usd-core, MaterialX, mitsuba,
pypng, Pillow and, where it is installed, Blender."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.colour import linear_to_srgb
from recon.data.subject import Licence
from recon.errors import AssetError, ImageError, InputError, StorageError, UsageError
from recon.face_model.model import MorphableModel
from recon.rendering import Scene
from recon.rendering.export import FORMATS, Head, Provenance, export_head, gltf, write_glb
from recon.rendering.export.decimation import coarse_parts, collapse
from recon.rendering.export.head import check_formats
from recon.rendering.export.maps import write_albedo_exr, write_albedo_png
from recon.rendering.export.provenance import licence_address
from recon.rendering.export.surfaces import index_of_refraction
from recon.rendering.mitsuba_renderer import load_mitsuba
from recon.rendering.sampling import padded
from tests.rendering_scenes import EYE_CENTRE, EYE_RADIUS, UNIT, looking, model_of, scene_of, smooth_albedo, sphere_grid

CITATION = "Müller, Ž. (2017): Portraits. doi 10.1/x"
OPEN = Licence("CC BY 4.0", CITATION, redistributable=True)
PARTS = ["skin", "head", "eye_left", "teeth", "lashes"]


@lru_cache(maxsize=1)
def whole() -> MorphableModel:
    """A head with one part of every kind: texture, colours a vertex, painted eye, one colour, opacity."""
    positions, triangles, uv = sphere_grid(1.0, (0, 0, 0), 40)
    front = positions[triangles].mean(axis=1)[:, 2] > 0
    eye = sphere_grid(EYE_RADIUS, EYE_CENTRE, 16)
    x, y = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 4))
    arc = (x.ravel() - 0.5) * 1.2
    radius = EYE_RADIUS * (1.0 + 0.2 * y.ravel())
    strip = np.stack([radius * np.sin(arc), 0.3 * radius, radius * np.cos(arc)], axis=1) + EYE_CENTRE
    index = np.arange(36).reshape(4, 9)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    quads = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    lashes = (strip.astype(np.float32), quads, np.stack([x.ravel(), y.ravel()], 1).astype(np.float32))
    return model_of(
        [
            ("face", positions, triangles[front], uv),
            ("body", positions, triangles[~front], uv),
            ("sclera_left", *eye),
            ("teeth", *sphere_grid(0.1, (0, -0.4, 0.5), 12)),
            ("lashes_left", *lashes),
        ]
    )


def provenance(licence: Licence = OPEN) -> Provenance:
    return Provenance("ada", "portraits", licence, "meso", "test 1", "MIT", "blur:8", "ab12", attributes={"age": "36"})


def head(size: int = 64, licence: Licence = OPEN) -> Head:
    scene = scene_of(whole(), looking(5.0, 100.0, 40), smooth_albedo(size))
    mask = np.zeros((size, size), bool)
    mask[: size // 2] = True
    return Head(scene, mask, provenance(licence))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One head in all formats."""
    pytest.importorskip("pxr", reason="needs the extra [usd]")
    pytest.importorskip("MaterialX", reason="needs the extra [usd]")
    out = tmp_path_factory.mktemp("export")
    export_head(out, head(), FORMATS)
    return out


# --- re-opened --------------------------------------------------------------------------------------------------------


def test_the_record_names_every_file_and_its_sum(folder: Path) -> None:
    import hashlib

    record = json.loads((folder / "export.json").read_text())
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert present == {*record["files"], "export.json"}
    for name, digest in record["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert record["parts"] == PARTS and record["licence"]["citation"] == CITATION
    assert record["conventions"]["length_unit"] == "metre" and record["protocol"] == "blur:8"


def test_trimesh_reads_the_obj(folder: Path) -> None:
    import trimesh

    loaded = trimesh.load_scene(folder / "head.obj", process=False).geometry
    assert set(loaded) == set(PARTS)
    for part in head().scene.parts:
        mesh = loaded[part.name]
        assert len(mesh.faces) == len(part.triangles)
        # Readers may number vertices anew: the corners of the triangles are compared.
        np.testing.assert_allclose(
            mesh.vertices[mesh.faces], (part.positions * UNIT)[part.triangles], atol=1e-7, err_msg=part.name
        )
        if part.texcoord is not None:
            np.testing.assert_allclose(mesh.visual.uv[mesh.faces], part.texcoord[part.triangles], atol=1e-6)
    skin = loaded["skin"].visual.material
    assert np.array_equal(np.asarray(skin.image.convert("RGB")), np.asarray(Image.open(folder / "textures/skin.png")))
    materials = (folder / "head.mtl").read_text()
    assert "map_d textures/lashes.png" in materials and "map_Kd textures/eye.png" in materials
    text = (folder / "head.obj").read_text()[:1500]
    assert "metres, y up" in text and CITATION in text and "CC BY 4.0" in text


def test_pygltflib_reads_the_glb(folder: Path) -> None:
    pygltflib = pytest.importorskip("pygltflib")
    file = pygltflib.GLTF2().load(str(folder / "head.glb"))
    assert [node.name for node in file.nodes] == [*PARTS, "head"]
    assert file.asset.version == "2.0" and file.asset.copyright == f"CC BY 4.0. {CITATION}"
    assert file.asset.extras["provenance"]["subject"] == "ada"
    materials = {material.name: material for material in file.materials}
    assert all(material.pbrMetallicRoughness.metallicFactor == 0 for material in materials.values())
    assert materials["lashes"].alphaMode == "BLEND" and materials["skin"].alphaMode == "OPAQUE"
    assert materials["teeth"].pbrMetallicRoughness.baseColorFactor == pytest.approx([0.55, 0.47, 0.36, 1.0], abs=1e-6)
    blob = file.binary_blob()
    for mesh, part in zip(file.meshes, head().scene.parts, strict=True):
        attributes = mesh.primitives[0].attributes
        accessor = file.accessors[attributes.POSITION]
        view = file.bufferViews[accessor.bufferView]
        points = np.frombuffer(blob, "<f4", accessor.count * 3, view.byteOffset).reshape(-1, 3)
        np.testing.assert_array_equal(points, (part.positions * UNIT).astype(np.float32))
        assert accessor.min == pytest.approx(points.min(axis=0).tolist())
        assert view.byteOffset % 4 == 0
        assert (attributes.COLOR_0 is not None) == (part.name == "head")
        assert (attributes.TEXCOORD_0 is not None) == (part.texcoord is not None)


def test_colours_of_vertices_are_linear_in_a_glb(folder: Path) -> None:
    """glTF 2.0, 3.9.2: COLOR_0 multiplies the base colour in linear space."""
    pygltflib = pytest.importorskip("pygltflib")
    file = pygltflib.GLTF2().load(str(folder / "head.glb"))
    accessor = file.accessors[file.meshes[1].primitives[0].attributes.COLOR_0]
    assert (accessor.componentType, accessor.normalized, accessor.type) == (pygltflib.UNSIGNED_SHORT, True, "VEC4")
    place = file.bufferViews[accessor.bufferView].byteOffset
    stored = np.frombuffer(file.binary_blob(), "<u2", accessor.count * 4, place).reshape(-1, 4) / 65535
    np.testing.assert_allclose(stored[:, :3], head().scene.parts[1].colour, atol=0.5 / 65535 + 1e-7)


def test_usd_reads_the_usd(folder: Path) -> None:
    pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom, UsdShade

    stage = Usd.Stage.Open(str(folder / "head.usdc"))
    assert (UsdGeom.GetStageMetersPerUnit(stage), UsdGeom.GetStageUpAxis(stage)) == (1.0, "Y")
    assert str(stage.GetDefaultPrim().GetPath()) == "/head"
    kept = stage.GetRootLayer().customLayerData["mesoface"]
    assert kept["licence"]["citation"] == CITATION and kept["method"] == "meso"
    for part in head().scene.parts:
        mesh = UsdGeom.Mesh.Get(stage, f"/head/geometry/{part.name}")
        np.testing.assert_array_equal(np.array(mesh.GetPointsAttr().Get()), (part.positions * UNIT).astype(np.float32))
        corners = np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
        np.testing.assert_array_equal(corners, part.triangles)
        assert len(mesh.GetNormalsAttr().Get()) == len(part.positions)
        assert mesh.GetSubdivisionSchemeAttr().Get() == "none"
        if part.texcoord is not None:
            st = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st")
            np.testing.assert_array_equal(np.array(st.Get()), part.texcoord)
        material = UsdShade.MaterialBindingAPI(mesh.GetPrim()).ComputeBoundMaterial()[0]
        preview = material.ComputeSurfaceSource("")[0]
        standard = material.ComputeSurfaceSource("mtlx")[0]
        assert preview.GetIdAttr().Get() == "UsdPreviewSurface"
        assert standard.GetIdAttr().Get() == "ND_standard_surface_surfaceshader"
        assert preview.GetInput("roughness").Get() == pytest.approx(part.roughness)
        assert standard.GetInput("specular_IOR").Get() == pytest.approx(index_of_refraction(part), abs=1e-4)


def test_usd_textures_say_their_colour_space_and_are_found(folder: Path) -> None:
    pytest.importorskip("pxr")
    from pxr import Usd, UsdShade

    stage = Usd.Stage.Open(str(folder / "head.usdc"))

    def texture(part: str) -> UsdShade.Shader:
        return UsdShade.Shader.Get(stage, f"/head/materials/{part}/preview_texture")

    assert texture("skin").GetInput("sourceColorSpace").Get() == "sRGB"
    assert texture("lashes").GetInput("sourceColorSpace").Get() == "raw"
    for part in ("skin", "eye_left", "lashes"):
        found = texture(part).GetInput("file").Get()
        assert Path(found.resolvedPath).resolve() == (folder / found.path).resolve()
        assert Path(found.resolvedPath).is_file()
    skin = UsdShade.Shader.Get(stage, "/head/materials/skin/standard_surface")
    source, name, _ = skin.GetInput("base_color").GetConnectedSource()
    assert UsdShade.Shader(source.GetPrim()).GetIdAttr().Get() == "ND_image_color3" and name == "out"
    image = UsdShade.Shader.Get(stage, "/head/materials/skin/texture")
    assert image.GetInput("file").GetAttr().GetColorSpace() == "srgb_texture"


def test_materialx_finds_the_document_valid(folder: Path) -> None:
    mx = pytest.importorskip("MaterialX")
    document, library = mx.createDocument(), mx.createDocument()
    mx.readFromXmlFile(document, str(folder / "head.mtlx"))
    mx.loadLibraries(mx.getDefaultDataLibraryFolders(), mx.getDefaultDataSearchPath(), library)
    document.importLibrary(library)
    assert document.validate() == (True, "")
    assert [one.getGeom() for one in document.getLook("head").getMaterialAssigns()] == [
        f"/head/geometry/{part}" for part in PARTS
    ]
    image = document.getNode("skin_base_color").getInput("file")
    assert (image.getValueString(), image.getColorSpace()) == ("textures/skin.png", "srgb_texture")
    assert (folder / image.getValueString()).is_file()
    assert document.getNode("skin_surface").getConnectedNode("base_color").getName() == "skin_base_color"
    assert document.getNode("head_surface").getConnectedNode("base_color").getCategory() == "geompropvalue"
    assert CITATION in document.getDocString()


def test_mitsuba_reads_the_exr(folder: Path) -> None:
    import drjit

    mi = load_mitsuba()
    drjit.set_thread_count(2)  # its own EXR reader waits without end if it has but one
    bitmap = mi.Bitmap(str(folder / "albedo.exr"))
    assert bitmap.component_format() == mi.Struct.Type.Float16
    scene = head().scene
    expected = padded(scene.albedo, scene.model).astype(np.float16)
    np.testing.assert_array_equal(np.array(bitmap), expected)
    assert bitmap.metadata()["owner"] == f"CC BY 4.0. {CITATION}"
    assert np.array_equal(np.asarray(Image.open(folder / "mask.png")), head().mask)


def test_pypng_reads_the_sixteen_bit_png(folder: Path) -> None:
    png = pytest.importorskip("png", reason="needs pypng")
    width, height, rows, about = png.Reader(str(folder / "albedo-16bit.png")).read()
    assert (width, height, about["bitdepth"], about["planes"]) == (64, 64, 16, 3)
    stored = np.stack([np.asarray(row) for row in rows]).reshape(64, 64, 3) / 65535
    scene = head().scene
    np.testing.assert_allclose(stored, linear_to_srgb(padded(scene.albedo, scene.model)), atol=0.5 / 65535 + 1e-7)
    with Image.open(folder / "albedo-16bit.png") as image:
        image.load()  # checks every chunk's sum
        assert image.info["Copyright"] == f"CC BY 4.0. {CITATION}" and "srgb" in image.info


_BLENDER = """
import json, sys, bpy
found = {}
for kind, path in (("glb", "head.glb"), ("obj", "head.obj"), ("usd", "head.usdc")):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    file = sys.argv[-1] + "/" + path
    read = {"glb": bpy.ops.import_scene.gltf, "obj": bpy.ops.wm.obj_import, "usd": bpy.ops.wm.usd_import}[kind]
    read(filepath=file)
    meshes = [one for one in bpy.data.objects if one.type == "MESH"]
    bounds = [one.matrix_world @ v.co for one in meshes for v in one.data.vertices]
    found[kind] = {
        "faces": {one.name.split(".")[0]: len(one.data.polygons) for one in meshes},
        "images": sorted(image.colorspace_settings.name for image in bpy.data.images if image.size[0] > 0),
        "height": max(p.z for p in bounds) - min(p.z for p in bounds),
    }
print("FOUND " + json.dumps(found))
"""


@pytest.mark.slow
def test_blender_imports_all_three(folder: Path) -> None:
    """Blender's world has z up: the importers turn y up into it, and read metres."""
    from recon.rendering.cycles_renderer import interpreter

    try:
        python = str(interpreter())
    except AssetError as error:
        pytest.skip(f"needs Blender: {error}")
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(
        [python, "-c", _BLENDER, str(folder)], capture_output=True, text=True, timeout=120, env=kept, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stdout[-2000:] + done.stderr[-2000:]
    parts = head().scene.parts
    for kind, found in json.loads(lines[0].removeprefix("FOUND ")).items():
        assert found["faces"] == {part.name: len(part.triangles) for part in parts}, kind
        assert found["height"] == pytest.approx(2 * UNIT, rel=1e-3), kind
        assert "sRGB" in found["images"], kind


# --- the mobile preset ------------------------------------------------------------------------------------------------


def test_collapsing_keeps_the_surface_and_its_open_edges() -> None:
    """On a unit sphere cut open, every vertex that is left is one of the sphere's, and the rim is whole."""
    positions, triangles, _ = sphere_grid(1.0, (0, 0, 0), 60)
    triangles = triangles[positions[triangles].mean(axis=1)[:, 1] > -0.4]
    area = np.linalg.norm(
        np.cross(
            positions[triangles[:, 1]] - positions[triangles[:, 0]],
            positions[triangles[:, 2]] - positions[triangles[:, 0]],
        ),
        axis=1,
    )
    triangles = triangles[area > 1e-9]
    coarse = collapse(positions, triangles, 0.3)
    assert 0.25 < len(coarse.triangles) / len(triangles) < 0.4
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    once, count = np.unique(edges, axis=0, return_counts=True)
    rim = np.unique(once[count == 1])
    assert set(rim) <= set(coarse.vertex_ids)
    corners = positions[coarse.vertex_ids][coarse.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = np.einsum("nx,nx->n", normal, corners.mean(axis=1)) > 0
    assert outward.mean() > 0.995
    # A chord of the coarse mesh stays this near to the sphere: sagitta of its longest edge, 1 − √(1 − (e/2)²).
    middle = np.linalg.norm(corners.mean(axis=1), axis=1)
    assert middle.min() > 0.97


def test_a_coarse_head_keeps_texture_coordinates_of_its_vertices() -> None:
    coarse = coarse_parts(whole())
    for part in head().scene.parts:
        chosen = coarse[part.name]
        assert len(chosen.triangles) <= len(part.triangles)
        assert chosen.triangles.max() < len(chosen.vertex_ids) <= len(part.positions)
    assert len(coarse["lashes"].triangles) == 48


def test_a_mobile_glb_is_small_and_is_read(tmp_path: Path) -> None:
    import trimesh

    grain = np.random.default_rng(0).normal(0, 0.04, (2048, 2048, 1)).astype(np.float32)
    scene = head().scene
    noisy = replace(scene, albedo=np.clip(smooth_albedo(2048) + grain, 0, 1))
    write_glb(tmp_path / "mobile.glb", noisy, provenance(), mobile=True)
    write_glb(tmp_path / "full.glb", noisy, provenance())
    size = (tmp_path / "mobile.glb").stat().st_size
    assert size <= 3_000_000 < (tmp_path / "full.glb").stat().st_size
    loaded = trimesh.load_scene(tmp_path / "mobile.glb").geometry
    assert set(loaded) == set(PARTS)
    assert len(loaded["skin"].faces) < 0.75 * len(noisy.parts[0].triangles)
    image = loaded["skin"].visual.material.baseColorTexture
    assert image.format == "JPEG" and image.size == (1024, 1024)
    wanted = np.asarray(Image.fromarray((linear_to_srgb(smooth_albedo(1024)) * 255).astype(np.uint8)), float)
    middle = (slice(200, 800), slice(300, 700))
    assert np.abs(np.asarray(image, float)[middle].mean(axis=(0, 1)) - wanted[middle].mean(axis=(0, 1))).max() < 2


def test_a_head_that_cannot_be_small_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gltf, "MOBILE_BYTES", 1000)
    with pytest.raises(InputError, match="without --mobile"):
        write_glb(tmp_path / "head.glb", head().scene, mobile=True)
    assert not list(tmp_path.iterdir())


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_formats_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    assert check_formats(["png", "obj", "obj"], False) == ("obj", "png")
    for formats, mobile, message in (
        (["fbx"], False, "no export format 'fbx'. Known: obj, glb, usd, exr, png"),
        ([], False, "names nothing"),
        (["obj"], True, "--mobile is a preset of glb"),
    ):
        with pytest.raises(UsageError, match=message):
            export_head(tmp_path / "out", head(), formats, mobile)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("package", "formats"), [("pxr", ["usd"]), ("MaterialX", ["usd"])])
def test_a_missing_package_names_the_extra(
    package: str, formats: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    pytest.importorskip("pxr", reason="needs the extra [usd]")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AssetError, match=r"mesoface\[usd\]"):
        export_head(tmp_path / "out", head(), formats)
    assert not (tmp_path / "out").exists()


def test_maps_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    spoilt = smooth_albedo(16)
    spoilt[3, 4, 1] = np.nan
    for write, name in ((write_albedo_exr, "albedo.exr"), (write_albedo_png, "albedo.png")):
        with pytest.raises(ImageError, match="not finite"):
            write(tmp_path / name, spoilt, provenance())
    assert not list(tmp_path.iterdir())


def test_an_export_that_breaks_off_leaves_no_record(tmp_path: Path) -> None:
    export_head(tmp_path, head(), ["obj", "glb"])
    assert (tmp_path / "export.json").is_file()
    (tmp_path / "head.glb").unlink()
    (tmp_path / "head.glb").mkdir()
    (tmp_path / "head.glb" / "in the way").touch()
    with pytest.raises(StorageError):
        export_head(tmp_path, head(), ["obj", "glb"])
    assert not (tmp_path / "export.json").exists()
    assert not [path for path in tmp_path.rglob("*") if ".partial" in path.name]


def test_equal_heads_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    export_head(tmp_path, head(), FORMATS)
    for path in folder.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path.name


def test_terms_that_forbid_redistribution_are_in_every_file(tmp_path: Path) -> None:
    export_head(tmp_path, head(licence=Licence("CFD licence", "Ma 2015")), ["obj", "glb", "exr"])
    said = "does not let pictures or models of the person leave your hands"
    assert said in (tmp_path / "LICENCE.txt").read_text() and said in (tmp_path / "head.obj").read_text()[:1500]
    for name in ("head.glb", "albedo.exr"):
        assert b"CFD licence (not to be redistributed). Ma 2015" in (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
        ("CC-BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
        ("cc by-sa 3.0", "https://creativecommons.org/licenses/by-sa/3.0/"),
        ("CC0", "https://creativecommons.org/publicdomain/zero/1.0/"),
        ("unknown", ""),
        ("CC BY", ""),
    ],
)
def test_addresses_of_licences(name: str, address: str) -> None:
    """As Creative Commons publishes them."""
    assert licence_address(name) == address


def test_reflectance_of_the_index_of_refraction() -> None:
    """Fresnel at normal incidence: F₀ = ((n − 1) / (n + 1))², and Burley's specular is F₀ / 0.08."""
    for part in head().scene.parts:
        n = index_of_refraction(part)
        assert ((n - 1) / (n + 1)) ** 2 == pytest.approx(0.08 * part.specular, rel=1e-3)


def test_a_scene_is_what_it_was(folder: Path) -> None:
    """Exporting changes nothing in the scene that it is given."""
    one = head()
    before = one.scene.albedo.copy()
    assert isinstance(one.scene, Scene)
    write_glb(folder.parent / "again.glb", one.scene)
    np.testing.assert_array_equal(one.scene.albedo, before)
