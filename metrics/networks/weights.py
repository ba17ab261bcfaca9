"""Weight files read safely and whole: a tensor that is missing, misshapen or no number is an error, never a guess.

Files are read without running anything in them (``weights_only``). What is hashed are the tensors that a network
really holds after loading, not the file.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from recon.errors import AssetError

# A damaged file of PyTorch's older format fails wherever its pickle happens to break off.
_DAMAGE = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
    pickle.UnpicklingError,
)


def read_tensors(path: Path, mend: str) -> dict[str, Tensor]:
    """The tensors of a state dict as PyTorch saves it, by name, on the CPU.

    Args:
        mend: what to do about a bad file, the end of the sentence.

    Raises:
        AssetError: the file is truncated, or holds something else.
    """
    try:
        # Files in the newer format are mapped, so that a classifier that nobody asks for is never read.
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except _DAMAGE as error:
        raise AssetError(f"{path.name} is no file of weights, or it is damaged: {mend}") from error
    if not isinstance(stored, dict) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise AssetError(f"{path.name} holds no table of weights: {mend}")
    return {str(name): value for name, value in stored.items()}


def checked(
    stored: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], file: str, mend: str
) -> dict[str, Tensor]:
    """The tensors called ``wanted``, float32 copies of those in ``stored``.

    Args:
        wanted: shape of each tensor.
        file, mend: for the message.

    Raises:
        AssetError: one is missing, of another shape, or holds values that are no numbers.
    """
    found = {}
    for name, shape in wanted.items():
        if name not in stored or tuple(stored[name].shape) != tuple(shape):
            raise AssetError(f"{file} does not hold {name} of shape {tuple(shape)}: {mend}")
        found[name] = stored[name].detach().to(torch.float32).clone()
    return finite(found, file, mend)


def finite(tensors: dict[str, Tensor], file: str, mend: str) -> dict[str, Tensor]:
    """The same tensors.

    Raises:
        AssetError: one holds values that are no numbers.
    """
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise AssetError(f"{file} holds values in {name} that are no numbers: {mend}")
    return tensors


def mend_of(asset: str) -> str:
    """How a bad file of the asset is replaced."""
    return (
        f"it is not the file that '{asset}' needs; run `mesoface assets fetch {asset} --again`, or name the right file "
        f"with `mesoface assets add {asset} PATH`."
    )


def packaged_file(package: str, *parts: str) -> Path:
    """A file that an installed package carries; the package is not imported.

    Raises:
        AssetError: the package or its file is not there.
    """
    found = find_spec(package)
    path = Path(found.origin).parent.joinpath(*parts) if found is not None and found.origin else None
    if path is None or not path.is_file():
        raise AssetError(f"the package '{package}' lacks its file '{'/'.join(parts)}': `pip install {package}` again.")
    return path


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes and values of tensors in order of name; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
