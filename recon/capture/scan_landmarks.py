"""Find the 68 landmarks of a scan that comes without: render it from the front, run dlib, and cast back.

The head's orientation is found on the way where nobody states it: of the usual ones (y or z up, and the face along
any of the other two axes) the first in which dlib is sure to see a face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.capture.alignment import JAW, ScanLandmarks
from recon.capture.portrait import ShownScan, frontal_camera, render_scan
from recon.capture.scan import Scan
from recon.colour import luminance
from recon.data.subject import Photograph
from recon.errors import FaceNotFoundError, InputError
from recon.fitting.camera import Camera
from recon.fitting.landmarks import Landmarks, detect_landmarks
from recon.rendering.rays import RayScene

AXES = ("+x", "-x", "+y", "-y", "+z", "-z")
"""How ``subject.toml`` names directions of the scan's frame."""

ORIENTATIONS = (("+y", "+z"), ("+z", "-y"), ("+z", "+x"), ("+y", "-z"), ("+y", "+x"), ("+y", "-x"), ("+z", "+y"),
                ("+z", "-x"), ("-y", "-z"), ("-y", "+z"))  # fmt: skip
"""Up and forward, in the order in which they are tried."""

_LOOK, _CLOSE = 560, 720  # pixels: of the first look, and of the one that landmarks are taken from
_SURE = 0.5
_DARK = 0.02  # mean luminance below which a map is too dark for dlib; it is brightened for the picture alone


@dataclass(frozen=True, eq=False)
class FoundFace:
    """Where the face of a scan is.

    Attributes:
        landmarks: in the scan's own frame.
        orientation: up and forward, as in ``AXES``.
        rotation: ``(3, 3)`` float64 from the scan's frame to one with y up and z out of the face.
        score: of dlib's detector.
    """

    landmarks: ScanLandmarks
    orientation: tuple[str, str]
    rotation: NDArray[np.float64]
    score: float


def upright(up: str, forward: str) -> NDArray[np.float64]:
    """``(3, 3)`` rotation that takes the named axes to +y and +z.

    Raises:
        InputError: an unknown name, or both along one axis.
    """
    for name in (up, forward):
        if name not in AXES:
            raise InputError(f"'{name}' is no axis: write one of {', '.join(AXES)}.")
    y, z = _axis(up), _axis(forward)
    if abs(float(y @ z)) > 0.5:
        raise InputError(f"up '{up}' and forward '{forward}' lie along one axis: the face looks across what is up.")
    return np.stack([np.cross(y, z), y, z])


def _axis(name: str) -> NDArray[np.float64]:
    found = np.zeros(3)
    found["xyz".index(name[1])] = 1.0 if name[0] == "+" else -1.0
    return found


def find_face(scan: Scan, albedo: NDArray[np.float32] | None, orientation: tuple[str, str] | None = None) -> FoundFace:
    """The landmarks of ``scan``.

    Args:
        albedo: ``(H, W, 3)`` float32 linear map of its UV layout; None looks at the bare surface.
        orientation: up and forward where they are known.

    Raises:
        FaceNotFoundError: dlib sees no face from the front in any orientation.
        AssetError: the landmark regressor is not there.
    """
    if albedo is not None:
        mean = float(luminance(albedo[::8, ::8]).mean())
        albedo = albedo * np.float32(min(1.0 / max(mean, 1e-6) * 0.2, 30.0)) if mean < _DARK else albedo
    best: FoundFace | None = None
    for up, forward in (orientation,) if orientation else ORIENTATIONS:
        rotation = upright(up, forward)
        found = _look(scan, albedo, rotation, (up, forward))
        if found is not None and (best is None or found.score > best.score):
            best = found
        if best is not None and best.score >= _SURE:
            break
    if best is None:
        raise FaceNotFoundError(
            f"no face was found on '{scan.name}' seen from the front: state 'up' and 'forward' in subject.toml, or "
            "give 68 landmarks there."
        )
    return best


def _look(
    scan: Scan, albedo: NDArray[np.float32] | None, rotation: NDArray[np.float64], names: tuple[str, str]
) -> FoundFace | None:
    turned = np.eye(4)
    turned[:3, :3] = rotation
    shown = ShownScan(scan.moved(turned), albedo)
    used = shown.scan.vertices[np.unique(shown.scan.triangles[shown.scan.skin])]
    low, high = used.min(axis=0), used.max(axis=0)
    # From far away, so that nothing of a bust comes before the face.
    size = float(max(high[0] - low[0], high[1] - low[1])) * 1.15
    camera = frontal_camera(0.5 * (low + high), 12 * size, size, _LOOK, _LOOK)
    first = _detect(shown, camera, scan.name)
    if first is None:
        return None
    # Nearer, and at the size that the landmark regressor likes; perspective as in the photographs that it knows.
    points = cast_back(shown.scan, shown.rays, camera, first.points)
    if int(np.isfinite(points[:, 0]).sum()) < 20:
        return None
    width = float(np.nanmax(points[:, 0]) - np.nanmin(points[:, 0]))
    close = frontal_camera(np.nanmean(points, axis=0), 7 * width, 2.0 * width, _CLOSE, _CLOSE)
    found = _detect(shown, close, scan.name)
    if found is None:
        return None
    points = cast_back(shown.scan, shown.rays, close, found.points)
    points[JAW] = np.nan  # the contour of this one picture, not places on the skin
    return FoundFace(ScanLandmarks(points @ rotation, "detected"), names, rotation, found.score)


def _detect(shown: ShownScan, camera: Camera, name: str) -> Landmarks | None:
    picture = render_scan(shown, camera, supersample=1, occlusion=False)
    try:
        return detect_landmarks(Photograph(picture, name, ""))
    except FaceNotFoundError:
        return None


def cast_back(scan: Scan, rays: RayScene, camera: Camera, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, 3)`` float64 places of the skin behind pixel positions ``(N, 2)``; NaN where there is none.

    Args:
        rays: of all of the scan's triangles.
        camera: in the scan's frame.
    """
    direction = camera.pixel_rays(pixels[:, 0], pixels[:, 1])
    hits = rays.first_hit(camera.centre, direction)
    good = hits.triangle >= 0
    good &= scan.skin[np.maximum(hits.triangle, 0)]
    # Through the openings of eyes and mouth a ray may meet the inside of the back of the head.
    corners = scan.vertices[scan.triangles[np.maximum(hits.triangle, 0)]]
    outwards = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    good &= np.einsum("nx,nx->n", outwards, direction) < 0
    points = np.full((len(pixels), 3), np.nan)
    points[good] = np.einsum("ncx,nc->nx", corners[good], hits.barycentric[good])
    return points
