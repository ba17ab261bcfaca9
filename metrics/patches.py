"""Patch distance: do small patches of skin look as if drawn from the same set as the reference's?

From each band of relative detail (``metrics.detail``) patches of 7 × 7 values are taken, 1, 2 and 4 texels apart at
512² in the fine, mid and coarse band: the levels of a Laplacian pyramid without its decimation. The two sets are
compared by the sliced Wasserstein distance (Rabin, Peyré, Delon and Bernot 2011; on patches of a pyramid: Karras,
Aila, Laine and Lehtinen 2018): along each of 64 fixed random directions ``d``, the first Wasserstein distance of the
two sets of numbers ``dᵀ patch``,

    distance = mean over levels of  mean_d W₁(dᵀ A, dᵀ B) / sqrt(mean_d mean (dᵀ B)²)

so 0 for equal sets; a result without any detail has about 0.8, that of a normal distribution to its mean. A patch
counts where it lies wholly in the region, less the reach of the bands; of more than 4096 a fixed draw is taken, the
same places on both sides.
Chroma joins the patches of both axes at one place.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Component, Judged, Metric, one_by_one
from metrics.detail import CHROMA, LUMA, PARTS, Detail, Part, details_of
from metrics.regions import eroded, region_key
from recon.texture.detail_bands import SIGMAS, TRUNCATE

SIDE = 7
STEPS = (1, 2, 4)
"""Texels between the values of a patch at 512², band by band."""
PATCHES = 4096
LEAST_PATCHES = 256
DIRECTIONS = 64
SEED = 0


@lru_cache(maxsize=4)
def directions(length: int) -> NDArray[np.float32]:
    """``(length, DIRECTIONS)`` float32 unit vectors, the same for everybody."""
    drawn = np.random.Generator(np.random.PCG64(SEED)).standard_normal((length, DIRECTIONS))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=0), np.float32)


def projected_patches(detail: Detail) -> list[NDArray[np.float32]]:
    """Patches of each band along each direction, sorted: ``[(DIRECTIONS, N)]`` float32, N at most 4096, may be 0."""
    found = []
    for band, step in enumerate(STEPS):
        spacing = max(1, round(step * detail.scale))
        offsets = spacing * (np.arange(SIDE) - SIDE // 2)
        rows, columns = _places(detail.counted, spacing)
        window = (rows[:, None, None] + offsets[:, None], columns[:, None, None] + offsets)
        patches = np.concatenate([plane[band][window].reshape(len(rows), SIDE**2) for plane in detail.bands], axis=1)
        found.append(np.sort(np.ascontiguousarray((patches @ directions(patches.shape[1])).T), axis=1))
    return found


def _places(counted: NDArray[np.bool_], spacing: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the middles of patches that lie in ``counted``; drawn where there are too many."""
    if not counted.size:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    rows, columns = np.nonzero(eroded(counted, spacing * (SIDE // 2)))
    if len(rows) > PATCHES:
        drawn = np.random.Generator(np.random.PCG64(SEED)).choice(len(rows), PATCHES, replace=False)
        rows, columns = rows[drawn], columns[drawn]
    return rows, columns


def sliced_wasserstein(result: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Relative sliced Wasserstein distance of sorted projections ``(DIRECTIONS, N)``.

    NaN where there are fewer than :data:`LEAST_PATCHES`, or where the reference is flat.
    """
    if result.shape[1] < LEAST_PATCHES:
        return float("nan")
    spread = float(np.sqrt(np.mean(np.square(reference, dtype=np.float64))))
    return float(np.abs(result - reference).mean(dtype=np.float64)) / spread if spread > 0 else float("nan")


def patch_distances(judged: Judged) -> list[float]:
    """Patch distance inside the region, of luma and of chroma."""
    found = []
    for part in PARTS:
        result, reference = _projected(judged, part)
        found.append(float(np.mean([sliced_wasserstein(*pair) for pair in zip(result, reference, strict=True)])))
    return found


def _projected(judged: Judged, part: Part) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    key = ("patches", part, region_key(judged.region))
    result, reference = details_of(judged, part)
    return projected_patches(result), judged.of_reference.get(key, lambda: projected_patches(reference))


PATCH_DISTANCE = Metric(
    components=tuple(Component(f"patch distance ({part})") for part in PARTS),
    library="mesoface",
    version="1",
    parameters={
        "sigmas_at_512": list(SIGMAS),
        "truncate": TRUNCATE,
        "side": SIDE,
        "steps_at_512": list(STEPS),
        "patches": PATCHES,
        "directions": DIRECTIONS,
        "seed": SEED,
        "luma": LUMA,
        "chroma": CHROMA,
    },
    spaces=frozenset({"uv"}),
    measure=one_by_one(patch_distances),
)
