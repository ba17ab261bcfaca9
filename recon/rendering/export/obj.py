"""Wavefront OBJ with MTL: what every modelling program reads.

OBJ states neither units nor colour spaces; the header says them in words: metres, y up, textures sRGB-encoded, ``Kd``
linear. A part whose vertices have colours of their own (the back of the head) carries them after its positions, the
extension that MeshLab, ZBrush and Blender read, and has their mean as ``Kd``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import numpy as np

from recon.rendering.export.provenance import Provenance
from recon.rendering.export.surfaces import index_of_refraction, metres, one_colour
from recon.rendering.scene import Part, Scene
from recon.storage import atomic_path, write_text

_CONVENTIONS = (
    "lengths in metres, y up, the face looks along +z; texture coordinates start at the lower left",
    "textures are sRGB-encoded, Kd and vertex colours are linear (Rec. 709)",
)


def write_obj(
    folder: Path, scene: Scene, provenance: Provenance, textures: Mapping[str, str], name: str = "head"
) -> list[str]:
    """Writes ``<name>.obj`` and ``<name>.mtl`` to ``folder``, a named object and material for each part.

    Args:
        textures: path of the texture relative to ``folder``, by part, as
            :func:`recon.rendering.export.surfaces.write_textures` gives it.

    Returns:
        The names of the two files.

    Raises:
        StorageError: a file cannot be written.
    """
    comment = "".join(f"# {line}\n" for line in (*provenance.lines(), *_CONVENTIONS))
    materials = "\n".join(_material(part, textures.get(part.name)) for part in scene.parts)
    write_text(folder / f"{name}.mtl", f"{comment}\n{materials}")
    with atomic_path(folder / f"{name}.obj") as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{comment}mtllib {name}.mtl\n")
        vertices = coordinates = 0
        for part in scene.parts:
            _part(file, scene, part, vertices, coordinates)
            vertices += len(part.positions)
            coordinates += 0 if part.texcoord is None else len(part.texcoord)
    return [f"{name}.obj", f"{name}.mtl"]


def _part(file: TextIO, scene: Scene, part: Part, vertices: int, coordinates: int) -> None:
    """One object; its indices begin after the ``vertices`` and ``coordinates`` of the earlier ones."""
    file.write(f"o {part.name}\n")
    positions = metres(scene, part)
    if part.colour is not None and one_colour(part) is None:
        np.savetxt(file, np.concatenate([positions, part.colour], axis=1), "v %.7f %.7f %.7f %.4f %.4f %.4f")
    else:
        np.savetxt(file, positions, "v %.7f %.7f %.7f")
    if part.texcoord is not None:
        np.savetxt(file, part.texcoord, "vt %.6f %.6f")
    np.savetxt(file, part.normals, "vn %.4f %.4f %.4f")
    file.write(f"usemtl {part.name}\ns 1\n")
    corners = part.triangles.astype(np.int64) + 1
    if part.texcoord is None:
        columns = np.stack([corners + vertices, corners + vertices], axis=-1)
        np.savetxt(file, columns.reshape(len(corners), -1), "f %d//%d %d//%d %d//%d")
    else:
        columns = np.stack([corners + vertices, corners + coordinates, corners + vertices], axis=-1)
        np.savetxt(file, columns.reshape(len(corners), -1), "f %d/%d/%d %d/%d/%d %d/%d/%d")


def _material(part: Part, texture: str | None) -> str:
    """The MTL entry of a part; the exponent is that of Blinn's lobe of the same width, 2 / α² − 2 with α = roughness².

    (Walter and others 2007.)
    """
    exponent = min(1000.0, max(0.0, 2.0 / part.roughness**4 - 2.0))
    colour = (1.0, 1.0, 1.0) if part.colour is None else tuple(float(value) for value in part.colour.mean(axis=0))
    reflectance = 0.08 * part.specular
    lines = [
        f"newmtl {part.name}",
        "Ka 0 0 0",
        "Kd " + " ".join(f"{value:.5f}" for value in colour),
        f"Ks {reflectance:.5f} {reflectance:.5f} {reflectance:.5f}",
        f"Ns {exponent:.3f}",
        f"Ni {index_of_refraction(part):.4f}",
        "d 1",
        "illum 2",
    ]
    if texture is not None:
        lines.append(f"map_d {texture}" if part.opacity is not None else f"map_Kd {texture}")
    return "\n".join(lines) + "\n"
