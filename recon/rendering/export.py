"""GLB (glTF 2.0 binary) of a textured head, for viewers and for other renderers.

Colours follow the format: base-colour textures are sRGB-encoded PNG, vertex colours are linear. glTF puts the origin
of texture coordinates at the upper left; the writer flips v. Units are metres.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recon.colour import linear_to_srgb
from recon.rendering.scene import Part, Scene
from recon.storage import atomic_path


def _bytes(srgb: NDArray[np.floating]) -> NDArray[np.uint8]:
    return (np.clip(srgb, 0, 1) * 255 + 0.5).astype(np.uint8)


def _image(part: Part) -> Image.Image | None:
    if part.texture is not None:
        return Image.fromarray(_bytes(linear_to_srgb(part.texture)), "RGB")
    if part.opacity is not None and part.colour is not None:
        alpha = _bytes(part.opacity)
        colour = np.broadcast_to(_bytes(linear_to_srgb(part.colour[0])), (*alpha.shape[:2], 3))
        return Image.fromarray(np.concatenate([colour, alpha], axis=-1), "RGBA")
    return None


def write_glb(path: Path, scene: Scene) -> None:
    """Writes the head of ``scene`` (all drawn parts, one mesh each) to ``path``.

    Raises:
        StorageError: the file cannot be written; an earlier one is left as it was.
    """
    import trimesh
    from trimesh.visual import ColorVisuals, TextureVisuals
    from trimesh.visual.material import PBRMaterial

    assembled = trimesh.Scene()
    for part in scene.parts:
        material = PBRMaterial(name=part.name, metallicFactor=0.0, roughnessFactor=part.roughness)
        image = _image(part)
        if image is not None:
            material.baseColorTexture = image
        if part.opacity is not None:
            material.alphaMode, material.doubleSided = "BLEND", True
        mesh = trimesh.Trimesh(
            vertices=part.positions * scene.model.metres_per_unit,
            faces=part.triangles,
            vertex_normals=part.normals,
            process=False,
        )
        if image is not None:
            mesh.visual = TextureVisuals(uv=part.texcoord, material=material)
        else:
            linear = _bytes(np.asarray(part.colour))
            mesh.visual = ColorVisuals(mesh, vertex_colors=np.pad(linear, ((0, 0), (0, 1)), constant_values=255))
        assembled.add_geometry(mesh, node_name=part.name, geom_name=part.name)
    data = assembled.export(file_type="glb", include_normals=True)
    with atomic_path(Path(path)) as temporary:
        Path(temporary).write_bytes(data)
