"""Blind mode: methods are called A, B, C …, and which is which is drawn anew for each subject from a seed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def new_seed() -> str:
    """A seed for an address."""
    return secrets.token_hex(4)


def shuffled(methods: Sequence[str], seed: str, protocol: str, subject: str) -> list[str]:
    """``methods`` in an order that follows from seed, protocol and subject alone."""

    def lot(method: str) -> bytes:
        return hashlib.sha256("\0".join((seed, protocol, subject, method)).encode()).digest()

    return sorted(methods, key=lot)


def letter(index: int) -> str:
    """A, B, …, Z, A2, B2 …"""
    round_, place = divmod(index, len(LETTERS))
    return LETTERS[place] + (str(round_ + 1) if round_ else "")
