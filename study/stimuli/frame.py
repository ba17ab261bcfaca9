"""The part of a photograph that raters see, the face's midline in it, and its size on the screen.

The frame follows from 68 landmarks (iBUG order) alone, so it is the same for every condition of a subject. With ``s``
the larger of the distance between the outer eye corners and 0.76 times that from the nose bridge to the chin (equal in
a face that looks ahead; the larger is the one that turning the head foreshortened less), it is 2.4 s wide and 3 s tall
or as much larger as its shape asks for, around a point 0.46 s above the middle of bridge and chin: the whole face with
ears, chin and hair line. A frame that leaves the photograph is moved inside, and made smaller where it does not fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recon.errors import InputError
from recon.runs.views import Box

Float = NDArray[np.float32]

OUTER_EYES, BRIDGE, CHIN = (36, 45), 27, 8
# Nose bridge and ridge, base of the nose, lips, chin: iBUG landmarks on the plane of symmetry.
MIDLINE = (27, 28, 29, 30, 33, 51, 62, 66, 57, 8)
WIDE, TALL, RAISED = 2.4, 3.0, 0.46
# Of what lies between the eye corners, the narrower side of the midline: a head turned by about 30° has less.
NARROWEST = 0.35


@dataclass(frozen=True)
class Frame:
    """Where the face is in a photograph.

    Attributes:
        box: left, top, right, bottom in whole pixels of the photograph.
        eyes: distance between the outer eye corners in pixels.
        midline: ``a, b`` of the line ``x = a + b y`` in pixels of the photograph.
        narrower: share of the eyes' distance that lies on the narrower side of the midline, at most 0.5.
    """

    box: Box
    eyes: float
    midline: tuple[float, float]
    narrower: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the photograph."""
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


def frame_of(landmarks: NDArray[np.floating], picture: tuple[int, int], shown: tuple[int, int]) -> Frame:
    """The frame of a face.

    Args:
        landmarks: ``(68, 2)`` x, y in pixels of the photograph.
        picture: width and height of the photograph.
        shown: width and height of the stimulus; the frame has its shape.

    Raises:
        InputError: the face is smaller in the photograph than it would be shown.
    """
    points = np.asarray(landmarks, np.float64)
    left, right = points[list(OUTER_EYES)]
    eyes = float(np.hypot(*(right - left)))
    length = float(np.hypot(*(points[CHIN] - points[BRIDGE])))
    scale = max(eyes, 0.76 * length)
    width = max(WIDE * scale, TALL * scale * shown[0] / shown[1])
    width = min(width, picture[0], picture[1] * shown[0] / shown[1])
    size = math.floor(width), math.floor(width * shown[1] / shown[0] + 1e-9)
    if size[0] < shown[0] or size[1] < shown[1]:
        raise InputError(
            f"the face fills only {size[0]}×{size[1]} pixels of the photograph: stimuli are never enlarged, so ask for "
            f"at most that size."
        )
    centre = (points[BRIDGE] + points[CHIN]) / 2
    centre = np.array([centre[0], centre[1] - RAISED * scale])
    x = int(np.clip(round(centre[0] - size[0] / 2), 0, picture[0] - size[0]))
    y = int(np.clip(round(centre[1] - size[1] / 2), 0, picture[1] - size[1]))
    midline = _midline(points)
    across = [abs(point[0] - (midline[0] + midline[1] * point[1])) for point in (left, right)]
    return Frame((x, y, x + size[0], y + size[1]), eyes, midline, min(across) / max(sum(across), 1e-9))


def _midline(points: NDArray[np.float64]) -> tuple[float, float]:
    """Least squares of x over y: for an upright head the line is steep, and x is what errs."""
    x, y = points[list(MIDLINE)].T
    slope, offset = np.polyfit(y, x, 1)
    return float(offset), float(slope)


def area_weights(large: int, small: int) -> csr_array:
    """``(small, large)`` float64: the share of each large pixel in each small one; rows sum to 1.

    Small pixel ``i`` covers ``[i, i + 1) · large / small``.
    """
    edges = np.arange(small + 1) * (large / small)
    first = np.floor(edges[:-1]).astype(int)
    most = math.ceil(large / small) + 1
    columns = first[:, None] + np.arange(most)
    covered = np.minimum(edges[1:, None], columns + 1) - np.maximum(edges[:-1, None], columns)
    inside = (covered > 1e-9) & (columns < large)
    rows = np.broadcast_to(np.arange(small)[:, None], columns.shape)
    return csr_array((covered[inside] * (small / large), (rows[inside], columns[inside])), shape=(small, large))


def averaged(linear: Float, shown: tuple[int, int]) -> Float:
    """``(h, w, 3)`` linear RGB averaged over area to ``shown`` (width, height); equal sizes stay as they are.

    By sparse weights, not by a matrix product: what a library for these adds up in which order depends on the machine
    and the number of threads, and with it the last bit, and with that a stimulus's name.
    """
    height, width = linear.shape[:2]
    if (width, height) == shown:
        return linear
    tall = area_weights(height, shown[1]) @ linear.reshape(height, -1)
    turned = tall.reshape(shown[1], width, 3).transpose(1, 0, 2).reshape(width, -1)
    small = area_weights(width, shown[0]) @ turned
    return np.ascontiguousarray(small.reshape(shown[0], shown[1], 3).transpose(1, 0, 2), np.float32)
