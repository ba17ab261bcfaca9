"""Single image: a face alone, a photograph or a rendering, each in half of the trials; real or fake?

People tell avatars from photographs far better side by side than in isolation (Nasser Oesterreich, Fysh, Bindemann
2025), so this design and ``pairwise`` answer different questions.
"""

from __future__ import annotations

from study.contract import Composition, Design
from study.designs.real_or_fake import RealOrFake


class SingleImage(RealOrFake):
    """See the module."""

    name = "single"
    title = "A face alone: real or fake?"
    composition: Composition = "single"


SINGLE_IMAGE: Design = SingleImage()
