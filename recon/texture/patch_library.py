"""Patches of a texture database at every place of the face, and a local PCA by which a global model is compared.

A patch's content is relative detail, ``log(T / L)`` with the low-pass L of :mod:`recon.texture.residual`, so that it
can lie on a face of another tone. Its appearance, by which it is compared, is the complete texture in small: block
means of the sRGB-encoded patch, in the space of the first principal components of all people's patches at that place.
How rough skin is at a place does not show in that; it is predicted from the coefficients of the global model by kernel
ridge regression over the database (:mod:`recon.texture.detail_prior`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.colour import srgb_to_linear
from recon.texture.database import TextureDatabase
from recon.texture.detail_database import DetailDatabase, Domain
from recon.texture.detail_prior import predict_deviation
from recon.texture.masked import dilate, erode
from recon.texture.residual import split_detail

# A patch is compared by this many block means a side.
_BLOCKS = 8
# Least side of a patch in texels, whatever the map's size.
_LEAST_PATCH = 4
# Of the texels that the one who shows most shows, this share tells how rough a person's skin is there.
_TOLD = 0.25
# Skin narrower than twice this is not copied, texels at 512².
_PIECE = 3.0
# So many people's textures are in memory at once.
_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class PatchLibrary:
    """Patches of everybody at every place; see :class:`recon.texture.quilting.Library` for the first six.

    Attributes:
        skin, detail, valid, corners, patch, overlap: as there; detail has three channels, linear RGB.
        details: the database's skin detail; its domain is the crop of the UV square that all of it lives in.
        mean: ``(P, D)`` float32 mean appearance at every place.
        basis: ``(P, M, D)`` float32 orthonormal modes of appearance; zero rows where there are fewer.
        coefficients: ``(P, N, M)`` float32 of everybody.
        roughness: ``(P, N)`` float32 log root mean square of the detail; the mean of the others where hardly shown.
        people: ``(N, K)`` float32 everybody's coefficients in the global model.
    """

    skin: NDArray[np.bool_]
    detail: NDArray[np.float16]
    valid: NDArray[np.bool_]
    corners: NDArray[np.intp]
    patch: int
    overlap: int
    details: DetailDatabase
    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    roughness: NDArray[np.float32]
    people: NDArray[np.float32]

    @property
    def domain(self) -> Domain:
        """The crop of the UV square."""
        return self.details.domain

    def distance(self, texture: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(P, N)`` disagreement of everybody's patches with those of an ``(S, S, 3)`` sRGB-encoded texture.

        The texture is projected onto the local modes; 1 is the mean squared distance between people and their mean.
        """
        crop = texture[self.domain.box]
        looks = np.stack([_appearance(crop[None], corner, self.patch)[0] for corner in self.corners])
        found = np.einsum("pmd,pd->pm", self.basis, looks - self.mean)
        squared = np.square(self.coefficients - found[:, None]).sum(axis=2)
        usual = np.square(self.coefficients).sum(axis=2).mean(axis=1, keepdims=True)
        return np.asarray(squared / np.maximum(usual, 1e-12), np.float32)

    def expected_roughness(self, coefficients: NDArray[np.float32]) -> NDArray[np.float64]:
        """``(P,)`` log roughness to expect at every place, given ``(K,)`` coefficients of the global model."""
        places, people = self.roughness.shape
        if not len(coefficients):
            return np.asarray(self.roughness.mean(axis=1), np.float64)
        samples = self.roughness.T.astype(np.float64).reshape(people, 1, places)
        unknown = np.zeros((1, places), bool)
        found = predict_deviation(
            samples, np.zeros((1, places)), unknown, self.people.astype(np.float64), coefficients.astype(np.float64)
        )
        return found.log_deviation[0]


def patch_library(database: TextureDatabase, patch: int, overlap: int, modes: int) -> PatchLibrary:
    """The library of a database.

    Args:
        patch: side of a patch, texels at 512².
        overlap: overlap of neighbours, texels at 512².
        modes: principal components of a place.
    """
    details = DetailDatabase(database)
    domain = details.domain
    side = min(max(round(patch * domain.scale), _LEAST_PATCH), *domain.skin.shape)
    strip = min(max(round(overlap * domain.scale), 1), side // 2)
    corners = patch_corners(domain.skin, side, side - strip)
    complete = database.textures[(slice(None), *domain.box)]
    places = [_local_pca(_appearance(complete, corner, side), modes) for corner in corners]
    mean, basis, coefficients = (np.stack(part) for part in zip(*places, strict=True))
    detail = database.derived("patch-detail", lambda: _log_detail(details))
    valid = np.stack([_in_one_piece(mask, domain.scale) for mask in details.valid])
    roughness = np.stack([_roughness(detail, valid, corner, side) for corner in corners])
    people = _global_coefficients(database)
    return PatchLibrary(
        domain.skin, detail, valid, corners, side, strip, details, mean, basis, coefficients, roughness, people
    )


def patch_corners(skin: NDArray[np.bool_], side: int, step: int) -> NDArray[np.intp]:
    """``(P, 2)`` first rows and columns of patches that cover ``skin``, in raster order; the last ones are moved in."""
    rows, columns = (
        np.unique(np.minimum(np.arange(0, length - side + step, step), length - side)) for length in skin.shape
    )
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.array([(r, c) for r, c in corners if skin[r : r + side, c : c + side].any()], np.intp).reshape(-1, 2)


def _appearance(textures: NDArray[np.floating], corner: NDArray[np.intp], side: int) -> NDArray[np.float32]:
    """``(N, D)`` block means of the patches of ``(N, H, W, 3)`` textures at one place."""
    row, column = corner
    patches = textures[:, row : row + side, column : column + side].astype(np.float32)
    edges = np.unique(np.linspace(0, side, min(_BLOCKS, side) + 1).astype(int))[:-1]
    sums = np.add.reduceat(np.add.reduceat(patches, edges, axis=1), edges, axis=2)
    widths = np.diff(np.append(edges, side)).astype(np.float32)
    return np.asarray((sums / (widths[:, None] * widths)[..., None]).reshape(len(patches), -1))


def _local_pca(
    looks: NDArray[np.float32], modes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean ``(D,)``, orthonormal modes ``(M, D)`` and coefficients ``(N, M)`` of ``(N, D)`` looks."""
    mean = looks.mean(axis=0)
    _, _, right = np.linalg.svd(looks - mean, full_matrices=False)
    basis = np.zeros((modes, looks.shape[1]), np.float32)
    basis[: min(modes, len(right))] = right[:modes]
    return mean, basis, (looks - mean) @ basis.T


def _in_one_piece(valid: NDArray[np.bool_], scale: float) -> NDArray[np.bool_]:
    """``valid`` less slivers and islands: skin between hairs, and the rims of moles, would be copied as specks."""
    return dilate(erode(valid, _PIECE * scale), _PIECE * scale) & valid


def _roughness(
    detail: NDArray[np.floating], valid: NDArray[np.bool_], corner: NDArray[np.intp], side: int
) -> NDArray[np.float32]:
    """``(N,)`` log root mean square of everybody's detail at one place."""
    window = (slice(None), slice(corner[0], corner[0] + side), slice(corner[1], corner[1] + side))
    shown = valid[window]
    count = shown.sum(axis=(1, 2))
    power = np.square(detail[window].astype(np.float32)).mean(axis=-1)
    total = np.where(shown, power, 0.0).sum(axis=(1, 2))
    told = count >= max(1, int(_TOLD * count.max()))
    usual = total[told].sum() / max(int(count[told].sum()), 1)
    mean_square = np.where(told, total / np.maximum(count, 1), usual)
    return np.asarray(0.5 * np.log(np.maximum(mean_square, 1e-8)), np.float32)


def _global_coefficients(database: TextureDatabase) -> NDArray[np.float32]:
    """``(N, K)`` coefficients of everybody's complete texture in the global model, whose basis is orthogonal.

    Not kept on disk: they must be those of the very model that is fitted to the photograph.
    """
    flat = database.pca.basis.reshape(len(database.pca.basis), database.pca.mean.size)
    squared = np.maximum(np.einsum("kd,kd->k", flat, flat), 1e-12)
    mean, rows = database.pca.mean.ravel(), []
    for first in range(0, len(database), _AT_ONCE):
        textures = database.textures[first : first + _AT_ONCE].astype(np.float32)
        rows.append((textures.reshape(len(textures), -1) - mean) @ flat.T / squared)
    return np.concatenate(rows).astype(np.float32)


def _log_detail(details: DetailDatabase) -> NDArray[np.float16]:
    """``(N, H, W, 3)`` float16 log of texture over low-pass where a person is validly seen, 0 elsewhere."""
    domain, database = details.domain, details.database
    out = np.zeros((len(database), *domain.skin.shape, 3), np.float16)
    for index, name in enumerate(database.ids):
        # What was seen, not the completed texture: that one blends into its fill at the rim.
        albedo = srgb_to_linear(database.seen_texture(name)[domain.box])
        found = split_detail(albedo, details.valid[index], domain.scale)
        out[index] = np.log1p(found.chroma + found.luma[..., None] * found.beta)
    return out
