"""``deep``, ``deep-linear``, ``deep-nearest``: the published method and its ablations (Saito et al. 2017, §3 and §5).

RGB, one correlation a layer over all visible skin, convex weights over the database, synthesis from the PCA texture::

    min_w Σ_l ‖Σ_k w_k G^l_M(A_k) − G^l_M(A_high)‖_F ,  w ≥ 0, Σ w = 1        (eq. 3, 4)
    min_A Σ_l ‖F^l(A) − F^l(A_low)‖² + α Σ_l ‖G^l(A) − Σ_k w_k G^l(A_k)‖²     (eq. 5)

with correlations at conv1_1 … conv5_1 and content at conv1_2 … conv5_2. Where the publication leaves room: each term is
divided by its own mean square, so that α is a pure number; the mask M is kept per side of the face, so that the
database is measured once and not per subject; the synthesis starts at half resolution.
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


class Deep:
    """Parameters: ``alpha`` (weight of the correlations, the detail knob; published 2000), ``iterations`` at half and
    full resolution (published 1000 in all; the defaults suit two CPU cores)."""

    name = "deep"
    needs_database = True
    defaults: Mapping[str, Any] = {"alpha": 2000.0, "iterations": (40, 12)}

    def applies(self, context: Context) -> str | None:
        """Applies to every photograph, given a database."""
        return None if context.database is not None else "needs a texture database (--database)"

    def load(self) -> None:
        """Loads PyTorch and its optimiser, which takes seconds."""
        from recon.texture.synthesis import load_optimiser

        importlib.import_module("recon.methods.deep_inference")
        load_optimiser()

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        """See the module.

        Raises:
            NoVisibleSkinError: neither side of the face shows enough skin to correlate.
        """
        from recon.methods.deep_inference import infer

        chosen = settings(self.name, self.defaults, context.parameters)
        with filtering_on(context.device):
            return infer(photograph, context, required_database(self.name, context), self.name, chosen)


class DeepLinear(Deep):
    """Ablation: unconstrained linear combination."""

    name = "deep-linear"


class DeepNearest(Deep):
    """Ablation: the single closest database entry."""

    name = "deep-nearest"
