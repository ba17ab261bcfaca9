"""Photographs of made-up people: a place with its light, a pose, a camera, and what a camera does to a picture.

One ray scene holds head, clothes, hair and lashes. Light is gathered once a pixel by surface, spread beneath the skin,
and met with albedo, relief, sheen and the shine of the eyes at every sample. About seven seconds for 512² on one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from recon.colour import linear_to_srgb, luminance
from recon.data.person import Person
from recon.data.procedural import line_distance
from recon.data.skin import PaintedSkin, SkinSurface, surface_slope
from recon.data.studio_backdrop import draw_place
from recon.data.studio_eyes import eye_ball, eye_colour, eye_look, wet_shine
from recon.data.studio_light import (
    SHARES,
    Directions,
    Room,
    beneath_skin,
    drawn_directions,
    gather,
    sheen,
    unblocked,
)
from recon.data.studio_scene import BODY, EYE, HAIR, LASH, MOUTH, SKIN, StudioScene, build_scene
from recon.data.wardrobe import Clothes, draw_clothes
from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera
from recon.rendering.eyes import gaze_pitch
from recon.rendering.parts import Surface, surface_of
from recon.rendering.rays import RayScene

Float = NDArray[np.float32]
Index = NDArray[np.intp]


def photograph(
    model: MorphableModel, vertices: Float, surface: SkinSurface, painted: PaintedSkin, person: Person, size: int
) -> tuple[Float, Camera]:
    """A portrait of ``person``.

    Args:
        model: the face model of the vertices.
        vertices: ``(V, 3)`` float32, the head without hair, in the model's unit.
        surface, painted: from :mod:`recon.data.skin`.
        person: whose seed chooses place, pose, clothes, eyes and camera.
        size: width and height in pixels.

    Returns:
        ``(size, size, 3)`` float32 sRGB-encoded in [0, 1], and the camera, in the model's unit.
    """
    rng = np.random.default_rng([person.seed, 9])
    place = draw_place(rng)
    clothes = draw_clothes(rng)
    # A picture is some 28 cm wide.
    scene = build_scene(model, vertices, surface, painted, person, clothes, finest=280.0 / (size * _samples(size)))
    camera = _camera(model, scene, size, rng)
    shown, covered, level = _picture(model, scene, surface, painted, person, place.room, camera, clothes, rng)
    # A camera's meter: the face, and what of it burns out.
    exposure = float(rng.uniform(0.92, 1.08)) * (0.73 + 0.40 * person.darkness) / level
    behind = place.backdrop(size) * np.float32(0.85 / exposure if place.name in ("studio", "passport") else 0.9)
    image = (shown + (1.0 - covered) * behind) * exposure
    per_unit = np.float64(scene.scale)
    in_model_unit = Camera(camera.rotation, camera.translation / per_unit, camera.focal, camera.principal, size, size)
    return _developed(image, rng), in_model_unit


def _samples(size: int) -> int:
    """Samples along each side of a pixel: hair is finer than a pixel of a small picture."""
    return 3 if size <= 560 else 2


def _developed(image: Float, rng: np.random.Generator) -> Float:
    """What lens, sensor and camera make of the light: softness, vignette, white balance, grain and a soft shoulder."""
    size = image.shape[0]
    soft = float(rng.uniform(0.35, 0.75)) * size / 512.0
    image = gaussian_filter(image, (soft, soft, 0.0))
    grid = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    image *= 1.0 - float(rng.uniform(0.0, 0.12)) * (grid[:, None, None] ** 2 + grid[None, :, None] ** 2)
    image *= np.exp(rng.normal(0.0, 0.02, 3)).astype(np.float32)
    grey = luminance(image)[..., None]
    image = np.maximum(grey + float(rng.uniform(1.0, 1.14)) * (image - grey), 0.0)
    grain = float(rng.uniform(0.002, 0.007))
    noise = gaussian_filter(rng.normal(0.0, 1.0, image.shape), (0.5, 0.5, 0.0)) * 2.0
    image = image + grain * np.sqrt(np.clip(image, 0.003, None)) * noise
    # Highlights roll off above three quarters instead of clipping.
    over = np.clip(image - 0.72, 0.0, None)
    image = np.minimum(image, 0.72) + 0.28 * (1.0 - np.exp(-over / 0.28))
    return linear_to_srgb(np.clip(image, 0.0, 1.0).astype(np.float32))


def _camera(model: MorphableModel, scene: StudioScene, size: int, rng: np.random.Generator) -> Camera:
    """A portrait lens at about 1.4 m, the head turned a little; unit mm."""
    marks = model.landmarks(scene.vertices[: len(model.mean)]).astype(np.float64)
    angles = rng.normal(0.0, [11.0, 3.5, 2.0]) + np.array([0.0, 4.0, 0.0])
    turn, nod, roll = np.radians(np.clip(angles, -28.0, 28.0))
    cy, sy, cx, sx, cz, sz = np.cos(turn), np.sin(turn), np.cos(nod), np.sin(nod), np.cos(roll), np.sin(roll)
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    tilt = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    flip = np.diag([1.0, -1.0, -1.0])  # model: y up, z to the viewer; camera: y down, z into the scene
    rotation = flip @ tilt @ pitch @ yaw
    middle = 0.5 * (marks[27] + marks[8]) + np.array([0.0, 12.0, -40.0])
    distance = float(rng.uniform(1000.0, 1700.0))
    height = float(np.linalg.norm(marks[27] - marks[8]))
    focal = float(rng.uniform(0.36, 0.44)) * size * distance / height
    translation = np.array([0.0, 0.0, distance]) - rotation @ middle
    return Camera(rotation, translation, focal, (0.5 * size, 0.52 * size), size, size)


@dataclass(frozen=True, eq=False)
class _Samples:
    """What the rays of the picture meet; ``N`` hits of ``size² · side²`` rays.

    Attributes:
        side: samples a pixel along each axis.
        pixel: ``(N,)`` number of the pixel that a ray belongs to.
        triangle: ``(N,)``; weights: ``(N, 3)`` barycentric.
        kind: ``(N,)`` class of the surface.
        points, normals, towards: ``(N, 3)``; ``towards`` is the direction of the ray.
        depth: ``(N,)`` mm.
    """

    side: int
    pixel: Index
    triangle: NDArray[np.int32]
    weights: Float
    kind: NDArray[np.int8]
    points: Float
    normals: Float
    towards: Float
    depth: Float


def _picture(
    model: MorphableModel,
    scene: StudioScene,
    surface: SkinSurface,
    painted: PaintedSkin,
    person: Person,
    room: Room,
    camera: Camera,
    clothes: Clothes,
    rng: np.random.Generator,
) -> tuple[Float, Float, float]:
    """``(S, S, 3)`` light, ``(S, S, 1)`` coverage, and how bright the face is lit (for the meter)."""
    size = camera.width
    rays = RayScene(scene.vertices, scene.triangles)
    seen = _seen(scene, rays, camera, _samples(size))
    # A face material that reaches down the neck goes under the collar too.
    skin = np.flatnonzero(seen.kind == SKIN)
    seen.kind[skin[clothes.below(_at(scene, seen, skin, scene.mean)) > 0.0]] = BODY
    directions = drawn_directions(room)
    colour = scene.colour[scene.triangles].mean(axis=1)
    solid = len(scene.triangles) - scene.ribbons
    bright = np.empty_like(colour)
    bright[:solid] = unblocked(scene.normals[: scene.solid_vertices], directions)[scene.triangles[:solid]].mean(axis=1)
    bright[solid:] = bright[:solid][scene.kind[:solid] == SKIN].mean(axis=0)
    thrown_back = np.float32(0.45) * colour * bright
    radiance = np.zeros((len(seen.pixel), 3), np.float32)
    level = 1.0
    for kinds in ((SKIN,), (EYE,), (BODY, MOUTH)):
        chosen = np.flatnonzero(np.isin(seen.kind, kinds))
        if not len(chosen):
            continue
        light, opened = _gathered(seen, chosen, size, rays, directions, thrown_back, camera, scatters=kinds == (SKIN,))
        if kinds == (SKIN,):
            face = _on_face(model, scene, seen, chosen)
            level = float(np.percentile(luminance(light[face]), 90)) if face.any() else 1.0
            radiance[chosen] = _skin(model, scene, surface, painted, person, room, seen, chosen, light, opened, rng)
        elif kinds == (EYE,):
            radiance[chosen] = _eyes(model, scene, person, room, camera, seen, chosen, light, opened)
        else:
            radiance[chosen] = _rest(scene, clothes, room, seen, chosen, light, opened, rng)
    hair = np.flatnonzero(seen.kind >= HAIR)
    if len(hair):
        radiance[hair] = _hair(scene, person, room, seen, hair, rays, directions, thrown_back)
    count = np.float32(seen.side**2)
    image = np.stack([np.bincount(seen.pixel, radiance[:, channel], size * size) for channel in range(3)], axis=1)
    covered = np.bincount(seen.pixel, minlength=size * size)[:, None]
    return (
        (image / count).reshape(size, size, 3).astype(np.float32),
        (covered / count).reshape(size, size, 1).astype(np.float32),
        level,
    )


def _seen(scene: StudioScene, rays: RayScene, camera: Camera, side: int) -> _Samples:
    """Shoot ``side²`` rays through every pixel."""
    size = camera.width
    grid = (np.arange(size * side) + 0.5) / side
    x, y = np.meshgrid(grid, grid)
    directions = camera.pixel_rays(x.ravel(), y.ravel()).astype(np.float32)
    origin = camera.centre.astype(np.float32)
    hits = rays.first_hit(origin, directions)
    found = np.flatnonzero(hits.triangle >= 0)
    triangle, weights, towards = hits.triangle[found], hits.barycentric[found], directions[found]
    row, column = found // (size * side) // side, found % (size * side) // side
    normals = np.einsum("ncx,nc->nx", scene.normals[scene.triangles[triangle]], weights, optimize=True)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    return _Samples(
        side,
        row * size + column,
        triangle,
        weights,
        scene.kind[triangle],
        origin + hits.distance[found, None] * towards,
        normals.astype(np.float32),
        towards,
        hits.distance[found],
    )


def _gathered(
    seen: _Samples,
    chosen: Index,
    size: int,
    rays: RayScene,
    directions: Directions,
    thrown_back: Float,
    camera: Camera,
    scatters: bool,
) -> tuple[Float, Float]:
    """Light ``(M, 3)`` and open share ``(M, 1)`` at the chosen samples, gathered at one of them a pixel."""
    pixels, first = np.unique(seen.pixel[chosen], return_index=True)
    ids = chosen[first]
    share = ((pixels // size) % 2) * 2 + (pixels % size) % 2
    light = gather(rays, seen.points[ids], seen.normals[ids], share % SHARES, directions, thrown_back, 0.35)
    picture, depth = np.zeros((size * size, 4), np.float32), np.zeros(size * size, np.float32)
    picture[pixels, :3], picture[pixels, 3], depth[pixels] = light.light, light.opened, seen.depth[ids]
    inside = np.zeros(size * size, bool)
    inside[pixels] = True
    shape = (size, size)
    pixel = float(np.median(depth[pixels])) / camera.focal
    spread = picture.reshape(*shape, 4)
    if scatters:
        spread = np.concatenate(
            [
                beneath_skin(spread[..., :3], inside.reshape(shape), depth.reshape(shape), pixel),
                _evened(spread[..., 3:], inside.reshape(shape), 1.0),
            ],
            axis=2,
        )
    else:
        spread = _evened(spread, inside.reshape(shape), 0.8)
    values = spread.reshape(-1, 4)[seen.pixel[chosen]]
    return values[:, :3], values[:, 3:]


def _evened(values: Float, inside: NDArray[np.bool_], sigma: float) -> Float:
    weight = inside.astype(np.float32)
    total = gaussian_filter(weight, sigma)[..., None]
    return np.asarray(gaussian_filter(values * weight[..., None], (sigma, sigma, 0.0)) / np.maximum(total, 1e-4))


def _at(scene: StudioScene, seen: _Samples, chosen: Index, values: Float) -> Float:
    """``(M, C)`` of vertex values ``(V, C)`` at the chosen samples."""
    corners = scene.triangles[seen.triangle[chosen]]
    return np.asarray(np.einsum("ncx,nc->nx", values[corners], seen.weights[chosen], optimize=True), dtype=np.float32)


def _on_face(model: MorphableModel, scene: StudioScene, seen: _Samples, chosen: Index) -> NDArray[np.bool_]:
    face = model.regions["face"].astype(np.float32)[:, None]
    return np.asarray(_at(scene, seen, chosen, face)[:, 0] > 0.9)


def _skin(
    model: MorphableModel,
    scene: StudioScene,
    surface: SkinSurface,
    painted: PaintedSkin,
    person: Person,
    room: Room,
    seen: _Samples,
    chosen: Index,
    light: Float,
    opened: Float,
    rng: np.random.Generator,
) -> Float:
    """Skin: albedo times light, bent by the relief, and the sheen."""
    ids = scene.model_triangle[seen.triangle[chosen]]
    texcoord = np.einsum("ncx,nc->nx", model.uv[model.uv_triangles[ids]], seen.weights[chosen])
    inside = surface.raster.covered
    albedo = _sample(_bled(painted.albedo, inside), texcoord)
    hair = _sample(painted.hair[..., None], texcoord)
    normal, towards, points = seen.normals[chosen], seen.towards[chosen], seen.points[chosen]
    # Seen edge-on bumps hide one another.
    steep = np.clip(-1.6 * (towards * normal).sum(axis=1, keepdims=True), 0.15, 1.0)
    places = surface.raster.interpolate(scene.vertices[: len(model.mean)])
    slope = _sample(surface_slope(places, painted.relief), texcoord)
    bent = normal - steep * slope
    bent /= np.linalg.norm(bent, axis=1, keepdims=True)
    gloss = _sample(_bled(painted.gloss[..., None], inside), texcoord) * (1.0 - 0.9 * hair)
    facing, whence = normal @ room.main, bent @ room.main
    # Beneath the skin light evens out over small bumps, red more than blue (Ma et al. 2007: one normal a channel).
    relit = np.clip(1.0 + (whence - facing) / np.maximum(facing + 0.5, 0.45), 0.4, 1.8)[:, None]
    relit = relit ** np.array([0.55, 0.8, 0.9], np.float32)
    marks = model.landmarks(scene.vertices[: len(model.mean)])
    wet = np.zeros(len(points), np.float32)
    for eye in (marks[36:42], marks[42:48]):
        near = np.abs(points - eye.mean(axis=0)).max(axis=1) < 24.0
        rim = np.concatenate([eye, eye[:1]])
        wet[near] = np.maximum(wet[near], np.exp(-((line_distance(points[near], rim) / 0.9) ** 2)))
    gloss = gloss + 2.2 * wet[:, None]
    return np.asarray(albedo * light * relit + sheen(room, towards, bent, gloss, opened), dtype=np.float32)


def _eyes(
    model: MorphableModel,
    scene: StudioScene,
    person: Person,
    room: Room,
    camera: Camera,
    seen: _Samples,
    chosen: Index,
    light: Float,
    opened: Float,
) -> Float:
    """Both eyes, which look at the camera."""
    look = eye_look(person)
    marks = model.landmarks(scene.vertices[: len(model.mean)])
    pitch = _pitch(model, scene, marks)
    radiance = np.zeros((len(chosen), 3), np.float32)
    names = np.asarray(model.material_names)[model.triangle_material[scene.model_triangle[seen.triangle[chosen]]]]
    for name in np.unique(names):
        here = np.flatnonzero(names == name)
        ball_points = scene.vertices[np.unique(model.triangles[model.triangles_of(str(name))])]
        middle = ball_points.mean(axis=0)
        corner = min(marks[39], marks[42], key=lambda mark: float(np.linalg.norm(mark - middle)))
        ball = eye_ball(ball_points, corner, camera.centre.astype(np.float32), pitch)
        colour, normal = eye_colour(seen.points[chosen[here]], ball, look)
        shine = wet_shine(room, seen.towards[chosen[here]], normal, opened[here])
        radiance[here] = colour * light[here] + shine
    return radiance


def _pitch(model: MorphableModel, scene: StudioScene, marks: Float) -> float:
    """Radians by which the gaze is raised, so that both eyes sit naturally between their lids."""
    balls = tuple(
        scene.vertices[np.unique(model.triangles[model.triangles_of(name)])]
        for name in model.material_names
        if surface_of(model, name) is Surface.EYE
    )
    return gaze_pitch(balls, marks[[37, 38, 40, 41, 43, 44, 46, 47]]) - np.float64(np.radians(3.0))


def _rest(
    scene: StudioScene,
    clothes: Clothes,
    room: Room,
    seen: _Samples,
    chosen: Index,
    light: Float,
    opened: Float,
    rng: np.random.Generator,
) -> Float:
    """Neck, clothes and the inside of the mouth."""
    albedo = _at(scene, seen, chosen, scene.colour)
    mean = _at(scene, seen, chosen, scene.mean)
    share, dye = clothes.at(mean, rng)
    body = (seen.kind[chosen] == BODY)[:, None]
    share = share * body
    neck = np.float32(0.75) * body * (1.0 - share)
    shine = sheen(room, seen.towards[chosen], seen.normals[chosen], neck, opened)
    return np.asarray((albedo + (dye - albedo) * share) * light + shine, dtype=np.float32)


def _hair(
    scene: StudioScene,
    person: Person,
    room: Room,
    seen: _Samples,
    chosen: Index,
    rays: RayScene,
    directions: Directions,
    thrown_back: Float,
) -> Float:
    """Hair: light from all around the strand, and two highlights, one white at the surface, one that passed through.

    Kajiya and Kay (1989) with the shifted highlights of Marschner et al. (2003).
    """
    ribbon = seen.triangle[chosen] - (len(scene.triangles) - scene.ribbons)
    tangent, along, tone = scene.tangent[ribbon], scene.along[ribbon, None], scene.tone[ribbon, None]
    towards, points = seen.towards[chosen], seen.points[chosen]
    outwards = points - scene.vertices[:: max(1, len(scene.vertices) // 5000)].mean(axis=0)
    outwards -= (outwards * tangent).sum(axis=1, keepdims=True) * tangent
    outwards = outwards / np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-6) - 0.5 * towards
    outwards = (outwards / np.linalg.norm(outwards, axis=1, keepdims=True)).astype(np.float32)
    shares = 32  # several samples of a pixel together see all directions
    share = (seen.pixel[chosen] * 7 + np.arange(len(chosen)) * 5) % shares
    got = gather(rays, points, outwards, share, directions, thrown_back, 0.6, wrap=0.6, shares=shares)
    colour = np.asarray(person.hair, np.float32) * tone * (0.80 + 0.35 * along)
    lash = seen.kind[chosen] == LASH
    colour[lash] = 0.35 * np.asarray(person.hair, np.float32) * (1.0 - 0.6 * person.makeup) + 0.003
    shine = np.zeros_like(colour)
    for light in room.lights:
        flux = 2.0 / light.sharpness * np.asarray(light.colour, np.float32)
        half = light.axis - towards
        half /= np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-6)
        for shift, sharp, tint in ((-0.10, 45.0, 0.045), (0.14, 14.0, 0.55 * np.asarray(person.hair, np.float32))):
            moved = tangent + shift * outwards
            moved /= np.linalg.norm(moved, axis=1, keepdims=True)
            across = np.sqrt(np.clip(1.0 - (moved * half).sum(axis=1, keepdims=True) ** 2, 0.0, 1.0))
            facing = np.clip(0.25 + outwards @ light.axis, 0.0, 1.0)[:, None]
            shine += across**sharp * facing * flux * tint
    shine *= got.opened[:, None] * np.where(lash, 0.2, 1.0)[:, None]
    return np.asarray(colour * got.light + shine, dtype=np.float32)


def _bled(texture: Float, inside: NDArray[np.bool_]) -> Float:
    """``texture`` with the nearest inner texel outside, so that samples at the border of the layout stay clean."""
    rows, columns = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return np.asarray(texture[rows, columns], dtype=np.float32)


def _sample(texture: Float, texcoord: Float) -> Float:
    """``(N, C)`` bilinear samples of a map ``(S, S, C)`` whose row 0 lies at v = 1."""
    size = texture.shape[0]
    where = np.stack([(1.0 - texcoord[:, 1]) * size - 0.5, texcoord[:, 0] * size - 0.5])
    channels = [map_coordinates(texture[..., c], where, order=1, mode="nearest") for c in range(texture.shape[-1])]
    return np.stack(channels, axis=1).astype(np.float32)
