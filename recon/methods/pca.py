"""``pca``: the PCA texture of the database fitted to the visible skin (Blanz and Vetter 1999); the soft baseline."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from recon.colour import srgb_to_linear
from recon.data.subject import Photograph
from recon.methods.contract import Context, Reconstruction
from recon.methods.parameters import settings
from recon.methods.result import reconstruction, required_database
from recon.texture.completion import pca_texture


class Pca:
    """Mean and principal components of complete textures; no parameter."""

    name = "pca"
    needs_database = True
    defaults: Mapping[str, Any] = {}

    def applies(self, context: Context) -> str | None:
        """Applies to every photograph, given a database."""
        return None if context.database is not None else "needs a texture database (--database)"

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        """See the module."""
        settings(self.name, self.defaults, context.parameters)
        started = time.perf_counter()
        database = required_database(self.name, context)
        texture, coefficients = pca_texture(context.observation, database)
        record = {"components": len(coefficients), "coefficients": [round(float(c), 4) for c in coefficients]}
        return reconstruction(context, srgb_to_linear(texture), record, {"texture": time.perf_counter() - started})
