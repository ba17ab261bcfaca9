"""The study file: all that a study is, in one page of YAML that people write and programs check before anyone is paid.

A study folder is ``studies/<name>/{study.yaml, stimuli.json, stimuli/}``; paths in the file are relative to it. Money
is whole minor units (cents) of one currency. ``mesoface study schema`` prints every field with its meaning, from here.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from recon.errors import InputError
from study.contract import PHOTOGRAPH, DesignSettings
from study.designs import DESIGNS
from study.payment import PaymentBlock
from study.study_block import Block, Name, Short, Text, wrong
from study.study_file import read_model
from study.wording import PAGE, QUESTIONS, SCALES, is_less_better, placeholders

if TYPE_CHECKING:
    from study.stimuli.order import StimuliOrder

LABELS = {"real": "Real", "fake": "Fake"}
Withheld = Literal["use", "pay"]
USE: tuple[Withheld, ...] = ("use",)


class StimuliBlock(Block):
    """Which pictures are shown, and how."""

    runs: tuple[Text, ...] = Field(
        min_length=1, description="Run folders that the pictures come from, relative to the study's folder."
    )
    protocol: Text = Field(default="identity", description="What the methods were given: identity, blur:8 and so on.")
    view: Text = Field(
        default="fitted", description="Which picture of a result: fitted, or RENDERER/VIEW of 'mesoface render'."
    )
    people: int | None = Field(
        default=None,
        ge=1,
        description="How many people main trials show: drawn by lot where the runs have more. Empty: all.",
    )
    subjects: tuple[Text, ...] = Field(default=(), description="Their ids. Empty: all whom the runs have.")
    training_subjects: tuple[Text, ...] = Field(
        default=(), description="Ids of people who are shown in training trials, and in no other."
    )
    width: int = Field(default=512, ge=64, le=2048, description="Of a picture, in pixels, as shown.")
    height: int = Field(default=640, ge=64, le=2048, description="Likewise.")
    format: Literal["webp", "png"] = Field(
        default="webp", description="Of the files: webp (lossless unless quality is given), png."
    )
    quality: int | None = Field(default=None, ge=90, le=100, description="Of lossy WebP. Empty: lossless.")
    seam: float = Field(
        default=0.03,
        ge=0,
        le=0.5,
        description="Of split faces: width of the passage at the midline, in eye distances; 0: hard.",
    )
    match_colour: bool = Field(
        default=True,
        description="Of split faces: give the right half the photograph's light and colour, where they change slowly.",
    )
    allow_restricted: bool = Field(
        default=False,
        description="Show people whose licence forbids passing pictures on; for raters in a laboratory of one's own.",
    )


class TrialsBlock(Block):
    """Trials of one rater."""

    main: int = Field(ge=1, le=1000, description="Trials that are analysed.")
    gold: int = Field(
        default=0, ge=0, le=50, description="Trials with a known answer: spoilt copies, made automatically."
    )
    attention: int = Field(default=0, ge=0, le=20, description="Trials whose question says what to answer.")
    training: int = Field(default=0, ge=0, le=50, description="Trials before the others, with feedback.")


class ScaleBlock(Block):
    """A scale of opinion scores."""

    name: Name = Field(description=f"Its name in the results. Ready-made: {', '.join(SCALES)}.")
    question: str = Field(default="", description="What is asked. Empty: the ready-made question of that name.")
    labels: tuple[Text, ...] = Field(
        default=(),
        max_length=11,
        description="Of the steps, from 1 upwards. Empty: the ready-made labels of that name.",
    )
    less_is_better: bool | None = Field(
        default=None, description="Low scores are the good ones. Empty: as it is ready-made, or false."
    )


class ScreenBlock(Block):
    """What a rater's screen must have."""

    width: int = Field(default=320, ge=1, le=10_000, description="Of the browser's window, in CSS pixels.")
    height: int = Field(default=480, ge=1, le=10_000, description="Likewise; a phone may be held either way.")
    colour_depth: int = Field(default=24, ge=1, le=48, description="Bits a pixel.")
    zoom: float | None = Field(
        default=None, ge=0.25, le=5, description="Largest zoom of the page, 1 is 100 %. Empty: any."
    )
    card: bool = Field(
        default=False,
        description="Ask the rater to hold a bank card against the screen, which gives the size of a pixel.",
    )


class ConsentBlock(Block):
    """What raters agree to before anything else."""

    version: Short = Field(description="Of the text; stored with every agreement. Change it whenever the text changes.")
    text: Text = Field(
        description="Who asks, what is done, how long it takes, what is stored and for how long, whom to ask."
    )


class WordingBlock(Block):
    """What raters read; all of it has defaults."""

    language: Text = Field(default="en", description="BCP 47 tag of all texts.")
    instructions: str = Field(default="", description="Before the first trial. An empty line begins a paragraph.")
    questions: dict[str, Text] = Field(
        default_factory=dict,
        description="Other texts of the design's questions, by identifier; see below. {real} and {fake}: labels.",
    )
    labels: dict[str, Text] = Field(
        default_factory=dict, description="Of the answers real and fake; by default Real and Fake."
    )
    best: Text = Field(default="most realistic", description="The upper end of a ranking.")
    worst: Text = Field(default="least realistic", description="Its lower end.")
    right: Text = Field(default="That is right.", description="Feedback to a training trial.")
    wrong: Text = Field(default="That is not right.", description="Likewise.")
    debrief: Text = Field(default="Thank you for taking part.", description="At the end.")
    contact: str = Field(default="", description="Whom raters may ask.")
    page: dict[str, Text] = Field(
        default_factory=dict, description="Other texts of the page, buttons included, by identifier; see below."
    )


class TimeBlock(Block):
    """How long a session should take; the cost check says what that pays an hour."""

    seconds_per_trial: float | None = Field(
        default=None, gt=0, le=3600, description="Empty: by the design, see 'study check'."
    )
    seconds_around: float = Field(
        default=120, ge=0, le=7200, description="Consent, screen check, instructions and debriefing."
    )


class GoldRule(Block):
    """Share of gold trials answered right."""

    at_least: float = Field(default=0.5, ge=0, le=1, description="Less than this share right, and the rule strikes.")
    withholds: tuple[Withheld, ...] = Field(default=USE, description="What the rule withholds: use, pay or both.")


class AttentionRule(Block):
    """Attention trials answered wrong."""

    at_most: int = Field(default=1, ge=0, description="More than so many wrong, and the rule strikes.")
    withholds: tuple[Withheld, ...] = Field(default=USE, description="What the rule withholds: use, pay or both.")


class SpeedRule(Block):
    """Median reaction time of main trials, beside what a trial asks: a page of five scales takes longer than one."""

    at_least_ms: int = Field(
        default=600, ge=0, description="A median below so many milliseconds, and the rule strikes."
    )
    further_ms: int = Field(
        default=300,
        ge=0,
        description="So many more for each further score of a trial, and each picture of a ranking above two.",
    )
    withholds: tuple[Withheld, ...] = Field(default=USE, description="What the rule withholds: use, pay or both.")


class SamenessRule(Block):
    """Share of main trials with the rater's most frequent answer; waived where gold was rightly answered otherwise."""

    at_most: float = Field(default=0.95, gt=0, le=1, description="A larger share, and the rule strikes.")
    withholds: tuple[Withheld, ...] = Field(default=USE, description="What the rule withholds: use, pay or both.")


class OrderRule(Block):
    """How far a rater's answers depend on the side or the place at which a picture stood."""

    at_most: float = Field(
        default=0.9, gt=0, le=1, description="A larger share of answers for one side, and the rule strikes."
    )
    withholds: tuple[Withheld, ...] = Field(default=USE, description="What the rule withholds: use, pay or both.")


class DuplicateRule(Block):
    """A person who took part before."""

    withholds: tuple[Withheld, ...] = Field(default=USE, description="What the rule withholds: use, pay or both.")


class QualityBlock(Block):
    """When a rater's answers are not used, and when a rater is not paid: apart. A rule that is null is off."""

    gold: GoldRule | None = Field(default=GoldRule(), description="Gold trials.")
    attention: AttentionRule | None = Field(default=AttentionRule(), description="Attention trials.")
    speed: SpeedRule | None = Field(default=SpeedRule(), description="Answers given too fast to have looked.")
    sameness: SamenessRule | None = Field(default=SamenessRule(), description="Always the same answer.")
    order: OrderRule | None = Field(default=OrderRule(), description="Always the same side.")
    duplicates: DuplicateRule | None = Field(default=DuplicateRule(), description="The same person twice.")


class StoppingBlock(Block):
    """When no further raters are let in; without any of these, when all slots are done."""

    usable_raters: int | None = Field(default=None, ge=1, description="So many raters whose answers are used.")
    after_days: float | None = Field(default=None, gt=0, description="So many days after the study was opened.")
    half_width: float | None = Field(
        default=None,
        gt=0,
        description="The widest 95 % interval of a condition reaches no further than this to either side.",
    )
    minimum_raters: int = Field(
        default=30, ge=3, description="Before so many usable raters the intervals are not looked at."
    )

    def reason(self, *, usable: int, days: float, half_width: float | None = None) -> str:
        """Why the study should stop now; empty where it should not.

        Args:
            usable: raters whose answers are used.
            days: since the study was opened.
            half_width: of the widest 95 % interval of a condition, where it is known.
        """
        if self.usable_raters is not None and usable >= self.usable_raters:
            return f"{usable} raters are usable; {self.usable_raters} were wanted"
        if self.after_days is not None and days >= self.after_days:
            return f"it was open for {days:.1f} days; {self.after_days:g} were wanted"
        precise = self.half_width is not None and half_width is not None and half_width <= self.half_width
        if precise and usable >= self.minimum_raters:
            return f"every interval is within ±{half_width:.3g}; ±{self.half_width:g} was wanted"
        return ""


class Specification(Block):
    """A whole study."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")] = Field(
        description="What commands call it: small letters, digits and '-', at most 80."
    )
    title: Text = Field(description="What raters see first.")
    design: Short = Field(description="split-face, single, ranking, pairwise, acr or dsis.")
    conditions: tuple[Name, ...] = Field(
        min_length=1,
        description=f"Methods that compete, and '{PHOTOGRAPH}' where real faces do. RUN/METHOD tells runs apart.",
    )
    raters: int = Field(ge=1, le=100_000, description="How many people answer.")
    seed: int = Field(ge=0, le=2**31 - 1, description="All that is drawn by lot follows from it.")
    stimuli: StimuliBlock = Field(description="The pictures.")
    trials: TrialsBlock = Field(description="Of one rater.")
    options: dict[str, str | bool | int | float] = Field(
        default_factory=dict, description="What the design adds: set_size of ranking; reference of pairwise and acr."
    )
    scales: tuple[ScaleBlock, ...] = Field(default=(), description="Of the designs acr and dsis, in the order shown.")
    consent: ConsentBlock = Field(description="What raters agree to.")
    wording: WordingBlock = Field(default=WordingBlock(), description="What raters read.")
    screen: ScreenBlock = Field(default=ScreenBlock(), description="What their screens must have.")
    payment: PaymentBlock = Field(description="What they are paid.")
    time: TimeBlock = Field(default=TimeBlock(), description="How long it should take them.")
    quality: QualityBlock = Field(default=QualityBlock(), description="Whose answers are used, and who is paid.")
    stopping: StoppingBlock = Field(default=StoppingBlock(), description="When to stop before all have answered.")

    @model_validator(mode="after")
    def _fits_together(self) -> Specification:
        if self.design not in DESIGNS:
            near = difflib.get_close_matches(self.design, DESIGNS.names(), n=1, cutoff=0.0)[0]
            raise wrong("design", f"there is no design '{self.design}': did you mean '{near}'?")
        known = QUESTIONS.get(self.design)
        for name in self.wording.questions if known is not None else ():
            if name not in (known or {}):
                near = difflib.get_close_matches(name, list(known or {}), n=1, cutoff=0.0)[0]
                raise wrong(f"wording.questions.{name}", f"'{self.design}' asks no '{name}': did you mean '{near}'?")
        for name in self.wording.labels:
            if name not in LABELS:
                near = difflib.get_close_matches(name, LABELS, n=1, cutoff=0.0)[0]
                raise wrong(f"wording.labels.{name}", f"there is no answer '{name}' to label: did you mean '{near}'?")
        self._check_page()
        self._check_scales()
        both = sorted({*self.stimuli.subjects} & {*self.stimuli.training_subjects})
        if both:
            raise wrong(
                "stimuli.training_subjects",
                f"'{both[0]}' is among the subjects and kept for training: take the name from one of the two lists",
            )
        block = self.stimuli
        if block.subjects and block.people not in (None, len({*block.subjects})):
            raise wrong(
                "stimuli.people", f"stimuli.subjects names {len({*block.subjects})} people: say the same number"
            )
        if block.quality is not None and block.format != "webp":
            raise wrong("stimuli.quality", f"a quality is for webp: take it out, '{block.format}' has none")
        if self.stopping.usable_raters is not None and self.stopping.usable_raters > self.raters:
            raise wrong("stopping.usable_raters", f"there are only {self.raters} raters: wait for no more than these")
        return self

    def _check_page(self) -> None:
        for name, text in self.wording.page.items():
            at = f"wording.page.{name}"
            if name not in PAGE:
                near = difflib.get_close_matches(name, PAGE, n=1, cutoff=0.0)[0]
                raise wrong(at, f"the page has no text '{name}': did you mean '{near}'?")
            known = placeholders(PAGE[name])
            strange = sorted(placeholders(text) - known)
            if strange:
                mend = f"known are {', '.join(f'{{{one}}}' for one in sorted(known))}" if known else "it takes none"
                raise wrong(at, f"nothing is put in for '{{{strange[0]}}}' in '{name}': {mend}")

    def _check_scales(self) -> None:
        names = [scale.name for scale in self.scales]
        scored = DESIGNS.get(self.design).page == "scales"
        if self.scales and not scored:
            raise wrong("scales", f"'{self.design}' scores nothing: take 'scales' out, or the design acr or dsis")
        if scored and not self.scales:
            raise wrong("design", f"'{self.design}' scores on scales: name at least one under 'scales'")
        for place, scale in enumerate(self.scales):
            at = f"scales.{place}.name"
            if names.count(scale.name) > 1:
                raise wrong(at, f"the scale '{scale.name}' stands there twice: keep one of them")
            if (not scale.question or not scale.labels) and scale.name not in SCALES:
                raise wrong(
                    at,
                    f"the scale '{scale.name}' is not ready-made ({', '.join(SCALES)} are): give question and labels",
                )
            if scale.labels and len(scale.labels) < 2:
                raise wrong(at, f"the scale '{scale.name}' has one step: give it at least two labels")
        if self.scales and is_less_better(self.scales[0].name, self.scales[0].less_is_better):
            raise wrong(
                "scales.0.name",
                f"on the first scale, by which spoilt copies are judged, more must be better, and on "
                f"'{self.scales[0].name}' less is: put another first",
            )

    def worded_scales(self) -> tuple[ScaleBlock, ...]:
        """The scales with their texts, ready-made ones written out."""
        return tuple(
            ScaleBlock(
                name=scale.name,
                question=scale.question or SCALES[scale.name].question,
                labels=scale.labels or SCALES[scale.name].labels,
                less_is_better=is_less_better(scale.name, scale.less_is_better),
            )
            for scale in self.scales
        )

    def question_texts(self) -> dict[str, str]:
        """Text of every question identifier of the design: the defaults, and over them the file's own."""
        texts = {**QUESTIONS.get(self.design, {}), **self.wording.questions}
        for answer, label in self.answer_labels().items():
            texts = {name: text.replace(f"{{{answer}}}", label) for name, text in texts.items()}
        return texts

    def page_texts(self) -> dict[str, str]:
        """All other text of the page by identifier: the defaults, and over them the file's own."""
        return {**PAGE, **self.wording.page}

    def answer_labels(self) -> dict[str, str]:
        """What the answers *real* and *fake* are called."""
        return {**LABELS, **self.wording.labels}

    def settings(self) -> DesignSettings:
        """What the design needs."""
        options: dict[str, Any] = dict(self.options)
        if self.stimuli.training_subjects:
            options["training_subjects"] = self.stimuli.training_subjects
        if self.scales:
            options["scales"] = {scale.name: len(scale.labels) for scale in self.worded_scales()}
        trials = self.trials
        return DesignSettings(
            self.conditions,
            trials.main,
            self.raters,
            trials.gold,
            trials.attention,
            trials.training,
            self.seed,
            options,
        )

    def run_folders(self, folder: Path) -> tuple[Path, ...]:
        """The runs of the study in ``folder``."""
        return tuple(folder / run for run in self.stimuli.runs)

    def stimuli_order(self, folder: Path) -> StimuliOrder:
        """What ``study.stimuli.build_stimuli`` needs to make the pictures of the study in ``folder``.

        Gold items are made wherever the view shows the photograph.

        Raises:
            UsageError: the fields of ``stimuli`` do not go together.
        """
        from study.stimuli.order import StimuliOrder

        block = self.stimuli
        return StimuliOrder(
            runs=self.run_folders(folder),
            conditions=self.conditions,
            protocol=block.protocol,
            subjects=(*block.subjects, *block.training_subjects) if block.subjects else (),
            people=None if block.subjects else block.people,
            training_subjects=block.training_subjects,
            seed=self.seed,
            composition=DESIGNS.get(self.design).composition,
            view=block.view,
            width=block.width,
            height=block.height,
            format=block.format,
            quality=block.quality,
            seam=block.seam,
            match_colour=block.match_colour,
            gold=block.view.rpartition("/")[2] == "fitted",
            allow_restricted=block.allow_restricted,
        )

    def record(self) -> dict[str, Any]:
        """All of it as JSON, with every default written out; what the database keeps."""
        return self.model_dump(mode="json")

    def sha256(self) -> str:
        """Of :meth:`record`: two files that say the same have the same; what ``study.specification_sha256`` holds."""
        text = json.dumps(self.record(), sort_keys=True, ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def read_specification(path: Path) -> Specification:
    """The study file ``path``.

    Raises:
        InputError: it cannot be read, or says something that no study can be; one sentence with the lines.
    """
    return read_model(path, Specification)


def specification_from(record: Mapping[str, Any]) -> Specification:
    """What :meth:`Specification.record` gave, for example as the database keeps it.

    Raises:
        InputError: it was made by another version of mesoface.
    """
    try:
        return Specification.model_validate_json(json.dumps(record))
    except (ValidationError, TypeError, ValueError) as error:
        raise InputError(
            "a stored study cannot be read by this version of mesoface: use the version that it was made with."
        ) from error
