"""Image quilting with a library that varies over the face: one person's patch beside another's, joined by a least cut.

Efros and Freeman, *Image quilting for texture synthesis and transfer*, SIGGRAPH 2001, in the form that Mohammed, Prince
and Kautz (*Visio-lization: generating novel facial images*, SIGGRAPH 2009) give it for faces: the candidates for a
place are the patches that the training people show at the *same* place, and a global model of the whole face says
which of them are likely. A candidate k is judged by::

    E_k = O_k / (A_k + B) + (½ log A_k / B)² + λ [‖c_k − c‖² / mean_j ‖c_j − c̄‖² + (ρ_k − ρ)²]

with O the overlap energy (the squared difference to what already lies there), A and B the energies of both sides in the
overlap, c coefficients of a local PCA of patches, in which the global model's patch is compared with the candidates',
and ρ the log roughness of a patch, of which the global model gives the expected one. Without the division by A + B, and
without ρ, the smoothest patch would always win where details are unrelated, or a beard stand beside bare skin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Fewer common texels than this say nothing of how two patches fit.
_LEAST_COMMON = 8
# Of all people those are asked who show nearly as much of the place as the one who shows most.
_SHOWN = 0.8
# Texels that the chosen person does not show are asked of this many others.
_LAYERS = 4


class Library(Protocol):
    """What patches are taken from; see :class:`recon.texture.patch_library.PatchLibrary`.

    Attributes:
        skin: ``(H, W)`` bool: what is to be filled.
        detail: ``(N, H, W, C)`` float16 or float32 of N people.
        valid: ``(N, H, W)`` bool: where a person may be copied from.
        corners: ``(P, 2)`` int: first row and column of every place, in raster order.
        patch: side of the patches, texels.
        overlap: width of the strip in which neighbours overlap, texels.
    """

    @property
    def skin(self) -> Mask: ...
    @property
    def detail(self) -> NDArray[np.floating]: ...
    @property
    def valid(self) -> Mask: ...
    @property
    def corners(self) -> NDArray[np.intp]: ...
    @property
    def patch(self) -> int: ...
    @property
    def overlap(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Quilt:
    """A quilt over the skin.

    Attributes:
        owner: ``(H, W)`` int16: whose texel it is; −1 outside the skin and where nobody shows any.
        canvas: ``(H, W, C)`` float32 detail, 0 where nobody owns it.
    """

    owner: NDArray[np.int16]
    canvas: Array


def overlap_energy(patches: Array, canvas: Array, common: Mask) -> NDArray[np.float64]:
    """``(N,)`` sums of squared differences between ``(N, h, w, C)`` patches and a ``(h, w, C)`` canvas.

    Args:
        common: ``(N, h, w)`` bool: the texels that count for each patch.
    """
    difference = np.where(common[..., None], patches - canvas, 0.0)
    return np.asarray(np.einsum("nhwc,nhwc->n", difference, difference, dtype=np.float64))


def patch_cost(patches: Array, canvas: Array, common: Mask) -> NDArray[np.float64]:
    """``(N,)`` how badly the patches fit what lies there: the first two terms of the energy above.

    1, what unrelated details of one strength cost, where the overlap is too small to tell.
    """
    inside = common[..., None]
    seen = np.where(inside, patches, 0.0)
    own = np.einsum("nhwc,nhwc->n", seen, seen, dtype=np.float64)
    there = np.einsum("nhw,hwc,hwc->n", common, canvas, canvas, dtype=np.float64, optimize=True)
    total = np.maximum(own + there, 1e-12)
    ratio = 0.5 * np.log(np.maximum(own, 1e-12) / np.maximum(there, 1e-12))
    told = common.sum(axis=(1, 2)) >= _LEAST_COMMON
    return np.where(told, overlap_energy(patches, canvas, common) / total + ratio**2, 1.0)


def min_cut(cost: NDArray[np.floating]) -> Mask:
    """The least cut from top to bottom through an ``(h, w)`` cost, each step at most one column aside.

    Returns:
        ``(h, w)`` bool: True on the cut and right of it, where the new patch begins.
    """
    height, width = cost.shape
    total = cost.astype(np.float64).copy()
    for row in range(1, height):
        above = np.pad(total[row - 1], 1, constant_values=np.inf)
        total[row] += np.minimum(np.minimum(above[:-2], above[1:-1]), above[2:])
    column = int(np.argmin(total[-1]))
    path = np.empty(height, np.intp)
    path[-1] = column
    for row in range(height - 2, -1, -1):
        first = max(column - 1, 0)
        column = first + int(np.argmin(total[row, first : column + 2]))
        path[row] = column
    return np.arange(width) >= path[:, None]


def new_side(cost: NDArray[np.floating], filled: Mask, overlap: int) -> Mask:
    """``(h, w)`` bool: what a new patch takes, given the squared difference to what lies at its left and top.

    Args:
        cost: ``(h, w)`` squared differences, 0 where there is nothing to compare.
        filled: ``(h, w)`` bool: where something lies already.
        overlap: width of the strips in which the cuts run.
    """
    new = np.ones(cost.shape, bool)
    if filled[:, :overlap].any():
        new[:, :overlap] &= min_cut(cost[:, :overlap])
    if filled[:overlap].any():
        new[:overlap] &= min_cut(cost[:overlap].T).T
    return new


def quilt(library: Library, distance: NDArray[np.floating], choices: int, rng: np.random.Generator) -> Quilt:
    """Fills the skin patch by patch, in raster order.

    Args:
        distance: ``(P, N)`` disagreement of every person's patch with the global model: the term with λ.
        choices: at every place one of this many best candidates is taken, by chance.
        rng: makes that choice.
    """
    owner = np.full(library.skin.shape, -1, np.int16)
    canvas = np.zeros((*library.skin.shape, library.detail.shape[-1]), np.float32)
    for place, (row, column) in enumerate(library.corners):
        window = (slice(row, row + library.patch), slice(column, column + library.patch))
        _fill(library, window, distance[place], choices, rng, owner[window], canvas[window])
    return Quilt(owner, canvas)


def _fill(
    library: Library,
    window: tuple[slice, slice],
    distance: NDArray[np.floating],
    choices: int,
    rng: np.random.Generator,
    owner: NDArray[np.int16],
    canvas: Array,
) -> None:
    """Fills one place in ``owner`` and ``canvas`` (views of it): with the chosen person, the rest with others."""
    wanted, valid = library.skin[window], library.valid[(slice(None), *window)]
    for layer in range(_LAYERS):
        empty = wanted & (owner < 0)
        shown = (valid & empty).sum(axis=(1, 2))
        if not shown.any():
            return
        able = np.flatnonzero(shown >= _SHOWN * shown.max())
        patches = library.detail[(able, *window)].astype(np.float32)
        # How well people fit themselves says nothing: they would never be left again.
        common = valid[able] & (owner >= 0) & (owner != able[:, None, None])
        energy = patch_cost(patches, canvas, common) + distance[able]
        best = np.argsort(energy, kind="stable")[:choices]
        pick = int(best[rng.integers(len(best))])
        take = valid[able[pick]] & wanted
        if layer == 0:
            filled = owner >= 0
            squared = np.square(patches[pick] - canvas).sum(axis=-1)
            cost = np.where(filled & take, squared, 0.0)
            take &= new_side(cost, filled, library.overlap) | empty
        else:
            take &= empty
        owner[take] = able[pick]
        canvas[take] = patches[pick][take]
