"""Global correlations of complete textures, for the published method: one a layer and side of the face."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray

from recon.texture.completion import face_masks
from recon.texture.correlation import cell_correlations, erode_for, image_cells
from recon.texture.database import TextureDatabase
from recon.texture.features import CORRELATION_LAYERS, SYNTHESIS_LAYERS, FeatureExtractor, Layer
from recon.texture.pyramid import reduce_by

# A side of the face of which less than this share is seen says nothing about its texture.
LEAST_SIDE = 0.3
# Masks are eroded by a layer's receptive field, but never by more than this (texels at 512²): a face is not wide enough
# for that of the deep layers, whose edge weights are small.
_MOST_EROSION = 12.0


class FaceCorrelations:
    """Correlations of every database texture under one extractor, cached with the database.

    Attributes:
        database: whose textures.
        extractor: three-channel extractor that returns ``TAPS`` (or all levels of a filter bank).
        box: row and column slices of the crop that holds the face.
        skin: ``(H, W)`` bool skin in the crop, over which correlations are measured.
        face: ``(H, W)`` bool face region in the crop, the part that is synthesised.
        sides: ``(2, H, W)`` bool: skin of the subject's right and left side.
    """

    TAPS = tuple(tap for pair in zip(CORRELATION_LAYERS, SYNTHESIS_LAYERS, strict=True) for tap in pair)

    def __init__(self, database: TextureDatabase, extractor: FeatureExtractor) -> None:
        self.database = database
        self.extractor = extractor
        masks = face_masks(database.model, database.size)
        rows, columns = np.nonzero(masks.face.any(axis=1))[0], np.nonzero(masks.face.any(axis=0))[0]
        self.box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        self.skin = database.skin_mask[self.box]
        self.face = masks.face[self.box]
        left = database.layout.interpolate(database.model.mean[:, :1])[..., 0][self.box] > 0
        self.sides = np.stack([self.skin & ~left, self.skin & left])

    @cached_property
    def correlation_taps(self) -> tuple[int, ...]:
        """Which of the extractor's maps are correlated: conv*_1 of a trunk, every level of a filter bank."""
        return self._taps(CORRELATION_LAYERS)

    @cached_property
    def content_taps(self) -> tuple[int, ...]:
        """Which maps hold the content: conv*_2 of a trunk, every level of a filter bank."""
        return self._taps(SYNTHESIS_LAYERS)

    def _taps(self, wanted: Sequence[str]) -> tuple[int, ...]:
        names = [layer.name for layer in self.extractor.layers]
        found = tuple(names.index(name) for name in wanted if name in names)
        return found or tuple(range(len(names)))

    @property
    def correlation_layers(self) -> tuple[Layer, ...]:
        """The correlated layers."""
        return tuple(self.extractor.layers[tap] for tap in self.correlation_taps)

    def side_share(self, seen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """``(2,)`` share of the skin of each side that is seen."""
        total = np.maximum(self.sides.sum(axis=(1, 2)), 1)
        return np.asarray((self.sides & seen).sum(axis=(1, 2)) / total)

    def measure(
        self, texture: NDArray[np.float32], sides: NDArray[np.bool_], scale: int
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Per correlated layer the ``(2, C, C)`` correlations and the ``(2,)`` areas of ``sides`` ``(2, H, W)``.

        Args:
            texture: ``(H, W, 3)`` crop, sRGB-encoded.
        """
        image = torch.from_numpy(np.ascontiguousarray(texture.transpose(2, 0, 1)))[None]
        area = torch.from_numpy(sides).float()[None]
        image, area = reduce_by(image, scale), reduce_by(area, scale)
        device = str(next(iter(self.extractor.state_dict().values())).device)
        cap = _MOST_EROSION * self.database.size / 512.0 / scale
        inside = area[0] >= 0.5
        found = []
        # What is compared with other people's, and kept, is measured in full float32 on every device.
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            maps = self.extractor(image.to(device))
            for tap, layer in zip(self.correlation_taps, self.correlation_layers, strict=True):
                # The midline between the sides is no edge of the mask.
                inner = inside & erode_for(inside.any(dim=0), min(layer.radius, cap))
                (cells,) = image_cells([layer], inner, [maps[tap]])
                correlations = cell_correlations(maps[tap][0], cells.to(device))
                found.append((correlations.cpu().numpy(), cells.areas.numpy()))
        return found

    def correlations(self, scale: int) -> list[NDArray[np.float16]]:
        """Per correlated layer ``(N, 2, C, C)`` float16 in units of :meth:`unit`, textures reduced by ``scale``."""
        stem = f"face-correlations-{self.extractor.identity}-{scale}"
        pending: list[list[NDArray[np.float16]]] = []

        def make(number: int) -> NDArray[np.float16]:
            if not pending:
                pending.append(self._measure_all(scale))
            return pending[0][number]

        return [
            self.database.derived(f"{stem}-{layer.name}", partial(make, number))
            for number, layer in enumerate(self.correlation_layers)
        ]

    def combined(self, weights: NDArray[np.float64], scale: int) -> list[NDArray[np.float32]]:
        """Per correlated layer ``(2, C, C)``: the sum of everybody's correlations times their weights ``(N,)``."""
        meant = np.flatnonzero(weights)  # convex weights leave most people out
        share = weights[meant].astype(np.float32)
        return [
            np.tensordot(share, stored[meant].astype(np.float32), axes=1) * unit
            for stored, unit in zip(self.correlations(scale), self.unit(scale), strict=True)
        ]

    def unit(self, scale: int) -> NDArray[np.float32]:
        """``(layers,)`` the factor that each layer's stored correlations were divided by, to fit 16 bits."""

        def make() -> NDArray[np.float32]:
            measured = self.measure(self._crop(0), self.sides, scale)
            return np.array([np.abs(correlations).max() for correlations, _ in measured], np.float32)

        return np.array(self.database.derived(f"face-units-{self.extractor.identity}-{scale}", make))

    def _crop(self, index: int) -> NDArray[np.float32]:
        return self.database.textures[index][self.box].astype(np.float32)

    def _measure_all(self, scale: int) -> list[NDArray[np.float16]]:
        unit = self.unit(scale)
        columns: list[list[NDArray[np.float16]]] = [[] for _ in self.correlation_layers]
        for index in range(len(self.database)):
            measured = self.measure(self._crop(index), self.sides, scale)
            for column, (correlations, _), one in zip(columns, measured, unit, strict=True):
                column.append((correlations / max(float(one), 1e-12)).astype(np.float16))
        return [np.stack(column) for column in columns]
