"""Find the 68 facial landmarks of a photograph (iBUG order) with dlib.

Detector: histogram of oriented gradients (Dalal and Triggs 2005), run at two scales; landmarks: an ensemble of
regression trees (Kazemi and Sullivan 2014). Both are dlib's.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recon.data.subject import Photograph
from recon.errors import FaceNotFoundError

# Longest image side, in pixels, at which the detector looks. Its window is 80 px wide: the coarse scale finds faces
# that fill a sixth of the picture or more, the fine one faces half that size.
_COARSE, _FINE = 480, 960
_LARGEST_ENLARGEMENT = 4.0
# Scores of the detector: 0 is dlib's own threshold; faces of degraded photographs (blur, few pixels) score lower.
_ACCEPT, _ACCEPT_WEAK = 0.0, -0.4
# What the detector takes for a face is believed if it is sure, or if the landmarks stay where they are when the box
# moves: over London portraits, degraded ones included (blur 16, one pixel of 32), the relative spread was at most 0.03,
# in false alarms (folds of a suit, a rocket) at least 0.05, with scores up to 0.14.
_SURE_SCORE, _STEADY_SPREAD = 0.5, 0.04
# Side of the face box, in pixels, for the landmark regressor; finer detail only adds noise to it.
_REGRESSOR_BOX = 360.0
# The regressor answers a little differently for boxes that are moved or scaled; the median of several is steadier.
_BOX_JITTER = ((0.0, 0.0, 1.0), (-0.03, 0.0, 1.0), (0.03, 0.0, 1.0), (0.0, -0.03, 1.0), (0.0, 0.03, 1.0),
               (0.0, 0.0, 0.95), (0.0, 0.0, 1.05))  # fmt: skip

# Left eye corner to right eye corner, as seen in the image: the outer corners in iBUG order.
OUTER_EYE_CORNERS = (36, 45)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Landmarks of one face.

    Attributes:
        points: ``(68, 2)`` float32 pixel positions (x, y); the centre of the first pixel is (0.5, 0.5).
        box: ``(left, top, right, bottom)`` of the detected face in pixels.
        faces_found: number of faces in the photograph (the largest was taken).
        score: the detector's confidence; below 0 a face was found only with a lowered threshold.
        spread: root mean square deviation of the points over slightly moved boxes, as a fraction of the distance
            between the outer eye corners; a steady answer is a sign of a real face.
        notes: what the user should know.
    """

    points: NDArray[np.float32]
    box: tuple[float, float, float, float]
    faces_found: int = 1
    score: float = 0.0
    spread: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def interocular(self) -> float:
        """Distance between the outer eye corners in pixels."""
        first, second = OUTER_EYE_CORNERS
        return float(np.linalg.norm(self.points[first] - self.points[second]))


@dataclass(frozen=True)
class _Candidate:
    """A detected face: box ``(left, top, right, bottom)`` in pixels of the photograph, and its score."""

    box: tuple[float, float, float, float]
    score: float

    @property
    def area(self) -> float:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@functools.lru_cache(maxsize=1)
def _detector() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


@functools.lru_cache(maxsize=1)
def _regressor() -> Any:
    import dlib

    from recon.assets import require

    return dlib.shape_predictor(str(require("dlib-landmarks")))


def detect_landmarks(photograph: Photograph) -> Landmarks:
    """The landmarks of the largest face of ``photograph``.

    Raises:
        FaceNotFoundError: no face was found at either scale.
        AssetError: the landmark regressor is not there.
    """
    picture = _eight_bit(photograph.srgb)
    faces = _faces(picture)
    if not faces:
        raise FaceNotFoundError(
            f"no face was found in '{photograph.name}' ({picture.width}×{picture.height}): "
            "use a photograph in which one face looks towards the camera and fills a tenth of the picture or more."
        )
    face, points, spread = max(faces, key=lambda found: found[0].area)
    notes = []
    if len(faces) > 1:
        notes.append(f"{len(faces)} faces were found in '{photograph.name}'; the largest was taken.")
    if face.score < _ACCEPT:
        notes.append(f"the face in '{photograph.name}' was found only with a lowered threshold.")
    return Landmarks(points, face.box, len(faces), face.score, spread, tuple(notes))


def _faces(picture: Image.Image) -> list[tuple[_Candidate, NDArray[np.float32], float]]:
    """Believed faces with their landmarks and spread; those below the detector's own threshold if there is no other."""
    candidates = _detect(picture)
    for threshold in (_ACCEPT, _ACCEPT_WEAK):
        believed = []
        for candidate in candidates:
            if candidate.score >= threshold:
                points, spread = _regress(picture, candidate.box)
                if candidate.score >= _SURE_SCORE or spread <= _STEADY_SPREAD:
                    believed.append((candidate, points, spread))
        if believed:
            return believed
    return []


def _eight_bit(srgb: NDArray[np.float32]) -> Image.Image:
    """An 8-bit picture of ``(H, W, 3)`` values in [0, 1]; by bands of rows, so that a large one needs little memory."""
    pixels = np.empty(srgb.shape, dtype=np.uint8)
    for top in range(0, len(srgb), 512):
        pixels[top : top + 512] = np.clip(np.nan_to_num(srgb[top : top + 512]), 0.0, 1.0) * 255.0 + 0.5
    return Image.fromarray(pixels)


def _detect(picture: Image.Image) -> list[_Candidate]:
    """What may be faces, at two scales, doubles removed, best first."""
    found = [face for side in (_COARSE, _FINE) for face in _detect_at(picture, side)]
    kept: list[_Candidate] = []
    for face in sorted(found, key=lambda candidate: -candidate.score):
        if all(_overlap(face, other) < 0.3 for other in kept):
            kept.append(face)
    return kept


def _detect_at(picture: Image.Image, side: int) -> list[_Candidate]:
    """Faces in ``picture`` scaled so that its longest side has ``side`` pixels (enlarged fourfold at most)."""
    factor = min(side / max(picture.size), _LARGEST_ENLARGEMENT)
    small = _resized(picture, factor)
    boxes, scores, _ = _detector().run(np.asarray(small), 0, _ACCEPT_WEAK)
    horizontal, vertical = picture.width / small.width, picture.height / small.height
    return [
        _Candidate(
            (
                box.left() * horizontal,
                box.top() * vertical,
                (box.right() + 1) * horizontal,
                (box.bottom() + 1) * vertical,
            ),
            float(score),
        )
        for box, score in zip(boxes, scores, strict=True)
    ]


def _overlap(first: _Candidate, second: _Candidate) -> float:
    """Intersection over the smaller of two boxes: one face at two scales, or a part of a face, counts once."""
    width = min(first.box[2], second.box[2]) - max(first.box[0], second.box[0])
    height = min(first.box[3], second.box[3]) - max(first.box[1], second.box[1])
    return max(width, 0.0) * max(height, 0.0) / max(min(first.area, second.area), 1e-9)


def _regress(picture: Image.Image, box: tuple[float, float, float, float]) -> tuple[NDArray[np.float32], float]:
    """Landmarks ``(68, 2)`` float32 in pixels of ``picture``, and their relative spread over moved boxes."""
    import dlib

    left, top, right, bottom = box
    factor = min(_REGRESSOR_BOX / (right - left), _LARGEST_ENLARGEMENT)
    small = np.asarray(_resized(picture, factor))
    scale = np.array([picture.width / small.shape[1], picture.height / small.shape[0]])
    size = np.array([right - left, bottom - top])
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    answers = []
    for across, down, zoom in _BOX_JITTER:
        middle = centre + size * (across, down)
        corners = np.rint(np.concatenate([middle - size * zoom / 2, middle + size * zoom / 2]) / np.tile(scale, 2))
        shape = _regressor()(small, dlib.rectangle(*(int(value) for value in corners)))
        answers.append([(part.x, part.y) for part in shape.parts()])
    # dlib's pixel centres are whole numbers; ours lie at halves.
    stack = (np.asarray(answers, dtype=np.float64) + 0.5) * scale
    points = np.median(stack, axis=0)
    eyes = np.linalg.norm(points[OUTER_EYE_CORNERS[0]] - points[OUTER_EYE_CORNERS[1]])
    spread = float(np.sqrt(np.mean(np.sum((stack - points) ** 2, axis=-1))) / max(eyes, 1e-6))
    return points.astype(np.float32), spread


def _resized(picture: Image.Image, factor: float) -> Image.Image:
    """``picture`` scaled by ``factor``: area average when shrinking, bicubic when enlarging."""
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    if size == picture.size:
        return picture
    return picture.resize(size, Image.Resampling.BOX if factor < 1.0 else Image.Resampling.BICUBIC)
