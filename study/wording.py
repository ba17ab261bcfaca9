"""What raters read where the study file says nothing else: questions of the designs, and ready-made scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

AGREEMENT = ("Strongly disagree", "Disagree", "Neutral", "Agree", "Strongly agree")


@dataclass(frozen=True)
class ReadyScale:
    """A scale of opinion scores.

    Attributes:
        question: what is asked, or a statement to agree with.
        labels: of the steps, from 1 upwards.
    """

    question: str
    labels: tuple[str, ...]


SCALES: Mapping[str, ReadyScale] = {
    # The dimensions of Cutler, Naderi, Gopal, Palle (arXiv 2411.09066) that a still head can carry, as statements with
    # five steps of agreement as in their test; the words are ours.
    "realism": ReadyScale("This face looks like a real person's.", AGREEMENT),
    "creepiness": ReadyScale("This face is creepy.", AGREEMENT),
    "affinity": ReadyScale("I like this face.", AGREEMENT),
    "trust": ReadyScale("I would trust this person.", AGREEMENT),
    "resemblance": ReadyScale("This face looks like the person in the photograph.", AGREEMENT),
    # ITU-T P.910, absolute category rating.
    "quality": ReadyScale("How good is this picture?", ("Bad", "Poor", "Fair", "Good", "Excellent")),
    # ITU-R BT.500, degradation category rating.
    "impairment": ReadyScale(
        "How does this picture differ from the photograph?",
        (
            "Very annoying",
            "Annoying",
            "Slightly annoying",
            "Perceptible, but not annoying",
            "Imperceptible",
        ),
    ),
}

_READ = "To show that you read this:"
_VERDICT_ATTENTION = {
    "attention-real": _READ + " answer “{real}” this time, whatever you see.",
    "attention-fake": _READ + " answer “{fake}” this time, whatever you see.",
}
_SCORES_ATTENTION = {
    f"attention-{step}": f"{_READ} choose step {step}, counted from the lowest, on every scale."
    for step in range(1, 12)
}

QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "split-face": {
        "real-or-fake": "The left half of this face is a photograph. Is the right half real, or made by a computer?",
        **_VERDICT_ATTENTION,
    },
    "single": {
        "real-or-fake": "Is this face real, or was its skin made by a computer?",
        **_VERDICT_ATTENTION,
    },
    "ranking": {
        "ranking": "Sort the pictures from the most realistic to the least realistic.",
        "attention-last": f"{_READ} put the picture that now stands first into the last place.",
    },
    "pairwise": {
        "choice": "Which of the two pictures looks more real?",
        "attention-left": f"{_READ} choose the first picture, whatever you see.",
        "attention-right": f"{_READ} choose the second picture, whatever you see.",
    },
    "acr": {"scores": "Look at the picture, then answer.", **_SCORES_ATTENTION},
    "dsis": {"scores": "Compare the picture with the photograph, then answer.", **_SCORES_ATTENTION},
}
"""Text by design and question identifier; {real} and {fake} stand for the labels of these answers.

A design from outside brings its own in the study file.
"""
