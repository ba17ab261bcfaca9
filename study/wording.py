"""What raters read where the study file says nothing else: questions of the designs, ready-made scales, the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

AGREEMENT = ("Strongly disagree", "Disagree", "Neutral", "Agree", "Strongly agree")


@dataclass(frozen=True)
class ReadyScale:
    """A scale of opinion scores.

    Attributes:
        question: what is asked, or a statement to agree with.
        labels: of the steps, from 1 upwards.
        less_is_better: low scores are the good ones.
    """

    question: str
    labels: tuple[str, ...]
    less_is_better: bool = False


SCALES: Mapping[str, ReadyScale] = {
    # The dimensions of Cutler, Naderi, Gopal, Palle (arXiv 2411.09066) that a still head can carry, as statements with
    # five steps of agreement as in their test; the words are ours.
    "realism": ReadyScale("This face looks like a real person's.", AGREEMENT),
    "creepiness": ReadyScale("This face is creepy.", AGREEMENT, less_is_better=True),
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


def is_less_better(scale: str, said: bool | None = None) -> bool:
    """Whether low scores on ``scale`` are the good ones: what the study file ``said``, else as it is ready-made."""
    return SCALES[scale].less_is_better if said is None and scale in SCALES else bool(said)


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

PAGE: Mapping[str, str] = {
    # Before the trials.
    "loading-title": "One moment …",
    "loading": "The study is being loaded.",
    "script-title": "This study needs JavaScript",
    "script": "Please allow it for this page, then load the page again.",
    "preview-title": "Preview",
    "preview": "This is what you would do. Accept the work first; nothing that you do here is kept.",
    "contact": "Questions: {contact}",
    "agree": "I have read this, and I agree to take part.",
    "go-on": "Go on",
    "screen-title": "Your screen",
    "screen": "The faces must be seen well. Please sit in ordinary room light, and wear glasses if you need them.",
    "window": "Window",
    "window-needed": "(needed: {width} × {height})",
    "colours": "Colours",
    "colours-needed": "bits (needed: {bits})",
    "zoom": "Zoom",
    "zoom-needed": "(at most {percent} %)",
    "zoom-unknown": "not told by this browser",
    "card-title": "How large is your screen?",
    "card": "Hold a bank card, or any card of that size, against the screen. Move the slider until the outline is "
    "exactly as large as the card. Nothing of the card is read.",
    "card-size": "Size of the outline",
    "card-fits": "The outline is as large as my card.",
    "window-small": "The window is {found} pixels; it must have at least {needed}. Make it larger, or zoom out.",
    "device-small": "The window is {found} pixels; it must have at least {needed}. Take a device with a larger screen.",
    "colours-few": "The screen shows {found} bits of colour; it must show {needed}. Another device may do.",
    "zoom-large": "The page is zoomed to {found} %; it may have at most {needed} %. Zoom out with Ctrl and minus.",
    "card-missing": "The size of a bank card is missing: hold a card against the screen and move the slider.",
    "screen-stop": "My screen cannot do this",
    # Instructions; [1] is drawn as a key. What begins with "keys" is left out where there is no keyboard.
    "instructions-title": "What to do",
    "how-real-or-fake": "Press a button under the picture.",
    "keys-real-or-fake": "With the keyboard: [1] is the first button, [2] the second.",
    "how-choice": "Press the picture that you choose.",
    "keys-choice": "With the keyboard: [1] is the first, [2] the second.",
    "how-ranking": "Drag the pictures into order, or use their arrows. The sign ⤢ shows a picture at full size.",
    "keys-ranking": "With the keyboard: [Tab] to a picture, [Space] to lift it, the arrow keys to move it, [Space] to "
    "put it down, [E] to enlarge it.",
    "how-scales": "Choose a step on each scale.",
    "keys-scales": "With the keyboard: [1] is the first step; the next scale follows; [Enter] goes on.",
    "practice": "It begins with some questions for practice, which tell you whether you were right.",
    "begin": "Begin",
    # A trial.
    "pictures-loading": "The pictures are being loaded …",
    "picture-failed": "A picture cannot be loaded. Your answers so far are safe.",
    "practice-number": "Practice {number} of {count}",
    "question-number": "Question {number} of {count}",
    "face": "Face {letter}",
    "only-face": "The face to judge",
    "to-judge": "To judge",
    "photograph": "Photograph",
    "next": "Next",
    "practice-thanks": "Thank you.",
    "practice-over": "That was the practice: from now on your answers count.",
    "expected-answer": "The answer is: {answer}.",
    "expected-first": "First, as {best}, comes {face}.",
    "expected-last": "Last, as {worst}, comes {face}.",
    "expected-score": "{question} Expected was {score}.",
    "expected-at-most": "{question} Expected was at most {score}.",
    "expected-at-least": "{question} Expected was at least {score}.",
    # Ranking.
    "order": "From {best} to {worst}",
    "confirm-order": "This is my order",
    "order-as-it-was": "You have not moved any picture. If this is your order, press the button again.",
    "forward": "Move forward {face}",
    "backward": "Move backward {face}",
    "enlarge": "Enlarge {face}",
    "place": "{face}, place {place} of {count}",
    "place-lifted": "{face}, place {place} of {count}, lifted",
    "moved": "{face} is now at place {place} of {count}.",
    "lifted": "{face} is lifted: move it with the arrow keys, put it down with Space.",
    "put-down": "{face} is at place {place}.",
    "put-back": "{face} is back where it was.",
    "closer": "The picture at full size",
    "close": "Close",
    # On the way to the server.
    "trouble-title": "This does not work at the moment",
    "try-again": "Try again",
    "trying": "{error} The page tries again by itself.",
    "unreachable": "The study cannot be reached.",
    "refused": "The study refused this.",
    "no-new-raters": "Thank you for coming: this study takes no new raters at the moment.",
    "all-taken": "Thank you for coming: all places of this study are taken at the moment.",
    "kept-by-server": "The study cannot be reached at the moment: what you answered is kept.",
    "too-many": "Too many requests: wait a little.",
    "sending-some": "Answers being sent: {count}.",
    "waiting-here": "Answers not sent yet: {count}. They are kept on this device and sent as soon as the study can be "
    "reached.",
    "waiting-page": "Answers not sent yet: {count}. They are kept in this page only, because this browser does not let "
    "it store anything: do not close or reload the page.",
    "sending-title": "Your last answers are being sent",
    "sending": "Please keep this page open. It goes on by itself as soon as the study can be reached.",
    # The end.
    "done-title": "You have finished",
    "code": "Your completion code:",
    "copy": "Copy",
    "copied": "The code is copied.",
    "marked": "The code is marked: copy it with Ctrl and C.",
    "hand-in": "Hand in",
    "hand-in-return": "Hand in and return",
    "saved": "Everything is saved. You may close this page when you have handed in the code.",
    "next-person": "Next person",
    "screened-out-title": "Thank you for trying",
    "screened-out": "This study needs another screen, so it ends here. You may come back with another device only if "
    "your invitation says so.",
}
"""All other text of the page, buttons included, by identifier; ``wording.page`` of the study file says it otherwise.

What stands in braces is put in by the page.
"""


def filled(text: str, values: Mapping[str, object]) -> str:
    """``text`` with what stands in braces put in; the page does the same."""
    return re.sub(r"\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), text)


def placeholders(text: str) -> set[str]:
    """Names of what is put into ``text``."""
    return set(re.findall(r"\{(\w+)\}", text))
