"""What a part looks like in the terms that all formats share: encoded textures, one colour, an index of refraction.

Lengths are metres, y is up and the face looks along +z in every format. Colour textures are sRGB-encoded, colours and
vertex colours linear (Rec. 709 primaries), opacity is data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from recon.colour import linear_to_srgb
from recon.rendering.export.provenance import Provenance
from recon.rendering.scene import Part, Scene
from recon.storage import atomic_path

Float = NDArray[np.float32]

CONVENTIONS = {
    "length_unit": "metre",
    "up_axis": "Y",
    "front_axis": "+Z",
    "handedness": "right",
    "texture_origin": "lower left (OBJ, USD, MaterialX); glTF's is upper left",
    "colour_textures": "sRGB (IEC 61966-2-1)",
    "exr_maps": "linear, Rec. 709 primaries, D65",
    "vertex_and_material_colours": "linear, Rec. 709 primaries",
    "opacity": "data",
}
"""What every file of an export keeps to; goes into its record."""


def to_bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """uint8 of values in [0, 1], rounded half up."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def one_colour(part: Part) -> tuple[float, float, float] | None:
    """Linear RGB of a part whose vertices all have the same colour, else None."""
    if part.colour is None or np.ptp(part.colour, axis=0).max() > 1e-6:
        return None
    red, green, blue = (float(value) for value in part.colour[0])
    return red, green, blue


def index_of_refraction(part: Part) -> float:
    """That with the reflectance of Burley's ``specular`` at normal incidence, F₀ = 0.08 · specular: 1.40 for skin."""
    root = float(np.sqrt(0.08 * part.specular))
    return round((1 + root) / (1 - root), 4)


def metres(scene: Scene, part: Part) -> Float:
    """``(N, 3)`` float32 positions of a part in metres."""
    return np.asarray(part.positions * scene.model.metres_per_unit, np.float32)


def texture_names(scene: Scene) -> dict[str, str]:
    """File name of the texture of every part that has one; parts that share a texture share the file."""
    names: dict[int, str] = {}
    found = {}
    for part in scene.parts:
        image = part.texture if part.texture is not None else part.opacity
        if image is not None:
            # `eye_left` and `eye_right` are drawn with the same picture wherever their radius is the same.
            first = part.name if id(image) in names or part.texture is None else part.name.removesuffix("_left")
            found[part.name] = names.setdefault(id(image), f"{first}.png")
    return found


def write_textures(folder: Path, scene: Scene, provenance: Provenance) -> dict[str, str]:
    """Writes the textures of all parts to ``folder/textures``, 8-bit PNG: colour sRGB-encoded, opacity as it is.

    Returns:
        Path relative to ``folder`` by part.

    Raises:
        StorageError: a file cannot be written.
    """
    names = texture_names(scene)
    written = set()
    for part in scene.parts:
        if part.name in names and names[part.name] not in written:
            written.add(names[part.name])
            image = linear_to_srgb(part.texture) if part.texture is not None else part.opacity
            assert image is not None
            save_png(folder / "textures" / names[part.name], Image.fromarray(np.squeeze(to_bytes(image))), provenance)
    return {part: f"textures/{name}" for part, name in names.items()}


def save_png(path: Path, image: Image.Image, provenance: Provenance) -> None:
    """Writes an image as PNG, atomically, with the licence in its text chunks (PNG specification, 11.3.3)."""
    text = PngImagePlugin.PngInfo()
    for keyword, value in png_text(provenance).items():
        text.add_itxt(keyword, value)
    options: dict[str, Any] = {"pnginfo": text, "compress_level": 4}
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", **options)


def png_text(provenance: Provenance) -> dict[str, str]:
    """Keywords that the PNG specification registers, and their texts."""
    return {
        "Copyright": provenance.copyright,
        "Description": "; ".join(provenance.lines()),
        "Software": provenance.record()["made_by"],
    }
