"""Light of the made-up studio: where it comes from, how much reaches a point, and how it spreads beneath skin.

Irradiance is gathered by rays towards directions drawn in proportion to the room's radiance; what is blocked gives the
light that the blocking surface throws back. Skin scatters it sideways by the sum of Gaussians that d'Eon and Luebke
(2007, GPU Gems 3, chapter 14) fitted to skin, red the farthest. The sheen is that of two lobes (Schlick 1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recon.colour import luminance
from recon.rendering.rays import RayScene

Float = NDArray[np.float32]

DIRECTIONS = 256
"""Directions of the whole gathering; neighbouring points share them out."""
SHARES = 4
"""A point sends rays towards one direction in so many."""

# Variance in mm² and share in red, green and blue of the six Gaussians of skin (d'Eon and Luebke 2007).
SKIN_PROFILE = (
    (0.0064, (0.233, 0.455, 0.649)),
    (0.0484, (0.100, 0.336, 0.344)),
    (0.187, (0.118, 0.198, 0.000)),
    (0.567, (0.113, 0.007, 0.007)),
    (1.99, (0.358, 0.004, 0.000)),
    (7.41, (0.078, 0.000, 0.000)),
)


@dataclass(frozen=True)
class Light:
    """A light of radiance ``colour · exp(sharpness · (d · direction − 1))``."""

    direction: tuple[float, float, float]
    sharpness: float
    colour: tuple[float, float, float]

    @property
    def axis(self) -> Float:
        """``(3,)`` unit vector towards the light."""
        axis = np.asarray(self.direction, dtype=np.float32)
        return np.asarray(axis / np.linalg.norm(axis), dtype=np.float32)

    def radiance(self, directions: Float, blur: float = np.inf) -> Float:
        """``(N, 3)`` towards ``directions`` ``(N, 3)``, seen through a lobe of that sharpness (mirror: infinite)."""
        joint = self.sharpness if np.isinf(blur) else self.sharpness * blur / (self.sharpness + blur)
        weight = joint / self.sharpness * np.exp(joint * (directions @ self.axis - 1.0))
        return np.asarray(weight[:, None] * np.asarray(self.colour, dtype=np.float32), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Room:
    """Lights, and the even light from everywhere: above, and thrown back by the floor."""

    lights: tuple[Light, ...]
    above: tuple[float, float, float]
    below: tuple[float, float, float]

    @property
    def main(self) -> Float:
        """``(3,)`` unit direction from which most light comes."""
        towards = sphere(2048)
        mean = (luminance(self.radiance(towards))[:, None] * towards).sum(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)

    def radiance(self, directions: Float, blur: float = np.inf) -> Float:
        """``(N, 3)`` from all lights towards ``directions``."""
        height = 0.5 + 0.5 * np.clip(directions[:, 1:2] * 1.4, -1.0, 1.0)
        total = height * np.asarray(self.above, np.float32) + (1.0 - height) * np.asarray(self.below, np.float32)
        for light in self.lights:
            total = total + light.radiance(directions, blur)
        return np.asarray(total, dtype=np.float32)


def sphere(number: int) -> Float:
    """``(number, 3)`` directions spread evenly over the sphere (Fibonacci lattice)."""
    index = np.arange(number) + 0.5
    height = 1.0 - 2.0 * index / number
    angle = np.pi * (1.0 + np.sqrt(5.0)) * index
    ring = np.sqrt(1.0 - height**2)
    return np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Directions:
    """``towards`` ``(D, 3)`` unit vectors; ``weight`` ``(D,)`` solid angle of each over π; ``radiance`` ``(D, 3)``."""

    towards: Float
    weight: Float
    radiance: Float


def drawn_directions(room: Room, number: int = DIRECTIONS) -> Directions:
    """Directions in proportion to the room's brightness (three quarters) and evenly (one quarter).

    Any run of directions that are ``SHARES`` apart is itself spread over the room.
    """
    fine = sphere(16384)
    radiance = room.radiance(fine)
    bright = luminance(radiance).astype(np.float64)
    chance = 0.75 * bright / bright.sum() + 0.25 / len(fine)
    place = (np.arange(number) + 0.5) / number
    chosen = np.searchsorted(np.cumsum(chance), place).clip(0, len(fine) - 1)
    weight = 4.0 / len(fine) / (number * chance[chosen])
    return Directions(fine[chosen], weight.astype(np.float32), radiance[chosen])


@dataclass(frozen=True, eq=False)
class Gathered:
    """``light`` ``(N, 3)``: irradiance over π; ``opened`` ``(N,)``: the share of the room's light that gets through."""

    light: Float
    opened: Float


def gather(
    rays: RayScene,
    points: Float,
    normals: Float,
    share: NDArray[np.integer],
    directions: Directions,
    thrown_back: Float,
    offset: float,
    wrap: float = 0.0,
    shares: int = SHARES,
) -> Gathered:
    """Light at ``points``.

    Args:
        rays: everything that blocks.
        points, normals: ``(N, 3)``, unit normals.
        share: ``(N,)`` in [0, shares): which directions a point looks to; every one takes ``1 / shares`` of them.
        directions: from :func:`drawn_directions`.
        thrown_back: ``(T, 3)`` radiance that each triangle of ``rays`` sends on.
        offset: how far rays start off the surface.
        wrap: 0 for a surface; 1 for a volume without a normal, which light reaches from all around.
    """
    direct, bounced, reaching = (np.zeros((len(points), 3), np.float32) for _ in range(3))
    start = points + offset * normals
    members = [np.flatnonzero(share == number) for number in range(shares)]
    for index, (towards, weight) in enumerate(zip(directions.towards, directions.weight, strict=True)):
        ids = members[index % shares]
        cosine = (normals[ids] @ towards + wrap) / (1.0 + wrap)
        facing = cosine > 0.0
        ids, cosine = ids[facing], weight * shares * cosine[facing, None]
        if not len(ids):
            continue
        hits = rays.first_hit(start[ids], np.broadcast_to(towards, (len(ids), 3)))
        free = hits.triangle < 0
        reaching[ids] += cosine * directions.radiance[index]
        direct[ids[free]] += cosine[free] * directions.radiance[index]
        bounced[ids[~free]] += cosine[~free] * thrown_back[hits.triangle[~free]]
    opened = luminance(direct) / np.maximum(luminance(reaching), 1e-6)
    return Gathered(direct + bounced, opened.astype(np.float32))


def unblocked(normals: Float, directions: Directions) -> Float:
    """``(N, 3)`` irradiance over π of surfaces that nothing shades."""
    facing = np.clip(normals @ directions.towards.T, 0.0, None)
    return np.asarray(facing @ (directions.weight[:, None] * directions.radiance), dtype=np.float32)


def beneath_skin(light: Float, skin: NDArray[np.bool_], depth: Float, pixel: float) -> Float:
    """Irradiance spread sideways beneath the skin, in the picture.

    Args:
        light: ``(H, W, 3)`` irradiance; skin: ``(H, W)`` bool, the pixels that take part.
        depth: ``(H, W)`` mm from the camera; light does not cross from one depth to another.
        pixel: size of a pixel on the face, mm.

    Returns:
        ``(H, W, 3)``; pixels outside ``skin`` are left as they are.
    """
    total = np.zeros_like(light)
    for variance, shares in SKIN_PROFILE:
        sigma = float(np.sqrt(variance)) / pixel
        wanted = [channel for channel in range(3) if shares[channel] > 0.0]
        # Below a third of a pixel a Gaussian does nothing; the grain of the gathering asks for a little more.
        spread = _spread(light[..., wanted], skin, depth, max(sigma, 0.7), pixel)
        total[..., wanted] += np.asarray([shares[channel] for channel in wanted], np.float32) * spread
    total /= np.sum([shares for _, shares in SKIN_PROFILE], axis=0).astype(np.float32)
    return np.where(skin[..., None], total, light).astype(np.float32)


def _spread(light: Float, skin: NDArray[np.bool_], depth: Float, sigma: float, pixel: float) -> Float:
    """A Gaussian over pixels of like depth: two layers of depth are blurred apart where the face overlaps itself."""
    reach = max(4.0, 2.5 * sigma * pixel)
    mean = _normalised(depth[..., None], skin.astype(np.float32), 2.0 * sigma)[..., 0]
    near = skin & (depth <= mean + 0.35 * reach)
    far = skin & (depth >= mean - 0.35 * reach)
    front = _normalised(light, near.astype(np.float32), sigma)
    back = _normalised(light, far.astype(np.float32), sigma)
    middle = near & far
    ahead = np.where(middle, 0.5, near.astype(np.float32))[..., None]
    return np.asarray(ahead * front + (1.0 - ahead) * back, dtype=np.float32)


def _normalised(values: Float, weight: Float, sigma: float) -> Float:
    blurred = gaussian_filter(values * weight[..., None], (sigma, sigma, 0.0), truncate=3.0)
    total = gaussian_filter(weight, sigma, truncate=3.0)[..., None]
    return np.asarray(blurred / np.maximum(total, 1e-4), dtype=np.float32)


def sheen(room: Room, rays: Float, normals: Float, gloss: Float, opened: Float) -> Float:
    """``(N, 3)`` light that skin throws back at its surface: a broad lobe and a weaker narrow one (Schlick 1994).

    Args:
        room: the lights.
        rays: ``(N, 3)`` directions from the camera; normals: ``(N, 3)``.
        gloss: ``(N, 1)`` strength about 1; opened: ``(N, 1)`` share of light that gets there.
    """
    facing = np.clip(-(rays * normals).sum(axis=1, keepdims=True), 0.0, 1.0)
    mirror = rays + 2.0 * facing * normals
    fresnel = 0.036 + 0.964 * (1.0 - facing) ** 5 * 0.20
    wide, narrow = room.radiance(mirror, blur=7.0), room.radiance(mirror, blur=30.0)
    return np.asarray(fresnel * gloss * opened * (0.62 * wide + 0.38 * narrow), dtype=np.float32)
