"""Heads in the formats that studios open: OBJ, glTF, USD with MaterialX, and maps as EXR and 16-bit PNG.

One format a file. :func:`export_head` writes any of them into a folder, with licence and provenance in every file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.late_names import late_names
from recon.rendering.export.gltf import write_glb

if TYPE_CHECKING:
    from recon.rendering.export.head import FORMATS, Head, export_head
    from recon.rendering.export.provenance import Provenance

__all__ = ["FORMATS", "Head", "Provenance", "export_head", "write_glb"]

# Runs write GLB alone.
__getattr__ = late_names(__name__, {"head": ("FORMATS", "Head", "export_head"), "provenance": ("Provenance",)})
