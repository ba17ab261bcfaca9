"""Heads in the formats that studios open: OBJ, glTF, USD with MaterialX, and maps as EXR and 16-bit PNG.

One format a file. :func:`export_head` writes any of them into a folder, with licence and provenance in every file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from recon.rendering.export.gltf import write_glb

if TYPE_CHECKING:
    from recon.rendering.export.head import FORMATS, Head, export_head
    from recon.rendering.export.provenance import Provenance

__all__ = ["FORMATS", "Head", "Provenance", "export_head", "write_glb"]

# Imported on first use (PEP 562): runs write GLB alone.
_HOMES = {"FORMATS": "head", "Head": "head", "export_head": "head", "Provenance": "provenance"}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"recon.rendering.export.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
