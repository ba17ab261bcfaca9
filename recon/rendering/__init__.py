"""Rendering: one scene description, and renderers that turn it into pictures, composites and files.

``gbuffer`` casts a ray a pixel and shades with spherical harmonics: fast, and the exact inverse of unwrapping, so
metrics use it. ``mitsuba`` and ``cycles`` trace paths, for pictures that people judge; ``cycles`` lets light scatter
under the skin. All return a :class:`View`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.late_names import late_names
from recon.registry import Registry

if TYPE_CHECKING:
    from recon.rendering.compositing import composite, face_alpha, face_region, over_background
    from recon.rendering.cycles_renderer import CyclesRenderer
    from recon.rendering.environment import standard_studio
    from recon.rendering.export import write_glb
    from recon.rendering.gbuffer import GBufferRenderer, shade_view
    from recon.rendering.mitsuba_renderer import MitsubaRenderer
    from recon.rendering.parts import NeutralMaterials
    from recon.rendering.scene import Scene
    from recon.rendering.view import Renderer, View
    from recon.rendering.view_sets import chosen_views, studio_camera
    from recon.rendering.views import region_crop, render_view, standard_view

RENDERERS: Registry[type[Renderer]] = Registry(
    "renderer",
    "mesoface.renderers",
    {
        "gbuffer": "recon.rendering.gbuffer:GBufferRenderer",
        "mitsuba": "recon.rendering.mitsuba_renderer:MitsubaRenderer",
        "cycles": "recon.rendering.cycles_renderer:CyclesRenderer",
    },
)

__all__ = [
    "RENDERERS",
    "CyclesRenderer",
    "GBufferRenderer",
    "MitsubaRenderer",
    "NeutralMaterials",
    "Renderer",
    "Scene",
    "View",
    "chosen_views",
    "composite",
    "face_alpha",
    "face_region",
    "over_background",
    "region_crop",
    "render_view",
    "shade_view",
    "standard_studio",
    "standard_view",
    "studio_camera",
    "write_glb",
]

# Rooms that need rays alone import this package.
_HOMES = {
    "compositing": ("composite", "face_alpha", "face_region", "over_background"),
    "cycles_renderer": ("CyclesRenderer",),
    "environment": ("standard_studio",),
    "export": ("write_glb",),
    "gbuffer": ("GBufferRenderer", "shade_view"),
    "mitsuba_renderer": ("MitsubaRenderer",),
    "parts": ("NeutralMaterials",),
    "scene": ("Scene",),
    "view": ("Renderer", "View"),
    "view_sets": ("chosen_views", "studio_camera"),
    "views": ("region_crop", "render_view", "standard_view"),
}
__getattr__ = late_names(__name__, _HOMES)
