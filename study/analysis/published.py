"""Results of others, as data with their source, to set beside ours.

Both studies of Saito, Wei, Hu, Nagano, Li: *Photorealistic Facial Texture Inference Using Deep Neural Networks*, CVPR
2017, arXiv 1612.00523. Numbers of raters, pictures and methods, and the three shares of the ranking, are the paper's.
No fooling rates of the split-face study are on record here, nor counts behind the shares, so these have no intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PublishedShare:
    """The share of raters who judged ``preferred`` more realistic than ``other``; method names are our registry's.

    ``remark`` says of which faces, where it is not of all.
    """

    preferred: str
    other: str
    share: float
    remark: str = ""


@dataclass(frozen=True)
class PublishedStudy:
    """A study of somebody else's.

    Attributes:
        title: one line for people.
        design: registry name of ours that asks the same.
        question: what raters did.
        raters: how many; ``stimuli`` how many of what kind.
        methods: that were compared, as far as they are known here.
        shares: published numbers; empty where none is on record, and then ``reason`` says so.
        source: where they were published.
    """

    title: str
    design: Literal["split-face", "ranking"]
    question: str
    raters: int
    stimuli: str
    methods: str
    shares: tuple[PublishedShare, ...]
    reason: str
    source: str


SOURCE = (
    "Saito, Wei, Hu, Nagano, Li: Photorealistic Facial Texture Inference Using Deep Neural Networks, CVPR 2017, "
    "arXiv 1612.00523"
)

SPLIT_FACE = PublishedStudy(
    title="Split face, real or fake",
    design="split-face",
    question="The left half of the face is a photograph: is the right half real or fake?",
    raters=150,
    stimuli="11 blurred photographs",
    methods="five",
    shares=(),
    reason="no fooling rates of this study are on record here",
    source=SOURCE,
)

RANKING = PublishedStudy(
    title="Ranking by realism",
    design="ranking",
    question="Sort the renderings of a person from realistic to unrealistic.",
    raters=100,
    stimuli="3 sets of renderings",
    methods="the paper's, PCA texture and Light Stage captures, and perhaps others",
    shares=(
        PublishedShare("deep", "lightstage", 0.56, "of smoother skins"),
        PublishedShare("lightstage", "pca", 0.74),
        PublishedShare("deep", "pca", 0.73),
    ),
    reason="",
    source=SOURCE,
)

PUBLISHED = (SPLIT_FACE, RANKING)


def published_for(design: str) -> tuple[PublishedStudy, ...]:
    """Those that asked what ``design`` (a registry name) asks; often none."""
    return tuple(study for study in PUBLISHED if study.design == design)
