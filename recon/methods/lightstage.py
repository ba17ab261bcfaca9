"""``lightstage``: the captured albedo and geometry themselves, for subjects that have them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from recon.data.subject import Photograph
from recon.errors import InputError
from recon.methods.contract import Context, Reconstruction
from recon.methods.parameters import settings
from recon.methods.result import reconstruction


class LightStage:
    """Returns the ground truth of the context; no parameter."""

    name = "lightstage"
    needs_database = False
    defaults: Mapping[str, Any] = {}

    def applies(self, context: Context) -> str | None:
        """Applies where the subject has captured albedo in the UV square of the run's face model."""
        if context.truth is None:
            return "the subject has no captured albedo"
        if context.truth.face_model != context.model.name:
            return f"the capture is in the UV square of '{context.truth.face_model}', not '{context.model.name}'"
        return None

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        """See the module.

        Raises:
            InputError: the subject has no usable capture.
        """
        from dataclasses import replace

        settings(self.name, self.defaults, context.parameters)
        started = time.perf_counter()
        reason = self.applies(context)
        if context.truth is None or reason:
            raise InputError(f"{photograph.name}: {reason}; method 'lightstage' needs a capture.")
        albedo = np.load(context.truth.albedo).astype(np.float32)
        size = context.observation.size
        if albedo.shape != (size, size, 3):
            raise InputError(
                f"{context.truth.albedo.name}: albedo is {albedo.shape}, the run works at {size} texels; "
                f"run with --size {albedo.shape[0]}."
            )
        record = {"source": context.truth.albedo.name}
        result = reconstruction(context, albedo, record, {"texture": time.perf_counter() - started})
        mask = result.mask & np.load(context.truth.mask)
        if context.truth.vertices is None:
            return replace(result, mask=mask)
        return replace(result, mask=mask, vertices=np.load(context.truth.vertices).astype(np.float32))
