"""A GPU whose memory runs out: told from other failures, and said with what helps."""

from __future__ import annotations

import sys

from recon.errors import InputError


def ran_out(error: BaseException) -> bool:
    """Whether ``error`` is PyTorch's for a GPU without memory left; then what it keeps in reserve is given back."""
    torch = sys.modules.get("torch")  # who has not loaded it has no such error
    if torch is None or not isinstance(error, torch.OutOfMemoryError):
        return False
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return True


def too_small(what: str) -> InputError:
    """The error of a GPU that is too small for ``what``."""
    return InputError(
        f"the GPU's memory is too small for {what}: let fewer processes share it (--jobs, or workers of a cluster), "
        "make smaller maps (--size), or use --device cpu."
    )
