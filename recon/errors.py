"""The error hierarchy: every expected failure says what was wrong, with what, and the mend.

The command line turns a :class:`MesofaceError` into one sentence and its ``exit_code``; anything else is a
defect and shows its traceback only with ``--debug``.

Exit codes: 0 done · 1 defect in mesoface · 2 wrong use of the command line · 3 bad input ·
4 an asset, weight file or data set is missing · 5 finished, but some subjects failed · 6 disk or file system ·
130 interrupted.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_DEFECT = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_ASSET = 4
EXIT_PARTIAL = 5
EXIT_STORAGE = 6
EXIT_INTERRUPTED = 130


class MesofaceError(Exception):
    """Base of all expected failures. ``str(error)`` is the one sentence that the user reads."""

    exit_code = EXIT_DEFECT


class UsageError(MesofaceError):
    """An option, a name or a combination of options that cannot be carried out."""

    exit_code = EXIT_USAGE


class InputError(MesofaceError):
    """A file or folder of the user's that cannot be used; names the file and the mend."""

    exit_code = EXIT_INPUT


class ImageError(InputError):
    """A photograph or map that cannot be decoded or is out of range."""


class FaceNotFoundError(InputError):
    """No face was detected in a photograph."""


class FitError(InputError):
    """The face model could not be fitted to a photograph."""


class NoVisibleSkinError(InputError):
    """After masking, too few texels of skin are left to infer a texture from."""


class DatabaseError(InputError):
    """A texture database that is missing, too small, inconsistent, or that contains the tested subject."""


class PairingError(InputError):
    """Results that must be compared lack a partner."""


class StudyDatabaseError(InputError):
    """The database of studies cannot be reached, or its schema is not the one that this mesoface works with."""


class GpuMemoryError(InputError):
    """The memory of a GPU does not suffice for what was asked, or for so many processes beside each other."""


class ProviderError(InputError):
    """A marketplace refused a call, or cannot be reached; nothing was changed there by this call."""


class OutcomeUnknownError(ProviderError):
    """A call reached a marketplace, but no answer came back: it may have been carried out. Never repeated blindly."""


class BudgetError(UsageError):
    """A call would cost more than the study's cap leaves; it was not made."""


class ClusterError(InputError):
    """A scheduler that cannot be reached, or a worker that does not fit; everything finished is kept."""


class RenderError(MesofaceError):
    """A renderer that ended without a picture."""


class AssetError(MesofaceError):
    """A model, weight file or data set is absent, damaged, or cannot be fetched."""

    exit_code = EXIT_ASSET


class StorageError(MesofaceError):
    """The disk is full or a folder cannot be written."""

    exit_code = EXIT_STORAGE
