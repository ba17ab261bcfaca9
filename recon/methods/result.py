"""What all methods share when they hand in a result."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import DatabaseError
from recon.methods.contract import Context, Reconstruction
from recon.texture.completion import face_masks
from recon.texture.database import TextureDatabase


def required_database(name: str, context: Context) -> TextureDatabase:
    """The context's database, checked: present, large enough, and of the size that is asked for.

    Raises:
        DatabaseError: with the mend.
    """
    if context.database is None:
        raise DatabaseError(f"method '{name}' needs a texture database: name one with --database.")
    context.database.require_enough()
    if context.database.size != context.observation.size:
        raise DatabaseError(
            f"the texture database has textures of {context.database.size} texels, the run works at "
            f"{context.observation.size}: build one with --size {context.observation.size}."
        )
    return context.database


def reconstruction(
    context: Context, albedo: NDArray[np.float32], record: dict[str, Any], timings: dict[str, float]
) -> Reconstruction:
    """A :class:`Reconstruction` with the observation's geometry, camera and light; the face region is its mask."""
    fit = context.observation.fit
    return Reconstruction(
        vertices=fit.vertices,
        albedo=np.clip(albedo, 0.0, 1.0).astype(np.float32),
        mask=face_masks(context.model, context.observation.size).face,
        camera=fit.camera,
        lighting=fit.lighting,
        record={**record, "fit_verdict": fit.verdict, "timings": timings},
    )
