"""Light that surrounds a head: the studio, and spherical harmonics baked to an environment map.

An environment map holds radiance per direction, ``(H, 2H, 3)``, in the latitude–longitude layout of Mitsuba: column
centre ``u = atan2(x, −z) / 2π`` (mod 1), row centre ``v = acos(y) / π``, in the model frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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
    if isinstance(lighting, EnvironmentLighting):
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
class EnvironmentLighting(SphericalHarmonicsLighting, ABC):
    """Light that is known in every direction; its coefficients are what renderers without path tracing shade with."""

    @abstractmethod
    def environment(self, height: int = 128) -> Float:
        """``(height, 2·height, 3)`` float32 environment map."""


@dataclass(frozen=True, eq=False)
class StudioLighting(EnvironmentLighting):
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


@dataclass(frozen=True, eq=False)
class OvercastLighting(EnvironmentLighting):
    """The CIE's overcast sky (Moon and Spencer 1942): radiance ``zenith · (1 + 2 sin elevation) / 3``, over a ground.

    Attributes:
        zenith: radiance straight above, linear RGB.
        ground: reflectance of the ground, linear RGB; it is lit by the sky, whose irradiance on it is 7π/9 · zenith.
    """

    zenith: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ground: tuple[float, float, float] = (0.2, 0.2, 0.2)

    def environment(self, height: int = 128) -> Float:
        """``(height, 2·height, 3)`` float32 environment map of sky and ground."""
        return overcast_map(self.zenith, self.ground, height)


def overcast_map(zenith: tuple[float, float, float], ground: tuple[float, float, float], height: int) -> Float:
    """``(height, 2·height, 3)`` float32 environment map, see :class:`OvercastLighting`."""
    up = map_directions(height)[0][..., 1:2]
    sky = np.asarray(zenith) * (1 + 2 * up) / 3
    below = np.asarray(zenith) * np.asarray(ground) * 7 / 9
    return np.where(up > 0, sky, below).astype(np.float32)


def overcast(zenith: tuple[float, float, float], ground: tuple[float, float, float]) -> OvercastLighting:
    """An :class:`OvercastLighting` whose coefficients are those of its sky and ground."""
    return OvercastLighting(project(overcast_map(zenith, ground, 128)), zenith, ground)


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


RELIGHTS = ("key-left", "key-right", "top", "rim", "overcast")
"""Names of :func:`relights`."""


def relights() -> dict[str, EnvironmentLighting]:
    """The fixed lights of the view set ``relight``, the same for every method and renderer.

    Directions are in the model frame (+x the subject's left, +y up, +z out of the face), sizes are half angles, levels
    are the radiance of a white surface that faces the light.

    ==============  ==================================================================================================
    ``key-left``    one softbox of 16° at 50° to the subject's left and 25° up, level 0.95; even fill 0.05 (19 : 1)
    ``key-right``   its mirror image
    ``top``         one softbox of 20°, 75° up in front, level 1.0; even fill 0.07
    ``rim``         two softboxes of 14° from behind, 130° to either side and 20° up, level 1.1; even fill 0.12
    ``overcast``    the CIE's overcast sky, zenith 1.1, over a ground that reflects a fifth
    ==============  ==================================================================================================
    """

    def towards(azimuth: float, elevation: float) -> tuple[float, float, float]:
        a, e = np.radians([azimuth, elevation])
        return float(np.sin(a) * np.cos(e)), float(np.sin(e)), float(np.cos(a) * np.cos(e))

    def panel(azimuth: float, elevation: float, radius: float, level: float) -> Softbox:
        return Softbox(towards(azimuth, elevation), radius, (level, level, level))

    return {
        "key-left": studio((panel(50, 25, 16, 0.95),), (0.05, 0.05, 0.05)),
        "key-right": studio((panel(-50, 25, 16, 0.95),), (0.05, 0.05, 0.05)),
        "top": studio((panel(0, 75, 20, 1.0),), (0.07, 0.07, 0.07)),
        "rim": studio((panel(130, 20, 14, 1.1), panel(-130, 20, 14, 1.1)), (0.12, 0.12, 0.12)),
        "overcast": overcast((1.1, 1.1, 1.1), (0.2, 0.2, 0.2)),
    }
