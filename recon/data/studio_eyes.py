"""Eyes of made-up people: iris, limbal ring, white with its vessels, and the wet shine of the cornea.

Sizes are those of the human eye: iris 11.7 mm across (Rüfer, Schröder, Erb 2005), cornea of 7.8 mm radius on a ball of
12 mm (Gullstrand's schematic eye). Everything is a function of the place on the ball, so no texture is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.data.person import Person
from recon.data.procedural import lattice_noise
from recon.data.studio_light import Room
from recon.rendering.eyes import fit_sphere
from recon.rendering.parts import smoothstep

Float = NDArray[np.float32]

_IRIS_RADIUS = 5.85
_CORNEA_RADIUS = 7.8
# Linear RGB of the outer and of the inner iris.
_IRISES = {
    "dark brown": ((0.030, 0.014, 0.007), (0.060, 0.028, 0.012)),
    "brown": ((0.060, 0.030, 0.013), (0.110, 0.055, 0.022)),
    "hazel": ((0.075, 0.070, 0.034), (0.130, 0.070, 0.025)),
    "green": ((0.085, 0.105, 0.070), (0.125, 0.110, 0.050)),
    "blue": ((0.085, 0.130, 0.185), (0.150, 0.190, 0.220)),
    "grey": ((0.110, 0.135, 0.150), (0.170, 0.185, 0.185)),
}
_CHANCES = (
    {"blue": 0.45, "grey": 0.15, "green": 0.2, "hazel": 0.12, "brown": 0.08},
    {"blue": 0.30, "green": 0.15, "hazel": 0.2, "brown": 0.35},
    {"hazel": 0.15, "brown": 0.5, "dark brown": 0.35},
    {"brown": 0.35, "dark brown": 0.65},
    {"brown": 0.15, "dark brown": 0.85},
    {"dark brown": 1.0},
)


@dataclass(frozen=True, eq=False)
class EyeLook:
    """One person's eyes: linear RGB of the iris, pupil radius in mm, redness of the white 0 to 1, and a seed."""

    outer: Float
    inner: Float
    pupil: float
    red: float
    yellow: float
    seed: int


def eye_look(person: Person) -> EyeLook:
    """The eyes of ``person``."""
    rng = np.random.default_rng([person.seed, 21])
    chances = _CHANCES[person.tone]
    colours = _IRISES[str(rng.choice(list(chances), p=list(chances.values())))]
    outer, inner = (np.asarray(colour, np.float32) * float(rng.uniform(0.8, 1.2)) for colour in colours)
    return EyeLook(
        outer,
        inner,
        pupil=float(rng.uniform(1.5, 2.3)),
        red=float(rng.uniform(0.2, 0.7) + 0.3 * person.aged),
        yellow=float(0.3 * person.aged + 0.35 * person.darkness * rng.uniform(0.3, 1.0)),
        seed=person.seed,
    )


@dataclass(frozen=True, eq=False)
class EyeBall:
    """Centre ``(3,)`` and radius of an eye, mm, its gaze ``(3,)`` and the inner corner of its lids ``(3,)``."""

    centre: Float
    radius: float
    gaze: Float
    corner: Float


def eye_ball(points: Float, corner: Float, target: Float, pitch: float) -> EyeBall:
    """The eye through ``points`` ``(N, 3)``: it looks ``pitch`` radians up, as the lids do, and turns to ``target``.

    An eye comfortably turns aside by 22 degrees.
    """
    centre, radius = fit_sphere(points)
    towards = np.asarray(target, np.float64) - centre
    turn = float(np.clip(np.arctan2(towards[0], towards[2]), -np.radians(22.0), np.radians(22.0)))
    gaze = np.array([np.sin(turn) * np.cos(pitch), np.sin(pitch), np.cos(turn) * np.cos(pitch)])
    return EyeBall(centre.astype(np.float32), radius, gaze.astype(np.float32), np.asarray(corner, np.float32))


def eye_colour(points: Float, ball: EyeBall, look: EyeLook) -> tuple[Float, Float]:
    """Linear RGB ``(N, 3)`` and normals ``(N, 3)``, cornea included, at ``points`` ``(N, 3)`` on the eye."""
    outwards = points - ball.centre
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-6)
    side = np.cross([0.0, 1.0, 0.0], ball.gaze).astype(np.float32)
    side /= np.linalg.norm(side)
    up = np.cross(ball.gaze, side)
    x, y, along = outwards @ side, outwards @ up, outwards @ ball.gaze
    across = np.hypot(x, y)
    arc = np.asarray(np.arctan2(across, along) * 12.0, np.float32)  # mm on a ball of usual size, whatever the model's
    azimuth = np.asarray(np.arctan2(y, x), np.float32)
    colour = _iris(arc, azimuth, look)
    white = _white(points, arc, look)
    limbus = smoothstep(arc, _IRIS_RADIUS - 0.75, _IRIS_RADIUS + 0.45)[:, None]
    colour = colour * (1.0 - limbus) + white * limbus
    # The pink fold in the inner corner.
    near = np.linalg.norm(points - ball.corner, axis=1)
    flesh = (1.0 - smoothstep(near, 2.2, 5.0))[:, None]
    colour = colour + 0.8 * flesh * (np.array([0.42, 0.17, 0.14], np.float32) - colour)

    steeper = arc / _CORNEA_RADIUS
    tangent = (x / np.maximum(across, 1e-6))[:, None] * side + (y / np.maximum(across, 1e-6))[:, None] * up
    cornea = np.cos(steeper)[:, None] * ball.gaze + np.sin(steeper)[:, None] * tangent
    bulge = (1.0 - smoothstep(arc, 4.6, 6.8))[:, None]
    normal = bulge * cornea + (1.0 - bulge) * outwards
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    return colour.astype(np.float32), normal.astype(np.float32)


def _iris(arc: Float, azimuth: Float, look: EyeLook) -> Float:
    """Fibres that run out from the pupil, a brighter ring around it and a dark one at the rim."""
    rng = np.random.default_rng([look.seed, 22])
    r = arc / _IRIS_RADIUS
    fibres = np.zeros_like(arc)
    for frequency in rng.integers(8, 60, 20):
        fibres += np.cos(frequency * azimuth + rng.uniform(0, 6.28) + rng.normal(0.0, 2.5) * r) / np.sqrt(10.0)
    inner = np.exp(-(((r - 0.42 - 0.03 * fibres) / 0.16) ** 2))[:, None]
    colour = look.outer + (look.inner - look.outer) * inner
    colour = colour * np.clip(1.0 + 0.28 * fibres, 0.35, 1.8)[:, None]
    colour = colour * (1.0 - 0.80 * smoothstep(r, 0.76, 1.0))[:, None]
    opening = smoothstep(arc, look.pupil - 0.2, look.pupil + 0.2)[:, None]
    return np.asarray(0.003 + (colour - 0.003) * opening, dtype=np.float32)


def _white(points: Float, arc: Float, look: EyeLook) -> Float:
    """The sclera: greyish at the limbus, pinker and darker towards the corners, with faint vessels."""
    rng = np.random.default_rng([look.seed, 23])
    away = smoothstep(arc, 6.0, 14.0)[:, None]
    colour = np.array([0.60, 0.545, 0.50], np.float32) * (1.0 - away * np.array([0.14, 0.34, 0.36], np.float32))
    colour = colour * (1.0 - look.yellow * np.array([0.12, 0.20, 0.42], np.float32))
    wander = points + 0.6 * np.stack([lattice_noise(points, 2.5, rng) for _ in range(3)], axis=1)
    vessel = np.exp(-((lattice_noise(wander * np.array([0.35, 1.0, 0.35], np.float32), 2.2, rng) / 0.16) ** 2))
    redness = look.red * (0.10 + 0.5 * vessel[:, None] * (0.25 + 0.75 * away))
    return np.asarray(colour * (1.0 - redness * np.array([0.10, 0.55, 0.55], np.float32)), dtype=np.float32)


def wet_shine(room: Room, rays: Float, normals: Float, opened: Float) -> Float:
    """``(N, 3)`` mirror image of the room in the tear film: a window for every light, faint surroundings."""
    facing = np.clip(-(rays * normals).sum(axis=1, keepdims=True), 0.0, 1.0)
    mirror = rays + 2.0 * facing * normals
    fresnel = 0.022 + 0.978 * (1.0 - facing) ** 5
    total = np.minimum(room.radiance(mirror, blur=10.0), 1.0) * 0.5
    for light in room.lights[:2]:
        axis = light.axis
        side = np.cross([0.0, 1.0, 0.0], axis).astype(np.float32)
        side /= np.linalg.norm(side)
        up = np.cross(axis, side).astype(np.float32)
        ahead = mirror @ axis
        a, b = mirror @ side / np.maximum(ahead, 0.1), mirror @ up / np.maximum(ahead, 0.1)
        half = 1.0 / np.sqrt(light.sharpness)
        inside = 1.0 - smoothstep(np.abs(a), 0.30 * half, 0.40 * half)
        inside = inside * (1.0 - smoothstep(np.abs(b), 0.45 * half, 0.55 * half))
        # As much light as the lobe carries, 2 π / sharpness, in a window of 0.7 · half².
        strength = 9.0 * np.asarray(light.colour, np.float32)
        total = total + (inside * (ahead > 0.0))[:, None] * strength
    return np.asarray(np.minimum(fresnel, 0.2) * total * np.sqrt(opened), dtype=np.float32)
