"""One description of a textured head for every renderer: shape, colours, camera and light."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError
from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering.eyes import EyeFrame, eye_frame, eye_texcoord, eye_texture, gaze_pitch, lash_opacity
from recon.rendering.parts import (
    NeutralMaterials,
    PartTopology,
    Surface,
    part_topologies,
    skin_border,
    smoothstep,
    teeth_offset,
    texture_share,
)
from recon.rendering.sampling import layout, low_pass, padded, sample_bilinear

Float = NDArray[np.float32]
Index = NDArray[np.int32]

# Roughness and specular of the principled model (Burley 2012). Skin as a trial on synthetic heads settled it.
_GLOSS = {
    Surface.SKIN: (0.45, 0.35),
    Surface.HEAD: (0.50, 0.30),
    Surface.EYE: (0.04, 0.28),
    Surface.TEETH: (0.25, 0.50),
    Surface.GUMS: (0.30, 0.45),
    Surface.CAVITY: (0.60, 0.20),
    Surface.LASHES: (0.60, 0.20),
}
# Tear fluid on the rims of the lids: roughness where the skin touches the eyeball, and how far from it it is dry again.
_WET_ROUGHNESS = 0.12
_WET_METRES = (0.3e-3, 1.4e-3)
_LIDS = [37, 38, 40, 41, 43, 44, 46, 47]  # iBUG
# Parts that lie in the shadow of others; a renderer without global illumination darkens them by ambient occlusion.
ENCLOSED = frozenset({Surface.EYE, Surface.TEETH, Surface.GUMS, Surface.CAVITY})


@dataclass(frozen=True, eq=False)
class Part:
    """A mesh with one material.

    Attributes:
        topology: its place in the model.
        positions, normals: ``(N, 3)`` float32, model frame; normals are unit and smooth.
        texcoord: ``(N, 2)`` float32 for ``texture``, or None.
        texture: ``(S, S', 3)`` float32 linear albedo, row 0 at v = 1, or None.
        opacity: ``(S, S', 1)`` float32 over ``texcoord``, or None for opaque.
        colour: ``(N, 3)`` float32 linear albedo a vertex, where there is no texture.
        roughness, specular: of the principled model.
        vertex_roughness: ``(N,)`` float32, where the roughness varies (the wet rims of the lids), else None.
    """

    topology: PartTopology
    positions: Float
    normals: Float
    texcoord: Float | None
    texture: Float | None
    opacity: Float | None
    colour: Float | None
    roughness: float
    specular: float
    vertex_roughness: Float | None = None

    @property
    def name(self) -> str:
        """``skin``, ``head``, ``eye_left``, ``eye_right``, ``teeth``, ``gums``, ``cavity`` or ``lashes``."""
        return self.topology.name

    @property
    def triangles(self) -> Index:
        """``(M, 3)`` int32 into the part's vertices."""
        return self.topology.triangles


@dataclass(frozen=True, eq=False)
class Scene:
    """A textured head, a camera and a light.

    Args:
        model: the face model.
        vertices: ``(V, 3)`` float32, model frame and unit.
        albedo: ``(S, S, 3)`` float32 linear RGB over the UV square, row 0 at v = 1, complete on the face material.
        camera: of the photograph.
        lighting: of the photograph, model frame.
        materials: colours of what the albedo does not cover.

    Raises:
        InputError: shapes that do not belong together, or values that are not finite.
    """

    model: MorphableModel
    vertices: Float
    albedo: Float
    camera: Camera
    lighting: SphericalHarmonicsLighting
    materials: NeutralMaterials = field(default_factory=NeutralMaterials)

    def __post_init__(self) -> None:
        if self.vertices.shape != self.model.mean.shape:
            raise InputError(
                f"the mesh has {self.vertices.shape[0]} vertices but face model '{self.model.name}' has "
                f"{len(self.model.mean)}: render it with the model that it was reconstructed with."
            )
        shape = self.albedo.shape
        if len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3:
            raise InputError(f"an albedo map must be square with three channels, this one is {shape}.")
        if not np.isfinite(self.vertices).all() or not np.isfinite(self.albedo).all():
            raise InputError("the mesh or the albedo map holds values that are not finite: reconstruct it again.")

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Everything that is drawn, skin first; lashes, the one part that is not opaque, come with ``opacity``."""
        skin = self._skin_texture
        normals = self._normals
        return tuple(self._part(topology, normals, skin) for topology in part_topologies(self.model))

    @cached_property
    def eye_frames(self) -> dict[str, EyeFrame]:
        """Centre, radius and optical axis by part name (``eye_left``, ``eye_right``)."""
        eyes = [part for part in part_topologies(self.model) if part.surface is Surface.EYE]
        if not eyes:
            return {}
        shapes = [self.vertices[eye.vertex_ids] for eye in eyes]
        pitch = gaze_pitch(tuple(shapes), self.model.landmarks(self.vertices)[_LIDS])
        return {eye.name: eye_frame(shape, pitch) for eye, shape in zip(eyes, shapes, strict=True)}

    @cached_property
    def neutral_skin(self) -> Float:
        """``(3,)`` float32 linear RGB of the back of the head: the median of the face's low-passed albedo."""
        if self.materials.skin is not None:
            return np.asarray(self.materials.skin, np.float32)
        low = self._low_albedo
        face = self.model.regions.get("face")
        raster = layout(self.model, low.shape[0])
        inside = raster.covered
        if face is not None:
            inside = inside & (raster.interpolate(face[:, None].astype(np.float32))[..., 0] > 0.5)
        return np.asarray(np.median(low[inside], axis=0), np.float32)

    @cached_property
    def _low_albedo(self) -> Float:
        return low_pass(self.albedo, layout(self.model, self.albedo.shape[0]).covered)

    @cached_property
    def _skin_texture(self) -> Float:
        """The padded albedo, passing into its own low-pass at the border so that no detail ends in a line there."""
        size = self.albedo.shape[0]
        texture = padded(self.albedo, self.model)
        share = texture_share(self.model, size)
        if share is None:
            return texture
        soft = (share[..., 0] < 1) & layout(self.model, size).covered
        rows, columns = np.nonzero(soft)
        at = np.stack([(columns + 0.5) / size, 1 - (rows + 0.5) / size], axis=-1)
        mixed = self.albedo.copy()
        mixed[soft] = share[soft] * self.albedo[soft] + (1 - share[soft]) * sample_bilinear(self._low_albedo, at)
        return padded(mixed, self.model)

    @cached_property
    def _normals(self) -> Float:
        """``(V, 3)`` unit vertex normals; skin and head together, so that no crease shows between them."""
        normals = np.zeros_like(self.vertices)
        parts = part_topologies(self.model)
        together = np.concatenate([p.triangle_ids for p in parts if p.surface in (Surface.SKIN, Surface.HEAD)])
        alone = [p.triangle_ids for p in parts if p.surface not in (Surface.SKIN, Surface.HEAD)]
        for ids in [*alone, together]:
            triangles = self.model.triangles[ids]
            used = np.unique(triangles)
            normals[used] = vertex_normals(self.vertices, triangles)[used]
        return normals

    def _rim_roughness(self, positions: Float, dry: float) -> Float | None:
        """``(N,)`` roughness of skin: wet where it touches an eyeball; None without eyes."""
        if not self.eye_frames:
            return None
        gaps = [np.linalg.norm(positions - eye.centre, axis=1) - eye.radius for eye in self.eye_frames.values()]
        share = smoothstep(np.min(gaps, axis=0) * self.model.metres_per_unit, *_WET_METRES)
        return np.asarray(_WET_ROUGHNESS + (dry - _WET_ROUGHNESS) * share, np.float32)

    def _head_colour(self, count: int) -> Float:
        """``(N, 3)`` colour of the head part: the skin's own at the border, the neutral one further away."""
        border = skin_border(self.model)
        if border is None:
            return np.broadcast_to(self.neutral_skin, (count, 3)).copy()
        edge = sample_bilinear(self._low_albedo, border.texcoord)
        near = np.einsum("nkc,nk->nc", edge[border.nearest], border.weights)
        share = border.neutral[:, None]
        return np.asarray(share * self.neutral_skin + (1 - share) * near, np.float32)

    def _part(self, topology: PartTopology, all_normals: Float, skin: Float) -> Part:
        surface = topology.surface
        positions, normals = self.vertices[topology.vertex_ids], all_normals[topology.vertex_ids]
        texcoord, texture, opacity, colour = topology.texcoord, None, None, None
        if surface is Surface.TEETH:
            positions = positions + teeth_offset(self.model)
        if surface is Surface.SKIN:
            texture = skin
        elif surface is Surface.EYE:
            frame = self.eye_frames[topology.name]
            texcoord = eye_texcoord(positions, frame)
            texture = eye_texture(round(frame.radius * self.model.metres_per_unit, 4), self.materials.eyes)
        elif surface is Surface.HEAD:
            colour = self._head_colour(len(positions))
        else:
            flat = {
                Surface.TEETH: self.materials.teeth,
                Surface.GUMS: self.materials.gums,
                Surface.CAVITY: self.materials.cavity,
                Surface.LASHES: self.materials.lashes,
            }[surface]
            colour = np.broadcast_to(np.asarray(flat, np.float32), (len(positions), 3)).copy()
            opacity = lash_opacity() if surface is Surface.LASHES else None
        roughness, specular = _GLOSS[surface]
        if surface in (Surface.SKIN, Surface.HEAD):
            specular *= self.materials.gloss
        rim = self._rim_roughness(positions, roughness) if surface is Surface.SKIN else None
        return Part(topology, positions, normals, texcoord, texture, opacity, colour, roughness, specular, rim)
