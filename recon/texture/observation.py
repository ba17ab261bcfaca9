"""What a photograph tells of a face's texture: the fit, and the partial albedo where skin is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.fitting.fit import Fit


@dataclass(frozen=True, eq=False)
class Observation:
    """The partial high-frequency albedo of DESIGN §3.3 (``A_high``) with its masks, all ``(S, S)``, row 0 at v = 1.

    Attributes:
        fit: the fitted face model.
        albedo: ``(S, S, 3)`` float32 linear RGB, photograph divided by shading; 0 outside ``visible``.
        visible: bool, face surface seen by the camera (not self-occluded, not grazing, not withheld).
        skin: bool, subset of ``visible``: skin (no brow, eye, lip interior, hair, beard, glasses, clipping).
        confidence: float32 in [0, 1], how well a texel is seen (facing ratio, sampling density), 0 outside visible.
        withheld: bool, texels of the half that the protocol withholds (geometry only; nothing was read there).
        record: timings, fractions, notes.
    """

    fit: Fit
    albedo: NDArray[np.float32]
    visible: NDArray[np.bool_]
    skin: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    withheld: NDArray[np.bool_]
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Side of the UV maps in texels."""
        return int(self.visible.shape[0])
