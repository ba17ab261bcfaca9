"""The contract of a reconstruction method: a photograph and a context in, a textured head out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recon.data.subject import GroundTruth, Photograph
from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting

if TYPE_CHECKING:
    from recon.texture.database import TextureDatabase
    from recon.texture.observation import Observation


@dataclass(frozen=True, eq=False)
class Context:
    """All that a method may know besides the photograph. A method reads nothing else: no paths, no globals.

    Attributes:
        model: the face model whose UV square all results share.
        observation: the fit and the partial albedo of the photograph, made once and shared by all methods.
        database: complete textures of *other* people; None where the run has none.
        features: name of the feature extractor to use (``auto``, ``filter-bank``, ``vgg16-hed``, ``vgg19``).
        size: side of the albedo map in texels.
        seed: seeds every random choice.
        device: torch device name.
        truth: captured albedo of the subject, for ``lightstage`` alone; inference must not read it.
        parameters: this method's own settings, by name; unknown names are an error.
    """

    model: MorphableModel
    observation: Observation
    database: TextureDatabase | None
    features: str = "auto"
    size: int = 512
    seed: int = 0
    device: str = "cpu"
    truth: GroundTruth | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A textured head.

    Attributes:
        vertices: ``(V, 3)`` float32, model frame and unit.
        albedo: ``(S, S, 3)`` float32 linear RGB in [0, 1]; row 0 at v = 1; complete over the UV square's face.
        mask: ``(S, S)`` bool: texels that the method vouches for (judged region before the protocol's masks).
        camera: of the photograph.
        lighting: model frame.
        record: what the method has to say: extractor, losses, convex weights, timings, KKT residual, fit verdict.
    """

    vertices: NDArray[np.float32]
    albedo: NDArray[np.float32]
    mask: NDArray[np.bool_]
    camera: Camera
    lighting: SphericalHarmonicsLighting
    record: Mapping[str, Any] = field(default_factory=dict)


class Method(Protocol):
    """A reconstruction method; registered under the entry-point group ``mesoface.methods``.

    A method may have ``load()`` besides: it loads what the work of every subject needs, libraries above all, and is
    called once, in a thread of its own, while the first photograph is prepared.

    Attributes:
        name: registry name.
        needs_database: whether it cannot work without a texture database.
        defaults: its parameters with their default values (each documented in the method's module).
    """

    name: str
    needs_database: bool
    defaults: Mapping[str, Any]

    def applies(self, context: Context) -> str | None:
        """None if the method can work on this subject, else the reason in words (recorded as not applicable)."""
        ...

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        """Pure and seeded: the same arguments give the same result."""
        ...
