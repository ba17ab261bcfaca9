"""What a study is made of: stimuli, trials, answers, and the designs that lay trials out and read answers.

A *stimulus* is one picture as a rater sees it, named by the sha256 of its bytes, so that neither its name nor its
address says which method made it. A *design* (split-face, ranking, pairwise …) turns the stimuli of a study into the
trials of one rater, in a balanced order that follows from the study's seed and the rater's slot alone, checks an
answer, and says whether it is right where there is a right one. Answers are JSON; ``study.database`` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Part = Literal["training", "main", "gold", "attention"]
"""What a trial is for: only ``main`` trials are analysed; ``gold`` and ``attention`` trials judge the rater."""

Composition = Literal["single", "split"]
"""How a stimulus was composed: a whole face, or the photograph's left half beside a right half of ``condition``."""

Page = Literal["real-or-fake", "ranking", "choice", "scales"]
"""The answer form that raters see."""

PHOTOGRAPH = "photograph"
"""The condition of real faces."""


@dataclass(frozen=True)
class Stimulus:
    """One picture and all that it is; raters learn none of it.

    Attributes:
        sha256: of the file's bytes, 64 hexadecimal digits; the file is ``<sha256>.<webp|png>``.
        media_type: ``image/webp`` or ``image/png``.
        width, height: in pixels.
        composition: see :data:`Composition`.
        condition: the method that made it (of a split face, its right half), or :data:`PHOTOGRAPH`.
        subject: whose face.
        run: name of the run folder; ``protocol`` and ``view`` as in the run.
        licence: of the subject's photograph.
        degraded: an obviously spoilt copy, made as a gold item.
        result: sha256 of the run's ``result.json`` (of a photograph, of the picture).
    """

    sha256: str
    media_type: str
    width: int
    height: int
    composition: Composition
    condition: str
    subject: str
    run: str
    protocol: str
    view: str
    licence: str
    degraded: bool = False
    result: str = ""


@dataclass(frozen=True)
class Trial:
    """One question to one rater.

    Attributes:
        index: place in the rater's session, from 0, training included.
        part: what it is for.
        question: identifier of the wording in the study file.
        shown: sha256 of the stimuli, in the order in which they stand on the page, left to right.
        reference: sha256 of a stimulus shown apart as the reference (DSIS, resemblance); empty where there is none.
        expected: the right answer where there is one; never sent to the page, except after a training trial.
    """

    index: int
    part: Part
    question: str
    shown: tuple[str, ...]
    reference: str = ""
    expected: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class DesignSettings:
    """What of a study file a design needs.

    Attributes:
        conditions: those that compete, :data:`PHOTOGRAPH` among them where it does.
        trials_per_rater: main trials of one rater.
        raters: how many slots there are.
        gold, attention, training: trials of that part in one session.
        seed: of the study.
        options: what this design adds (``set_size`` of a ranking, ``scales`` of opinion scores …).
    """

    conditions: tuple[str, ...]
    trials_per_rater: int
    raters: int
    gold: int
    attention: int
    training: int
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)


class Design(Protocol):
    """A study design; registered under the entry-point group ``mesoface.designs``.

    Attributes:
        name: registry name.
        title: one line for people.
        page: the answer form that the server shows: ``real-or-fake``, ``ranking``, ``choice`` or ``scales``.
        composition: of the stimuli that it shows.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def page(self) -> Page: ...

    @property
    def composition(self) -> Composition: ...

    def check(self, settings: DesignSettings, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        """What stands against running this design with these stimuli, in words; empty where nothing does."""
        ...

    def plan(self, settings: DesignSettings, stimuli: Sequence[Stimulus], slot: int) -> tuple[Trial, ...]:
        """The trials of the rater in ``slot`` (from 0); pure: equal arguments, equal trials.

        Over all slots each condition, pair and side is shown equally often, as nearly as the numbers allow, and no
        rater sees a stimulus of the same subject and condition twice in main trials.
        """
        ...

    def read_answer(self, settings: DesignSettings, trial: Trial, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The answer as it is stored: ``{"choice": "real"}``, ``{"order": [2, 0, 1]}``, ``{"scores": {…}}``.

        Positions are those on the page, from 0; of a ranking the most realistic first.

        Raises:
            InputError: a payload that does not answer this trial.
        """
        ...

    def correct(self, trial: Trial, answer: Mapping[str, Any]) -> bool | None:
        """Whether a stored answer is what ``trial.expected`` says; None where nothing is expected."""
        ...
