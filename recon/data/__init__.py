"""Test sets: people, their photographs and what is known of them; one adapter a file, and the protocols.

``load_test_set("london=PATH")`` reads a set through the adapter of that name. An outside package adds an adapter under
the entry-point group ``mesoface.datasets``: a function from a path (or None) to a :class:`TestSet`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from recon.data.subject import GroundTruth, Licence, Photograph, Subject, TestSet
from recon.registry import Registry
from recon.store.address import is_address

__all__ = ["DATASETS", "GroundTruth", "Licence", "Photograph", "Subject", "TestSet", "load_test_set"]

Adapter = Callable[[Path | None], TestSet]
"""Reads the test set at a path; None stands for the adapter's own place, where it has one."""

DATASETS: Registry[Adapter] = Registry(
    "data set",
    "mesoface.datasets",
    {
        "folder": "recon.data.folder:load_folder",
        "london": "recon.data.london:load_london",
        "chicago": "recon.data.chicago:load_chicago",
        "light-stage": "recon.data.light_stage:load_light_stage",
        "synthetic": "recon.data.synthetic_set:load_synthetic",
        "demo": "recon.data.demo:load_demo",
    },
)


def load_test_set(specification: str) -> TestSet:
    """The test set that ``NAME=PATH`` or ``NAME`` names, for example ``london=faces/london`` or ``demo``.

    In place of a path there may be an address of a store, ``folder=s3://BUCKET/PREFIX``: all of it is brought.

    Raises:
        UsageError: unknown name (the message offers the nearest), or a path that is needed or not taken.
        StorageError: the store cannot be reached.
        InputError: the folder cannot be used.
        AssetError: no path was given and the set is not on this machine.
    """
    name, separator, path = specification.strip().partition("=")
    adapter = DATASETS.get(name.strip())
    if is_address(path.strip()):
        from recon.store.opening import spoken
        from recon.store.places import whole_copy

        with spoken():
            return adapter(whole_copy(path.strip()))
    return adapter(Path(path.strip()).expanduser() if separator and path.strip() else None)
