"""USD of a head: named meshes, each bound to one material with two surfaces.

``outputs:surface`` is a UsdPreviewSurface, which everything that reads USD can draw; ``outputs:mtlx:surface`` is the
MaterialX ``standard_surface`` of :mod:`recon.rendering.export.materialx`, written as UsdShade nodes, so that it needs
no MaterialX plug-in to be read. Metres, y up; ``st`` starts at the lower left as USD wants it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import AssetError
from recon.rendering.export.materialx import TEXTURE_SPACE, VERTEX_COLOUR, missing, surface_inputs
from recon.rendering.export.provenance import Provenance
from recon.rendering.export.surfaces import CONVENTIONS, index_of_refraction, metres, one_colour
from recon.rendering.scene import Part, Scene
from recon.storage import atomic_path


def load_usd() -> Any:
    """The module ``pxr``, with the schemas that are used here.

    Raises:
        AssetError: it is not installed.
    """
    try:
        import pxr
        from pxr import Gf, Kind, Sdf, Usd, UsdGeom, UsdShade, Vt  # noqa: F401  # attributes of pxr once imported
    except ImportError as error:
        raise AssetError(missing("usd-core")) from error
    return pxr


def write_usd(path: Path, scene: Scene, provenance: Provenance, textures: Mapping[str, str]) -> None:
    """Writes the head to ``path``: meshes under ``/head/geometry``, their materials under ``/head/materials``.

    Args:
        path: ``.usdc`` is binary, ``.usda`` text.
        textures: path of the texture relative to the folder of ``path``, by part.

    Raises:
        AssetError: the package usd-core is missing.
        StorageError: the file cannot be written.
    """
    pxr = load_usd()
    stage = pxr.Usd.Stage.CreateInMemory()
    pxr.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    pxr.UsdGeom.SetStageUpAxis(stage, pxr.UsdGeom.Tokens.y)
    head = pxr.UsdGeom.Xform.Define(stage, "/head")
    pxr.Usd.ModelAPI(head).SetKind(pxr.Kind.Tokens.component)
    stage.SetDefaultPrim(head.GetPrim())
    layer = stage.GetRootLayer()
    layer.documentation = "\n".join(provenance.lines())
    layer.customLayerData = _dictionary(
        {"mesoface": {**provenance.record(), "copyright": provenance.copyright, "conventions": CONVENTIONS}}
    )
    for scope in ("geometry", "materials"):
        pxr.UsdGeom.Scope.Define(stage, f"/head/{scope}")
    for part in scene.parts:
        mesh = _mesh(pxr, stage, scene, part)
        material = _material(pxr, stage, part, textures.get(part.name))
        pxr.UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
    with atomic_path(path) as temporary:
        if not layer.Export(str(temporary)):
            raise OSError(None, "the USD library could not write it", str(temporary))


def _dictionary(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a USD dictionary holds: text, numbers, truth values, and dictionaries of them; lists become text."""
    plain: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            plain[str(key)] = _dictionary(item)
        else:
            plain[str(key)] = item if isinstance(item, (str, bool, int, float)) else str(item)
    return plain


def _mesh(pxr: Any, stage: Any, scene: Scene, part: Part) -> Any:
    vertices = np.ascontiguousarray(metres(scene, part))
    mesh = pxr.UsdGeom.Mesh.Define(stage, f"/head/geometry/{part.name}")
    mesh.CreateSubdivisionSchemeAttr(pxr.UsdGeom.Tokens.none)
    mesh.CreatePointsAttr(pxr.Vt.Vec3fArray.FromNumpy(vertices))
    mesh.CreateExtentAttr(pxr.Vt.Vec3fArray.FromNumpy(np.stack([vertices.min(axis=0), vertices.max(axis=0)])))
    mesh.CreateFaceVertexCountsAttr(pxr.Vt.IntArray.FromNumpy(np.full(len(part.triangles), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(pxr.Vt.IntArray.FromNumpy(np.ascontiguousarray(part.triangles.ravel(), np.int32)))
    mesh.CreateNormalsAttr(pxr.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(part.normals, np.float32)))
    mesh.SetNormalsInterpolation(pxr.UsdGeom.Tokens.vertex)
    if part.opacity is not None:
        mesh.CreateDoubleSidedAttr(True)
    variables = pxr.UsdGeom.PrimvarsAPI(mesh)
    if part.texcoord is not None:
        kind = pxr.Sdf.ValueTypeNames.TexCoord2fArray
        st = variables.CreatePrimvar("st", kind, pxr.UsdGeom.Tokens.vertex)
        st.Set(pxr.Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(part.texcoord, np.float32)))
    if part.colour is not None:
        colour = one_colour(part)
        each = colour is None
        shown = mesh.CreateDisplayColorPrimvar(pxr.UsdGeom.Tokens.vertex if each else pxr.UsdGeom.Tokens.constant)
        values = part.colour if each else np.array([colour])
        shown.Set(pxr.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, np.float32)))
    return mesh


class _Network:
    """The UsdShade nodes of one material."""

    def __init__(self, pxr: Any, stage: Any, part: Part) -> None:
        self.pxr = pxr
        self.stage = stage
        self.path = f"/head/materials/{part.name}"
        self.material = pxr.UsdShade.Material.Define(stage, self.path)

    def node(self, name: str, identifier: str, inputs: Mapping[str, Any]) -> Any:
        """A shader whose inputs are values ``(type, value)`` or outputs of other nodes."""
        types = self.pxr.Sdf.ValueTypeNames
        shader = self.pxr.UsdShade.Shader.Define(self.stage, f"{self.path}/{name}")
        shader.CreateIdAttr(identifier)
        for key, (kind, value) in inputs.items():
            made = shader.CreateInput(key, getattr(types, kind))
            if isinstance(value, self.pxr.UsdShade.Output):
                made.ConnectToSource(value)
            else:
                made.Set(value)
        return shader

    def output(self, shader: Any, name: str, kind: str) -> Any:
        """An output of a node, for the input of another."""
        return shader.CreateOutput(name, getattr(self.pxr.Sdf.ValueTypeNames, kind))


def _material(pxr: Any, stage: Any, part: Part, texture: str | None) -> Any:
    network = _Network(pxr, stage, part)
    preview = _preview_surface(pxr, network, part, texture)
    network.material.CreateSurfaceOutput().ConnectToSource(network.output(preview, "surface", "Token"))
    standard = _standard_surface(pxr, network, part, texture)
    network.material.CreateSurfaceOutput("mtlx").ConnectToSource(network.output(standard, "out", "Token"))
    return network.material


def _preview_surface(pxr: Any, network: _Network, part: Part, texture: str | None) -> Any:
    """UsdPreviewSurface (specification 2.6) with its texture reader."""
    inputs: dict[str, Any] = {
        "metallic": ("Float", 0.0),
        "roughness": ("Float", round(part.roughness, 4)),
        "ior": ("Float", index_of_refraction(part)),
    }
    if texture is not None:
        st = network.node("preview_st", "UsdPrimvarReader_float2", {"varname": ("String", "st")})
        data = part.opacity is not None
        image = network.node(
            "preview_texture",
            "UsdUVTexture",
            {
                "file": ("Asset", pxr.Sdf.AssetPath(f"./{texture}")),
                "st": ("Float2", network.output(st, "result", "Float2")),
                "sourceColorSpace": ("Token", "raw" if data else "sRGB"),
                "wrapS": ("Token", "clamp"),
                "wrapT": ("Token", "clamp"),
            },
        )
        if data:
            inputs["opacity"] = ("Float", network.output(image, "r", "Float"))
        else:
            inputs["diffuseColor"] = ("Color3f", network.output(image, "rgb", "Float3"))
    if part.colour is not None:
        colour = one_colour(part)
        if colour is None:
            reader = network.node("preview_colour", "UsdPrimvarReader_float3", {"varname": ("String", VERTEX_COLOUR)})
            inputs["diffuseColor"] = ("Color3f", network.output(reader, "result", "Float3"))
        else:
            inputs["diffuseColor"] = ("Color3f", pxr.Gf.Vec3f(*colour))
    return network.node("preview_surface", "UsdPreviewSurface", inputs)


def _standard_surface(pxr: Any, network: _Network, part: Part, texture: str | None) -> Any:
    """The network of :func:`recon.rendering.export.materialx.write_materialx`, node by node."""
    inputs: dict[str, Any] = {name: ("Float", value) for name, value in surface_inputs(part).items()}
    if texture is not None:
        st = network.node("st", "ND_geompropvalue_vector2", {"geomprop": ("String", "st")})
        image = network.node(
            "texture",
            "ND_image_color3",
            {
                "file": ("Asset", pxr.Sdf.AssetPath(f"./{texture}")),
                "texcoord": ("Float2", network.output(st, "out", "Float2")),
                "uaddressmode": ("String", "clamp"),
                "vaddressmode": ("String", "clamp"),
            },
        )
        source = network.output(image, "out", "Color3f")
        if part.opacity is not None:
            inputs["opacity"] = ("Color3f", source)
        else:
            image.GetInput("file").GetAttr().SetColorSpace(TEXTURE_SPACE)
            inputs["base_color"] = ("Color3f", source)
    if part.colour is not None:
        colour = one_colour(part)
        if colour is None:
            reader = network.node("colour", "ND_geompropvalue_color3", {"geomprop": ("String", VERTEX_COLOUR)})
            inputs["base_color"] = ("Color3f", network.output(reader, "out", "Color3f"))
        else:
            inputs["base_color"] = ("Color3f", pxr.Gf.Vec3f(*colour))
    return network.node("standard_surface", "ND_standard_surface_surfaceshader", inputs)
