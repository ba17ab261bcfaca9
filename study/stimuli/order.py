"""Which pictures a study needs: the runs, the competing conditions, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from recon.data.protocols import parse_protocol
from recon.errors import UsageError
from recon.rendering.view_sets import FITTED
from recon.runs.folder import RunFolder
from study.contract import PHOTOGRAPH, Composition

SMALLEST_SIDE, LARGEST_SIDE = 64, 2048
LOWEST_QUALITY = 90
"""Below it WebP smooths skin, which is what raters are asked about."""


@dataclass(frozen=True)
class StimuliOrder:
    """What is asked for.

    Attributes:
        runs: run folders.
        conditions: methods of the runs, and :data:`study.contract.PHOTOGRAPH`. A method that several runs have is
            written ``RUN/METHOD``, with the name of the run's folder.
        protocol: of the runs; one a study, because raters compare what was made from the same picture.
        subjects: ids; empty for all that any of the runs has, or as many of them as ``people`` says.
        people: where no ``subjects`` are named, how many are drawn by lot (``study.stimuli.lot``), besides
            ``training_subjects``; None for all.
        training_subjects: ids that are shown whatever the lot says.
        seed: of the lot.
        composition: whole faces, or the photograph's left half beside a right half of the condition.
        view: ``fitted`` (the head over the photograph), ``RENDERER/fitted``, or another picture ``RENDERER/VIEW`` of
            ``mesoface render``, which shows no photograph.
        width, height: of every stimulus, in pixels as shown.
        format: ``webp`` (lossless unless ``quality`` is given) or ``png``.
        quality: of lossy WebP, from 90 to 100; None for lossless.
        seam: of split faces, the width over which the left half passes into the right, in parts of the distance
            between the outer eye corners; 0 is a hard cut.
        match_colour: whether the right half of a split face is given the photograph's light and colour as far as they
            change slowly (``study.stimuli.split_face.matching_gain``), so that a difference of light is not taken for
            one of texture.
        gold: whether items with known answers are made of every subject: an obviously degraded copy of the photograph,
            and the photograph itself even where it does not compete.
        allow_restricted: whether people are shown whose licence does not allow passing pictures on; for raters in
            one's own laboratory.
    """

    runs: tuple[Path, ...]
    conditions: tuple[str, ...]
    protocol: str = "identity"
    subjects: tuple[str, ...] = ()
    people: int | None = None
    training_subjects: tuple[str, ...] = ()
    seed: int = 0
    composition: Composition = "single"
    view: str = FITTED
    width: int = 512
    height: int = 640
    format: Literal["webp", "png"] = "webp"
    quality: int | None = None
    seam: float = 0.03
    match_colour: bool = True
    gold: bool = True
    allow_restricted: bool = False

    def __post_init__(self) -> None:
        if not self.runs:
            raise UsageError("no run was named: stimuli are made from finished runs.")
        if not self.conditions or len(set(self.conditions)) < len(self.conditions):
            raise UsageError("name each condition once, and at least one: methods of the run, and 'photograph'.")
        if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in (self.width, self.height)):
            raise UsageError(
                f"stimuli of {self.width}×{self.height} pixels: each side must be from {SMALLEST_SIDE} to "
                f"{LARGEST_SIDE}."
            )
        if self.format not in ("webp", "png"):
            raise UsageError(f"stimuli cannot be written as '{self.format}': take webp or png.")
        if self.quality is not None and (self.format != "webp" or not LOWEST_QUALITY <= self.quality <= 100):
            raise UsageError(f"a quality is for WebP, from {LOWEST_QUALITY} to 100: leave it out for lossless files.")
        if not 0 <= self.seam <= 0.5:
            raise UsageError(f"a seam of {self.seam:g} eye distances: give 0 for a hard cut, or at most 0.5.")
        if not self.over_photograph:
            self._check_alone()
        side = parse_protocol(self.protocol).withheld_side
        if self.composition == "split" and side == "right":
            raise UsageError(
                "the right half of a split face is the subject's left, which 'occlude:right' does not withhold: take "
                "'occlude:left'."
            )

    def _check_alone(self) -> None:
        """What cannot be asked of views that show no photograph."""
        if "/" not in self.view:
            raise UsageError(f"the view '{self.view}' needs its renderer: write RENDERER/{self.view}.")
        if self.composition == "split":
            raise UsageError(f"a split face needs the photograph, which the view '{self.view}' does not show.")
        if PHOTOGRAPH in self.conditions:
            raise UsageError(f"there is no photograph in the view '{self.view}': take the view '{FITTED}'.")
        if self.gold:
            raise UsageError(f"the view '{self.view}' has no photograph to spoil: gold items need the view '{FITTED}'.")

    @property
    def shown(self) -> tuple[str, ...]:
        """The conditions of which pictures are made."""
        return tuple(dict.fromkeys((*self.conditions, *((PHOTOGRAPH,) if self.gold else ()))))

    @property
    def over_photograph(self) -> bool:
        """Whether the view lies over the photograph, pixel for pixel."""
        return self.view.rpartition("/")[2] == FITTED

    @property
    def picture(self) -> str:
        """The view's file inside the folder of a result."""
        return f"views/{self.view}.png"


@dataclass(frozen=True)
class Source:
    """A run with its configuration, read once.

    Attributes:
        name: of the run's folder.
        subjects: of the run.
        methods: condition → method, of the order's conditions that come from this run.
    """

    folder: RunFolder
    name: str
    subjects: tuple[str, ...]
    methods: Mapping[str, str] = field(default_factory=dict)


def sources_of(order: StimuliOrder) -> tuple[Source, ...]:
    """The runs of an order, with the conditions that each supplies.

    Raises:
        UsageError: no run, a protocol, method or subject that none has, a method that several have, or fewer people
            than are asked for.
    """
    opened = [(RunFolder(path), path.resolve().name, RunFolder(path).read_config()) for path in order.runs]
    names = [name for _, name, _ in opened]
    if len(set(names)) < len(names):
        raise UsageError(f"two runs are called '{max(names, key=names.count)}': give their folders different names.")
    protocol = parse_protocol(order.protocol).name
    for folder, _, config in opened:
        if protocol not in config["protocols"]:
            raise UsageError(
                f"run '{folder.path}' has no protocol '{protocol}'; it has {', '.join(config['protocols'])}."
            )
    chosen = _conditions(order, [(name, list(config["methods"])) for _, name, config in opened])
    people = {subject for _, _, config in opened for subject in config["subjects"]}
    for subject in order.subjects:
        if subject not in people:
            raise UsageError(f"no run has a subject '{subject}'; they have {', '.join(sorted(people))}.")
    sources = tuple(Source(folder, name, tuple(config["subjects"]), chosen[name]) for folder, name, config in opened)
    if order.people is not None and not order.subjects:
        _check_enough(order.people, order, people)
    return sources


def _check_enough(count: int, order: StimuliOrder, people: set[str]) -> None:
    having = len(people - {*order.training_subjects})
    if having < count:
        besides = " besides those for training" if order.training_subjects else ""
        raise UsageError(
            f"stimuli.people is {count}, and the runs have {having} people{besides}: say a smaller number, or add "
            "people to a run."
        )


def _conditions(order: StimuliOrder, runs: list[tuple[str, list[str]]]) -> dict[str, dict[str, str]]:
    """Run → condition → method."""
    found: dict[str, dict[str, str]] = {name: {} for name, _ in runs}
    for condition in order.conditions:
        if condition == PHOTOGRAPH:
            continue
        run, _, method = condition.rpartition("/")
        having = [name for name, methods in runs if method in methods and run in ("", name)]
        if not having:
            known = ", ".join(dict.fromkeys(method for _, methods in runs for method in methods))
            raise UsageError(f"no run has a method '{condition}'; they have {known}, and there is '{PHOTOGRAPH}'.")
        if len(having) > 1:
            raise UsageError(f"several runs have the method '{method}': write {having[0]}/{method}.")
        found[having[0]][condition] = method
    return found
