"""From a raw gradient sequence to albedo and normals: ``process_sequence`` of a folder with ``subject.toml``.

The folder's description is that of :mod:`recon.capture.sequence_file`, the formulas are those of
:mod:`recon.capture.gradient`. Images are read one at a time and added up, so memory holds about ten of them whatever
their number. Every view comes with a report:

- ``pixels``: in the picture's own mask, ``measured`` of them, and ``trusted`` (``CapturedView.mask``), as counts;
- ``excluded``: shares of the own mask that were left out as ``dark``, ``clipped`` and ``covered``;
- ``complement_residual``: mean and 95th percentile of ``|L_i + L̄_i − L_c| / L_c`` by axis, or None;
- ``clamped_fraction``: share of the full-on specular values that came out negative and were set to zero;
- ``normal_length``: 5th, 50th and 95th percentile of the diffuse normals' length before it was made one. An open matt
  surface gives 1; less or more tells of occlusion, noise or wrong signs;
- ``calibration``: ``checker`` with the errors of the fit, ``white``, or ``none``;
- ``occlusion``: ``mesh`` where shadows were taken out, else ``none``; ``trusted_where``: what ``mask`` demands;
- ``notes``: sentences for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recon.capture.capture import Capture, CapturedView
from recon.capture.colour_checker import chart_reflectances, fit_colours, patch_means
from recon.capture.gradient import (
    binary_component,
    complement_residual,
    diffuse_component,
    half_way,
    normalised,
    reflected_component,
    separate,
)
from recon.capture.linear_images import read_stored
from recon.capture.occlusion import Shadows, mesh_shadows, without_shadows
from recon.capture.scan import Scan, read_scan
from recon.capture.sequence_file import AXES, CameraFiles, SequenceFile, is_sequence, read_sequence_file
from recon.colour import srgb_to_linear
from recon.errors import ImageError, InputError
from recon.progress import Progress, no_progress

__all__ = ["LEAST_OPENNESS", "is_sequence", "process_sequence"]

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

LEAST_OPENNESS = 0.5
"""Surface that sees less of the stage than this is measured but not trusted: nostrils, lid creases, between lips."""

LENGTH_TOLERANCE = 0.03
"""Without a mesh, raw normals whose length, averaged over a few pixels, differs more from 1 are not trusted."""

_LENGTH_BLUR = 2.0  # pixels, standard deviation: the light varies slowly, noise does not

_MOST_CLIPPED = 0.05  # share of a mask in one image from which it counts as overexposed
_DARK = 0.01  # of the bright parts of the full-on image: below it quotients are noise
_LEAST_SIGNAL = 0.002  # of the saturation: a sequence whose bright parts are below it was not lit


def process_sequence(
    folder: Path, occlusion: Literal["auto", "none"] = "auto", progress: Progress = no_progress
) -> Capture:
    """Albedo and normals of the raw sequence in ``folder``.

    Args:
        folder: with ``subject.toml`` and the images that it names.
        occlusion: ``auto`` takes shadows out where the capture has a mesh, ``none`` leaves maps as measured.
        progress: called after each camera.

    Raises:
        InputError: the description is incomplete, contradicts itself, or the mesh cannot be used.
        ImageError: an image is absent, unreadable, of a wrong size or depth, not finite, or overexposed.
    """
    sequence = read_sequence_file(folder)
    scan = None
    if sequence.mesh is not None and occlusion == "auto":
        scan = read_scan(sequence.mesh, need_uv=False)
    views = []
    progress(0, len(sequence.cameras))
    for index, camera in enumerate(sequence.cameras):
        views.append(_process_view(sequence, camera, scan))
        progress(index + 1, len(sequence.cameras))
    return Capture(
        id=sequence.id,
        frame=sequence.frame,
        metres_per_unit=sequence.metres_per_unit,
        views=tuple(views),
        mesh=sequence.mesh,
        landmarks=sequence.landmarks,
        licence=sequence.licence,
        attributes=sequence.attributes,
        synthetic=sequence.synthetic,
    )


@dataclass(frozen=True, eq=False)
class _Light:
    """Light of one pattern, ``(H, W, 3)``: diffuse, and where polarisation tells it apart specular, which was
    ``clamped`` to zero in places."""

    diffuse: Float
    specular: Float | None
    clamped: Mask | None = None

    @property
    def grey(self) -> Float:
        """``(H, W)`` mean over the channels, the quantity that normals are computed from."""
        return np.asarray(self.diffuse.mean(axis=-1), np.float32)

    @property
    def grey_specular(self) -> Float:
        """``(H, W)`` the same of the specular light."""
        assert self.specular is not None
        return np.asarray(self.specular.mean(axis=-1), np.float32)

    def plus(self, other: _Light) -> _Light:
        """The light of two patterns together."""
        both = None if self.specular is None or other.specular is None else self.specular + other.specular
        return _Light(self.diffuse + other.diffuse, both, self.clamped)


class _Images:
    """Reads the images of one camera, and notes where any of them clips."""

    def __init__(self, sequence: SequenceFile, camera: CameraFiles) -> None:
        self.sequence, self.camera = sequence, camera
        self.clipped = np.zeros((camera.height, camera.width), bool)
        self.inside = self._mask()
        self._ambient = {
            state: self._read(images["ambient"]) for state, images in camera.images.items() if "ambient" in images
        }

    def _mask(self) -> Mask:
        if self.camera.mask is None:
            return np.ones((self.camera.height, self.camera.width), bool)
        values = self._sized(read_stored(self.camera.mask).values, self.camera.mask)
        values = values if values.ndim == 2 else values.mean(axis=-1)
        mask = np.flip(values, self.sequence.flip) > 0.5
        if not mask.any():
            raise ImageError(f"the mask '{self.camera.mask}' is black throughout: paint white what is to be measured.")
        return np.asarray(mask)

    def _sized(self, values: Float, path: Path) -> Float:
        height, width = values.shape[:2]
        if (width, height) != (self.camera.width, self.camera.height):
            raise ImageError(
                f"'{path}' has {width}×{height} pixels, but camera '{self.camera.name}' takes {self.camera.width}×"
                f"{self.camera.height} according to subject.toml: all images of a camera must have one size."
            )
        return values

    def _linear(self, path: Path) -> tuple[Float, Mask]:
        """``(H, W, 3)`` linear values of a file as it is stored, and where it clips."""
        image = read_stored(path)
        if self.sequence.linear and image.bits == 8 and not image.floating:
            raise ImageError(
                f"'{path}' is an 8-bit file, but subject.toml calls it linear: 8 bits cannot hold linear light without "
                'bands. Export 16 bits or EXR, or say transfer = "srgb" if that is how it was saved.'
            )
        if not self.sequence.linear and image.floating:
            raise ImageError(
                f"'{path}' has floating-point pixels, but subject.toml calls it sRGB-encoded: such files hold linear "
                'light; say transfer = "linear".'
            )
        values = image.values if image.values.ndim == 3 else np.repeat(image.values[..., None], 3, axis=-1)
        clipped = values.max(axis=-1) >= self.sequence.saturation
        return (values if self.sequence.linear else srgb_to_linear(values)), clipped

    def _read(self, path: Path) -> Float:
        """An image as the camera sees it; clipped pixels are noted.

        Raises:
            ImageError: too much of the mask is clipped.
        """
        values, clipped = self._linear(path)
        self._sized(values, path)
        values, clipped = np.flip(values, self.sequence.flip), np.flip(clipped, self.sequence.flip)
        share = float((clipped & self.inside).sum() / self.inside.sum())
        if share > _MOST_CLIPPED:
            raise ImageError(
                f"'{path}' is overexposed: {share:.0%} of the measured area is at its limit; expose the sequence less."
            )
        self.clipped |= clipped
        return values

    def pattern(self, key: str) -> _Light:
        """The light of one pattern, free of ambient light."""
        images = {}
        for state, files in self.camera.images.items():
            image = self._read(files[key])
            ambient = self._ambient.get(state)
            images[state] = image if ambient is None else image - ambient
        if not self.camera.polarised:
            return _Light(images["unpolarised"], None)
        diffuse, specular, clamped = separate(images["cross"], images["parallel"])
        return _Light(diffuse, specular, clamped)

    def has(self, key: str) -> bool:
        """Whether there are images of this pattern."""
        return all(key in files for files in self.camera.images.values())

    def chart_matrix(self) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """``(3, 3)`` from recorded diffuse light to albedo, and what the report says of it."""
        checker, white = self.camera.checker, self.camera.white
        if white is not None:
            return np.diag(1 / white), {"by": "white"}
        if checker is None:
            return np.eye(3), {"by": "none"}
        picture, clipped = self._linear(checker.image)
        if checker.ambient is not None:
            dark, _ = self._linear(checker.ambient)
            if dark.shape != picture.shape:
                raise ImageError(f"'{checker.ambient}' and '{checker.image}' have different sizes: take them alike.")
            picture = picture - dark
        picture, clipped = np.flip(picture, self.sequence.flip), np.flip(clipped, self.sequence.flip)
        # Crossed filters let half of the diffuse light pass.
        factor = 2.0 if self.camera.polarised else 1.0
        try:
            means, _ = patch_means(np.ascontiguousarray(picture), checker.patches, checker.radius)
            _, limit = patch_means(
                np.repeat(clipped[..., None], 3, -1).astype(np.float32), checker.patches, checker.radius
            )
            usable = (limit == 0) & (means.max(axis=1) > 0)
            fit = fit_colours((factor * means).astype(np.float32), chart_reflectances(checker.chart), usable)
        except InputError as error:
            raise ImageError(f"'{checker.image}' cannot be used as a colour chart: {error}") from error
        return fit.matrix, {
            "by": "checker",
            "chart": checker.chart,
            "patches": fit.used,
            "mean_delta_e": fit.mean_error,
            "greatest_delta_e": fit.greatest_error,
        }


@dataclass(frozen=True, eq=False)
class _Gradients:
    """What the gradient images gave: raw vectors ``(H, W, 3)`` and residuals by axis."""

    full: _Light
    diffuse: Float
    reflected: Float | None
    residuals: Mapping[str, Float]


def _gradients(images: _Images, sequence: SequenceFile) -> _Gradients:
    shape = (*images.inside.shape, 3)
    diffuse = np.zeros(shape, np.float32)
    mirrored = images.camera.polarised and not sequence.binary  # hemispheres tell no more of r than signs
    reflected = np.zeros(shape, np.float32) if mirrored else None
    full = images.pattern("full") if images.has("full") else None
    sums: list[_Light] = []
    residuals: dict[str, Float] = {}
    for key, (axis, sign) in zip(AXES, sequence.axes, strict=True):
        lit = images.pattern(key)
        partner = images.pattern(f"{key}_complement") if images.has(f"{key}_complement") else None
        if partner is not None:
            if full is None:
                sums.append(lit.plus(partner))
            else:
                residuals[key] = complement_residual(lit.grey, partner.grey, full.grey)
        if sequence.binary and partner is not None:
            component = binary_component(lit.grey, partner.grey)
        else:
            assert full is not None
            component = diffuse_component(lit.grey, full.grey, None if partner is None else partner.grey)
        diffuse[..., axis] = sign * component
        if reflected is not None and full is not None:
            other = None if partner is None else partner.grey_specular
            reflected[..., axis] = sign * reflected_component(lit.grey_specular, full.grey_specular, other)
    return _Gradients(full or _mean(sums), diffuse, reflected, residuals)


def _mean(sums: list[_Light]) -> _Light:
    """Full-on light where none was taken: the mean of what pairs of hemispheres add up to."""
    total = sums[0].plus(sums[1]).plus(sums[2])
    third = np.float32(1 / 3)
    specular = None if total.specular is None else np.asarray(third * total.specular, np.float32)
    return _Light(np.asarray(third * total.diffuse, np.float32), specular, sums[0].clamped)


def _process_view(sequence: SequenceFile, camera: CameraFiles, scan: Scan | None) -> CapturedView:
    images = _Images(sequence, camera)
    gradients = _gradients(images, sequence)
    matrix, calibration = images.chart_matrix()
    brightness = gradients.full.grey
    bright = float(np.percentile(brightness[images.inside], 95))
    if bright < _LEAST_SIGNAL * sequence.saturation:
        raise ImageError(
            f"the images of camera '{camera.name}' in '{sequence.path.parent}' are almost black inside the mask: "
            "expose more, or check that the ambient frame is not a lit one."
        )
    dark = brightness < _DARK * bright
    measured = images.inside & ~dark & ~images.clipped
    normals, length = normalised(gradients.diffuse)
    albedo = np.maximum(gradients.full.diffuse @ matrix.T.astype(np.float32), 0)
    shadows = None
    if scan is not None and camera.camera is not None:
        mean = np.median(albedo[measured], axis=0) if calibration["by"] != "none" else np.zeros(3, np.float32)
        shadows = mesh_shadows(scan, camera.camera, mean, sequence.metres_per_unit, sequence.binary)
        albedo, normals = without_shadows(albedo, normals, shadows)
    trusted = measured & _trusted(length, measured, shadows)
    specular_albedo, specular_normals = _specular(gradients, matrix, camera)
    view = CapturedView(
        name=camera.name,
        camera=camera.camera,
        diffuse_albedo=albedo,
        specular_albedo=specular_albedo,
        diffuse_normals=np.where(measured[..., None], normals, 0).astype(np.float32),
        specular_normals=None if specular_normals is None else np.where(measured[..., None], specular_normals, 0),
        measured=measured,
        mask=trusted,
        openness=None if shadows is None else np.where(shadows.covered, shadows.openness, 0).astype(np.float32),
        report={},
    )
    excluded = {
        "dark": _share(dark, images.inside),
        "clipped": _share(images.clipped, images.inside),
        "covered": _share(measured & ~trusted, images.inside),
    }
    why = "there is no mesh" if sequence.mesh is None else "as asked" if scan is None else "its pose is unknown"
    report = _report(
        view, gradients, calibration, images.inside, excluded, length, shadows, f"camera '{camera.name}', {why}"
    )
    return replace(view, report=report)


def _share(part: Mask, inside: Mask) -> float:
    return float((part & inside).sum() / inside.sum())


def _trusted(length: Float, measured: Mask, shadows: Shadows | None) -> Mask:
    """Where the light is open enough: known from the mesh, else told by the length of the raw normals."""
    if shadows is not None:
        return np.asarray(shadows.covered & (shadows.openness >= LEAST_OPENNESS))
    weight = gaussian_filter(measured.astype(np.float32), _LENGTH_BLUR)
    smooth = gaussian_filter(np.where(measured, length, 0), _LENGTH_BLUR) / np.maximum(weight, 1e-6)
    return np.asarray(np.abs(smooth - 1) <= LENGTH_TOLERANCE)


def _specular(
    gradients: _Gradients, matrix: NDArray[np.float64], camera: CameraFiles
) -> tuple[Float | None, Float | None]:
    """Specular albedo and normals, where polarisation gave them."""
    light = gradients.full.specular
    if light is None:
        return None, None
    albedo = np.maximum(light @ matrix.T.astype(np.float32), 0).astype(np.float32)
    if gradients.reflected is None:
        return albedo, None
    if camera.camera is not None:
        x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        view = -camera.camera.pixel_rays(x.ravel(), y.ravel()).reshape(camera.height, camera.width, 3)
    else:
        assert camera.view is not None
        view = np.broadcast_to(camera.view, gradients.reflected.shape)
    return albedo, half_way(gradients.reflected, view.astype(np.float32))


def _report(
    view: CapturedView,
    gradients: _Gradients,
    calibration: Mapping[str, Any],
    inside: Mask,
    excluded: Mapping[str, float],
    length: Float,
    shadows: Shadows | None,
    shadows_left: str,
) -> dict[str, Any]:
    """The figures that the module's docstring lists."""
    measured = view.measured
    if not measured.any():
        raise ImageError(f"camera '{view.name}' has no pixel that is neither dark nor clipped: check its exposure.")
    residuals = {axis: np.abs(values[measured]) for axis, values in gradients.residuals.items()}
    clamped = gradients.full.clamped
    notes = []
    if view.specular_albedo is None:
        notes.append("taken without polarisers: albedo and normals contain mirrored light")
    elif view.specular_normals is None:
        notes.append("binary gradients give no specular normals")
    if calibration["by"] == "none":
        notes.append("neither colour chart nor white value: albedo is in the camera's colours, its scale is unknown")
    if shadows is None:
        notes.append(f"{shadows_left}: shadows of the face on itself are left in albedo and normals")
    return {
        "calibrated": calibration["by"] != "none",
        "calibration": dict(calibration),
        "pixels": {"mask": int(inside.sum()), "measured": int(measured.sum()), "trusted": int(view.mask.sum())},
        "excluded": dict(excluded),
        "complement_residual": {
            axis: {"mean": float(values.mean()), "p95": float(np.percentile(values, 95))}
            for axis, values in residuals.items()
        }
        or None,
        "clamped_fraction": None if clamped is None else float(clamped[measured].mean()),
        "normal_length": [float(value) for value in np.percentile(length[measured], [5, 50, 95])],
        "occlusion": "none" if shadows is None else "mesh",
        "trusted_where": {"length_within": LENGTH_TOLERANCE} if shadows is None else {"openness": LEAST_OPENNESS},
        "notes": notes,
    }
