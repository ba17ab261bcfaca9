"""Split face: left half always the photograph, right half the photograph or a rendering with probability ½.

The design of the published study (Saito, Wei, Hu, Nagano, Li, CVPR 2017): the rater says *real* where the right half is
the photograph's own, *fake* where it is a rendering. Analysis: per-rater fooling rates, false alarms, d′ and criterion.
"""

from __future__ import annotations

from study.contract import Composition, Design
from study.designs.real_or_fake import RealOrFake


class SplitFace(RealOrFake):
    """See the module."""

    name = "split-face"
    title = "Half photograph, half rendering: real or fake?"
    composition: Composition = "split"


SPLIT_FACE: Design = SplitFace()
