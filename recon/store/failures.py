"""What goes wrong between here and a store, in one sentence; secrets are never part of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from recon.errors import MesofaceError, StorageError, UsageError
from recon.storage import is_storage_failure, storage_error

# Drivers raise errors of the libraries below them as well, which share no base class.
_OF_DRIVERS = {"adlfs", "aiohttp", "azure", "botocore", "gcsfs", "google", "requests"}


@contextmanager
def store_failures(address: str, doing: str) -> Iterator[None]:
    """Turns what a driver raises inside the block into a typed error.

    Args:
        doing: what is done there, for the sentence about permission: ``read``, ``write``.

    Raises:
        UsageError: no credentials, or no such bucket.
        StorageError: the store cannot be reached or refuses, or this machine's disk is full.
    """
    try:
        yield
    except MesofaceError:
        raise
    except NotImplementedError as error:
        raise UsageError(
            f"the driver of '{address}' cannot {doing} there: use s3:// or another store that can be written."
        ) from error
    except Exception as error:
        if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _OF_DRIVERS:
            raise _typed(error, address, doing) from error
        raise


def is_no_bucket(error: Exception) -> bool:
    """Whether what is absent is the bucket, and not an object in it."""
    return isinstance(error, FileNotFoundError) and "bucket does not exist" in str(error).lower()


def _typed(error: Exception, address: str, doing: str) -> MesofaceError:
    kind, text = type(error).__name__, _first_line(error)
    if isinstance(error, OSError) and is_storage_failure(error):  # only the disk here has such numbers
        return storage_error(error, error.filename or "the working copy")
    if "Credential" in kind or kind in {"ProfileNotFound", "NoAuthTokenError"}:
        return UsageError(
            f"there are no credentials for '{address}' ({text}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_PROFILE."
        )
    if isinstance(error, PermissionError):
        return StorageError(
            f"the credentials may not {doing} '{address}' ({text}): its owner must allow them to list, read, write "
            "and delete there."
        )
    if is_no_bucket(error):
        return UsageError(f"there is no bucket for '{address}': make it first, it is not made for you.")
    if isinstance(error, FileNotFoundError):
        return StorageError(
            f"something of '{address}' vanished while it was read ({text}): run the same command again."
        )
    return StorageError(
        f"'{address}' cannot be reached, or refuses ({kind}: {text}): look at the network and, for a store other than "
        "Amazon's, at AWS_ENDPOINT_URL, then run the same command again; everything finished is kept."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].strip().rstrip(".:") or type(error).__name__
