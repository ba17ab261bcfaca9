"""A photographer's studio for made-up people: soft key and fill lights, a room, and a camera that sees dlib's face.

Light is carried per vertex without noise: from every vertex rays go to fixed directions all around, what is free adds
the lights' radiance, what is blocked adds the light that the hit surface throws back (one bounce). Beneath skin light
spreads sideways, red the farthest, which is a smoothing of the vertex values per channel. Per pixel come the albedo,
a sheen of the skin and the highlights of the eyes. About four seconds a photograph of 704² on one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from recon.colour import linear_to_srgb, luminance
from recon.data.hair import scalp_cover
from recon.data.person import Person
from recon.data.procedural import average, lattice_noise
from recon.data.skin import PaintedSkin, SkinSurface
from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting.camera import Camera
from recon.rendering.eyes import EyeColours, eye_texture, lash_opacity
from recon.rendering.parts import Surface, part_topologies
from recon.rendering.rays import RayScene

Float = NDArray[np.float32]

DIRECTIONS = 256
_SAMPLES = 2  # per pixel and axis
_IRISES = ((0.040, 0.019, 0.010), (0.065, 0.032, 0.016), (0.090, 0.080, 0.035), (0.085, 0.120, 0.150))


@dataclass(frozen=True)
class _Light:
    """A light of radiance ``colour · exp(sharpness · (d · direction − 1))``."""

    direction: tuple[float, float, float]
    sharpness: float
    colour: tuple[float, float, float]

    def radiance(self, directions: Float, blur: float = np.inf) -> Float:
        """``(N, 3)`` towards ``directions`` ``(N, 3)``, seen through a lobe of that sharpness (mirror: infinite)."""
        axis = np.asarray(self.direction, dtype=np.float32)
        axis = axis / np.linalg.norm(axis)
        joint = self.sharpness if np.isinf(blur) else self.sharpness * blur / (self.sharpness + blur)
        weight = joint / self.sharpness * np.exp(joint * (directions @ axis - 1.0))
        return np.asarray(weight[:, None] * np.asarray(self.colour, dtype=np.float32), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _Room:
    """Lights and the even light from everywhere."""

    lights: tuple[_Light, ...]
    ambient: tuple[float, float, float]

    def radiance(self, directions: Float, blur: float = np.inf) -> Float:
        """``(N, 3)`` from all lights towards ``directions``."""
        total = np.broadcast_to(np.asarray(self.ambient, dtype=np.float32), directions.shape).copy()
        total *= np.clip(0.75 + 0.35 * directions[:, 1:2], 0.3, None)  # ceiling brighter than floor
        for light in self.lights:
            total += light.radiance(directions, blur)
        return total


@dataclass(frozen=True, eq=False)
class _Head:
    """A head ready for the camera: ``(V, 3)`` positions with hair, colours and light per vertex."""

    vertices: Float
    normals: Float
    triangles: NDArray[np.int32]
    material: NDArray[np.int16]
    light: Float
    openness: Float
    vertex_colour: Float


def photograph(
    model: MorphableModel, vertices: Float, surface: SkinSurface, painted: PaintedSkin, person: Person, size: int
) -> tuple[Float, Camera]:
    """A head-and-shoulders portrait of ``person``.

    Args:
        model: the face model of the vertices.
        vertices: ``(V, 3)`` float32, the head without hair, in the model's unit.
        surface, painted: from :mod:`recon.data.skin`.
        person: whose seed chooses lights, pose, clothes and eyes.
        size: width and height in pixels.

    Returns:
        ``(size, size, 3)`` float32 sRGB-encoded in [0, 1], and the camera.
    """
    rng = np.random.default_rng([person.seed, 9])
    room = _room(rng)
    camera = _camera(model, vertices, size, rng)
    head = _lit_head(model, vertices, surface, painted, person, room, rng)
    shown, covered = _shade(model, vertices, surface, painted, person, head, room, camera, rng)
    row = np.linspace(0.0, 1.0, size, dtype=np.float32)[:, None, None]
    backdrop = (0.30 - 0.14 * row) * rng.uniform(0.7, 1.3) * np.float32(rng.uniform(0.94, 1.06, 3))
    image = shown + (1.0 - covered) * backdrop
    exposure = _exposure(head, model, person)
    noisy = image * exposure + rng.normal(0.0, 0.0025, image.shape)
    return linear_to_srgb(noisy.astype(np.float32)), camera


def _room(rng: np.random.Generator) -> _Room:
    """A soft key light from one side above, a weaker fill from the other, a hair light from behind."""
    side = float(rng.choice([-1.0, 1.0]))
    warm, cool = (1.0, 0.965, 0.92), (0.94, 0.98, 1.0)
    key, fill = float(rng.uniform(3.0, 4.2)), float(rng.uniform(0.45, 1.0))
    return _Room(
        (
            _Light((side * rng.uniform(0.35, 0.75), rng.uniform(0.3, 0.55), 0.8), 9.0, _scaled(warm, key)),
            _Light((-side * rng.uniform(0.5, 0.9), 0.05, 0.8), 4.0, _scaled(cool, fill)),
            _Light((-side * 0.5, 0.5, -0.8), 12.0, (0.9, 0.9, 0.9)),
        ),
        (0.24, 0.24, 0.25),
    )


def _scaled(colour: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _camera(model: MorphableModel, vertices: Float, size: int, rng: np.random.Generator) -> Camera:
    """A long lens at about 1.4 m; a face turned a few degrees, from nasion to chin a third of the picture's height."""
    marks = model.landmarks(vertices).astype(np.float64)
    turn, nod, roll = (np.radians(float(angle)) for angle in rng.normal(0.0, [6.0, 2.0, 1.0]))
    cy, sy, cx, sx, cz, sz = np.cos(turn), np.sin(turn), np.cos(nod), np.sin(nod), np.cos(roll), np.sin(roll)
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    tilt = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    flip = np.diag([1.0, -1.0, -1.0])  # model: y up, z to the viewer; camera: y down, z into the scene
    rotation = flip @ tilt @ pitch @ yaw
    middle = 0.5 * (marks[27] + marks[8])
    distance = float(rng.uniform(1.2, 1.7)) / model.metres_per_unit
    height = 2.0 * float(np.linalg.norm(marks[27] - marks[8]))
    focal = 0.64 * size * distance / height * float(rng.uniform(0.96, 1.04))
    translation = np.array([0.0, 0.0, distance]) - rotation @ middle
    return Camera(rotation, translation, focal, (0.5 * size, 0.53 * size), size, size)


def _lit_head(
    model: MorphableModel,
    vertices: Float,
    surface: SkinSurface,
    painted: PaintedSkin,
    person: Person,
    room: _Room,
    rng: np.random.Generator,
) -> _Head:
    """Put the hair on, dress the body, and carry the light to every vertex."""
    skin = model.triangles[model.triangles_of("face", "body")]
    normals = vertex_normals(vertices, skin)
    hair = scalp_cover(surface.positions, surface.marks, person)
    hair[np.setdiff1d(np.arange(len(hair)), model.triangles[model.uv_triangle_ids])] = 0.0
    usual = (1.3 if person.gender == "female" else 0.6) * float(rng.uniform(0.7, 1.3))
    thick = usual * (1.0 + 0.25 * lattice_noise(surface.positions, 45.0, rng))
    # Hair lies thin at its line and full from 3 cm behind it.
    full = average(model.triangles[model.uv_triangle_ids], len(vertices), hair, 12)
    raised = vertices + normals * (full**2 * thick)[:, None].astype(np.float32)
    hidden = [name for name in model.material_names if name.startswith("lashes")]
    keep = np.setdiff1d(np.arange(len(model.triangles)), model.triangles_of(*hidden))
    normals = vertex_normals(raised, model.triangles[keep])
    colour = _vertex_colours(model, painted, hair, person)
    light, openness = _light(raised, normals, model.triangles[keep], colour, room)
    light = _under_skin(light, skin)
    return _Head(raised, normals, model.triangles, model.triangle_material, light, openness, colour)


def _vertex_colours(
    model: MorphableModel,
    painted: PaintedSkin,
    hair: Float,
    person: Person,
) -> Float:
    """Linear RGB per vertex: bare skin, hair, and the colours inside mouth and sockets."""
    colour = painted.vertex_colour + (np.asarray(person.hair, np.float32) - painted.vertex_colour) * hair[:, None]
    for names, fixed in (
        (("mouth_socket", "tongue"), (0.20, 0.05, 0.045)),
        (("teeth",), (0.55, 0.48, 0.38)),
        (("eye_socket_left", "eye_socket_right"), (0.16, 0.06, 0.05)),
        (("sclera_left", "sclera_right"), (0.45, 0.40, 0.37)),
    ):
        colour[np.setdiff1d(model.triangles[model.triangles_of(*names)], model.triangles[model.uv_triangle_ids])] = (
            fixed
        )
    return np.asarray(colour, dtype=np.float32)


def _shirt(places: Float, body: NDArray[np.bool_]) -> Float:
    """``(N, 1)`` share of the shirt at ``places`` ``(N, 3)`` of the mean shape in mm: below a round collar."""
    x, y, z = places.T
    collar = -128.0 + 26.0 * np.clip(np.abs(x) / 62.0, 0.0, 1.6) ** 2 + 0.55 * np.clip(40.0 - z, 0.0, 90.0)
    share = np.where(body, 1.0 / (1.0 + np.exp(np.clip((y - collar) / 0.35, -30.0, 30.0))), 0.0)
    return np.asarray(share[:, None], dtype=np.float32)


def _light(
    vertices: Float, normals: Float, triangles: NDArray[np.int32], colour: Float, room: _Room
) -> tuple[Float, Float]:
    """Irradiance over π ``(V, 3)``, lights and one bounce, and the share of open directions ``(V,)``."""
    directions = _sphere(DIRECTIONS)
    radiance = room.radiance(directions)
    scene = RayScene(vertices, triangles)
    count = len(vertices)
    towards_camera = normals[:, 2] > -0.4  # what looks away is neither seen nor throws light on what is
    solid = 4.0 / DIRECTIONS  # solid angle of a direction over π
    direct, bounced = np.zeros((count, 3), np.float32), np.zeros((count, 3), np.float32)
    open_share, facing_share = np.zeros(count, np.float32), np.zeros(count, np.float32)
    blocked: list[tuple[NDArray[np.int64], NDArray[np.int32], Float]] = []
    extent = float(np.ptp(vertices[:, 1]))
    for direction, shine in zip(directions, radiance, strict=True):
        cosine = normals @ direction
        ids = np.flatnonzero((cosine > 0.02) & towards_camera)
        hits = scene.first_hit(
            vertices[ids] + 1.5e-3 * extent * normals[ids], np.broadcast_to(direction, (len(ids), 3))
        )
        free = hits.triangle < 0
        weight = solid * cosine[ids]
        direct[ids[free]] += weight[free, None] * shine
        open_share[ids[free]] += weight[free]
        facing_share[ids] += weight
        blocked.append((ids[~free], hits.triangle[~free], weight[~free].astype(np.float32)))
    outgoing = (direct * colour)[triangles].mean(axis=1)
    for ids, hit, weight in blocked:
        bounced[ids] += weight[:, None] * outgoing[hit]
    return direct + bounced, (open_share / np.maximum(facing_share, 1e-6)).astype(np.float32)


def _under_skin(light: Float, skin: NDArray[np.int32]) -> Float:
    """Light spread sideways beneath the skin: about 3 mm in red, 1.5 mm in green, 1 mm in blue."""
    spread = light.copy()
    for channel, rounds in enumerate((4, 2, 1)):
        spread[:, channel] = average(skin, len(light), light[:, channel], rounds)
    return spread


def _exposure(head: _Head, model: MorphableModel, person: Person) -> float:
    """Exposed for the face: its brightest tenth of light is just below white paper; dark skin gets a little more."""
    level = luminance(head.light)[model.regions["face"]]
    return float((0.85 + 0.45 * person.darkness) / np.percentile(level, 90))


def _shade(
    model: MorphableModel,
    bare: Float,
    surface: SkinSurface,
    painted: PaintedSkin,
    person: Person,
    head: _Head,
    room: _Room,
    camera: Camera,
    rng: np.random.Generator,
) -> tuple[Float, Float]:
    """``(H, W, 3)`` linear light and ``(H, W, 1)`` coverage of the head, averaged over the samples of each pixel."""
    side = camera.width * _SAMPLES
    grid = (np.arange(side) + 0.5) / _SAMPLES
    x, y = np.meshgrid(grid, grid)
    rays = camera.pixel_rays(x.ravel(), y.ravel()).astype(np.float32)
    origin = camera.centre.astype(np.float32)
    lashes = [name for name in model.material_names if name.startswith("lashes")]
    solid = np.setdiff1d(np.arange(len(model.triangles)), model.triangles_of(*lashes))
    hits = RayScene(head.vertices, model.triangles[solid]).first_hit(origin, rays)
    found = np.flatnonzero(hits.triangle >= 0)
    ids, weights = solid[hits.triangle[found]], hits.barycentric[found]
    colour = _surface_light(model, bare, surface, painted, person, head, room, rays[found], ids, weights, rng)
    image = np.zeros((side * side, 3), np.float32)
    covered = np.zeros((side * side, 1), np.float32)
    image[found], covered[found] = colour, 1.0
    _draw_lashes(model, head, origin, rays, hits.distance, image, person)
    shape = (camera.height, _SAMPLES, camera.width, _SAMPLES, -1)
    return image.reshape(shape).mean(axis=(1, 3)), covered.reshape(shape).mean(axis=(1, 3))


def _surface_light(
    model: MorphableModel,
    bare: Float,
    surface: SkinSurface,
    painted: PaintedSkin,
    person: Person,
    head: _Head,
    room: _Room,
    rays: Float,
    ids: NDArray[np.int64],
    weights: Float,
    rng: np.random.Generator,
) -> Float:
    """``(N, 3)`` linear light from the hit points of ``rays``."""
    corners = model.triangles[ids]

    def at_hit(values: Float) -> Float:
        return np.asarray(np.einsum("ncx,nc->nx", values[corners], weights), dtype=np.float32)

    normal = at_hit(head.normals)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    light, openness = at_hit(head.light), at_hit(head.openness[:, None])
    albedo = at_hit(head.vertex_colour)
    gloss = np.full((len(ids), 1), 0.35, np.float32)
    material = np.asarray(model.material_names)[model.triangle_material[ids]]

    face = np.isin(material, list(model.uv_materials))
    texcoord = np.einsum("ncx,nc->nx", model.uv[model.uv_triangles[ids[face]]], weights[face])
    albedo[face] = _sample(_bled(painted.albedo, surface.raster.covered), texcoord)
    hair = _sample(painted.hair[..., None], texcoord)
    gloss[face] = 1.0 - 0.9 * hair
    grain = at_hit(surface.positions)
    shirt = _shirt(grain, material == "body")
    dye = np.float32(rng.choice([(0.03, 0.04, 0.07), (0.30, 0.30, 0.31), (0.05, 0.05, 0.05), (0.10, 0.02, 0.03)]))
    albedo += (dye - albedo) * shirt
    gloss *= 1.0 - 0.8 * shirt
    # Bumps of skin, weaker where hair lies; seen edge-on they hide one another.
    steepness = np.clip(-(rays[face] * normal[face]).sum(axis=1, keepdims=True), 0.0, 1.0) * (0.045 + 0.06 * hair)
    bumps = np.stack([lattice_noise(grain[face], wavelength, rng) for wavelength in (1.6, 1.1, 2.4)], axis=1)
    bent = normal.copy()
    bent[face] += steepness * bumps
    bent /= np.linalg.norm(bent, axis=1, keepdims=True)

    eye = np.char.startswith(material, "sclera")
    iris = _IRISES[int(rng.integers(0, 2 if person.tone >= 3 else 4))]
    balls = np.unique(model.triangles[model.triangles_of("sclera_left")])
    radius = 0.5 * float(np.ptp(bare[balls, 0])) * model.metres_per_unit
    gaze = np.einsum("ncx,nc->nx", model.uv[model.uv_triangles[ids[eye]]], weights[eye])
    albedo[eye] = _sample(eye_texture(round(radius, 5), EyeColours(sclera=(0.44, 0.385, 0.35), iris=iris)), gaze)
    return albedo * light + _sheen(room, rays, bent, normal, light, openness, gloss, eye)


def _sheen(
    room: _Room,
    rays: Float,
    bent: Float,
    normal: Float,
    light: Float,
    openness: Float,
    gloss: Float,
    eye: NDArray[np.bool_],
) -> Float:
    """Light reflected at the surface: a broad lobe and a weaker narrow one on skin, a mirror on eyes (Schlick 1994)."""
    mirror = rays - 2.0 * (rays * bent).sum(axis=1, keepdims=True) * bent
    facing = np.clip(-(rays * bent).sum(axis=1, keepdims=True), 0.0, 1.0)
    fresnel = 0.028 + 0.972 * (1.0 - facing) ** 5 * 0.22
    wide, narrow = room.radiance(mirror, blur=8.0), room.radiance(mirror, blur=28.0)
    sheen = 0.7 * fresnel * gloss * openness**2 * (0.6 * wide + 0.4 * narrow)
    if eye.any():
        ray, axis = rays[eye], normal[eye]
        seen = ray - 2.0 * (ray * axis).sum(axis=1, keepdims=True) * axis
        key = np.asarray(room.lights[0].direction, np.float32)
        inside = 1.0 / (1.0 + np.exp(np.clip(-(seen @ (key / np.linalg.norm(key)) - 0.955) / 0.004, -30, 30)))
        sheen[eye] = 0.025 * openness[eye] ** 2 * (0.3 * room.radiance(seen) + 18.0 * inside[:, None])
    return np.asarray(sheen, dtype=np.float32)


def _draw_lashes(
    model: MorphableModel, head: _Head, origin: Float, rays: Float, depth: Float, image: Float, person: Person
) -> None:
    """Lay the lashes over ``image``, as far as their opacity covers what lies behind."""
    part = next((part for part in part_topologies(model) if part.surface is Surface.LASHES), None)
    if part is None or part.texcoord is None:
        return
    hits = RayScene(head.vertices[part.vertex_ids], part.triangles).first_hit(origin, rays)
    found = np.flatnonzero((hits.triangle >= 0) & (hits.distance < depth))
    if not len(found):
        return
    corners, weights = part.triangles[hits.triangle[found]], hits.barycentric[found]
    opacity = _sample(lash_opacity(), np.einsum("ncx,nc->nx", part.texcoord[corners], weights))
    # The drawn lashes are finer than a sample here, and each stands for the clump that real ones form.
    opacity = np.minimum(2.5 * opacity, 0.95)
    lash = 0.5 * np.asarray(person.hair, np.float32) + np.float32(0.004)
    image[found] += (lash - image[found]) * opacity


def _bled(texture: Float, inside: NDArray[np.bool_]) -> Float:
    """``texture`` with the nearest inner texel outside, so that samples at the border of the layout stay clean."""
    rows, columns = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return np.asarray(texture[rows, columns], dtype=np.float32)


def _sample(texture: Float, texcoord: Float) -> Float:
    """``(N, C)`` bilinear samples of a map ``(S, S, C)`` whose row 0 lies at v = 1."""
    size = texture.shape[0]
    where = np.stack([(1.0 - texcoord[:, 1]) * size - 0.5, texcoord[:, 0] * size - 0.5])
    return np.stack(
        [
            map_coordinates(texture[..., channel], where, order=1, mode="nearest")
            for channel in range(texture.shape[-1])
        ],
        axis=1,
    ).astype(np.float32)


def _sphere(number: int) -> Float:
    """``(number, 3)`` directions spread evenly over the sphere (Fibonacci lattice)."""
    index = np.arange(number) + 0.5
    height = 1.0 - 2.0 * index / number
    angle = np.pi * (1.0 + np.sqrt(5.0)) * index
    ring = np.sqrt(1.0 - height**2)
    return np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], axis=1).astype(np.float32)
