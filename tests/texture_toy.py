"""A made-up face with skin regions, people with structured skin, and photographs of them, for tests of texture work.

The texture coordinates of the toy face are its x and y, so places in the UV square are known in closed form.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from fitting_toy import toy_light, toy_model
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from recon.colour import linear_to_srgb
from recon.data.protocols import parse_protocol
from recon.data.subject import Photograph
from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting import Camera, Fit
from recon.rendering.rays import RayScene
from recon.texture.database import TextureDatabase
from recon.texture.database_build import database_from_textures
from recon.texture.observation import Observation
from recon.texture.observe import observe
from recon.texture.skin import face_mask, feature_mask
from recon.texture.uv_map import uv_map

SIZE = 128
PEOPLE = ("ada", "ben", "cyd", "dov", "eva", "fay")
Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


# The seed of the tested person, who is not among PEOPLE.
PERSON = 11


@lru_cache(maxsize=1)
def face() -> MorphableModel:
    """The toy model of the fitting tests with all regions that texture work asks for."""
    model = toy_model()
    x, y = model.mean[:, 0], model.mean[:, 1]
    inside, side = model.regions["face"], np.abs(x)
    lips = model.regions["lips"]
    chin = inside & (side < 2.5) & (y < -5.5)
    regions = {
        "face": inside,
        "eyes": model.regions["eyes"],
        "lips": lips,
        "brows": (np.abs(y - 4.8) < 0.45) & (side > 1.2) & (side < 5.0),
        "nostrils": (side - 0.7) ** 2 + (y + 1.4) ** 2 < 0.2,
        "forehead": inside & (y > 5.4),
        "nose": (side < 1.5) & (y > -2.0) & (y < 3.0),
        "cheeks": inside & (side > 1.7) & (y > -3.2) & (y < 2.0),
        "upper_lip": (side < 2.2) & (y > -2.8) & (y < -2.0),
        "chin": chin,
        "jaw": inside & (y < -3.2) & ~chin & ~lips,
        "neck": np.zeros_like(inside),
    }
    return replace(model, regions=regions)


def skin_texture(seed: int, size: int = SIZE) -> Map:
    """``(S, S, 3)`` linear albedo of one person: tone, slow colour changes, grain of a personal width, direction and
    strength (twice as strong on the lower face), lips, brows and eyes."""
    rng = np.random.default_rng(1000 + seed)
    unit = size / 128
    tone = np.array([0.42, 0.27, 0.20]) * np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.05, 3))
    slow = np.stack([_noise(rng, size, 14 * unit, 14 * unit) for _ in range(3)], axis=-1)
    width, aspect = rng.uniform(0.5, 0.9), rng.uniform(1.0, 2.5)
    grain = _noise(rng, size, width * aspect * unit, width * unit) + 0.5 * _noise(rng, size, 2 * unit, 2 * unit)
    down = np.linspace(0, 1, size)[:, None]
    strength = 0.05 * np.exp(rng.normal(0, 0.3)) * (0.7 + 0.7 * down)
    texture = tone * (1.0 + 0.06 * slow) * (1.0 + strength * grain)[..., None]
    layout = uv_map(face(), size)
    for name, colour in (("lips", (0.7, 0.45, 0.5)), ("brows", (0.25, 0.25, 0.25)), ("eyes", (1.6, 1.9, 2.2))):
        part = layout.interpolate(face().regions[name][:, None].astype(np.float32))
        texture = texture * (1.0 + part * (np.array(colour) - 1.0))
    return np.clip(texture, 0.005, 0.95).astype(np.float32)


def _noise(rng: np.random.Generator, size: int, down: float, across: float) -> NDArray[np.float64]:
    """``(S, S)`` Gaussian noise of unit deviation, smoothed by ``down`` and ``across`` texels."""
    field = gaussian_filter(rng.normal(size=(size, size)), (down, across), mode="wrap")
    return np.asarray((field - field.mean()) / field.std())


def grainy_texture(seed: int, size: int = SIZE) -> Map:
    """``(S, S, 3)`` linear albedo: one tone, and grain of the same widths for everybody but of a personal strength."""
    rng = np.random.default_rng(2000 + seed)
    unit = size / 128
    grain = _noise(rng, size, 0.3 * unit, 0.3 * unit) + 0.5 * _noise(rng, size, 1.5 * unit, 1.5 * unit)
    strength = 0.05 * np.exp(rng.normal(0, 0.2))
    return np.asarray(np.array([0.42, 0.27, 0.20]) * (1.0 + strength * grain)[..., None], np.float32)


def skin_area(size: int = SIZE) -> Mask:
    """``(S, S)`` bool: the face without its features."""
    layout = uv_map(face(), size)
    return face_mask(face(), layout) & ~feature_mask(face(), layout)


def known_fit(yaw: float = 0.0, width: int = 240, height: int = 290) -> Fit:
    """The mean face before a camera about 50 cm away, turned by ``yaw`` degrees, under the toy's soft light."""
    turn = np.deg2rad(yaw)
    about_y = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    camera = Camera(
        rotation=np.diag([1.0, -1.0, -1.0]) @ about_y,
        translation=np.array([0.0, 0.0, 60.0]),
        focal=600.0,
        principal=(width / 2, height / 2),
        width=width,
        height=height,
    )
    model = face()
    landmarks = camera.project(model.landmarks(model.mean)).astype(np.float32)
    return Fit(
        identity=np.zeros(len(model.identity_basis), np.float32),
        expression=np.zeros(len(model.expression_basis), np.float32),
        vertices=model.mean,
        camera=camera,
        lighting=toy_light(),
        landmarks=landmarks,
        landmark_error=0.0,
        interocular=float(np.linalg.norm(landmarks[36] - landmarks[45])),
        verdict="pass",
    )


def photograph_of(texture: Map, fit: Fit, name: str = "toy.png", samples: int = 2) -> Photograph:
    """The face with this albedo as its camera sees it, ``samples``² rays a pixel; grey behind."""
    model, camera = face(), fit.camera
    scene = RayScene(fit.vertices, model.triangles)
    normals = vertex_normals(fit.vertices, model.triangles)
    steps = (np.arange(samples) + 0.5) / samples
    total = np.zeros((camera.height * camera.width, 3))
    for down in steps:
        for right in steps:
            y, x = np.mgrid[: camera.height, : camera.width].reshape(2, -1) + np.array([[down], [right]])
            hits = scene.first_hit(camera.centre, camera.pixel_rays(x, y))
            hit = hits.triangle >= 0
            corners, weight = model.triangles[hits.triangle[hit]], hits.barycentric[hit]
            u, v = np.einsum("ncx,nc->xn", model.uv[corners], weight)
            normal = np.einsum("ncx,nc->nx", normals[corners], weight)
            normal /= np.linalg.norm(normal, axis=1, keepdims=True)
            at = ((1 - v) * len(texture) - 0.5, u * len(texture) - 0.5)
            albedo = np.stack([map_coordinates(texture[..., c], at, order=1, mode="nearest") for c in range(3)], -1)
            colour = np.full((len(hit), 3), 0.2)
            colour[hit] = albedo * fit.lighting.shading(normal)
            total += colour
    srgb = linear_to_srgb(total / samples**2).reshape(camera.height, camera.width, 3)
    return Photograph(srgb=srgb, name=name, sha256=f"sha of {name}")


def observation_of(texture: Map, protocol: str = "identity", yaw: float = 0.0, size: int = SIZE) -> Observation:
    """What a method may read of a photograph of that person under a protocol."""
    fit, parsed = known_fit(yaw), parse_protocol(protocol)
    return observe(parsed.given(photograph_of(texture, fit)), parsed, face(), size, fit=fit)


def toy_database(folder: Path, size: int = SIZE, people: tuple[str, ...] = PEOPLE) -> TextureDatabase:
    """A database of :func:`skin_texture` people, complete over the UV square."""
    textures = ((name, skin_texture(PEOPLE.index(name), size), np.ones((size, size), bool)) for name in people)
    return database_from_textures(textures, face(), folder, size, "toy", "CC0", skin_area(size))


def photographed_database(folder: Path) -> TextureDatabase:
    """Six people unwrapped from photographs of their own, so that a tested photograph is as sharp as theirs."""
    entries = []
    for index, name in enumerate(PEOPLE):
        found = observation_of(skin_texture(index))
        entries.append((name, found.albedo, found.visible))
    return database_from_textures(entries, face(), folder, SIZE, "toy", "CC0", skin_area())


def photograph_under_test() -> Photograph:
    """Of a person who is not in the database."""
    return photograph_of(skin_texture(PERSON), known_fit(), name="gil.png")


def observations_of(photograph: Photograph) -> dict[str, Observation]:
    """What three protocols show of it, by protocol."""
    found = {}
    for name in ("identity", "occlude:right", "blur:3"):
        protocol = parse_protocol(name)
        found[name] = observe(protocol.given(photograph), protocol, face(), SIZE, fit=known_fit())
    return found
