"""Random patterns on surfaces: noise of a given wavelength, points with a least distance, hair strokes.

All of them live in space, not in texture coordinates, so they cross the seams of a UV layout unseen; and all of them
know the size of a texel, so that what is finer than a texel fades instead of aliasing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_matrix, diags
from scipy.spatial import cKDTree

Float = NDArray[np.float32]

_LATTICE = 48
# Standard deviation of a cubic B-spline with independent unit coefficients in three dimensions: (151/315)^(3/2).
_SPLINE_DEVIATION = (151.0 / 315.0) ** 1.5


def vector(*values: float) -> Float:
    """The values as a float32 array, so that products with positions stay float32."""
    return np.array(values, dtype=np.float32)


def lattice_noise(points: Float, wavelength: float, rng: np.random.Generator) -> Float:
    """``(N,)`` smooth noise of zero mean and unit deviation at ``points`` ``(N, 3)``.

    A cubic B-spline over a random lattice of half a wavelength, turned and shifted at random; it repeats after 24
    wavelengths.
    """
    lattice = rng.standard_normal((_LATTICE,) * 3, dtype=np.float32)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    shift = rng.uniform(0.0, _LATTICE, 3)
    where = (points @ turn.astype(np.float32)) / np.float32(0.5 * wavelength) + shift.astype(np.float32)
    value = map_coordinates(lattice, where.T, order=3, mode="grid-wrap", prefilter=False)
    return np.asarray(value / _SPLINE_DEVIATION, dtype=np.float32)


def resolved(wavelength: float, texel: Float) -> Float:
    """``(N,)`` share of a wave's amplitude that the average over a texel keeps (0 where it would alias)."""
    return np.asarray(np.where(texel < 0.5 * wavelength, np.sinc(texel / wavelength), 0.0), dtype=np.float32)


def scatter(
    positions: Float,
    triangles: NDArray[np.int32],
    spacing: float,
    rng: np.random.Generator,
    density: Float | None = None,
) -> Float:
    """``(N, 3)`` random points on a surface that keep a least distance of about ``spacing`` (Poisson disks).

    Args:
        positions: ``(V, 3)``; triangles: ``(T, 3)``.
        spacing: least distance where the density is 1; in the unit of the positions.
        rng: source of chance.
        density: ``(V,)`` in [0, 1]: the share of points to keep at a vertex.
    """
    corners = positions[triangles]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if density is not None:
        area = np.where(density[triangles].max(axis=1) > 0.01, area, 0.0)
    number = int(2.2 * area.sum() / spacing**2)
    if number == 0:
        return np.empty((0, 3), dtype=np.float32)
    chosen = rng.choice(len(triangles), number, p=area / area.sum())
    weights = rng.dirichlet([1.0, 1.0, 1.0], number).astype(np.float32)
    points = np.einsum("ncx,nc->nx", corners[chosen], weights)
    keep = _thinned(points, spacing)
    if density is not None:
        share = np.einsum("nc,nc->n", density[triangles[chosen]], weights)
        keep &= rng.random(number) < share
    return np.asarray(points[keep], dtype=np.float32)


def _thinned(points: Float, spacing: float) -> NDArray[np.bool_]:
    """A maximal set of points no two of which are nearer than ``spacing``: earlier points win (Luby's rounds)."""
    pairs = cKDTree(points).query_pairs(spacing, output_type="ndarray")
    kept = np.zeros(len(points), dtype=bool)
    open_ = np.ones(len(points), dtype=bool)
    while open_.any():
        live = pairs[open_[pairs[:, 0]] & open_[pairs[:, 1]]]
        first = open_.copy()
        first[live.max(axis=1)] = False
        kept |= first
        open_ &= ~first
        open_[live[first[live[:, 0]] | first[live[:, 1]]].ravel()] = False
    return kept


def strokes(
    points: Float,
    texel: Float,
    roots: Float,
    tips: Float,
    width: float,
    neighbours: int | None = None,
) -> Float:
    """``(N,)`` share of each texel that straight strokes cover, tapering from root to tip.

    Args:
        points: ``(N, 3)`` texel centres; texel: ``(N,)`` their size.
        roots, tips: ``(M, 3)`` ends of the strokes.
        width: at the root, in the unit of the points.
        neighbours: only the strokes with the nearest middles count; None takes all (N × M work).
    """
    if neighbours is None:
        near = np.broadcast_to(np.arange(len(roots)), (len(points), len(roots)))
    else:
        near = cKDTree(0.5 * (roots + tips)).query(points, k=neighbours)[1]
    root, along = roots[near], (tips - roots)[near]
    length2 = np.maximum((along**2).sum(-1), 1e-6)
    place = np.clip(((points[:, None] - root) * along).sum(-1) / length2, 0.0, 1.0)
    distance2 = ((points[:, None] - root - place[..., None] * along) ** 2).sum(-1)
    # A hair blurred by the texel: a Gaussian whose integral across is the hair's width.
    sigma = np.sqrt((0.45 * texel) ** 2 + (0.35 * width) ** 2)[:, None]
    cover = width * (1.0 - 0.7 * place) / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * distance2 / sigma**2)
    return np.asarray(1.0 - np.prod(1.0 - np.minimum(cover, 0.95), axis=1), dtype=np.float32)


def line_distance(points: Float, line: Float) -> Float:
    """``(N,)`` distance of ``points`` ``(N, 3)`` to a polyline ``(M, 3)``, both seen along z."""
    flat, start, step = points[:, None, :2], line[:-1, :2], np.diff(line[:, :2], axis=0)
    along = np.clip(((flat - start) * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-6), 0.0, 1.0)
    return np.asarray(np.linalg.norm(flat - start - along[..., None] * step, axis=-1).min(axis=1), dtype=np.float32)


def average(triangles: NDArray[np.int32], count: int, values: Float, rounds: int) -> Float:
    """``(V,)`` vertex values smoothed over a mesh: in each round half of a value becomes the mean of its neighbours'.

    Args:
        triangles: ``(T, 3)``; vertices outside them keep their value.
        count: V.
        values: ``(V,)``.
        rounds: how often.
    """
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    links = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (count, count)).tocsr()
    degree = np.asarray(links.sum(axis=1)).ravel()
    mean = diags(0.5 / np.maximum(degree, 1.0)) @ links + diags(np.where(degree > 0, 0.5, 1.0))
    smooth = values.astype(np.float64)
    for _ in range(rounds):
        smooth = mean @ smooth
    return smooth.astype(np.float32)
