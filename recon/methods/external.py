"""``external``: what any other system wrote, read from a folder and judged like the rest.

The folder holds one albedo map a subject and protocol, in the UV square of the run's face model::

    <folder>/<protocol>/<photograph's stem>.png      for example results/blur-8/001_03.png

sRGB-encoded, row 0 at v = 1, any square size (resampled by area or bicubically to the run's).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from skimage.transform import resize

from recon.colour import srgb_to_linear
from recon.data.subject import Photograph
from recon.errors import InputError
from recon.images import read_png
from recon.methods.contract import Context, Reconstruction
from recon.methods.parameters import settings
from recon.methods.result import reconstruction


class External:
    """Reads results; its one parameter ``folder`` says where they lie, ``protocol`` is filled in by the run."""

    name = "external"
    needs_database = False
    defaults: Mapping[str, Any] = {"folder": "", "protocol": "identity"}

    def applies(self, context: Context) -> str | None:
        """Applies where a folder was named."""
        return None if context.parameters.get("folder") else "no folder was named (--set external.folder=PATH)"

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        """See the module.

        Raises:
            InputError: no map for this photograph, or one that is not square.
        """
        chosen = settings(self.name, self.defaults, context.parameters)
        started = time.perf_counter()
        path = Path(chosen["folder"]) / str(chosen["protocol"]).replace(":", "-") / f"{Path(photograph.name).stem}.png"
        if not path.is_file():
            raise InputError(f"{path} does not exist: write one albedo map a photograph there.")
        texture = read_png(path)
        if texture.dtype == np.bool_ or texture.ndim != 3 or texture.shape[0] != texture.shape[1]:
            raise InputError(f"{path}: an albedo map is a square RGB picture, this one is {texture.shape[:2]}.")
        size = context.observation.size
        linear = srgb_to_linear(np.asarray(texture[..., :3], np.float32))
        if linear.shape[0] != size:
            linear = resize(linear, (size, size, 3), order=1 if linear.shape[0] > size else 3, anti_aliasing=True)
        record = {"source": path.name, "source_size": int(texture.shape[0])}
        timings = {"texture": time.perf_counter() - started}
        return reconstruction(context, np.asarray(linear, np.float32), record, timings)
