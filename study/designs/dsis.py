"""Double stimulus impairment scale (ITU-R BT.500, DSIS): a picture beside its reference; how much worse is it?

The reference is always the person's photograph. The usual scale has five steps, from *very annoying* (1) to
*imperceptible* (5). Gold trials show, in turn, a spoilt copy and the photograph itself.
"""

from __future__ import annotations

from study.contract import Design
from study.designs.acr import OpinionScores


class DoubleStimulusImpairment(OpinionScores):
    """See the module."""

    name = "dsis"
    title = "A picture beside its photograph: how much worse is it?"
    referenced = True


DSIS: Design = DoubleStimulusImpairment()
