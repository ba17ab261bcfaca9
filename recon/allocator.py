"""How the C library gives out memory for large arrays.

glibc takes every block above 32 MiB from the system and gives it back at once. The system hands over zeroed pages one
fault at a time, and a synthesis asks for such blocks hundreds of times a second: a third of its processor time on the
CPU. PyTorch's manual recommends another allocator; two settings of glibc's own do as well, and need nothing installed.
"""

from __future__ import annotations

import ctypes
import platform

# From malloc.h: blocks that may be taken from the system one by one, and free memory that is kept.
_M_MMAP_MAX, _M_TRIM_THRESHOLD = -4, -1
_KEPT = 1 << 30


def keep_large_blocks() -> bool:
    """Lets this process keep up to 1 GiB that it freed; False, and nothing done, where the C library is no glibc."""
    library = _glibc()
    return library is not None and bool(library.mallopt(_M_MMAP_MAX, 0) and library.mallopt(_M_TRIM_THRESHOLD, _KEPT))


def give_back() -> None:
    """Returns to the system what this process freed and kept, where the C library is glibc."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
