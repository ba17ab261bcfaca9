"""Runs and databases that lie in an object store: ``s3://bucket/prefix``, or whatever else fsspec has a driver for.

Everything below works on folders, and goes on doing so: a command that is given an address works in a working copy on
this machine's disk (:func:`made_in`, :func:`brought`), every worker in one of its own, and what is made goes to the
store, files first and the record that vouches for them last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.late_names import late_names

if TYPE_CHECKING:
    from recon.store.address import Place, is_address
    from recon.store.opening import brought, made_in
    from recon.store.places import brought_here, modified, said

__all__ = ["Place", "brought", "brought_here", "is_address", "made_in", "modified", "said"]

# The command line needs no more than what an address is.
_HOMES = {
    "address": ("Place", "is_address"),
    "opening": ("brought", "made_in"),
    "places": ("brought_here", "modified", "said"),
}
__getattr__ = late_names(__name__, _HOMES)
