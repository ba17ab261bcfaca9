"""Which feature extractor a run uses; what an extractor is stands in :mod:`recon.texture.features`, with PyTorch."""

from __future__ import annotations

from recon import assets
from recon.errors import UsageError

EXTRACTORS = ("filter-bank", "vgg16-hed", "vgg19")


def resolve_extractor(name: str, learned_first: bool) -> str:
    """The extractor that ``auto`` means here: the best that is already present; nothing is downloaded.

    Args:
        name: ``auto`` or a name, which is returned as it is.
        learned_first: whether the method prefers a trained trunk (``deep``) to the filter bank (``meso``).

    Raises:
        UsageError: the name is unknown.
    """
    if name == "auto":
        if learned_first:
            return next((trunk for trunk in ("vgg19", "vgg16-hed") if assets.locate(trunk)), "filter-bank")
        return "filter-bank"
    if name not in EXTRACTORS:
        raise UsageError(f"unknown feature extractor '{name}': choose auto, {', '.join(EXTRACTORS)}.")
    return name
