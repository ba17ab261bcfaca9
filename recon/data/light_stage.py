"""The data set ``light-stage``: people captured in a light stage or by a scanner, whose albedo and shape are known.

``--data light-stage=PATH`` takes a folder of one capture or of many, each of them in one of these layouts.

**A plain folder**, ``<subject>/`` with ``mesh.obj`` (or ``.ply``, ``.glb``, ``.gltf``) with texture coordinates,
``albedo.exr`` (or ``.tif``, ``.png``, ``.jpg``), if you like ``specular.*``, ``roughness.*``, ``normal.*``,
``displacement.*`` and a photograph ``photo.*``, and ``subject.toml``. All its keys are optional::

    id = "anna"                     # default: the folder's name
    licence = "CC BY 4.0"           # with citation = "…" and redistributable = true or false
    synthetic = false
    mesh = "scan.obj"               # default: mesh.*
    skin = ["Skin_01"]              # materials that are skin; default: all
    units = "millimetre"            # or centimetre, metre, inch; default: told from the size of the face
    up = "+y"                       # axes of the mesh: up and out of the face; default: found
    forward = "+z"
    photograph = "front.jpg"        # default: photo.*, or one is rendered from the capture, which records say
    landmarks = [[x, y, z], …]      # 68 iBUG landmarks on the mesh; default: found on a rendered picture
    landmark_vertices = [12, …]     # or as vertex numbers of the mesh's file, from 0

    [attributes]                    # age, gender, … as strings
    age = "34"

    [maps.albedo]                   # the same for specular
    file = "diffuse.exr"            # default: albedo.*
    colour_space = "linear"         # or srgb; default: linear for floating point, else sRGB; guesses are reported
    scale = 1.0                     # factor that makes values a share of the light

    [maps.normal]
    file = "normals.exr"
    space = "tangent"               # or object; encoded as (n + 1) / 2

    [maps.displacement]             # the same for roughness
    scale = 1.0

**A raw gradient sequence**: ``subject.toml`` with ``kind = "gradient-sequence"``, see
:mod:`recon.capture.sequence_file`; with a mesh.

**Digital Emily 2** (The Wikihuman Project, USC ICT): ``Emily_2_1_OBJ/`` and ``Emily_2_1_Textures/`` as unpacked.

**FaceScape** (Yang et al. 2020): folders ``models_reg/`` with ``{id}_{expression}.obj`` and ``.jpg``, ``dpmap/`` beside
them; of each person the neutral scan.

The face model is brought onto a capture when a run first needs it, some ten seconds a person; this is kept in the
cache. The registration residual in millimetres is part of every subject's record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from recon.capture.captured_truth import ScanTruth
from recon.capture.scan import MESH_SUFFIXES
from recon.capture.scan_source import ScanSource, read_scan_folder
from recon.capture.sequence_file import FILE, is_sequence
from recon.capture.texture_map import MapFile
from recon.data.folder import check_folder
from recon.data.subject import Licence, Subject, TestSet
from recon.errors import InputError, MesofaceError, StorageError, UsageError
from recon.progress import Progress, no_progress, progress_bar

NAME = "light-stage"
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

EMILY_MESHES, EMILY_TEXTURES = "Emily_2_1_OBJ", "Emily_2_1_Textures"
EMILY_SKIN = ("Skin_Blend_01",)
EMILY_LICENCE = Licence(
    "Digital Emily 2: for research and illustration, not commercial, not to be passed on",
    "The Wikihuman Project: Digital Emily 2. USC Institute for Creative Technologies and Chaos Group, 2015",
)
# As measured before as painted; 'raw' is in the camera's own colours.
_EMILY_DIFFUSE = ("00_diffuse_unlit_unpainted", "00_diffuse_unlit", "00_diffuse_unlit_raw")
_EMILY_SPECULAR = ("00_specular_unlit_unpainted", "00_specular_unlit", "00_specular_unlit_raw")

FACESCAPE_MESHES, FACESCAPE_DISPLACEMENT = "models_reg", "dpmap"
FACESCAPE_LICENCE = Licence(
    "FaceScape licence: non-commercial research",
    "Yang, H., Zhu, H., Wang, Y. et al. (2020): FaceScape: a Large-scale High Quality 3D Face Dataset and Detailed "
    "Riggable 3D Face Prediction. CVPR",
)
_FACESCAPE_NOTE = "FaceScape's textures are photographed under even light: they hold some shading and gloss"

Found = Callable[[], "ScanSource | Path"]
"""Reads one capture's description: that of a finished scan, or the folder of a raw sequence."""


def load_light_stage(path: Path | None) -> TestSet:
    """The captures in a folder, in order of id.

    A capture that has no photograph is rendered now, a few seconds each, and kept in the cache. What cannot be used
    is skipped with the reason; the others go on.

    Raises:
        UsageError: no path was given.
        InputError: the folder does not exist, or holds no usable capture.
        StorageError: the cache cannot be written.
    """
    if path is None:
        raise UsageError(f"say where the captures lie: --data {NAME}=PATH.")
    check_folder(path)
    with progress_bar("reading captures") as progress:
        return read_captures(path, progress)


def read_captures(path: Path, progress: Progress = no_progress) -> TestSet:
    """As :func:`load_light_stage`, with a progress of the caller's."""
    subjects: dict[str, tuple[str, Subject]] = {}
    skipped: list[tuple[str, str]] = []
    captures = list(_captures(path, skipped))
    for index, (place, read) in enumerate(captures):
        progress(index, len(captures))
        try:
            subject = _subject(read())
            holder = subjects.setdefault(subject.id.casefold(), (place, subject))
            if holder[1] is not subject:
                raise InputError(
                    f"the id '{subject.id}' is already that of '{holder[0]}': give one of them another id in {FILE}."
                )
        except StorageError:
            raise
        except MesofaceError as error:
            skipped.append((place, str(error)))
    progress(len(captures), len(captures))
    if not subjects:
        reason = f": {skipped[0][1]}" if skipped else ""
        raise InputError(
            f"'{path}' holds no usable capture{reason} Known layouts: a folder a subject with mesh.obj and albedo.*, "
            f"raw sequences with {FILE}, Digital Emily 2 ({EMILY_MESHES}), FaceScape ({FACESCAPE_MESHES})."
        )
    found = sorted((subject for _, subject in subjects.values()), key=lambda subject: subject.id)
    return TestSet(NAME, tuple(found), tuple(skipped))


def _captures(path: Path, skipped: list[tuple[str, str]]) -> Iterator[tuple[str, Found]]:
    """Name and reader of every capture in ``path`` or in its folders."""
    own = list(_layouts(path))
    if own:
        yield from own
        return
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        found = list(_layouts(folder))
        if not found:
            skipped.append((folder.name, f"it holds neither a mesh nor {FILE}"))
        yield from found


def _layouts(folder: Path) -> Iterator[tuple[str, Found]]:
    """The captures of ``folder`` itself."""
    if (folder / FILE).is_file() or any((folder / f"mesh{suffix}").is_file() for suffix in MESH_SUFFIXES):
        yield folder.name, lambda: folder if is_sequence(folder) else read_scan_folder(folder)
    elif (folder / EMILY_MESHES).is_dir():
        yield folder.name, lambda: _emily(folder)
    elif (folder / FACESCAPE_MESHES).is_dir():
        for person, mesh in _facescape_people(folder):
            yield f"{folder.name}/{mesh.name}", lambda person=person, mesh=mesh: _facescape(folder, person, mesh)  # type: ignore[misc]


def _emily(folder: Path) -> ScanSource:
    meshes = sorted((folder / EMILY_MESHES).rglob("*.obj"))
    if not meshes:
        raise InputError(f"'{folder / EMILY_MESHES}' holds no OBJ file: unpack Emily_2_1_OBJ.zip there.")
    textures = folder / EMILY_TEXTURES
    maps = {}
    for kind, names in (("albedo", _EMILY_DIFFUSE), ("specular", _EMILY_SPECULAR)):
        file = _first_named(textures, names)
        if file is not None:
            maps[kind] = MapFile(file)
    if "albedo" not in maps:
        raise InputError(
            f"'{textures}' holds no {_EMILY_DIFFUSE[1]}*.exr: unpack Emily_2_1_Textures.zip beside {EMILY_MESHES}."
        )
    return ScanSource(
        id="emily",
        mesh=meshes[0],
        maps=maps,
        skin=EMILY_SKIN,
        licence=EMILY_LICENCE,
        attributes={"gender": "female"},
        notes=(f"the albedo is {maps['albedo'].path.name}",),
    )


def _first_named(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The map whose stem is the first of ``names`` that there is, floating point before others."""
    files = sorted(folder.rglob("*"), key=lambda file: (file.suffix.lower() != ".exr", str(file)))
    known = [file for file in files if file.suffix.lower() in {".exr", ".tif", ".tiff", ".png", ".jpg"}]
    for name in names:
        for file in known:
            if file.stem == name:
                return file
    return next((file for file in known if file.stem.startswith(names[1])), None)


def _facescape_people(folder: Path) -> list[tuple[str, Path]]:
    """Person and neutral mesh; the person is the folder's number, else the first of the file's name."""
    people: dict[str, list[Path]] = {}
    for mesh in sorted((folder / FACESCAPE_MESHES).glob("*.obj")):
        number = re.match(r"\d+", mesh.stem)
        person = folder.name if folder.name.isdigit() else number.group() if number else mesh.stem
        people.setdefault(person, []).append(mesh)
    chosen = []
    for person, meshes in people.items():
        neutral = [mesh for mesh in meshes if mesh.stem.endswith("neutral")]
        chosen.append((person, (neutral or meshes)[0]))
    return chosen


def _facescape(folder: Path, person: str, mesh: Path) -> ScanSource:
    maps = {"albedo": MapFile(mesh.with_suffix(".jpg"), "srgb")}
    displacement = folder / FACESCAPE_DISPLACEMENT / f"{mesh.stem}.png"
    if displacement.is_file():
        maps["displacement"] = MapFile(displacement)
    return ScanSource(
        id=f"facescape-{person}",
        mesh=mesh,
        maps=maps,
        licence=FACESCAPE_LICENCE,
        attributes={"expression": mesh.stem},
        notes=(_FACESCAPE_NOTE,),
    )


def _subject(found: ScanSource | Path) -> Subject:
    """The subject of a capture; its photograph is there afterwards."""
    from recon.assets import cache_folder
    from recon.face_model import load_face_model

    cache = cache_folder("captures")
    if isinstance(found, Path):
        from recon.capture.sequence_truth import sequence_subject

        return sequence_subject(found, cache, NAME)
    found.check()
    if not _SAFE_ID.fullmatch(found.id):
        found = replace(found, id=re.sub(r"[^A-Za-z0-9._-]+", "_", found.id).lstrip("._-") or "subject")
    capture = ScanTruth(found, cache)
    return Subject(
        id=found.id,
        source=NAME,
        photograph=capture.photograph(load_face_model("auto")),
        licence=found.licence,
        attributes=found.attributes,
        synthetic=found.synthetic,
        capture=capture,
    )
