"""A small made-up face model and a plain renderer, so that fitting is tested without assets and against known truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting import AlbedoModel, Camera, SphericalHarmonicsLighting

COLUMNS, ROWS = 45, 55
Array = NDArray[np.float64]


def _height(x: Array, y: Array) -> Array:
    face = 9.0 * np.sqrt(np.maximum(1.0 - (x / 9.2) ** 2 - (y / 12.0) ** 2, 0.02))
    nose = 2.0 * np.exp(-((x / 1.2) ** 2) - ((y + 0.5) / 1.8) ** 2)
    sockets = 0.8 * (np.exp(-(((x - 3.2) / 1.4) ** 2) - ((y - 3.0) / 0.9) ** 2))
    return face + nose - sockets - 0.8 * np.exp(-(((x + 3.2) / 1.4) ** 2) - ((y - 3.0) / 0.9) ** 2)


def landmark_layout() -> Array:
    """``(68, 2)`` positions (x, y up) in the order of iBUG on a face about 14 wide."""
    jaw_angle = np.linspace(np.pi, 2 * np.pi, 17)
    jaw = np.stack([7.0 * np.cos(jaw_angle), 2.5 + 10.0 * np.sin(jaw_angle)], axis=1)
    brow = np.stack([np.linspace(-5.0, -1.4, 5), 4.6 + 0.5 * np.sin(np.linspace(0, np.pi, 5))], axis=1)
    bridge = np.stack([np.zeros(4), np.linspace(3.0, -0.3, 4)], axis=1)
    nostrils = np.stack([np.linspace(-1.3, 1.3, 5), np.full(5, -1.4)], axis=1)
    turn = np.deg2rad([180, 120, 60, 0, -60, -120])
    eye = np.stack([-3.2 + 1.3 * np.cos(turn), 3.0 + 0.5 * np.sin(turn)], axis=1)
    around = np.deg2rad(180 - 30.0 * np.arange(12))
    lips = np.stack([2.2 * np.cos(around), -3.8 + 0.9 * np.sin(around)], axis=1)
    inner_turn = np.deg2rad(180 - 45.0 * np.arange(8))
    inner = np.stack([1.7 * np.cos(inner_turn), -3.8 + 0.35 * np.sin(inner_turn)], axis=1)
    other_brow = brow[::-1] * (-1, 1)
    other_eye = eye[[3, 2, 1, 0, 5, 4]] * (-1, 1)
    return np.concatenate([jaw, brow, other_brow, bridge, nostrils, eye, other_eye, lips, inner])


def toy_model(modes: int = 10) -> MorphableModel:
    """A height field of 2,475 vertices with smooth identity modes and three expressions, in centimetres."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-8, 8, COLUMNS), np.linspace(-10, 10, ROWS)))
    mean = np.stack([x, y, _height(x, y)], axis=1)
    index = np.arange(COLUMNS * ROWS).reshape(ROWS, COLUMNS)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    rng = np.random.default_rng(11)
    identity = np.stack([_smooth(rng, x, y) for _ in range(modes)]) * (0.45 * 0.85 ** np.arange(modes))[:, None, None]
    below = np.clip((-2.5 - y) / 3.0, 0.0, 1.0)
    smile = np.exp(-(((x - 2.2) / 1.2) ** 2) - ((y + 3.8) / 1.2) ** 2)
    zero = np.zeros_like(x)
    expression = np.stack(
        [
            np.stack([zero, -1.5 * below, -0.4 * below], 1),
            np.stack([0.5 * smile, 0.7 * smile, zero], 1),
            np.stack([zero, zero, zero + 0.1], 1),
        ]
    )
    layout = landmark_layout()
    corners, weights = _place(mean, triangles, layout)
    inside = ((x / 7.2) ** 2 + ((y + 0.5) / 8.6) ** 2) < 1.0
    eyes = (((np.abs(x) - 3.2) / 1.5) ** 2 + ((y - 3.0) / 0.7) ** 2) < 1.0
    lips = ((x / 2.3) ** 2 + ((y + 3.8) / 1.0) ** 2) < 1.0
    return MorphableModel(
        name="toy",
        unit="centimetre",
        metres_per_unit=0.01,
        licence="none",
        version="1",
        mean=mean.astype(np.float32),
        identity_basis=identity.astype(np.float32),
        expression_basis=expression.astype(np.float32),
        expression_names=("jawOpen", "mouthSmile_L", "eyeLookUp_L"),
        triangles=triangles,
        uv=np.stack([(x + 8) / 16, (y + 10) / 20], 1).astype(np.float32),
        uv_triangles=triangles,
        material_names=("face",),
        triangle_material=np.zeros(len(triangles), dtype=np.int16),
        uv_materials=frozenset({"face"}),
        landmark_triangles=corners,
        landmark_barycentric=weights,
        jaw_slides=tuple(_slide(mean, point) for point in layout[:17]),
        regions={"face": inside, "eyes": eyes, "lips": lips, "brows": np.zeros_like(inside)},
    )


def _smooth(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """A random displacement ``(V, 3)`` that varies over about a third of the face."""
    field = np.zeros((len(x), 3))
    for _ in range(6):
        wave = rng.normal(0, 0.25, 2)
        field += np.cos(wave[0] * x + wave[1] * y + rng.uniform(0, 6.28))[:, None] * rng.normal(0, 0.5, 3)
    return field


def _place(mean: Array, triangles: NDArray[np.int32], layout: Array) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Triangles and barycentric weights of landmark positions given by x and y."""
    corner = mean[triangles][:, :, :2]
    edges = np.stack([corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]], axis=2)
    inverse = np.linalg.inv(edges)
    chosen, weights = [], []
    for point in layout:
        second = np.einsum("nij,nj->ni", inverse, point - corner[:, 0])
        bary = np.column_stack([1.0 - second.sum(axis=1), second])
        best = int(np.argmax(bary.min(axis=1)))
        chosen.append(triangles[best])
        weights.append(bary[best])
    return np.asarray(chosen, dtype=np.int32), np.asarray(weights, dtype=np.float32)


def _slide(mean: Array, point: Array) -> NDArray[np.int32]:
    """A few vertices inward and outward of a jaw landmark."""
    places = [point * factor for factor in (0.94, 1.03)]
    return np.array([np.argmin(np.sum((mean[:, :2] - place) ** 2, axis=1)) for place in places], dtype=np.int32)


def toy_albedo(model: MorphableModel) -> AlbedoModel:
    """Skin with blotches, whose tone and pattern vary in four modes."""
    x, y = model.mean[:, 0], model.mean[:, 1]
    rng = np.random.default_rng(5)
    skin = np.array([0.50, 0.34, 0.26])
    pattern = sum(np.cos(rng.normal(0, 1.0) * x + rng.normal(0, 1.0) * y + rng.uniform(0, 6)) for _ in range(8))
    mean = skin * (1.0 + 0.08 * np.asarray(pattern))[:, None]
    modes = [np.broadcast_to(skin * 0.15, mean.shape)]
    for _ in range(3):
        wave = np.cos(rng.normal(0, 0.6) * x + rng.normal(0, 0.6) * y + rng.uniform(0, 6))
        modes.append(0.05 * wave[:, None] * rng.uniform(0.5, 1.0, 3) * skin * 2)
    return AlbedoModel(mean.astype(np.float32), np.stack(modes).astype(np.float32))


def toy_light() -> SphericalHarmonicsLighting:
    """Soft light from the upper left of the image (the subject's right), slightly warm."""
    coefficients = SphericalHarmonicsLighting.ambient(1.0).coefficients.copy()
    coefficients[1:4] += np.array([[0.5], [0.9], [-0.9]]) * np.array([1.04, 1.0, 0.94])
    coefficients[6] += 0.2
    return SphericalHarmonicsLighting(coefficients)


def render(
    model: MorphableModel,
    vertices: NDArray[np.float32],
    camera: Camera,
    albedo: NDArray[np.float32],
    light: SphericalHarmonicsLighting,
) -> NDArray[np.float32]:
    """Linear RGB ``(H, W, 3)`` by a z-buffer, one triangle at a time, smooth normals; grey background.

    Deliberately simple and independent of the product's ray casting; attributes are interpolated across the screen,
    which for triangles of a few pixels is as good as perspective-correct.
    """
    radiance = albedo * light.shading(vertex_normals(vertices, model.triangles))
    screen, depth = camera.project(vertices), camera.to_camera(vertices)[:, 2]
    picture = np.full((camera.height, camera.width, 3), 0.15, dtype=np.float32)
    nearest = np.full((camera.height, camera.width), np.inf)
    for corners in model.triangles:
        p = screen[corners]
        area = (p[1, 0] - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[2, 0] - p[0, 0]) * (p[1, 1] - p[0, 1])
        if area >= 0:  # seen from behind: y points down in the image
            continue
        left, top = np.floor(p.min(axis=0)).astype(int)
        right, bottom = np.ceil(p.max(axis=0)).astype(int)
        columns, rows = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
        x, y = columns + 0.5, rows + 0.5
        second = ((x - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[2, 0] - p[0, 0]) * (y - p[0, 1])) / area
        third = ((p[1, 0] - p[0, 0]) * (y - p[0, 1]) - (x - p[0, 0]) * (p[1, 1] - p[0, 1])) / area
        weights = np.stack([1 - second - third, second, third], axis=-1)
        inside = (weights.min(axis=-1) >= 0) & (rows >= 0) & (rows < camera.height)
        inside &= (columns >= 0) & (columns < camera.width)
        near = weights[inside] @ depth[corners]
        r, c = rows[inside], columns[inside]
        front = near < nearest[r, c]
        nearest[r[front], c[front]] = near[front]
        picture[r[front], c[front]] = weights[inside][front] @ radiance[corners]
    return picture
