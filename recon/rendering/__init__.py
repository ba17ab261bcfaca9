"""Rendering: one scene description, and renderers that turn it into pictures, composites and files.

``gbuffer`` casts a ray a pixel and shades with spherical harmonics: fast, and the exact inverse of unwrapping, so
metrics use it. ``mitsuba`` traces paths, for pictures that people judge. Both return a :class:`View`.
"""

from __future__ import annotations

from typing import Any

from recon.registry import Registry

RENDERERS: Registry[Any] = Registry(
    "renderer",
    "mesoface.renderers",
    {
        "gbuffer": "recon.rendering.gbuffer:GBufferRenderer",
        "mitsuba": "recon.rendering.mitsuba_renderer:MitsubaRenderer",
    },
)

# Public names and where they live; imported on first use, because `recon.rendering.rays` is imported by rooms that
# need no renderer.
_EXPORTS = {
    "GBufferRenderer": "recon.rendering.gbuffer",
    "MitsubaRenderer": "recon.rendering.mitsuba_renderer",
    "NeutralMaterials": "recon.rendering.parts",
    "Renderer": "recon.rendering.view",
    "Scene": "recon.rendering.scene",
    "View": "recon.rendering.view",
    "composite": "recon.rendering.compositing",
    "face_alpha": "recon.rendering.compositing",
    "face_region": "recon.rendering.compositing",
    "over_background": "recon.rendering.compositing",
    "region_crop": "recon.rendering.views",
    "render_view": "recon.rendering.views",
    "shade_view": "recon.rendering.gbuffer",
    "standard_studio": "recon.rendering.environment",
    "standard_view": "recon.rendering.views",
    "studio_camera": "recon.rendering.views",
    "write_glb": "recon.rendering.export",
}

__all__ = ["RENDERERS", *_EXPORTS]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for (PEP 562)."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_EXPORTS[name]), name)
