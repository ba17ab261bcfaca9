"""What opinion scores say, scale by scale: mean opinion scores, the subject model of ITU-T P.910, contrasts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from metrics.comparison import Estimate
from metrics.report.layout import shown
from metrics.statistics import Z_95
from recon.errors import InputError
from study.analysis.fooling import box_plot
from study.analysis.opinion_scores import (
    ConditionOpinion,
    condition_opinions,
    mean_opinion,
    scores_from_frame,
)
from study.analysis.subject_bias import SubjectModel, subject_model
from study.report.figures import rater_boxes
from study.report.tables import Cell, Column, Section, Table, no_order, ranks_in_words
from study.report.verdicts import contrast_section


def opinion_sections(frame: pd.DataFrame, hues: Mapping[str, int]) -> tuple[Section, ...]:
    """Sections of the frame *scores*, for each scale in the order in which they come.

    The column ``less_is_better`` says of each scale whether low scores are the good ones.
    """
    sections: list[Section] = []
    for scale in frame["scale"].unique():
        mine = frame[frame["scale"] == scale]
        less = bool(mine["less_is_better"].iloc[0])
        found = condition_opinions(mine, less_is_better=less)
        sections.append(_opinions(str(scale), mine, found, hues, less))
        if found.contrasts:
            words = "Means of a rater's own scores, so that strict and lenient raters cancel."
            sections.append(contrast_section(found.contrasts, hues, str(scale), words, f"contrasts_{scale}"))
    return tuple(sections)


def _opinions(scale: str, frame: pd.DataFrame, found: ConditionOpinion, hues: Mapping[str, int], less: bool) -> Section:
    by_condition = scores_from_frame(frame, by="condition")
    values = {
        name: (by_condition.score[i], box_plot(by_condition.score[i])) for i, name in enumerate(by_condition.names)
    }
    boxes = rater_boxes(f"Scores of {scale} by rater", f"mean score: {scale}", values, by_condition.raters, hues)
    tables = [_mos(scale, found, less), _pictures(scale, frame, less)]
    try:
        tables.append(_model(scale, frame, subject_model(scores_from_frame(frame)), less))
        words: tuple[str, ...] = ()
    except InputError as error:
        words = (f"The subject model of ITU-T P.910 was not fitted: {error}",)
    return Section(f"scores_{scale}", f"Opinion scores: {scale}", words, tuple(tables), (boxes,))


def _mos(scale: str, found: ConditionOpinion, less: bool) -> Table:
    ranks = ranks_in_words(found.ranks)
    shares = tuple(Column(f"score {value:g}", "share") for value in found.values)
    columns = (Column("condition", "words"), Column("rank", "words"), Column("mean opinion score"), *shares,
               Column("raters"))  # fmt: skip
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            found.names[i], ranks[i],
            Estimate(float(found.mean[i]), float(found.low[i]), float(found.high[i]), int(found.raters[i])),
            *map(float, found.shares[i]), int(found.raters[i]),
        )
        for i in np.argsort(found.mean if less else -found.mean, kind="stable").tolist()
    )  # fmt: skip
    notes = (
        "Mean over raters of their own means, 95 % BCa interval over raters; then the shares of the scores.",
        f"Rank 1 is the {'lowest' if less else 'highest'} score: {'less' if less else 'more'} is better on this scale.",
        *no_order(found.ranks),
    )
    return Table(f"mos_{scale}", f"Mean opinion scores: {scale}", columns, rows, notes)


def _pictures(scale: str, frame: pd.DataFrame, less: bool) -> Table:
    """The mean opinion score of every picture, the one that P.910 speaks of."""
    found = mean_opinion(scores_from_frame(frame))
    about = frame.drop_duplicates("stimulus").set_index("stimulus")[["subject", "condition"]]
    columns = (Column("picture", "words"), Column("condition", "words"), Column("mean opinion score"),
               Column("standard deviation"), Column("raters"))  # fmt: skip
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            str(about.loc[found.names[i], "subject"]), str(about.loc[found.names[i], "condition"]),
            Estimate(float(found.mean[i]), float(found.low[i]), float(found.high[i]), int(found.raters[i])),
            float(found.deviation[i]), int(found.raters[i]),
        )
        for i in np.argsort(found.mean if less else -found.mean, kind="stable").tolist()
    )  # fmt: skip
    note = "Mean over raters with Student's 95 % interval, which takes the scale's steps for equal."
    return Table(f"mos_pictures_{scale}", f"Mean opinion score of each picture: {scale}", columns, rows, (note,),
                 folded=True)  # fmt: skip


def _model(scale: str, frame: pd.DataFrame, model: SubjectModel, less: bool) -> Table:
    """The quality of a condition's stimuli on average, of the faces that were shown."""
    condition = dict(zip(frame["stimulus"], frame["condition"], strict=True))
    belongs = np.array([condition[name] for name in model.names])
    rows = []
    sign = 1.0 if less else -1.0
    for name in sorted(set(belongs.tolist()), key=lambda each: sign * float(model.quality[belongs == each].mean())):
        mine = belongs == name
        quality, count = float(model.quality[mine].mean()), int(mine.sum())
        half = Z_95 * float(np.sqrt(np.square(model.error[mine]).sum())) / count
        rows.append((name, Estimate(quality, quality - half, quality + half, count), float(model.mos[mine].mean()),
                     count))  # fmt: skip
    columns = (Column("condition", "words"), Column("quality ψ"), Column("plain mean"), Column("stimuli"))
    bounded = (
        (f"The inconsistency of {len(model.bounded)} raters is at its bound or had too few scores.",)
        if model.bounded
        else ()
    )
    notes = (
        "Mean of the quality of a condition's stimuli, for these stimuli: raters' biases taken away, consistent raters "
        "weighing more (restricted maximum likelihood).",
        f"Raters' biases: standard deviation {shown(float(np.std(model.bias, ddof=1)), 2)}, from "
        f"{shown(float(model.bias.min()), 2)} to {shown(float(model.bias.max()), 2)}; inconsistency: median "
        f"{shown(float(np.median(model.inconsistency)), 2)}.",
        *bounded,
    )
    return Table(f"p910_{scale}", f"Subject model of ITU-T P.910: {scale}", columns, tuple(rows), notes)
