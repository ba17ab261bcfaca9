"""Named regions of a face surface, derived from the 68 landmarks on the mean shape.

The rule is the same for every model, so that numbers per region mean the same on each. All distances are in units of
the distance between the outer eye corners (about 9 cm) on the mean shape seen from the front (x, y):

- ``eyes``: the ellipse around each eye, 0.62 of the eye's width by 0.42 of it, and the lid up to the brow.
- ``brows``: within 0.075 of the brow polyline. ``lips``: the outer lip polygon, grown by 0.012.
- ``mouth_interior``: face surface inside the outer lip polygon that cannot be seen from the front.
- ``nose``: from the nasion to the base, sides from 0.09 to 0.22. ``nostrils``: its part that cannot be seen.
- ``upper_lip``: between nose and lips, as wide as the mouth. ``chin``: below the lips, as wide as the mouth.
- ``forehead``: above the eyes, lids and brows left out, to the hair line (an arc that rises above the brows by the
  height from nose base to chin); temples and glabella belong to it.
- ``cheeks``: between eyes and mouth corners beside nose and lips. ``jaw``: beside the chin, below the mouth corners.
- ``neck``: below the jaw line. ``face``: all of the above but the neck and the hidden parts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recon.face_model.model import Mask, vertex_normals
from recon.rendering.rays import RayScene


def derive_regions(
    mean: NDArray[np.float32], triangles: NDArray[np.int32], landmarks: NDArray[np.float32]
) -> dict[str, Mask]:
    """Region masks ``(V,)`` bool over the vertices of ``triangles``, the skin of the face.

    Args:
        mean: ``(V, 3)`` mean positions in the model frame.
        triangles: ``(F, 3)`` triangles of the face material; vertices of other parts are in no region.
        landmarks: ``(68, 3)`` iBUG landmarks on the mean.
    """
    skin = np.zeros(len(mean), dtype=bool)
    skin[np.unique(triangles)] = True
    scale = float(np.linalg.norm(landmarks[45] - landmarks[36]))
    plane = mean[:, :2] / scale
    marks = (landmarks / scale).astype(np.float64)
    normals = vertex_normals(mean, triangles)
    under_chin = (normals[:, 1] < -0.75) & (plane[:, 1] < 0.5 * (marks[57, 1] + marks[8, 1]))
    front = skin & (normals[:, 2] > -0.35) & ~under_chin
    seen = _seen_from_front(mean, triangles, skin, scale)

    contour = _face_outline(marks)
    # Ears show inside the outline of the jaw landmarks; they lie behind it.
    before_eyes = mean[:, 2] / scale > marks[36:48, 2].min() - 0.35
    before_ears = mean[:, 2] / scale > min(marks[0, 2], marks[16, 2]) - 0.12
    inside = front & before_ears & _in_polygon(plane, contour)
    lips_outline = inside & _near_polygon(plane, marks[48:60, :2], 0.012)
    regions = {"mouth_interior": skin & before_eyes & _near_polygon(plane, marks[48:60, :2], 0.03) & ~seen}
    regions["lips"] = lips_outline & ~regions["mouth_interior"] & seen
    regions["eyes"] = inside & (_in_eye(plane, marks[36:42, :2]) | _in_eye(plane, marks[42:48, :2]))
    brow_distance = np.minimum(_polyline_distance(plane, marks[17:22, :2]), _polyline_distance(plane, marks[22:27, :2]))
    regions["brows"] = inside & (brow_distance < 0.075) & ~regions["eyes"]
    nose = front & _in_polygon(plane, _nose_outline(marks))
    hidden_nose = (
        skin & ~seen & before_eyes & _near_polygon(plane, _nose_outline(marks), 0.02) & ~regions["mouth_interior"]
    )
    regions["nostrils"] = hidden_nose & (plane[:, 1] < marks[30, 1] + 0.04)
    regions["nose"] = nose & ~regions["nostrils"] & ~regions["lips"]
    taken = regions["lips"] | regions["mouth_interior"] | regions["eyes"] | regions["brows"]
    taken |= regions["nose"] | regions["nostrils"]
    rest = inside & ~taken

    corner = 0.5 * (marks[54, 0] - marks[48, 0])
    middle = 0.5 * (marks[54, 0] + marks[48, 0])
    aside = np.abs(plane[:, 0] - middle)
    mouth_height = np.interp(plane[:, 0], marks[48:55, 0], marks[48:55, 1])
    regions["upper_lip"] = (
        rest & (aside < 1.1 * corner) & (plane[:, 1] > mouth_height) & (plane[:, 1] < marks[33, 1] + 0.03)
    )
    brow_line = np.interp(plane[:, 0], marks[17:27, 0], marks[17:27, 1], left=marks[17, 1], right=marks[26, 1])
    eye_height = marks[36:48, 1].mean()
    above_eyes = rest & (plane[:, 1] > eye_height)
    lid = above_eyes & (plane[:, 1] <= brow_line) & (aside > marks[22, 0] - middle) & (aside < marks[26, 0] - middle)
    regions["eyes"] |= lid
    regions["forehead"] = above_eyes & ~lid
    rest &= ~lid
    below = plane[:, 1] <= np.minimum(mouth_height, 0.5 * (marks[48, 1] + marks[54, 1]))
    regions["chin"] = rest & below & (aside < 1.1 * corner)
    regions["jaw"] = rest & below & ~regions["chin"]
    regions["cheeks"] = rest & ~below & ~regions["forehead"] & ~regions["upper_lip"]
    regions["face"] = (inside | regions["nose"]) & ~regions["mouth_interior"] & ~regions["nostrils"]
    jaw_height = np.interp(plane[:, 0], marks[:17, 0], marks[:17, 1])
    regions["neck"] = skin & ~inside & (plane[:, 1] < jaw_height) & ~regions["mouth_interior"]
    regions["neck"] &= plane[:, 1] < marks[4, 1]
    return regions


def _face_outline(marks: NDArray[np.float64]) -> NDArray[np.float64]:
    """The jaw line closed over the forehead: an elliptic arc as high as the lower face third."""
    jaw = marks[:17, :2]
    top = marks[[21, 22], 1].mean() + (marks[33, 1] - marks[8, 1])
    base = 0.5 * (jaw[0, 1] + jaw[16, 1])
    half = 0.5 * (jaw[16, 0] - jaw[0, 0])
    centre = 0.5 * (jaw[16, 0] + jaw[0, 0])
    angle = np.linspace(0.0, np.pi, 33)[1:-1]
    # A superellipse: the hair line is flatter than a circle and runs down steeply at the temples.
    arc = np.stack([centre + half * np.cos(angle), base + (top - base) * np.sin(angle) ** 0.7], axis=1)
    return np.concatenate([jaw, arc])


def _nose_outline(marks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Polygon from the nasion down both sides to the alae and the base."""
    middle, bridge, base = marks[27, 0], marks[27, 1], marks[33, 1]
    wing = 0.5 * (marks[35, 0] - marks[31, 0])
    tip = marks[30, 1]
    return np.array(
        [
            (middle - 0.085, bridge + 0.02),
            (middle - 0.105, 0.5 * (bridge + tip)),
            (middle - 1.55 * wing, tip + 0.02),
            (middle - 1.62 * wing, marks[31, 1]),
            (middle - 0.8 * wing, base - 0.015),
            (middle + 0.8 * wing, base - 0.015),
            (middle + 1.62 * wing, marks[35, 1]),
            (middle + 1.55 * wing, tip + 0.02),
            (middle + 0.105, 0.5 * (bridge + tip)),
            (middle + 0.085, bridge + 0.02),
        ]
    )


def _in_eye(plane: NDArray[np.float32], eye: NDArray[np.float64]) -> Mask:
    """Whether points lie in the ellipse around the six landmarks of one eye."""
    centre = 0.5 * (eye[0] + eye[3])
    width = float(np.linalg.norm(eye[3] - eye[0]))
    offset = (plane - centre) / (0.62 * width, 0.42 * width)
    return np.asarray((offset**2).sum(axis=1) < 1.0)


def _in_polygon(plane: NDArray[np.float32], polygon: NDArray[np.float64]) -> Mask:
    from skimage.measure import points_in_poly

    return np.asarray(points_in_poly(plane, polygon), dtype=bool)


def _near_polygon(plane: NDArray[np.float32], polygon: NDArray[np.float64], margin: float) -> Mask:
    """Whether points lie in the polygon or within ``margin`` of its outline."""
    closed = np.concatenate([polygon, polygon[:1]])
    return _in_polygon(plane, polygon) | (_polyline_distance(plane, closed) < margin)


def _polyline_distance(plane: NDArray[np.float32], line: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(V,)`` distance of points to the nearest segment of a polyline ``(N, 2)``."""
    start, step = line[:-1], np.diff(line, axis=0)
    offset = plane[:, None] - start
    along = np.clip((offset * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-12), 0.0, 1.0)
    return np.asarray(np.linalg.norm(offset - along[..., None] * step, axis=-1).min(axis=1))


def _seen_from_front(mean: NDArray[np.float32], triangles: NDArray[np.int32], skin: Mask, scale: float) -> Mask:
    """Whether a vertex can be seen from any of several directions within 45° of the front."""
    normals = vertex_normals(mean, triangles)
    scene = RayScene(mean, triangles)
    seen = np.zeros(len(mean), dtype=bool)
    ids = np.flatnonzero(skin)
    origins = mean[ids] + 1e-3 * scale * normals[ids]
    for direction in ((0, 0, 1), (0.7, 0, 0.7), (-0.7, 0, 0.7), (0, 0.5, 0.8), (0, -0.3, 0.9)):
        unit = np.asarray(direction, dtype=np.float32) / np.linalg.norm(direction)
        facing = normals[ids] @ unit > 0
        hits = scene.first_hit(origins, np.broadcast_to(unit, origins.shape))
        seen[ids] |= facing & (hits.triangle < 0)
    return seen
