"""``meso``: low-frequency colour from what is seen and PCA, skin detail re-synthesised from regional correlations.

It shares its parts with ``deep`` and differs in these choices: only the luma residual over the low-frequency albedo is
synthesised, whitened by its local standard deviation; correlations are regional; features need no weights; and the
local energy of every detail band is predicted from what the photograph shows (see
:mod:`recon.texture.detail_prior`). Detail that the photograph shows sharply is kept as it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from recon.data.subject import Photograph
from recon.methods.contract import Context, Reconstruction
from recon.methods.parameters import settings
from recon.methods.result import required_database
from recon.texture.gaussian import filtering_on


class Meso:
    """Parameters: ``combination`` (convex, linear, nearest), ``iterations`` at ¼, ½ and full resolution,
    ``content`` (weight of the low-pass of the starting detail), ``strength`` (factor on predicted detail)."""

    name = "meso"
    needs_database = True
    defaults: Mapping[str, Any] = {
        "combination": "convex",
        "iterations": (40, 30, 15),
        "content": 0.3,
        "strength": 1.0,
    }

    def applies(self, context: Context) -> str | None:
        """Applies to every photograph, given a database."""
        return None if context.database is not None else "needs a texture database (--database)"

    def load(self) -> None:
        """Loads PyTorch and its optimiser, which takes seconds."""
        from recon.texture.synthesis import load_optimiser

        importlib.import_module("recon.methods.meso_inference")
        load_optimiser()

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        """See the module.

        Raises:
            NoVisibleSkinError: no visible skin lies in the domain of the database.
        """
        from recon.methods.meso_inference import infer

        chosen = settings(self.name, self.defaults, context.parameters)
        with filtering_on(context.device):
            return infer(photograph, context, required_database(self.name, context), chosen)
