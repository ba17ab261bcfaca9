"""GLB (glTF 2.0 binary, ISO/IEC 12113:2022) of a textured head, for viewers, engines and other renderers.

Colours follow the format: base-colour textures are sRGB-encoded, vertex colours and factors linear. Units are metres,
y is up, the face looks along +z. glTF puts the origin of texture coordinates at the upper left; the writer flips v.

The preset for small devices keeps a file under ``MOBILE_BYTES``: fewer triangles
(:mod:`recon.rendering.export.decimation`), textures of at most 1024² as JPEG, 16-bit indices.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recon.colour import linear_to_srgb
from recon.errors import InputError
from recon.rendering.export.decimation import coarsened
from recon.rendering.export.provenance import Provenance
from recon.rendering.export.surfaces import CONVENTIONS, index_of_refraction, metres, one_colour, to_bytes
from recon.rendering.scene import Part, Scene
from recon.storage import atomic_path

MOBILE_BYTES = 3_000_000
"""Size that a GLB of the mobile preset stays under."""

MOBILE_TEXTURE = 1024
"""Largest side of a texture of the mobile preset, texels."""

# Tried in turn until the file is small enough. Below 70 the blocks of JPEG show on skin.
_QUALITIES = (92, 88, 84, 80, 75, 70)

# glTF 2.0, 3.6.2.2 and 3.7.2.1: component types, and what a buffer view is bound as.
_UINT16, _UINT32, _FLOAT = 5123, 5125, 5126
_VERTICES, _INDICES = 34962, 34963

Encode = Callable[[Image.Image], tuple[bytes, str]]
"""An image to its file's bytes and media type."""


def write_glb(path: Path, scene: Scene, provenance: Provenance | None = None, *, mobile: bool = False) -> None:
    """Writes the head of ``scene`` to ``path``: all drawn parts, a named node and mesh each, textures embedded.

    Args:
        provenance: goes into ``asset.copyright`` and ``asset.extras``.
        mobile: at most ``MOBILE_BYTES``, see the module.

    Raises:
        StorageError: the file cannot be written; an earlier one is left as it was.
        AssetError: ``mobile``, and fast-simplification is missing.
        InputError: ``mobile``, and the head cannot be made small enough.
    """
    data = mobile_glb(scene, provenance) if mobile else assemble(scene, scene.parts, _as_png, provenance)
    with atomic_path(Path(path)) as temporary:
        Path(temporary).write_bytes(data)


def mobile_glb(scene: Scene, provenance: Provenance | None = None) -> bytes:
    """The bytes of the mobile preset, see :func:`write_glb`."""
    parts = tuple(coarsened(scene.model, part) for part in scene.parts)
    size = 0
    for quality in _QUALITIES:
        data = assemble(scene, parts, partial(_small, quality=quality), provenance)
        if len(data) <= MOBILE_BYTES:
            return data
        size = len(data)
    raise InputError(
        f"the head cannot be brought under {MOBILE_BYTES / 1e6:.0f} MB (it takes {size / 1e6:.1f} MB at the lowest "
        "quality that looks right): export it without --mobile."
    )


def _as_png(image: Image.Image) -> tuple[bytes, str]:
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=4)
    return stream.getvalue(), "image/png"


def _small(image: Image.Image, quality: int) -> tuple[bytes, str]:
    side = max(image.size)
    if side > MOBILE_TEXTURE:
        size = (round(image.width * MOBILE_TEXTURE / side), round(image.height * MOBILE_TEXTURE / side))
        image = image.resize(size, Image.Resampling.LANCZOS)
    if image.mode == "RGBA":
        return _as_png(image)
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=quality, subsampling=0, optimize=True)
    return stream.getvalue(), "image/jpeg"


def _image(part: Part) -> Image.Image | None:
    """The base-colour texture of a part; opacity is its alpha, over the part's one colour."""
    if part.texture is not None:
        return Image.fromarray(to_bytes(linear_to_srgb(part.texture)))
    if part.opacity is not None and part.colour is not None:
        alpha = to_bytes(part.opacity)
        colour = np.broadcast_to(to_bytes(linear_to_srgb(part.colour[0])), (*alpha.shape[:2], 3))
        return Image.fromarray(np.concatenate([colour, alpha], axis=-1))
    return None


class _File:
    """A glTF document and its one buffer while they grow."""

    def __init__(self) -> None:
        self.tree: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("nodes", "meshes", "materials", "textures", "images", "accessors", "bufferViews")
        }
        self.buffer = bytearray()
        self.images: dict[int, int] = {}

    def view(self, data: bytes, target: int | None = None) -> int:
        """Appends bytes, aligned to four, and a view of them."""
        self.buffer += bytes(-len(self.buffer) % 4)
        described: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.buffer), "byteLength": len(data)}
        if target is not None:
            described["target"] = target
        self.buffer += data
        return self.add("bufferViews", described)

    def vertices(self, values: NDArray[np.floating], bounds: bool = False) -> int:
        """An accessor of ``(N, 2)`` or ``(N, 3)`` float32."""
        data = np.ascontiguousarray(values, "<f4")
        kind = f"VEC{data.shape[1]}"
        view = self.view(data.tobytes(), _VERTICES)
        accessor = {"bufferView": view, "componentType": _FLOAT, "count": len(data), "type": kind}
        if bounds:
            accessor |= {"min": data.min(axis=0).tolist(), "max": data.max(axis=0).tolist()}
        return self.add("accessors", accessor)

    def colours(self, linear: NDArray[np.floating]) -> int:
        """An accessor of ``(N, 3)`` linear colours: RGBA of 16 bits, so that dark ones keep their steps."""
        rgba = np.pad(np.clip(linear, 0, 1), ((0, 0), (0, 1)), constant_values=1)
        view = self.view((rgba * 65535 + 0.5).astype("<u2").tobytes(), _VERTICES)
        described = {"bufferView": view, "componentType": _UINT16, "normalized": True, "count": len(rgba)}
        return self.add("accessors", {**described, "type": "VEC4"})

    def indices(self, triangles: NDArray[np.integer], count: int) -> int:
        """An accessor of triangle corners among ``count`` vertices."""
        # 65535 itself is a restart marker and may not be an index (3.7.2.1).
        kind, component = ("<u2", _UINT16) if count <= 65535 else ("<u4", _UINT32)
        view = self.view(np.ascontiguousarray(triangles, kind).tobytes(), _INDICES)
        described = {"bufferView": view, "componentType": component, "count": triangles.size, "type": "SCALAR"}
        return self.add("accessors", described)

    def texture(self, part: Part, encode: Encode) -> int | None:
        """The texture of a part; one that another part has as well is embedded once."""
        image = _image(part)
        if image is None:
            return None
        key = id(part.texture if part.texture is not None else part.opacity)
        if key not in self.images:
            data, media = encode(image)
            source = self.add("images", {"bufferView": self.view(data), "mimeType": media, "name": part.name})
            self.images[key] = self.add("textures", {"source": source, "sampler": 0})
        return self.images[key]

    def material(self, part: Part, texture: int | None) -> int:
        """A dielectric of the part's roughness and reflectance."""
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": round(part.roughness, 4)}
        colour = one_colour(part)
        if texture is not None:
            surface["baseColorTexture"] = {"index": texture}
        elif colour is not None:
            surface["baseColorFactor"] = [*colour, 1.0]
        described: dict[str, Any] = {"name": part.name, "pbrMetallicRoughness": surface}
        described["extensions"] = {"KHR_materials_ior": {"ior": index_of_refraction(part)}}
        if part.opacity is not None:
            described |= {"alphaMode": "BLEND", "doubleSided": True}
        return self.add("materials", described)

    def part(self, scene: Scene, part: Part, encode: Encode) -> int:
        """A node and mesh of a part; the node's index."""
        attributes = {"POSITION": self.vertices(metres(scene, part), bounds=True)}
        attributes["NORMAL"] = self.vertices(_unit(part.normals))
        texture = self.texture(part, encode)
        if texture is not None and part.texcoord is not None:
            flipped = np.stack([part.texcoord[:, 0], 1 - part.texcoord[:, 1]], axis=-1)
            attributes["TEXCOORD_0"] = self.vertices(flipped)
        elif one_colour(part) is None and part.colour is not None:
            attributes["COLOR_0"] = self.colours(part.colour)
        primitive = {
            "attributes": attributes,
            "indices": self.indices(part.triangles, len(part.positions)),
            "material": self.material(part, texture),
            "mode": 4,
        }
        mesh = self.add("meshes", {"name": part.name, "primitives": [primitive]})
        return self.add("nodes", {"name": part.name, "mesh": mesh})

    def add(self, kind: str, item: dict[str, Any]) -> int:
        """Appends to one of the document's lists; the index there."""
        self.tree[kind].append(item)
        return len(self.tree[kind]) - 1


def _unit(normals: NDArray[np.floating]) -> NDArray[np.float64]:
    """Normals that are unit as validators want it; a vertex of no area, which has none, gets +z."""
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-6, normals / np.maximum(length, 1e-6), [0.0, 0.0, 1.0])


def assemble(scene: Scene, parts: tuple[Part, ...], encode: Encode, provenance: Provenance | None) -> bytes:
    """The bytes of a GLB of ``parts``."""
    file = _File()
    children = [file.part(scene, part, encode) for part in parts]
    root = file.add("nodes", {"name": "head", "children": children})
    asset: dict[str, Any] = {"version": "2.0", "generator": "mesoface"}
    if provenance is not None:
        record = provenance.record()
        asset |= {"generator": record["made_by"], "copyright": provenance.copyright}
        asset["extras"] = {"provenance": record, "conventions": CONVENTIONS}
    tree: dict[str, Any] = {
        "asset": asset,
        "extensionsUsed": ["KHR_materials_ior"],
        "scene": 0,
        "scenes": [{"name": "head", "nodes": [root]}],
        **{name: items for name, items in file.tree.items() if items},
        "buffers": [{"byteLength": len(file.buffer)}],
    }
    if file.tree["textures"]:
        tree["samplers"] = [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}]
    return container(tree, bytes(file.buffer))


def container(tree: dict[str, Any], buffer: bytes) -> bytes:
    """A GLB (glTF 2.0, 4.4): header, JSON chunk padded with spaces, binary chunk padded with zeros."""
    text = json.dumps(tree, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    buffer += bytes(-len(buffer) % 4)
    header = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(buffer))
    return b"".join(
        [header, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(buffer), b"BIN\0"), buffer]
    )
