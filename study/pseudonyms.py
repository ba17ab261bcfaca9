"""Who a rater is, without saying it: a keyed hash of a marketplace's id, different in every study; and the codes that
follow from the same key.

``pseudonym = HMAC-SHA256(key, study ‖ 0 ‖ provider ‖ 0 ‖ raw id)`` (RFC 2104). Without the key nobody can try ids until
one fits; with the study in the message the same person cannot be followed from study to study.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from recon.errors import InputError

KEY_VARIABLE = "MESOFACE_STUDY_KEY"
KEY_BYTES = 32

COMPLETED, SCREENED = "completed", "screened out"
"""Purposes of :func:`shared_code`."""


def secret_key() -> bytes:
    """The key of this installation: ``MESOFACE_STUDY_KEY`` (64 hexadecimal digits), else a file that is made once.

    The file lies in the mesoface home and only its owner can read it. Who loses it can no longer recognise a returning
    rater of an open study; answers are not lost.

    Raises:
        InputError: the variable or the file holds no key.
        StorageError: the file cannot be written.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given is not None:
        return _read(given, f"the variable {KEY_VARIABLE}")
    from recon.assets import home
    from recon.storage import make_folder, storage_errors

    path = home() / "study.key"
    make_folder(path.parent)
    with storage_errors(path):
        if not path.exists():
            _write_once(path)
        return _read(path.read_text(encoding="ascii", errors="replace"), f"'{path}'")


def _write_once(path: Path) -> None:
    """A new key under ``path``, readable by its owner alone; of two processes that try at once the first wins."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # fails where the other process was first, and never shows half a key
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)


def _read(text: str, origin: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError(f"{origin} holds no key: it must be {2 * KEY_BYTES} hexadecimal digits.")
    return key


def pseudonym(key: bytes, study: str, provider: str, raw_id: str) -> str:
    """64 hexadecimal digits that stand for the rater ``raw_id`` of ``provider`` in ``study``.

    Raises:
        InputError: an empty id.
    """
    if not raw_id:
        raise InputError(f"the provider '{provider}' named no rater: open the study through its own link.")
    message = "\0".join((study, provider, raw_id)).encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def key_check(key: bytes, study: str) -> str:
    """16 hexadecimal digits that differ where the key does, and say nothing else of it."""
    message = "\0".join(("mesoface study key", study)).encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:16]


def shared_code(key: bytes, study: str, purpose: str) -> str:
    """A code that all raters of ``study`` hand in to a marketplace: 10 capital digits and letters.

    It is the same whenever it is asked for, so that what was posted and what is served agree.
    """
    message = "\0".join(("mesoface study code", study, purpose)).encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:10].upper()
