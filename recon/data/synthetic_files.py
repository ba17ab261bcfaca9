"""Files of made-up people: albedo, mask, vertices and further maps as arrays, the portrait as a JPEG.

Names carry a hash of everything that the content follows from, so that a change of the recipe, of the face model or of
a size makes new files. The portrait is written last: a person whose portrait is there is complete.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recon.data.person import Person
from recon.data.skin import skin_surface
from recon.data.subject import GroundTruth, Subject
from recon.data.synthetic import LICENCE, synthetic_head
from recon.face_model import load_face_model
from recon.skin_tone import TONE_GROUPS, individual_typology_angle
from recon.storage import atomic_path, write_npy

# A change of the recipe makes new files instead of trusting old ones.
_RECIPE = "9"
_MAPS = ("specular", "roughness", "normal", "displacement")


@dataclass(frozen=True)
class Recipe:
    """What besides the person decides the files: ``face_model`` by name, side of the maps and of the photograph."""

    face_model: str
    size: int
    photograph: int

    def key(self, person: Person) -> str:
        """Hash of everything that the files of ``person`` follow from."""
        model = load_face_model(self.face_model)
        text = f"{_RECIPE} {model.name} {model.version} {self.size} {self.photograph} {sorted(asdict(person).items())}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def made_subject(folder: Path, person: Person, recipe: Recipe) -> Subject:
    """The subject of ``person``, whose files in ``folder`` are made where they are missing.

    Raises:
        AssetError: the face model is not on this machine.
        StorageError: the folder cannot be written.
    """
    stem = folder / f"{person.id}-{recipe.key(person)}"
    files = {part: stem.with_name(f"{stem.name}.{part}.npy") for part in ("albedo", "mask", "vertices", *_MAPS)}
    portrait = stem.with_name(f"{stem.name}.jpg")
    if not all(path.is_file() for path in (*files.values(), portrait)):
        _make(person, recipe, files, portrait)
    return Subject(
        id=person.id,
        source="synthetic",
        photograph=portrait,
        licence=LICENCE,
        attributes={
            "tone_group": TONE_GROUPS[person.tone],
            "ita": f"{individual_typology_angle(person.lab):.1f}",
            "gender": person.gender,
            "age": str(person.age),
            "hair": person.hair_name,
            "hair_style": person.style,
        },
        truth=GroundTruth(
            face_model=recipe.face_model,
            albedo=files["albedo"],
            mask=files["mask"],
            vertices=files["vertices"],
            maps={kind: files[kind] for kind in _MAPS},
        ),
        synthetic=True,
    )


def _make(person: Person, recipe: Recipe, files: dict[str, Path], portrait: Path) -> None:
    from recon.data.studio import photograph

    model = load_face_model(recipe.face_model)
    head = synthetic_head(person, model, recipe.size)
    write_npy(files["albedo"], head.painted.albedo.astype(np.float16))
    write_npy(files["mask"], head.painted.skin)
    write_npy(files["vertices"], head.vertices)
    # Maps have a last axis for their channels; specular is a colour.
    write_npy(files["specular"], np.repeat(head.specular[..., None], 3, axis=2).astype(np.float16))
    write_npy(files["roughness"], head.roughness[..., None].astype(np.float16))
    write_npy(files["normal"], head.normals.astype(np.float16))
    millimetres = np.float32(1000.0 * model.metres_per_unit)
    write_npy(files["displacement"], (head.painted.relief / millimetres)[..., None].astype(np.float16))
    surface = skin_surface(model, recipe.size)
    picture = photograph(model, head.vertices, surface, head.painted, person, recipe.photograph)[0]
    _write_jpeg(portrait, picture, int(np.random.default_rng([person.seed, 40]).integers(78, 97)))


def _write_jpeg(path: Path, srgb: NDArray[np.float32], quality: int) -> None:
    """Writes ``(H, W, 3)`` sRGB-encoded values in [0, 1] as a JPEG, atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray((np.clip(srgb, 0, 1) * 255 + 0.5).astype(np.uint8)).save(temporary, "JPEG", quality=quality)
