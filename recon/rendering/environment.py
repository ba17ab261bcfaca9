"""Light that surrounds a head: the studio, and spherical harmonics baked to an environment map.

An environment map holds radiance per direction, ``(H, 2H, 3)``, in the latitude–longitude layout of Mitsuba: column
centre ``u = atan2(x, −z) / 2π`` (mod 1), row centre ``v = acos(y) / π``, in the model frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.fitting.lighting import SphericalHarmonicsLighting, sh_basis

Float = NDArray[np.float32]


def map_directions(height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``(H, 2H, 3)`` unit directions of an environment map's texel centres, and ``(H, 2H)`` their solid angles."""
    u = (np.arange(2 * height) + 0.5) / (2 * height) * 2 * np.pi
    v = (np.arange(height) + 0.5) / height * np.pi
    azimuth, polar = np.meshgrid(u, v)
    directions = np.stack([np.sin(polar) * np.sin(azimuth), np.cos(polar), -np.sin(polar) * np.cos(azimuth)], axis=-1)
    edges = np.cos(np.arange(height + 1) / height * np.pi)
    solid = np.broadcast_to(((edges[:-1] - edges[1:]) * np.pi / height)[:, None], polar.shape)
    return directions, solid


def project(radiance: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(9, 3)`` spherical-harmonics coefficients of an environment map ``(H, 2H, 3)``."""
    directions, solid = map_directions(radiance.shape[0])
    basis = sh_basis(directions.reshape(-1, 3)) * solid.reshape(-1, 1)
    return np.asarray(basis.T @ radiance.reshape(-1, 3))


def bake(lighting: SphericalHarmonicsLighting, height: int = 64, iterations: int = 60) -> Float:
    """``(height, 2·height, 3)`` float32 environment map, nowhere negative, that lights a Lambertian surface alike.

    Nine coefficients expanded on the sphere can be negative where the light is strong and directed, which no renderer
    takes. Irradiance depends on the nine alone (Ramamoorthi and Hanrahan 2001), so any non-negative map that has
    them will do: alternate between clipping at zero and putting the lost coefficients back. Where no such map exists
    (the shading itself would be negative somewhere) the result is the nearest that was found.
    """
    if isinstance(lighting, StudioLighting):
        return lighting.environment(max(height, 128))
    directions, _ = map_directions(height)
    basis = sh_basis(directions.reshape(-1, 3))
    radiance = basis @ lighting.coefficients
    for _ in range(iterations):
        clipped = np.maximum(radiance, 0)
        missing = lighting.coefficients - project(clipped.reshape(height, 2 * height, 3))
        if np.abs(missing).max() < 1e-5 * np.abs(lighting.coefficients).max():
            break
        radiance = clipped + basis @ missing
    return np.maximum(radiance, 0).reshape(height, 2 * height, 3).astype(np.float32)


@dataclass(frozen=True)
class Softbox:
    """A round, evenly lit panel far away.

    Attributes:
        direction: towards it, model frame (need not be unit).
        radius_degrees: half of the angle under which it is seen.
        irradiance: radiance of a white Lambertian surface that faces it (its irradiance / π), linear RGB.
    """

    direction: tuple[float, float, float]
    radius_degrees: float
    irradiance: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class StudioLighting(SphericalHarmonicsLighting):
    """Softboxes and an even fill. Renderers that trace light see the panels, others their spherical harmonics.

    Attributes:
        softboxes: the panels.
        fill: even radiance from everywhere, linear RGB.
    """

    softboxes: tuple[Softbox, ...] = ()
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def environment(self, height: int = 128) -> Float:
        """``(height, 2·height, 3)`` float32 environment map of the studio."""
        return studio_map(self.softboxes, self.fill, height)


def studio_map(softboxes: tuple[Softbox, ...], fill: tuple[float, float, float], height: int) -> Float:
    """``(height, 2·height, 3)`` float32 environment map of panels over an even fill."""
    directions, solid = map_directions(height)
    radiance = np.broadcast_to(np.asarray(fill, np.float64), (height, 2 * height, 3)).copy()
    for box in softboxes:
        towards = np.asarray(box.direction) / np.linalg.norm(box.direction)
        cosine = directions @ towards
        # One texel of soft edge, so that energy does not jump with resolution.
        edge = np.pi / height
        lit = np.clip((np.radians(box.radius_degrees) - np.arccos(np.clip(cosine, -1, 1))) / edge + 0.5, 0, 1)
        weight = lit * solid
        radiance += lit[..., None] * np.asarray(box.irradiance) * np.pi / float((weight * np.maximum(cosine, 0)).sum())
    return radiance.astype(np.float32)


def studio(softboxes: tuple[Softbox, ...], fill: tuple[float, float, float]) -> StudioLighting:
    """A :class:`StudioLighting` whose coefficients are those of its panels."""
    return StudioLighting(project(studio_map(softboxes, fill, 128)), softboxes, fill)


def standard_studio() -> StudioLighting:
    """The light of all standard views: a large soft key from the upper left, a weaker fill from the right, sky."""
    return studio(
        (
            Softbox((0.55, 0.55, 0.75), 24.0, (0.50, 0.49, 0.475)),
            Softbox((-0.85, 0.10, 0.60), 30.0, (0.15, 0.155, 0.165)),
            Softbox((0.0, 0.75, -0.75), 25.0, (0.16, 0.16, 0.16)),
        ),
        (0.30, 0.30, 0.31),
    )
