"""Clothes of made-up people: a shirt below a collar line on the mean shape, its cloth and colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.data.procedural import lattice_noise
from recon.face_model.anny import load_anny
from recon.face_model.model import vertex_normals

Float = NDArray[np.float32]

_DYES = (
    (0.030, 0.040, 0.070),
    (0.55, 0.55, 0.54),
    (0.035, 0.035, 0.037),
    (0.16, 0.16, 0.165),
    (0.16, 0.03, 0.035),
    (0.05, 0.085, 0.06),
    (0.10, 0.17, 0.28),
    (0.34, 0.28, 0.20),
    (0.28, 0.14, 0.10),
    (0.22, 0.24, 0.13),
    (0.40, 0.24, 0.26),
)
_CUTS = ("crew", "vee", "wide", "high")


@dataclass(frozen=True)
class Clothes:
    """``cut`` of the collar, linear RGB ``dye``, and ``stripe`` period in mm (0 for plain cloth)."""

    cut: str
    dye: tuple[float, float, float]
    stripe: float

    def below(self, places: Float) -> Float:
        """``(N,)`` how far below the collar ``places`` ``(N, 3)`` of the mean shape lie, mm."""
        x, y, z = places.T
        away = np.abs(x)
        front = np.clip((40.0 - z) / 90.0, 0.0, 1.0)
        collar = {
            "crew": -128.0 + 26.0 * np.clip(away / 62.0, 0.0, 1.6) ** 2,
            "vee": -176.0 + 1.05 * np.clip(away, 0.0, 62.0) + 18.0 * np.clip(away / 62.0 - 1.0, 0.0, 0.6),
            "wide": -160.0 + 40.0 * np.clip(away / 90.0, 0.0, 1.5) ** 2,
            "high": -96.0 + 12.0 * np.clip(away / 62.0, 0.0, 1.6) ** 2,
        }[self.cut] + 50.0 * front
        return np.asarray(collar - y, dtype=np.float32)

    def at(self, places: Float, rng: np.random.Generator) -> tuple[Float, Float]:
        """Share of the cloth ``(N, 1)`` and its linear RGB ``(N, 3)`` at ``places`` ``(N, 3)``, mean shape, mm."""
        x, y, _ = places.T
        below = self.below(places) + 0.5 * lattice_noise(places, 30.0, rng)
        share = 1.0 / (1.0 + np.exp(np.clip(-below / 0.4, -30.0, 30.0)))
        dye = np.broadcast_to(np.asarray(self.dye, np.float32), places.shape).copy()
        if self.stripe > 0.0:
            band = np.sin(2.0 * np.pi * y / self.stripe) > 0.4
            dye[band] = 0.6 - 0.6 * dye[band]
        folds = 0.10 * lattice_noise(places * np.array([0.7, 0.35, 0.7], np.float32), 26.0, rng)
        weave = 0.05 * lattice_noise(places, 2.2, rng)
        # A ribbed band and the shadow of its seam.
        rib = (below > 0.0) & (below < 17.0)
        shade = 1.0 + folds + weave + np.where(rib, 0.10 * np.sign(np.sin(x * 1.8)), 0.0)
        shade = shade * (1.0 - 0.35 * np.exp(-(((below - 17.5) / 1.2) ** 2)))
        return share[:, None].astype(np.float32), (dye * shade[:, None]).astype(np.float32)


def torso(clothes: Clothes) -> tuple[Float, NDArray[np.int32]]:
    """Vertices ``(V, 3)`` mm and triangles of a shirt for heads that end at the neck: anny's mean body, worn loosely.

    It stops at the collar.
    """
    from trimesh.remesh import subdivide

    model = load_anny()
    body = model.triangles[model.triangles_of("body")]
    used, flat = np.unique(body, return_inverse=True)
    millimetres = np.float32(1000.0 * model.metres_per_unit)
    normals = vertex_normals(model.mean, body)[used]
    vertices, triangles = model.mean[used] * millimetres + 4.0 * normals, flat.reshape(-1, 3)
    for _ in range(2):
        vertices, triangles = subdivide(vertices, triangles)
    vertices = np.asarray(vertices, np.float32)
    kept = (clothes.below(vertices)[triangles] > 0.0).all(axis=1)
    return vertices, triangles[kept].astype(np.int32)


def draw_clothes(rng: np.random.Generator) -> Clothes:
    """A shirt of some cut and colour."""
    dye = _DYES[int(rng.integers(len(_DYES)))]
    stripe = float(rng.choice([0.0, 0.0, 0.0, 0.0, 22.0, 34.0]))
    return Clothes(str(rng.choice(_CUTS, p=[0.45, 0.25, 0.15, 0.15])), dye, stripe)
