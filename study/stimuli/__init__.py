"""Pictures for raters, from finished runs: cropped, sized and encoded alike for every condition of a subject.

Whatever a method did not make (hair, eyes, background) is the undegraded photograph in every condition, and the skin
that is replaced is the same for all of them. So neither frame nor size nor compression tells a method, or the
photograph itself, from the rest.
"""

from __future__ import annotations

from study.stimuli.build import build_stimuli
from study.stimuli.catalogue import Catalogue, Gap, read_catalogue
from study.stimuli.order import StimuliOrder

__all__ = ["Catalogue", "Gap", "StimuliOrder", "build_stimuli", "read_catalogue"]
