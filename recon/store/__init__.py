"""Runs and databases that lie in an object store: ``s3://bucket/prefix``, or whatever else fsspec has a driver for.

Everything below works on folders, and goes on doing so: a command that is given an address works in a working copy on
this machine's disk (:func:`made_in`, :func:`brought`), every worker in one of its own, and what is made goes to the
store, files first and the record that vouches for them last.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.store.address import Place, is_address
    from recon.store.opening import brought, made_in
    from recon.store.places import brought_here, modified, said

__all__ = ["Place", "brought", "brought_here", "is_address", "made_in", "modified", "said"]

_HOMES = {
    "Place": "recon.store.address",
    "brought": "recon.store.opening",
    "brought_here": "recon.store.places",
    "is_address": "recon.store.address",
    "made_in": "recon.store.opening",
    "modified": "recon.store.places",
    "said": "recon.store.places",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are used: the command line needs no more than what an address is."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
