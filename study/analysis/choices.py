"""Pairwise choices: who was preferred to whom, by rater; whether they can be put on one scale at all.

Conditions are nodes, a choice is an arrow from the loser to the winner. Abilities exist only up to a constant for every
connected part of that graph, so a graph in several parts has no common scale. Their maximum-likelihood estimates are
finite if and only if the graph is strongly connected (Ford 1957): if one group of conditions won every choice against
the rest, the likelihood grows for ever as it moves away. Such choices are called *separated*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError
from study.analysis.frames import Names, check_columns, coded
from study.analysis.proportions import wilson_interval
from study.analysis.resampling import percentile_interval, resampling_weights

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]


class DisconnectedError(InputError):
    """Conditions that were never compared, not even through others.

    Attributes:
        components: the groups within which conditions can be compared.
    """

    def __init__(self, components: tuple[Names, ...]) -> None:
        self.components = components
        groups = " | ".join(", ".join(group) for group in components)
        super().__init__(
            f"the conditions fall into {len(components)} groups that nobody compared with each other ({groups}): "
            "collect choices between the groups, or analyse each by itself."
        )


@dataclass(frozen=True, eq=False)
class Choices:
    """Who was preferred to whom.

    Attributes:
        names: of the M conditions.
        raters: of the R raters.
        wins: ``(R, M, M)`` float64, ``[r, i, j]``: how often rater r preferred i to j; the diagonal is 0.
    """

    names: Names
    raters: Names
    wins: Float

    @property
    def total(self) -> Float:
        """``(M, M)``: over all raters."""
        found: Float = self.wins.sum(axis=0)
        return found


def choices_from_frame(frame: pd.DataFrame) -> Choices:
    """Counts the frame *choices* (columns rater, winner, loser).

    Raises:
        InputError: a column is missing, there is no row, or a condition was compared with itself.
    """
    check_columns(frame, ("rater", "winner", "loser"), "choices")
    raters, rater = coded(frame["rater"])
    import pandas as pd

    names, both = coded(pd.concat([frame["winner"], frame["loser"]], ignore_index=True))
    winner, loser = np.split(both, 2)
    itself = np.flatnonzero(winner == loser)
    if len(itself):
        raise InputError(f"the condition '{names[winner[itself[0]]]}' was compared with itself: drop such choices.")
    size = len(names)
    cells = (rater * size + winner) * size + loser
    counts = np.bincount(cells, minlength=len(raters) * size * size).astype(np.float64)
    return Choices(names, raters, counts.reshape(len(raters), size, size))


def choices_from_wins(names: Names, wins: NDArray[np.number]) -> Choices:
    """Counts that are there already, without raters: ``wins`` ``(M, M)``, ``[i, j]`` how often i was preferred to j.

    Raises:
        InputError: the table is not square, or a count is negative, not finite, or on the diagonal.
    """
    table = np.asarray(wins, np.float64)
    if table.shape != (len(names), len(names)):
        raise InputError(f"{len(names)} conditions need a table of {len(names)} × {len(names)}, not {table.shape}.")
    if not np.isfinite(table).all() or (table < 0).any() or np.diagonal(table).any():
        raise InputError("counts of wins must be finite, not negative, and 0 on the diagonal.")
    return Choices(tuple(names), ("all",), table[None])


def check_connected(names: Names, wins: Float) -> None:
    """That all conditions of ``wins`` ``(M, M)`` can be put on one scale.

    Raises:
        DisconnectedError: they fall into groups without a comparison between them.
        InputError: there is only one condition.
    """
    from scipy.sparse.csgraph import connected_components

    if len(names) < 2:
        raise InputError(f"a scale needs at least two conditions: there is only {', '.join(names) or 'none'}.")
    count, label = connected_components((wins + wins.T) > 0, directed=False)
    if count > 1:
        raise DisconnectedError(_groups(names, label, range(count)))


def separated_groups(names: Names, wins: Float) -> tuple[Names, ...]:
    """The groups of which the first won every choice against the later ones, best first; empty if there is only one.

    Where two groups were never compared directly and neither is above the other, the one with more wins comes first.
    """
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(wins > 0, directed=True, connection="strong")
    if count == 1:
        return ()
    reached = reachable(wins[None])[0]
    member = label[None] == np.arange(count)[:, None]
    below = np.array([reached[row].any(axis=0).sum() for row in member])
    won = np.array([wins[row].sum() for row in member])
    return _groups(names, label, sorted(range(count), key=lambda group: (-below[group], -won[group], group)))


def _groups(names: Names, label: NDArray[np.integer], order: range | list[int]) -> tuple[Names, ...]:
    return tuple(
        tuple(name for name, mine in zip(names, label.tolist(), strict=True) if mine == group) for group in order
    )


def reachable(wins: Float) -> NDArray[np.bool_]:
    """``(B, M, M)``: whether i is above j over any chain of wins, of each table of ``wins`` ``(B, M, M)``."""
    steps = np.logical_or(wins > 0, np.eye(wins.shape[-1], dtype=bool)).astype(np.float32)
    for _ in range(int(np.ceil(np.log2(max(2, wins.shape[-1]))))):
        steps = np.minimum(steps @ steps, 1.0)
    return np.asarray(steps > 0, dtype=np.bool_)


def are_separated(wins: Float) -> NDArray[np.bool_]:
    """``(B,)``: which tables of ``wins`` ``(B, M, M)`` have no finite maximum-likelihood estimate."""
    return np.asarray(~reachable(wins).all(axis=(1, 2)), dtype=np.bool_)


def half_wins(wins: Float) -> Float:
    """Half a win either way for every pair that was compared ``(M, M)``: what keeps separated choices finite.

    For one pair this is the estimate under Jeffreys' prior (Firth 1993), and the log-linear correction of signal
    detection (Hautus 1995).
    """
    return 0.5 * ((wins + wins.T) > 0).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Preferences:
    """The preference matrix: how often the row's condition was preferred to the column's.

    Attributes:
        names: of the M conditions.
        share: ``(M, M)``; NaN where a pair was never compared, and on the diagonal.
        count: ``(M, M)`` choices between the two.
        low, high: ``(M, M)`` 95 % interval by bootstrap over raters; NaN below 3 raters of the pair.
        wilson_low, wilson_high: ``(M, M)`` Wilson's interval, which takes all choices for independent.
    """

    names: Names
    share: Float
    count: Float
    low: Float
    high: Float
    wilson_low: Float
    wilson_high: Float


def preferences(choices: Choices) -> Preferences:
    """The preference matrix with its intervals."""
    size = len(choices.names)
    wins, count = choices.total, choices.total + choices.total.T
    with np.errstate(invalid="ignore"):
        share = wins / count
    low, high = np.full((size, size), np.nan), np.full((size, size), np.nan)
    for first in range(size):
        for second in range(first + 1, size):
            mine = choices.wins[:, [first, second], [second, first]]
            mine = mine[mine.any(axis=1)]
            if not len(mine):
                continue
            drawn = resampling_weights(len(mine)) @ mine
            ends = percentile_interval((drawn[:, 0] / drawn.sum(axis=1))[:, None], len(mine))
            low[first, second], high[first, second] = ends[0][0], ends[1][0]
            low[second, first], high[second, first] = 1 - ends[1][0], 1 - ends[0][0]
    wilson = wilson_interval(wins, count)
    return Preferences(choices.names, share, count, low, high, *wilson)
