"""The look of a head as a MaterialX document: a ``standard_surface`` for each part (Autodesk Standard Surface 1.0).

Read by Arnold, Houdini, Maya and Blender's USD importer; ``head.usdc`` carries the same network as its ``mtlx``
surface. The albedo is the share of light that comes back diffusely, scattering under the skin included, so
``subsurface`` is left at 0: whoever turns it up moves the albedo into ``subsurface_color``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recon.errors import AssetError
from recon.rendering.export.provenance import Provenance
from recon.rendering.export.surfaces import index_of_refraction, one_colour
from recon.rendering.scene import Part, Scene
from recon.storage import atomic_path

WORKING_SPACE = "lin_rec709"
TEXTURE_SPACE = "srgb_texture"
VERTEX_COLOUR = "displayColor"
"""The primitive variable that carries vertex colours, in USD as in MaterialX."""


def load_materialx() -> Any:
    """The module ``MaterialX``.

    Raises:
        AssetError: it is not installed.
    """
    try:
        import MaterialX
    except ImportError as error:
        raise AssetError(missing("MaterialX")) from error
    return MaterialX


def missing(package: str) -> str:
    """What to say where a package of the extra ``[usd]`` is not installed."""
    return (
        f"USD and MaterialX need the package {package}, which is not installed here: "
        "install mesoface with its extra, pip install 'mesoface[usd]'."
    )


def surface_inputs(part: Part) -> dict[str, float]:
    """The inputs of ``standard_surface`` that are numbers."""
    return {
        "base": 1.0,
        "specular": 1.0,
        "specular_roughness": round(part.roughness, 4),
        "specular_IOR": index_of_refraction(part),
    }


def write_materialx(path: Path, scene: Scene, provenance: Provenance, textures: Mapping[str, str]) -> None:
    """Writes materials and a look that assigns them to the parts of ``head.usdc`` (``/head/geometry/<part>``).

    Args:
        textures: path of the texture relative to the document, by part.

    Raises:
        AssetError: the package MaterialX is missing.
        StorageError: the file cannot be written.
    """
    mx = load_materialx()
    document = mx.createDocument()
    document.setColorSpace(WORKING_SPACE)
    document.setDocString("; ".join(provenance.lines()))
    look = document.addLook("head")
    for part in scene.parts:
        shader = document.addNode("standard_surface", f"{part.name}_surface", "surfaceshader")
        for name, value in surface_inputs(part).items():
            shader.setInputValue(name, value, "float")
        _colour(document, shader, part, textures.get(part.name))
        material = document.addMaterialNode(f"{part.name}_material", shader)
        assignment = look.addMaterialAssign(f"{part.name}_assignment", material.getName())
        assignment.setGeom(f"/head/geometry/{part.name}")
    with atomic_path(path) as temporary:
        mx.writeToXmlFile(document, str(temporary))


def _colour(document: Any, shader: Any, part: Part, texture: str | None) -> None:
    """Connects ``base_color`` to a texture, a colour or the vertex colours, and ``opacity`` to its map."""
    colour = one_colour(part)
    if part.texture is not None and texture is not None:
        image = _image(document, f"{part.name}_base_color", texture)
        image.getInput("file").setColorSpace(TEXTURE_SPACE)
        shader.addInput("base_color", "color3").setNodeName(image.getName())
    elif colour is not None:
        shader.setInputValue("base_color", load_materialx().Color3(*colour))
    else:
        node = document.addNode("geompropvalue", f"{part.name}_base_color", "color3")
        node.setInputValue("geomprop", VERTEX_COLOUR, "string")
        shader.addInput("base_color", "color3").setNodeName(node.getName())
    if part.opacity is not None and texture is not None:
        image = _image(document, f"{part.name}_opacity", texture)
        shader.addInput("opacity", "color3").setNodeName(image.getName())


def _image(document: Any, name: str, file: str) -> Any:
    """An ``image`` node; without a colour space of its own its values are data."""
    node = document.addNode("image", name, "color3")
    node.setInputValue("file", file, "filename")
    node.setInputValue("uaddressmode", "clamp", "string")
    node.setInputValue("vaddressmode", "clamp", "string")
    return node
