"""What is known of a finished scan before any file of it is opened: where its mesh and maps lie, and its terms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recon.capture.scan import MESH_SUFFIXES
from recon.capture.scan_landmarks import upright
from recon.capture.sequence_file import FILE
from recon.capture.texture_map import COLOURS, KINDS, MapFile
from recon.capture.toml_table import Table, read_toml
from recon.data.subject import Licence
from recon.errors import InputError
from recon.images import PHOTOGRAPH_SUFFIXES

KIND = "finished-scan"
MILLIMETRES = {"millimetre": 1.0, "centimetre": 10.0, "metre": 1000.0, "inch": 25.4}
"""Units of a scan, by their names in ``subject.toml``."""

_MAP_SUFFIXES = (".exr", ".tif", ".tiff", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class ScanSource:
    """A finished scan on disk.

    Attributes:
        id: of the person.
        mesh: file of the mesh.
        maps: kind → file; ``albedo`` is always there.
        skin: names of the materials that are skin; empty for all.
        units: name in ``MILLIMETRES``, or None: told from the size of the face.
        orientation: up and forward (``+y``, ``+z``), or None: found.
        photograph: file, or None: one is rendered.
        landmarks: 68 points in the scan's frame, or None.
        landmark_vertices: 68 vertex numbers of the mesh's file, from 0, or None.
        licence, attributes, synthetic: of the person.
        notes: remarks that belong to every result, for example what kind of albedo the source has.
    """

    id: str
    mesh: Path
    maps: Mapping[str, MapFile]
    skin: tuple[str, ...] = ()
    units: str | None = None
    orientation: tuple[str, str] | None = None
    photograph: Path | None = None
    landmarks: tuple[tuple[float, ...], ...] | None = None
    landmark_vertices: tuple[int, ...] | None = None
    licence: Licence = field(default_factory=lambda: Licence("unknown"))
    attributes: Mapping[str, str] = field(default_factory=dict)
    synthetic: bool = False
    notes: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises InputError if a file is missing that everything needs."""
        if not self.mesh.is_file():
            raise InputError(f"the mesh '{self.mesh}' does not exist: put it there, or correct its name.")
        for kind, file in self.maps.items():
            if not file.path.is_file():
                raise InputError(f"the {kind} map '{file.path}' does not exist: put it there, or correct its name.")
        if "albedo" not in self.maps:
            raise InputError(
                f"'{self.mesh.parent}' has no albedo map: put albedo.exr (or .png, .tif, .jpg) beside the mesh, or "
                f"name it in {FILE}, [maps.albedo] file."
            )
        if self.photograph is not None and not self.photograph.is_file():
            raise InputError(
                f"the photograph '{self.photograph}' does not exist: put it there, or drop it from {FILE} to have one "
                "rendered."
            )

    @property
    def key(self) -> str:
        """Changes with everything that results are made from: settings, and size and time of every file."""
        files = [self.mesh, *(file.path for file in self.maps.values())]
        seen = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        settings = {
            "maps": {kind: [file.colour_space, file.scale, file.space] for kind, file in self.maps.items()},
            "skin": self.skin,
            "units": self.units,
            "orientation": self.orientation,
            "landmarks": self.landmarks,
            "landmark_vertices": self.landmark_vertices,
        }
        return hashlib.sha256(json.dumps([seen, settings], sort_keys=True).encode()).hexdigest()


def read_scan_folder(folder: Path) -> ScanSource:
    """The scan in a plain folder; the layout is documented in :mod:`recon.data.light_stage`.

    Raises:
        InputError: ``subject.toml`` cannot be used, or there is no mesh or no albedo.
    """
    path = folder / FILE
    top = Table(read_toml(path) if path.is_file() else {}, path, "the file's")
    kind = top.take("kind", f'"{KIND}"', str, needed=False) or KIND
    if kind != KIND:
        raise top.wrong("kind", f'must be "{KIND}" or "gradient-sequence", not "{kind}"')
    units = top.word("units", tuple(MILLIMETRES)) if "units" in top.values else None
    up = top.take("up", "an axis such as +y", str, needed=False)
    forward = top.take("forward", "an axis such as +z", str, needed=False)
    if (up is None) != (forward is None):
        raise top.wrong("forward" if forward is None else "up", "is missing: give both up and forward, or neither")
    if up is not None:
        try:
            upright(up, forward)
        except InputError as error:
            raise InputError(f"'{path}': {error}") from error
    points = top.array("landmarks", (68, 3), "the positions of the 68 iBUG landmarks", needed=False)
    numbers = top.array("landmark_vertices", (68,), "the vertex numbers of the 68 iBUG landmarks", needed=False)
    if points is not None and numbers is not None:
        raise top.wrong("landmarks", "and landmark_vertices say the same: drop one")
    attributes = top.take("attributes", "a table", dict, needed=False) or {}
    skin = top.take("skin", "a list of material names", list, needed=False) or []
    source = ScanSource(
        id=str(top.take("id", "the person's id", str, needed=False) or folder.resolve().name),
        mesh=top.file("mesh", folder, needed=False) or _mesh_in(folder),
        maps=_maps(top, folder),
        skin=tuple(str(name) for name in skin),
        units=units,
        orientation=None if up is None else (up, forward),
        photograph=top.file("photograph", folder, needed=False) or _photograph_in(folder),
        landmarks=None if points is None else tuple(map(tuple, points.tolist())),
        landmark_vertices=None if numbers is None else tuple(int(number) for number in numbers),
        licence=Licence(
            top.take("licence", "the terms", str, needed=False) or "unknown",
            top.take("citation", "text", str, needed=False) or "",
            bool(top.take("redistributable", "true or false", bool, needed=False)),
        ),
        attributes={str(key): str(value) for key, value in attributes.items()},
        synthetic=bool(top.take("synthetic", "true or false", bool, needed=False)),
    )
    top.done()
    source.check()
    return source


def _mesh_in(folder: Path) -> Path:
    found = [folder / f"mesh{suffix}" for suffix in MESH_SUFFIXES if (folder / f"mesh{suffix}").is_file()]
    if not found:
        endings = ", ".join(suffix[1:] for suffix in MESH_SUFFIXES)
        raise InputError(f"'{folder}' has no mesh: put mesh.obj there ({endings}), or name it in {FILE}, mesh.")
    return found[0]


def _photograph_in(folder: Path) -> Path | None:
    found = sorted(
        file
        for file in folder.iterdir()
        if file.stem in {"photo", "photograph"} and file.suffix.lower() in PHOTOGRAPH_SUFFIXES
    )
    return found[0] if found else None


def _maps(top: Table, folder: Path) -> dict[str, MapFile]:
    """The maps that the file declares, and those that lie in the folder under their kind's name."""
    declared = Table(top.take("maps", "a table of maps", dict, needed=False) or {}, top.path, "[maps]")
    found = {}
    for kind in KINDS:
        values = declared.take(kind, "a table", dict, needed=False)
        beside = [folder / f"{kind}{suffix}" for suffix in _MAP_SUFFIXES if (folder / f"{kind}{suffix}").is_file()]
        if values is None:
            if beside:
                found[kind] = MapFile(beside[0])
            continue
        table = Table(values, top.path, f"[maps.{kind}]")
        path = table.file("file", folder, needed=False) or (beside[0] if beside else None)
        if path is None:
            raise table.wrong("file", "is missing: name the file")
        space = None
        if kind in COLOURS and "colour_space" in table.values:
            space = table.word("colour_space", ("linear", "srgb"))
        scale = table.number("scale", "a factor", needed=False) if kind != "normal" else None
        frame = (
            table.word("space", ("tangent", "object")) if kind == "normal" and "space" in table.values else "tangent"
        )
        found[kind] = MapFile(path, space, scale or 1.0, frame)
        table.done()
    declared.done()
    return found
