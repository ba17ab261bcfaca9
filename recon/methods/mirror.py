"""``mirror``: unwrap the photograph, mirror what is hidden, fill the rest from PCA; the naive floor."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from recon.colour import srgb_to_linear
from recon.data.subject import Photograph
from recon.methods.contract import Context, Reconstruction
from recon.methods.parameters import settings
from recon.methods.result import reconstruction, required_database
from recon.texture.completion import completed, pca_texture


class Mirror:
    """Copies what it sees; without a database what neither side shows is extended smoothly. No parameter."""

    name = "mirror"
    needs_database = False
    defaults: Mapping[str, Any] = {}

    def applies(self, context: Context) -> str | None:
        """Applies to every photograph."""
        return None

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        """See the module."""
        settings(self.name, self.defaults, context.parameters)
        started = time.perf_counter()
        fill = None
        if context.database is not None:
            fill, _ = pca_texture(context.observation, required_database(self.name, context))
        texture = completed(context.observation, context.model, fill)
        record = {"fill": "pca" if fill is not None else "smooth"}
        return reconstruction(context, srgb_to_linear(texture), record, {"texture": time.perf_counter() - started})
