"""Albedo of made-up skin: melanin and blood over the face, pores, freckles, moles, lips, brows, stubble and hair.

Two pigments act on the logarithm of a base colour::

    log A = log A0 − 1.15 m (.40, .59, 1) − .55 (1 − .62 M) h (.12, 1, .60)

``m`` is the deviation of melanin, whose absorption falls as λ^−3.33 (Jacques 2013), at 610, 545 and 465 nm; ``h`` that
of blood, a rounded mixture of oxy- and deoxyhaemoglobin; ``M`` in [0, 1] is how dark the skin is, for melanin hides
blood. Where blood gathers (cheeks, nose, ears), where pigment does (around the eyes), and how strong each wavelength of
mottling is, are measured by eye and against the band energies of photographed cheeks. All patterns live in space on
the mean shape, in millimetres, so that no seam of the UV layout shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from recon.colour import srgb_to_linear
from recon.data.hair import beard_growth, beard_hairs, brow_hairs, lash_roots, scalp_cover, strand_tone
from recon.data.person import Person
from recon.data.procedural import average, lattice_noise, line_distance, resolved, scatter, vector
from recon.data.relief import PoreField, along_creases, creases, find_pores, fine_relief, gloss_of
from recon.face_model.model import MorphableModel
from recon.rendering.parts import Surface, surface_of
from recon.texture.uv_map import UVMap, uv_map

Float = NDArray[np.float32]

_MELANIN = np.array([0.40, 0.59, 1.00], dtype=np.float32) * 1.15
_BLOOD = np.array([0.12, 1.00, 0.60], dtype=np.float32) * 0.55
# Wavelength in mm and amplitude of the mottling.
_BLOOD_OCTAVES = ((22.0, 0.050), (9.0, 0.030), (4.0, 0.015), (2.0, 0.007), (0.9, 0.004))
_MELANIN_OCTAVES = ((30.0, 0.032), (7.0, 0.022), (2.6, 0.011), (1.1, 0.016))


@dataclass(frozen=True, eq=False)
class SkinSurface:
    """The geometry that all people share: texels of the face material on the mean shape.

    Attributes:
        raster: texels and their triangles.
        positions: ``(V, 3)`` float32 mean positions, mm.
        triangles: ``(F, 3)`` of the face material.
        points: ``(N, 3)`` float32 texel centres, mm.
        texel: ``(N,)`` float32 size of a texel on the surface, mm.
        regions: soft weights ``(V,)`` by region name.
        marks: ``(68, 3)`` float32 landmarks, mm.
    """

    raster: UVMap
    positions: Float
    triangles: NDArray[np.int32]
    points: Float
    texel: Float
    regions: Mapping[str, Float]
    marks: Float

    def at_texels(self, values: Float) -> Float:
        """``(N,)`` of vertex values ``(V,)``."""
        flat = self.raster.covered
        corners = self.raster.corners[self.raster.triangle[flat]]
        return np.asarray(np.einsum("nc,nc->n", values[corners], self.raster.barycentric[flat]), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class PaintedSkin:
    """A person's albedo.

    Attributes:
        albedo: ``(S, S, 3)`` float32 linear RGB, 0 outside the face material.
        skin: ``(S, S)`` bool: face material that is not under the hair of the head or a beard.
        hair: ``(S, S)`` float32, share of the hair of head and beard.
        vertex_colour: ``(V, 3)`` float32 linear RGB of bare skin without fine detail, for neck and shoulders.
        relief: ``(S, S)`` float32 height over the mesh in mm: pores, lines, folds; 0 outside the face material.
        gloss: ``(S, S)`` float32 strength of the skin's sheen about 1.
    """

    albedo: Float
    skin: NDArray[np.bool_]
    hair: Float
    vertex_colour: Float
    relief: Float
    gloss: Float


@lru_cache(maxsize=2)
def skin_surface(model: MorphableModel, size: int) -> SkinSurface:
    """The surface of ``model`` at ``size`` texels; about a second, kept for all people."""
    raster = uv_map(model, size)
    millimetres = np.float32(model.metres_per_unit * 1000.0)
    positions = model.mean * millimetres
    image = raster.interpolate(positions)
    steps = [np.linalg.norm(np.diff(image, axis=axis), axis=-1) for axis in (0, 1)]
    down, across = np.pad(steps[0], ((0, 1), (0, 0)), mode="edge"), np.pad(steps[1], ((0, 0), (0, 1)), mode="edge")
    # Beside the border of the layout a step leads out of it: such texels take the usual size.
    size_map = np.sqrt(down * across)
    size_map = np.where(size_map > 5.0 * np.median(size_map[raster.covered]), np.median(size_map), size_map)
    skin = model.triangles[skin_triangles(model)]
    return SkinSurface(
        raster=raster,
        positions=positions,
        triangles=model.triangles[model.uv_triangle_ids],
        points=image[raster.covered],
        texel=size_map[raster.covered].astype(np.float32),
        regions={
            name: average(skin, len(mask), mask.astype(np.float32), 2 if name == "lips" else 6)
            for name, mask in model.regions.items()
        },
        marks=(model.landmarks(model.mean) * millimetres).astype(np.float32),
    )


def paint_skin(surface: SkinSurface, person: Person) -> PaintedSkin:
    """The albedo of ``person``; the same arguments give the same map."""
    points, texel = surface.points, surface.texel
    regions = {name: surface.at_texels(weight) for name, weight in surface.regions.items()}
    cover = scalp_cover(points, surface.marks, person)
    bare = cover < 0.97
    melanin, blood = _slow(points, surface.marks, regions, person, texel)
    fine_melanin, fine_blood, relief = _fine(surface, regions, person, bare)
    everywhere = surface.regions["face"]
    vertex_melanin, vertex_blood = _slow(surface.positions, surface.marks, surface.regions, person, None)
    # The base colour is the mean of the face, so the mean deviations there are taken out.
    share = everywhere / everywhere.sum()
    mean_melanin, mean_blood = float(vertex_melanin @ share), float(vertex_blood @ share)
    weight = regions["face"] * bare
    fine_melanin -= float(np.average(fine_melanin, weights=weight))
    fine_blood -= float(np.average(fine_blood, weights=weight))
    colour = _colour(melanin + fine_melanin - mean_melanin, blood + fine_blood - mean_blood, person)
    colour = _with_hairs(colour, surface, regions, person, bare)
    tone = strand_tone(points, texel, person, ~bare | (cover > 0.02))
    hair = np.asarray(person.hair, dtype=np.float32) * tone[:, None]
    colour += (hair - colour) * cover[:, None]

    flat = surface.raster.covered
    albedo = np.zeros((*flat.shape, 3), dtype=np.float32)
    albedo[flat] = np.clip(colour, 0.003, 0.95)
    hair_map = np.zeros(flat.shape, dtype=np.float32)
    hair_map[flat] = cover
    vertex_colour = _colour(vertex_melanin - mean_melanin, vertex_blood - mean_blood, person)
    relief_map, gloss_map = np.zeros(flat.shape, np.float32), np.zeros(flat.shape, np.float32)
    relief_map[flat], gloss_map[flat] = relief, gloss_of(points, texel, regions, person)
    if person.beard_length > 0.0:
        hair_map[flat] = np.maximum(cover, 0.9 * surface.at_texels(beard_growth(surface.positions, surface.marks)) ** 2)
    return PaintedSkin(albedo, flat & (hair_map < 0.1), hair_map, vertex_colour, relief_map, gloss_map)


def surface_slope(positions: Float, relief: Float) -> Float:
    """``(S, S, 3)`` gradient along the surface of a relief ``(S, S)`` over positions ``(S, S, 3)``, mm per mm."""
    covered = (positions != 0.0).any(axis=2)
    down, across = np.gradient(positions, axis=0), np.gradient(positions, axis=1)
    rise = np.gradient(relief)
    e, f, g = ((a * b).sum(axis=2) for a, b in ((across, across), (across, down), (down, down)))
    det = np.maximum(e * g - f * f, 1e-6)
    along = ((g * rise[1] - f * rise[0]) / det)[..., None] * across + ((e * rise[0] - f * rise[1]) / det)[
        ..., None
    ] * down
    # Beside the border of the layout a step leads out of it.
    inner = binary_erosion(covered, iterations=2)
    length = np.linalg.norm(along, axis=2)
    keep = inner * np.minimum(1.0, 1.2 / np.maximum(length, 1e-6))
    return np.asarray(along * keep[..., None], dtype=np.float32)


def skin_triangles(model: MorphableModel) -> NDArray[np.int32]:
    """Ids of the triangles of skin, with that of head and neck that has no texture of its own."""
    return model.triangles_of(
        *(n for n in model.material_names if surface_of(model, n) in (Surface.SKIN, Surface.HEAD))
    )


def base_colour(person: Person) -> Float:
    """``(3,)`` float32 linear RGB of the skin's mean."""
    from skimage.color import lab2rgb

    return srgb_to_linear(np.clip(lab2rgb(np.array(person.lab)), 0.0, 1.0))


def _colour(melanin: Float, blood: Float, person: Person) -> Float:
    """``(N, 3)`` linear RGB of deviations ``(N,)`` of the two pigments."""
    seen = np.float32(1.0 - 0.62 * person.darkness)
    absorbed = melanin[:, None] * _MELANIN + seen * blood[:, None] * _BLOOD
    return np.asarray(base_colour(person) * np.exp(-absorbed), dtype=np.float32)


def _slow(
    points: Float, marks: Float, regions: Mapping[str, Float], person: Person, texel: Float | None
) -> tuple[Float, Float]:
    """Melanin and blood of regions and of mottling; the same field whether asked at texels or at vertices."""
    dark = person.darkness
    melanin, blood = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32)

    def near(place: NDArray[np.floating], *sigma: float) -> Float:
        """A Gaussian bump around ``place``, with one σ or one an axis, in mm."""
        offset = (points - place) / np.asarray(sigma, dtype=np.float32)
        return np.asarray(np.exp(-0.5 * (offset**2).sum(axis=1)), dtype=np.float32)

    rng = np.random.default_rng([person.seed, 2])
    flush = float(rng.uniform(0.7, 1.4))
    for side, eye, ear in ((35, (45, 46, 47, 42), 16), (31, (36, 41, 40, 39), 0)):
        outer = 54 if side == 35 else 48
        cheek = 0.5 * (marks[side] + marks[eye[0]]) + (marks[outer] - marks[side]) * vector(1.4, 0.0, 0.4)
        blood += 0.32 * flush * near(cheek, 14.0) + 0.16 * near(marks[side], 6.0)
        ear_middle = marks[ear] + vector(4.0 if side == 35 else -4.0, -22.0, -30.0)
        blood += 0.32 * near(ear_middle, 14.0, 22.0, 16.0)
        below_eye = marks[list(eye)].mean(axis=0) + vector(0.0, -6.0, 0.0)
        blood += 0.16 * near(below_eye, 11.0, 4.5, 9.0)
        melanin += (0.13 + 0.12 * dark) * near(below_eye, 12.0, 5.0, 9.0)
    blood += 0.26 * flush * near(marks[30], 9.0) + 0.10 * near(marks[8] + vector(0, 8, 4), 11.0)
    melanin += (0.05 + 0.10 * dark) * near(marks[[48, 54]].mean(axis=0), 34.0, 16.0, 14.0)
    melanin += 0.05 * regions["forehead"] - 0.05 * regions["neck"]
    lid = regions["eyes"]
    lid_shade = lid * np.clip((points[:, 1] - marks[[36, 45], 1].mean()) / 3.0, 0.0, 1.0)
    melanin += (0.05 + 0.08 * dark) * lid
    blood += 0.12 * lid
    lips = regions["lips"] ** 1.5
    blood += (1.0 - 0.35 * dark + 0.75 * person.makeup) * lips * float(rng.uniform(0.85, 1.15))
    melanin += (0.12 + 0.30 * dark + 0.12 * person.makeup) * lips
    # The outer end of a made-up lid is shaded.
    melanin += 0.25 * person.makeup * lid_shade
    blood += 1.2 * regions["mouth_interior"]
    melanin += 0.35 * regions["mouth_interior"] + 0.6 * regions["nostrils"]
    for index, (octaves, target) in enumerate(((_BLOOD_OCTAVES, blood), (_MELANIN_OCTAVES, melanin))):
        for step, (wavelength, amplitude) in enumerate(octaves):
            if texel is None and wavelength < 6.0:
                continue  # vertices are too coarse for it
            source = np.random.default_rng([person.seed, 3, index, step])
            fade = 1.0 if texel is None else resolved(wavelength, texel)
            target += amplitude * fade * lattice_noise(points, wavelength, source)
    return melanin, blood


def _fine(
    surface: SkinSurface, regions: Mapping[str, Float], person: Person, bare: NDArray[np.bool_]
) -> tuple[Float, Float, Float]:
    """Melanin, blood and relief (mm) of pores, freckles, moles, lip wrinkles and lines; zero where hair hides them."""
    rng = np.random.default_rng([person.seed, 4])
    melanin, blood, relief = (np.zeros(len(bare), np.float32) for _ in range(3))
    points, texel = surface.points[bare], surface.texel[bare]
    here = {name: weight[bare] for name, weight in regions.items()}
    face = np.clip(surface.regions["face"] * 1.3, 0.0, 1.0)
    open_skin = 1.0 - np.clip(here["lips"] + here["mouth_interior"] + 0.7 * here["eyes"], 0.0, 1.0)
    pores = find_pores(surface.positions, surface.triangles, points, face, rng)
    fine = _pores(pores, texel, person) * open_skin * (1.0 + 0.5 * here["nose"])
    fine += _spots(surface, points, texel, face, rng, person) * open_skin
    fine += _lip_wrinkles(points, texel, rng) * here["lips"]
    fine += _lid_rims(points, surface.marks, here)
    height, stain = along_creases(points, texel, creases(surface.marks, person), rng)
    melanin[bare] = fine + stain
    blood[bare] = 0.25 * fine * here["nose"] + 0.5 * stain
    relief[bare] = height + fine_relief(points, texel, here, pores, rng, person)
    return melanin, blood, relief


def _pores(pores: PoreField, texel: Float, person: Person) -> Float:
    """Melanin of pores (dark dots) and of the furrows between them (the borders of the dots' Voronoi cells)."""
    return np.asarray(pores.dots(texel) + 0.05 * (1.0 + 0.5 * person.aged) * pores.furrows(texel), dtype=np.float32)


def _spots(
    surface: SkinSurface, points: Float, texel: Float, face: Float, rng: np.random.Generator, person: Person
) -> Float:
    """Melanin of freckles, of age spots and of moles."""
    total = np.zeros(len(points), np.float32)
    marks = surface.marks
    middle = marks[30] + vector(0.0, 8.0, -8.0)
    spread = np.exp(-0.5 * (((surface.positions - middle) / vector(42.0, 22.0, 40.0)) ** 2).sum(axis=1))
    age_spots = float(np.clip((person.age - 45) / 30, 0.0, 1.0)) * (1.0 - person.darkness)
    for least, small, large, dark, density in (
        (2.4, 0.45, 1.20, 0.30, face * spread * person.freckles * 0.8),
        (7.0, 0.80, 2.20, 0.16, face * (0.04 + 0.30 * age_spots)),
    ):
        centres = scatter(surface.positions, surface.triangles, least, rng, density.astype(np.float32))
        if len(centres):
            total += _blobs(points, texel, centres, rng.uniform(small, large, len(centres)), dark, rng)
    chances = face[surface.triangles].mean(axis=1).astype(np.float64) ** 2
    chosen = rng.choice(len(surface.triangles), person.moles, p=chances / chances.sum())
    moles = surface.positions[surface.triangles[chosen]].mean(axis=1)
    return total + _blobs(points, texel, moles, rng.uniform(0.5, 1.5, person.moles), 1.1, rng)


def _blobs(
    points: Float, texel: Float, centres: Float, radius: NDArray[np.float64], dark: float, rng: np.random.Generator
) -> Float:
    """Round spots with soft, uneven borders; of several near a texel the nearest counts."""
    distance, nearest = cKDTree(centres).query(points)
    size = radius[nearest] * (1.0 + 0.18 * lattice_noise(points, 1.6, rng))
    soft = 0.22 * size + 0.5 * texel
    amount = dark * rng.uniform(0.5, 1.2, len(centres))[nearest]
    return np.asarray(amount / (1.0 + np.exp(np.clip((distance - size) / (0.4 * soft), -30, 30))), dtype=np.float32)


def _lip_wrinkles(points: Float, texel: Float, rng: np.random.Generator) -> Float:
    """Melanin of the upright wrinkles of lips: noise stretched along them."""
    squeezed = points * vector(1.0, 0.16, 0.16)
    return np.asarray(
        0.10 * resolved(1.5, texel) * lattice_noise(squeezed, 1.5, rng)
        + 0.05 * resolved(0.8, texel) * lattice_noise(squeezed, 0.8, rng),
        dtype=np.float32,
    )


def _lid_rims(points: Float, marks: Float, regions: Mapping[str, Float]) -> Float:
    """Melanin of the rims of the lids."""
    total = np.zeros(len(points), np.float32)
    near_eye = regions["eyes"] > 0.05
    for eye in (marks[36:42], marks[42:48]):
        rim = np.concatenate([eye, eye[:1]])
        total[near_eye] += 0.25 * np.exp(-((line_distance(points[near_eye], rim) / 0.9) ** 2))
    return total


def _with_hairs(
    colour: Float, surface: SkinSurface, regions: Mapping[str, Float], person: Person, bare: NDArray[np.bool_]
) -> Float:
    """The skin ``(N, 3)`` with brows, the roots of lashes and stubble over it."""
    # Brows and beards grey later than the hair of the head.
    hair = np.asarray(person.hair, dtype=np.float32) * np.float32(0.5 if person.hair_name in ("grey", "white") else 1.0)
    for cover in (
        lash_roots(surface, regions["eyes"] > 0.05),
        brow_hairs(surface, regions["brows"] + regions["forehead"] + regions["eyes"] > 0.05, person),
        beard_hairs(surface, regions, person, bare),
    ):
        colour = colour + (0.8 * hair - colour) * cover[:, None]
    return np.asarray(colour, dtype=np.float32)
