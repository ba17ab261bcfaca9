"""The database faces behind a texture, as pictures: found by the identity that the run names, and by nothing else.

They are looked for among the databases in the cache of this machine. A database is the run's if, less the tested
people, it has the identity that ``run.json`` names; another database may have the same names for other people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from dashboard.catalogue import Run
from dashboard.settings import current
from recon import assets
from recon.errors import MesofaceError
from recon.storage import atomic_path, make_folder, read_json
from recon.texture.database import TextureDatabase, open_database

WIDTH = 160
"""Pixels of a face."""

# Terms under which a picture may be shown to whoever opens the page.
_OPEN = ("CC0", "CC BY", "CC-BY", "Public domain")


@dataclass(frozen=True)
class Faces:
    """Pictures of database entries: ``open_to_all`` names those whose licence lets them be shown, with the licence."""

    folder: Path
    open_to_all: Mapping[str, str]
    withheld: Mapping[str, str]


def faces_of(run: Run) -> Faces | None:
    """The faces of the run's database; None where it is not on this machine any more."""
    said = run.config.get("settings", {}).get("database")
    model = run.config.get("settings", {}).get("face_model")
    if not isinstance(said, dict) or not isinstance(model, dict):
        return None
    return _faces(str(said.get("identity")), str(model.get("name")), str(model.get("version")), run.subjects)


@st.cache_resource(max_entries=32, ttl=600, show_spinner="Looking for the texture database …")
def _faces(identity: str, model: str, version: str, tested: tuple[str, ...]) -> Faces | None:
    for index in sorted(assets.cache_folder("databases").glob("*/database.json")):
        database = _opened(index, model, version)
        if database is not None and identity in (database.identity, database.without(tested).identity):
            licences = {entry.id: entry.licence for entry in database.entries}
            shown = {name: licence for name, licence in licences.items() if licence.startswith(_OPEN)}
            return Faces(database.folder, shown, {name: one for name, one in licences.items() if name not in shown})
    return None


def _opened(index: Path, model: str, version: str) -> TextureDatabase | None:
    try:
        stored = read_json(index)
        if (stored["face_model"]["name"], stored["face_model"]["version"]) != (model, version):
            return None
        return open_database(index.parent)
    # A damaged or older one is not the run's: the run could not have used it as it is.
    except (MesofaceError, KeyError, TypeError, ValueError):
        return None


def picture_of(faces: Faces, name: str) -> Path | None:
    """A small picture of an entry's albedo, made once; None where it may not be shown or is gone."""
    source = faces.folder / "entries" / f"{name}.npy"
    if name not in faces.open_to_all or not source.is_file():
        return None
    state = source.stat()
    key = hashlib.sha256(f"{source} {state.st_mtime_ns} {WIDTH} cut out".encode()).hexdigest()
    place = current().cache / "faces" / key[:2] / f"{key}.webp"
    if not place.is_file():
        albedo = np.clip(np.load(source, allow_pickle=False).astype(np.float32), 0, 1)
        # What was never seen is 0 in the database; here it is nothing.
        albedo = np.dstack([albedo, albedo.any(axis=2)])
        image = Image.fromarray(np.round(albedo * 255).astype(np.uint8)).resize(
            (WIDTH, WIDTH), Image.Resampling.LANCZOS
        )
        make_folder(place.parent)
        with atomic_path(place) as partial:
            image.save(partial, format="WEBP", quality=82)
    return place
