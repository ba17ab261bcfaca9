"""Pictures for raters, from finished runs: cropped, sized and encoded alike for every condition of a subject.

Whatever a method did not make (hair, eyes, background) is the undegraded photograph in every condition, and the skin
that is replaced is the same for all of them. So neither frame nor size nor compression tells a method, or the
photograph itself, from the rest.

A stimulus is one face (of a split face, both halves). Pairs and sets to rank are laid out by the page from such single
pictures, because their order and sides are counterbalanced rater by rater (``study.designs``): a picture of a whole
pair or strip would fix them for everybody.
"""

from __future__ import annotations

from study.stimuli.build import build_stimuli
from study.stimuli.catalogue import Catalogue, Gap, read_catalogue
from study.stimuli.order import StimuliOrder

__all__ = ["Catalogue", "Gap", "StimuliOrder", "build_stimuli", "read_catalogue"]
