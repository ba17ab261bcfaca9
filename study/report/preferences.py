"""What choices and rankings say: the preference matrix, abilities on one scale with intervals, ranks with ties."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from metrics.comparison import Estimate
from metrics.statistics import SIGNIFICANT
from recon.errors import InputError
from study.analysis.bradley_terry import bradley_terry
from study.analysis.choices import Choices, Preferences, choices_from_frame, preferences
from study.analysis.plackett_luce import Rankings, plackett_luce, rankings_from_frame
from study.analysis.proportions import wilson_interval
from study.analysis.scale import Scale
from study.analysis.thurstone import thurstone
from study.report.figures import differences_plot, estimates_plot
from study.report.tables import Cell, Column, Section, Table, counted, no_order, ranks_in_words
from study.report.verdicts import CHANCE

INTERVALS = (
    "95 % intervals: the wider end of the bootstrap over raters and of Wilson's, which alone says something where all "
    "raters agree or are fewer than three."
)
UNITS = {"logit": "logits", "z": "standard deviations"}


def ranking_sections(frame: pd.DataFrame, hues: Mapping[str, int]) -> tuple[Section, ...]:
    """Sections of the frame *rankings*."""
    rankings = rankings_from_frame(frame)
    shares = preferences(rankings.as_choices())
    note = "Every two pictures of a ranking count as a choice; choices of one ranking are not independent."
    return (
        _scale_section("scale", lambda: plackett_luce(rankings), hues, _places(rankings)),
        matrix_section(shares, (note,)),
    )


def choice_sections(frame: pd.DataFrame, hues: Mapping[str, int]) -> tuple[Section, ...]:
    """Sections of the frame *choices*."""
    choices = choices_from_frame(frame)
    return (
        _scale_section("scale", lambda: bradley_terry(choices), hues, _won(choices)),
        _scale_section("thurstone", lambda: thurstone(choices), hues, _won(choices)),
        matrix_section(preferences(choices), (_sides(frame),)),
    )


def _places(rankings: Rankings) -> tuple[str, dict[str, float]]:
    """Mean place of each condition among those that were ranked."""
    place = np.where(np.isfinite(rankings.place), rankings.place, np.nan)
    means = np.nanmean(place, axis=0)
    return "mean place", dict(zip(rankings.names, means.tolist(), strict=True))


def _won(choices: Choices) -> tuple[str, dict[str, float]]:
    total = choices.total
    share = total.sum(axis=1) / (total.sum(axis=1) + total.sum(axis=0))
    return "share won", dict(zip(choices.names, share.tolist(), strict=True))


def _sides(frame: pd.DataFrame) -> str:
    left, count = int((frame["side"] == 0).sum()), len(frame)
    low, high = (float(end) for end in wilson_interval(left, count))
    return f"The left picture was chosen in {left / count:.1%} of {count} choices, Wilson [{low:.1%}, {high:.1%}]."


def _scale_section(
    key: str, fit: Callable[[], Scale], hues: Mapping[str, int], plain: tuple[str, dict[str, float]]
) -> Section:
    try:
        scale = fit()
    except InputError as error:
        return Section(key, "On one scale", (f"There is no common scale: {error}",))
    unit = UNITS[scale.unit]
    rows = [(name, Estimate(float(a), float(low), float(high), scale.raters)) for name, a, low, high in
            zip(scale.names, scale.ability, scale.low, scale.high, strict=True)]  # fmt: skip
    order = np.argsort(-scale.ability, kind="stable")
    drawn = [(rows[i][0], rows[i][1], hues[rows[i][0]]) for i in order]
    figure = estimates_plot(
        f"{scale.model} abilities", f"ability in {unit}, higher is better", drawn, zero=0.0,
        words="95 % intervals by bootstrap over raters, around the mean of all conditions (0).",
    )  # fmt: skip
    pairs = [
        (one.first, one.second, Estimate(one.estimate, one.low, one.high, scale.raters), one.p_holm)
        for one in scale.differences()
    ]
    differences = differences_plot(f"{scale.model}: differences", f"difference in {unit}", pairs, hues)
    words = (f"{scale.model} over {counted(scale.answers, 'answer')} of {counted(scale.raters, 'rater')}, in {unit}.",)
    tables = (_abilities(key, scale, order.tolist(), plain), _differences(key, scale))
    return Section(key, f"On one scale: {scale.model}", words, tables, (figure, differences))


def _abilities(key: str, scale: Scale, order: list[int], plain: tuple[str, dict[str, float]]) -> Table:
    ranks = scale.ranks()
    words = ranks_in_words(ranks)
    columns = (Column("condition", "words"), Column("rank", "words"), Column("ability"), Column("error"),
               Column(plain[0]))  # fmt: skip
    rows = tuple(
        (
            scale.names[i], words[i],
            Estimate(float(scale.ability[i]), float(scale.low[i]), float(scale.high[i]), scale.raters),
            float(scale.error[i]), plain[1][scale.names[i]],
        )
        for i in order
    )  # fmt: skip
    notes = (
        "Only differences mean anything: the mean is 0. Intervals by bootstrap over raters; error from the inverse "
        "Hessian, which takes all answers for independent.",
        *(note[:1].upper() + note[1:] for note in scale.notes),
        *no_order(ranks),
    )
    return Table(f"{key}_abilities", f"{scale.model} abilities", columns, rows, notes)


def _differences(key: str, scale: Scale) -> Table:
    columns = (Column("pair", "words"), Column("verdict", "words"), Column("difference"), Column("p", "p"),
               Column("preferred, by the model", "share"))  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for one in scale.differences():
        higher = one.first if one.estimate > 0 else one.second
        rows.append(
            (
                f"{one.first} − {one.second}",
                f"{higher} is preferred" if one.p_holm <= SIGNIFICANT else CHANCE,
                Estimate(one.estimate, one.low, one.high, scale.raters),
                one.p_holm,
                one.probability,
            )
        )
    note = "p: difference over its error, Student's t over raters, after Holm's correction over all pairs."
    return Table(f"{key}_differences", f"{scale.model}: differences", columns, tuple(rows), (note,))


def preferred_share(found: Preferences, first: int, second: int) -> Estimate:
    """How often one condition was preferred to another, by their places in ``found.names``; see :data:`INTERVALS`."""
    low = np.fmin(found.low[first, second], found.wilson_low[first, second])
    high = np.fmax(found.high[first, second], found.wilson_high[first, second])
    return Estimate(float(found.share[first, second]), float(low), float(high), int(found.count[first, second]))


def matrix_section(found: Preferences, notes: tuple[str, ...]) -> Section:
    """The preference matrix."""
    size = len(found.names)
    rows = tuple(
        (
            name,
            *(
                ""
                if i == j
                else preferred_share(found, i, j)
                for j in range(size)
            ),
        )
        for i, name in enumerate(found.names)
    )  # fmt: skip
    columns = (Column("preferred ↓ to →", "words"), *(Column(name, "share") for name in found.names))
    counts = [int(found.count[i, j]) for i in range(size) for j in range(i + 1, size)]
    asked = f"{min(counts)}" + f" to {max(counts)}" * (max(counts) > min(counts))
    table = Table(
        "preferences", "Preference matrix: how often the row was preferred to the column", columns, rows,
        (INTERVALS, f"Choices of a pair: {asked}.", *notes),
        shaded=True,
    )  # fmt: skip
    return Section("preferences", "Who was preferred to whom", (), (table,))
