"""What verdicts say, real or fake: fooling rates by rater, false alarms, d′ and criterion, and contrasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metrics.comparison import Estimate
from metrics.statistics import SIGNIFICANT
from study.analysis.contrasts import ConditionContrast
from study.analysis.fooling import Fooling, FoolingRate, fooling_rates, verdicts_from_frame
from study.analysis.signal_detection import LEAST_OWN_TRIALS, Detection, detections
from study.contract import PHOTOGRAPH
from study.report.figures import differences_plot, estimates_plot, rater_boxes
from study.report.tables import Cell, Column, Figure, Section, Table, no_order, ranks_in_words

CHANCE = "no more than chance"
FEW_PICTURES = 4


def verdict_sections(frame: pd.DataFrame, hues: Mapping[str, int]) -> tuple[Section, ...]:
    """Sections of the frame *verdicts*.

    Raises:
        InputError: there are verdicts of photographs alone.
    """
    verdicts = verdicts_from_frame(frame)
    found = fooling_rates(verdicts)
    words = (
        "Of the pictures of a condition that a rater saw, the share that they called real; each rater counts alike. "
        "A rate means something beside that of photographs alone: who calls everything real is fooled by everything.",
    )
    figures = (_means(found, hues), _boxes(found, hues, verdicts.shown))
    sections = [Section("fooling", "Who was taken for real", words, (_rates(found),), figures)]
    if PHOTOGRAPH in verdicts.names:
        sections.append(_detection(detections(verdicts), hues))
    if found.contrasts:
        sections.append(
            contrast_section(found.contrasts, hues, "share called real", "Shares called real, rater by rater.")
        )
    return tuple(sections)


def _rates(found: Fooling) -> Table:
    rates = _in_order(found)
    competing = np.array([one.rank for one in rates if one.condition != PHOTOGRAPH])
    ranks = [*ranks_in_words(competing), *("" for one in rates if one.condition == PHOTOGRAPH)]
    columns = (
        Column("condition", "words"), Column("rank", "words"), Column("called real", "share"),
        Column("median", "share"), Column("pooled (Wilson)", "share"), Column("below photographs", "share"),
        Column("p", "p"), Column("raters"), Column("verdicts"),
    )  # fmt: skip
    rows = tuple(
        (
            one.condition, rank, Estimate(one.mean, one.low, one.high, one.raters), one.box.median,
            Estimate(one.pooled, one.wilson_low, one.wilson_high, one.verdicts),
            _shortfall(one), one.shortfall_p, one.raters, one.verdicts,
        )
        for one, rank in zip(rates, ranks, strict=True)
    )  # fmt: skip
    notes = (
        "called real: mean over raters, 95 % BCa interval over raters (Wilson's where all have one rate). Pooled: all "
        "verdicts as if independent.",
        "p: sign-flip permutation test that a condition is called real as often as photographs, after Holm.",
        *no_order(competing),
    )
    return Table("fooling_rates", "Fooling rates", columns, rows, notes)


def _in_order(found: Fooling) -> list[FoolingRate]:
    """Those who fool most first, photographs last."""
    return sorted(found.rates, key=lambda one: (one.condition == PHOTOGRAPH, -one.mean))


def _shortfall(one: FoolingRate) -> Estimate:
    """Photographs do not fall short of themselves."""
    if one.condition == PHOTOGRAPH:
        return Estimate(float("nan"), float("nan"), float("nan"), one.raters)
    return Estimate(one.shortfall, one.shortfall_low, one.shortfall_high, one.raters)


def _means(found: Fooling, hues: Mapping[str, int]) -> Figure:
    rows = [
        (one.condition, Estimate(one.mean, one.low, one.high, one.raters), hues[one.condition])
        for one in _in_order(found)
    ]
    words = "Mean over raters with its 95 % interval."
    return estimates_plot("Fooling rates", "share called real", rows, zero=None, words=words)


def _boxes(found: Fooling, hues: Mapping[str, int], shown: NDArray[np.float64]) -> Figure:
    values = {one.condition: (one.by_rater, one.box) for one in _in_order(found)}
    figure = rater_boxes("Fooling rates by rater", "share called real", values, found.raters, hues)
    typical = float(np.median(shown[shown > 0]))
    few = f" Pictures of a condition that a rater saw: {typical:g} (median), so few rates are possible."
    return replace(figure, words=figure.words + few * (typical <= FEW_PICTURES))


def _detection(found: Sequence[Detection], hues: Mapping[str, int]) -> Section:
    found = sorted(found, key=lambda one: one.d_prime)
    columns: tuple[Column, ...] = (
        Column("condition", "words"), Column("called fake", "share"), Column("photographs called fake", "share"),
        Column("d′"), Column("criterion c"), Column("raters"), Column("mean of raters' own d′"), Column("of raters"),
    )  # fmt: skip
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            one.condition, one.hit_rate, one.false_alarm_rate,
            Estimate(one.d_prime, one.d_prime_low, one.d_prime_high, one.raters),
            Estimate(one.criterion, one.criterion_low, one.criterion_high, one.raters),
            one.raters, Estimate(one.mean_d_prime, one.mean_low, one.mean_high, one.own_raters), one.own_raters,
        )
        for one in found
    )  # fmt: skip
    enough = f"at least {LEAST_OWN_TRIALS} pictures of the condition and as many photographs"
    own = f"Raters' own d′ are averaged over those who saw {enough}; of fewer they say little."
    if not any(one.own_raters for one in found):
        columns, rows = columns[:-2], tuple(row[:-2] for row in rows)
        own = f"No rater saw {enough}, so raters' own d′, which would say little, are not averaged."
    notes = (
        "Hits are renderings called fake, false alarms photographs called fake; log-linear correction (Hautus 1995).",
        "d′ of all answers together, 95 % interval by bootstrap over raters; c above 0: raters tend to say real.",
        own,
    )
    plot = estimates_plot(
        "Sensitivity d′", "d′, lower is more real",
        [(one.condition, Estimate(one.d_prime, one.d_prime_low, one.d_prime_high, one.raters), hues[one.condition])
         for one in found],
        zero=0.0, words="0: renderings cannot be told from photographs. 95 % intervals over raters.",
    )  # fmt: skip
    words = ("d′ says how well renderings were told from photographs, whatever a rater tends to answer.",)
    table = Table("detection", "Signal detection", columns, rows, notes)
    return Section("detection", "Could they be told from photographs", words, (table,), (plot,))


def contrast_section(
    contrasts: Sequence[ConditionContrast], hues: Mapping[str, int], axis: str, words: str, key: str = "contrasts"
) -> Section:
    """All pairs of conditions, with Holm's correction."""
    columns = (
        Column("pair", "words"), Column("verdict", "words"), Column("difference"), Column("p", "p"), Column("d_z"),
        Column("raters"),
    )  # fmt: skip
    estimates = [Estimate(one.difference, one.low, one.high, one.raters) for one in contrasts]
    rows = tuple(
        (
            f"{one.first} − {one.second}",
            f"{one.higher} is higher" if one.higher else CHANCE,
            estimate,
            one.p_holm,
            one.effect,
            one.raters,
        )
        for one, estimate in zip(contrasts, estimates, strict=True)
    )
    note = (
        f"Mean difference over the raters who judged both, 95 % BCa interval; p of the sign-flip permutation test "
        f"after Holm's correction over all pairs, {100 * SIGNIFICANT:g} %; d_z is Cohen's."
    )
    drawn = [(one.first, one.second, each, one.p_holm) for one, each in zip(contrasts, estimates, strict=True)]
    figure = differences_plot(f"Differences in {axis}", f"difference in {axis}", drawn, hues)
    table = Table(key, "Differences between conditions", columns, rows, (note,))
    return Section(key, f"Conditions against each other: {axis}", (words,), (table,), (figure,))
