"""``visio``: visio-lization, patches of other people's skin over a global PCA model.

Mohammed, Prince, Kautz, *Visio-lization: generating novel facial images*, SIGGRAPH 2009, carried over to the UV square
as in the comparison of Saito et al. 2017, §5. The global model is the PCA texture fitted to what is visible; it gives
the low frequencies. The local model is not parametric: at every place of the skin the database's patches *at that
place*, of which one is chosen that agrees with the PCA texture and with the patches laid before
(:mod:`recon.texture.quilting`); cuts of least energy and blending in the gradient domain join them. Only skin that was
really seen of a person is copied.

As in ``meso``, what is not skin (eyes, brows, lips) is taken from the completed texture, whose colour the skin meets
smoothly at its rim.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

from recon.data.subject import Photograph
from recon.errors import UsageError
from recon.methods.contract import Context, Reconstruction
from recon.methods.parameters import settings
from recon.methods.result import required_database


class Visio:
    """Parameters: ``patch`` (side, texels at 512²), ``overlap`` of neighbours (texels at 512²), ``modes`` (principal
    components of a place's patches), ``candidates`` (one of so many best is taken, by chance), ``agreement`` (λ, weight
    of the global model against the fit to the neighbours)."""

    name = "visio"
    needs_database = True
    defaults: Mapping[str, Any] = {"patch": 32, "overlap": 12, "modes": 12, "candidates": 3, "agreement": 2.0}

    def applies(self, context: Context) -> str | None:
        """Applies to every photograph, given a database."""
        return None if context.database is not None else "needs a texture database (--database)"

    def load(self) -> None:
        """Loads PyTorch and SciPy's solvers, which takes seconds."""
        importlib.import_module("recon.methods.visio_inference")

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        """See the module.

        Raises:
            UsageError: a parameter out of range.
        """
        from recon.methods.visio_inference import infer

        chosen = _checked(settings(self.name, self.defaults, context.parameters))
        return infer(context, required_database(self.name, context), chosen)


def _checked(chosen: dict[str, Any]) -> dict[str, Any]:
    """Raises :class:`UsageError` for values that make no patches."""
    rules = {
        "patch": (chosen["patch"] >= 8, "at least 8"),
        "overlap": (1 <= chosen["overlap"] <= chosen["patch"] // 2, "at least 1 and at most half of 'patch'"),
        "modes": (chosen["modes"] >= 1, "at least 1"),
        "candidates": (chosen["candidates"] >= 1, "at least 1"),
        "agreement": (math.isfinite(chosen["agreement"]) and chosen["agreement"] >= 0, "a number of at least 0"),
    }
    for name, (holds, what) in rules.items():
        if not holds:
            raise UsageError(f"method 'visio': '{name}' must be {what}, not {chosen[name]}.")
    return chosen
