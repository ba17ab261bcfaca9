"""Counterbalancing: which rater sees which cell of a table *subjects × conditions*, in which order, on which side.

Every choice follows from the study's seed, the slot's number and the names of the choice, through SHA-256: the same
study is laid out in the same way by every version of every library, for ever.

- :func:`cells` walks the table in a fixed cyclic order and gives each slot the next ``count`` cells. Whichever slot
  the study stops at, each cell was given out equally often, give or take one.
- :func:`williams` is the Latin square balanced for first-order carry-over (Williams 1949, *Experimental designs
  balanced for the estimation of residual effects of treatments*): every condition stands in every position equally
  often, and follows every other equally often.
- :func:`opposite_halves` splits trials into two complementary halves.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def _digest(key: tuple[object, ...]) -> bytes:
    return hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()


def drawn(count: int, *key: object) -> int:
    """A number below ``count``, as if by lot; equal keys, equal numbers."""
    return int.from_bytes(_digest(key)[:8], "big") % count


def shuffled(items: Sequence[Item], *key: object) -> list[Item]:
    """``items`` in an order as if by lot; equal keys and numbers of items, equal orders."""
    return [items[place] for place in sorted(range(len(items)), key=lambda place: _digest((*key, place)))]


def williams(count: int) -> tuple[tuple[int, ...], ...]:
    """Rows of a Williams square of ``0 … count − 1``: ``count`` of them where that is even, else twice as many."""
    # 0, 1, n−1, 2, n−2 …: neighbours differ by every amount once, so the cyclic shifts hold every ordered pair once.
    first = [0] + [(step + 1) // 2 if step % 2 else count - step // 2 for step in range(1, count)]
    rows = [tuple((value + shift) % count for value in first) for shift in range(count)]
    if count % 2 and count > 1:
        rows += [tuple(reversed(row)) for row in rows]
    return tuple(rows)


def cells(rows: int, columns: int, count: int, slot: int, *key: object, shuffle: bool = True) -> list[tuple[int, int]]:
    """The ``count`` cells ``(row, column)`` of a table that one slot sees.

    The table is walked along its diagonals, ``t ↦ (t mod rows, t + ⌊t / lcm⌋ mod columns)``, which passes every cell
    once before it begins anew. So of one slot all cells differ while ``count ≤ rows · columns``, all rows differ while
    ``count ≤ rows``, and columns come equally often, give or take two.

    Args:
        shuffle: name the columns anew by lot each time that the walk ends with a slot; rows always are.
    """
    size = rows * columns
    period = size // math.gcd(count, size)
    block, place = divmod(slot, period)
    row_names = shuffled(range(rows), *key, "rows", block)
    column_names = shuffled(range(columns), *key, "columns", block) if shuffle else list(range(columns))
    turn = math.lcm(rows, columns)
    walk = [step % size for step in range(place * count, (place + 1) * count)]
    return [(row_names[step % rows], column_names[(step + step // turn) % columns]) for step in walk]


def block_order(subjects: Sequence[int], columns: Sequence[int], count: int, slot: int, *key: object) -> list[int]:
    """Indices of one slot's trials in the order in which they are shown.

    Trials come in blocks that hold every condition at most once, each block in the order of a row of a Williams square;
    over the slots all rows are used equally often. A subject that is seen twice comes a second time late.

    Args:
        subjects, columns: of each trial.
        count: how many conditions there are.
    """
    seen: defaultdict[int, int] = defaultdict(int)
    turns = []
    for subject in subjects:
        turns.append(seen[subject])
        seen[subject] += 1
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    for index in sorted(shuffled(range(len(columns)), *key, "order", slot), key=lambda index: turns[index]):
        waiting[columns[index]].append(index)
    square = williams(count)
    round_, place = divmod(slot, len(square))
    rows = shuffled(square, *key, "rows", round_)
    order: list[int] = []
    for block in range(max((len(left) for left in waiting.values()), default=0)):
        row = rows[(place + block) % len(rows)]
        order += [waiting[column][block] for column in row if block < len(waiting[column])]
    return order


def opposite_halves(subjects: Sequence[Hashable], columns: Sequence[Hashable], *key: object) -> list[bool]:
    """Marks half of the trials, give or take one, so that this half and the other are alike.

    Of two trials of one subject exactly one is marked; of the trials of one condition half are, give or take one. Both
    are matchings, and the union of two matchings has no odd cycle (König): such marks always exist.

    Raises:
        ValueError: a subject has more than two trials.
    """
    edges: defaultdict[int, list[int]] = defaultdict(list)

    def join(one: int, other: int) -> None:
        edges[one].append(other)
        edges[other].append(one)

    of_subject: defaultdict[Hashable, list[int]] = defaultdict(list)
    of_column: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index in shuffled(range(len(subjects)), *key, "pairs"):
        of_subject[subjects[index]].append(index)
        of_column[columns[index]].append(index)
    for group in of_subject.values():
        if len(group) > 2:
            raise ValueError("a subject has more than two trials")
        if len(group) == 2:
            join(*group)
    left = []
    for group in of_column.values():
        for one, other in zip(group[::2], group[1::2], strict=False):
            join(one, other)
        left += group[len(group) - len(group) % 2 :]
    for one, other in zip(left[::2], left[1::2], strict=False):
        join(one, other)

    marks: dict[int, bool] = {}
    for start in range(len(subjects)):
        if start in marks:
            continue
        marks[start] = bool(drawn(2, *key, "half", start))
        queue = [start]
        while queue:
            one = queue.pop()
            for other in edges[one]:
                if other not in marks:
                    marks[other] = not marks[one]
                    queue.append(other)
    return [marks[index] for index in range(len(subjects))]


def gaps(count: int, length: int, *key: object) -> list[int]:
    """Where ``count`` further trials stand among ``length`` main ones: after how many of these, at least one.

    Each stands by lot in a stretch of its own, so that they are spread over the session and cannot be foreseen.
    """
    found = []
    for number in range(count):
        start, stop = number * length // count, (number + 1) * length // count
        found.append(1 + start + drawn(max(1, stop - start), *key, "gap", number))
    return found
