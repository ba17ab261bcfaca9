"""Study designs, one a file: how the stimuli of a study become the trials of one rater, and what counts as an answer.

``DESIGNS`` is the registry; an outside package adds a design (``study.contract.Design``) under the entry-point group
``mesoface.designs``. What designs share: ``balance`` (who sees what, counterbalanced), ``material`` (stimuli by subject
and condition), ``session`` (training, gold and attention trials around the main ones) and ``answers``.
"""

from __future__ import annotations

from recon.registry import Registry
from study.contract import Design

DESIGNS: Registry[Design] = Registry(
    "study design",
    "mesoface.designs",
    {
        "split-face": "study.designs.split_face:SPLIT_FACE",
        "single": "study.designs.single_image:SINGLE_IMAGE",
        "ranking": "study.designs.ranking:RANKING",
        "pairwise": "study.designs.pairwise:PAIRWISE",
        "acr": "study.designs.acr:ACR",
        "dsis": "study.designs.dsis:DSIS",
    },
)

__all__ = ["DESIGNS"]
