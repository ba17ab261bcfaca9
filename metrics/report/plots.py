"""Figures of a report, as SVG that takes its colours from the page: box plots, differences with intervals, lines.

They are written by hand and not by a plotting library, because they live inside a page: text stays text, colours are
the page's CSS variables (``--ink``, ``--m0`` … of ``metrics.report.palette``) and so follow light and dark themes, a
point says on hovering whose it is, and a page with a hundred figures stays small and is made at once.

Every figure is 440 units wide, so that its text can be read on a phone, and carries a text that says what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from metrics.comparison import Estimate
from metrics.report.palette import DASHES, MARKS

WIDTH = 440
ROW = 21
HEAD = 20
AXIS = 38
LETTER = 6.6
"""Mean width of a letter of 11 units' height in a wide typeface."""
WIDEST_NAME = 150.0
"""Longer names stand above what they name, and not beside it."""


@dataclass(frozen=True)
class Box:
    """One method of a box plot.

    Attributes:
        method: name that stands beside the box.
        hue: index of its colour.
        values: by subject, finite.
        median, q25, q75: over subjects.
    """

    method: str
    hue: int
    values: Mapping[str, float]
    median: float
    q25: float
    q75: float

    def whiskers(self) -> tuple[float, float]:
        """The most extreme values within 1.5 interquartile ranges of the box (Tukey 1977)."""
        reach = 1.5 * (self.q75 - self.q25)
        within = [value for value in self.values.values() if self.q25 - reach <= value <= self.q75 + reach]
        return min([*within, self.q25]), max([*within, self.q75])


@dataclass(frozen=True)
class Bar:
    """One row of a figure of intervals.

    Attributes:
        label: what stands to its left.
        estimate: the number and its interval.
        text: the same in words, to its right.
        hover: more of it.
        hue: index of its colour; None for a number that says nothing beyond chance, which is drawn hollow.
    """

    label: str
    estimate: Estimate
    text: str
    hover: str
    hue: int | None


@dataclass(frozen=True, eq=False)
class Line:
    """One line: ``x`` and ``y`` ``(N,)`` float, ``hue`` an index, None for the reference.

    ``low`` and ``high`` ``(N,)`` are the ends of intervals, NaN where there is none; a line with them has points.
    """

    label: str
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    hue: int | None
    low: NDArray[np.floating] | None = None
    high: NDArray[np.floating] | None = None

    def among(self, good: NDArray[np.bool_]) -> Line:
        """The same where ``good`` ``(N,)`` is True."""
        low, high = (None if ends is None else ends[good] for ends in (self.low, self.high))
        return Line(self.label, self.x[good], self.y[good], self.hue, low, high)

    def heights(self) -> NDArray[np.floating]:
        """All finite heights of the line and its intervals."""
        ends = [self.y, *(part for part in (self.low, self.high) if part is not None)]
        every = np.concatenate(ends)
        return every[np.isfinite(every)]


@dataclass(frozen=True)
class Scale:
    """Where numbers lie on an axis: ``low`` at ``start``, ``high`` at ``end``, in units of the figure."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    @staticmethod
    def around(values: Sequence[float], start: float, end: float, logarithmic: bool = False) -> Scale:
        """A scale that holds ``values`` (finite, of a logarithmic one above 0) with a little room on both sides."""
        low, high = min(values), max(values)
        if logarithmic:
            room = max(0.04 * math.log(high / low), 0.05)
            return Scale(low * math.exp(-room), high * math.exp(room), start, end, True)
        room = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
        return Scale(low - room, high + room, start, end)

    def at(self, value: float) -> float:
        """The place of ``value``."""
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers within the scale: powers of two or ten on a logarithmic one that is wide enough."""
        if self.logarithmic:
            for base in (2.0, 10.0, 100.0, 1000.0):
                first, last = math.ceil(math.log(self.low, base)), math.floor(math.log(self.high, base))
                if 3 <= last - first + 1 <= most:
                    return [base**power for power in range(first, last + 1)]
        step = _round_step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [index * step for index in range(first, last + 1)]


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def tick_text(value: float) -> str:
    """A number of an axis, with a true minus sign."""
    return f"{value:.6g}".replace("-", "−")


def box_plot(
    panels: Mapping[str, Sequence[Box]],
    *,
    name: str,
    axis: str,
    ideal: float | None = None,
    logarithmic: bool = False,
    all_points: bool = True,
) -> str:
    """Boxes of methods below each other, in panels that share the axis.

    Args:
        panels: boxes by the panel's heading.
        name: what is shown, for who cannot see it.
        axis: the axis' words.
        ideal: a value to mark, inside the scale or not.
        logarithmic: whether equal ratios are equal lengths; given up where a value is not above 0.
        all_points: whether every subject has its point, or only those beyond the whiskers.

    Returns:
        An ``<svg>`` element; an empty string where there is no value.
    """
    values = [value for boxes in panels.values() for box in boxes for value in box.values.values()]
    if not values:
        return ""
    logarithmic = logarithmic and min(values) > 0
    gutter = _gutter([box.method for boxes in panels.values() for box in boxes])
    scale = Scale.around([*values, *([] if ideal is None else [ideal])], gutter, WIDTH - 12, logarithmic)
    height = sum(HEAD + ROW * len(boxes) for boxes in panels.values()) + AXIS
    svg = _figure(height, f"{name}. {_boxes_in_words(panels)}")
    _horizontal_axis(svg, scale, height, axis)
    if ideal is not None:
        _line(svg, scale.at(ideal), 0, scale.at(ideal), height - AXIS, "zero")
    top = 0.0
    for heading, boxes in panels.items():
        _text(svg, 0, top + 13, heading, "panel")
        top += HEAD
        for box in boxes:
            _draw_box(svg, scale, box, top, gutter, all_points)
            top += ROW
    return _written(svg)


def _boxes_in_words(panels: Mapping[str, Sequence[Box]]) -> str:
    return " ".join(f"{heading}: {', '.join(map(_box_in_words, boxes))}." for heading, boxes in panels.items())


def _box_in_words(box: Box) -> str:
    return f"{box.method} median {tick_text(float(f'{box.median:.4g}'))}" if box.values else f"{box.method} no value"


def _draw_box(svg: ElementTree.Element, scale: Scale, box: Box, top: float, gutter: float, all_points: bool) -> None:
    middle = top + ROW / 2
    _name(svg, gutter, middle, box.method)
    if not box.values:
        _text(svg, gutter + 4, middle + 4, "no value", "faint")
        return
    low, high = box.whiskers()
    group = _add(svg, "g", {"class": f"h{box.hue}"})
    _line(group, scale.at(low), middle, scale.at(high), middle, "whisker")
    left, right = scale.at(box.q25), scale.at(box.q75)
    _add(group, "rect", {"x": left, "y": middle - 6, "width": max(right - left, 0.5), "height": 12, "class": "box"})
    _line(group, scale.at(box.median), middle - 6, scale.at(box.median), middle + 6, "median")
    points = _add(group, "g", {"class": "points"})
    for index, (subject, value) in enumerate(box.values.items()):
        if all_points or not low <= value <= high:
            # Spread over the height of the box, always the same for the same person.
            offset = (index * 7 % 11 - 5) * 0.9
            point = _add(points, "path", {"d": f"M{scale.at(value):.1f} {middle + offset:.1f}h0"})
            _add(point, "title").text = f"{box.method}, {subject}: {tick_text(round(value, 6))}"


def interval_plot(
    panels: Mapping[str, Sequence[Bar]], *, name: str, axis: str, zero: float | None = 0.0, sides: str = ""
) -> str:
    """Numbers with their intervals below each other, as meta-analyses draw them, in panels that share the axis.

    Args:
        panels: rows by the panel's heading.
        zero: a value to mark; always inside the scale. None for none.
        sides: what lies left and right of it, below the axis.

    Returns:
        An ``<svg>`` element; an empty string where no row has a number.
    """
    bars = [bar for rows in panels.values() for bar in rows]
    reach = [end for bar in bars for end in (bar.estimate.value, bar.estimate.low, bar.estimate.high)]
    finite = [value for value in reach if math.isfinite(value)]
    if not finite:
        return ""
    above = 14 + LETTER * max(len(bar.label) for bar in bars) > WIDEST_NAME
    gutter = 12.0 if above else _gutter([bar.label for bar in bars])
    words = 12.0 if above else 8 + LETTER * 0.92 * max(len(bar.text) for bar in bars)
    row = ROW + (13 if above else 0)
    scale = Scale.around([*finite, *([] if zero is None else [zero])], gutter, WIDTH - words)
    height = sum(HEAD + row * len(rows) for rows in panels.values()) + AXIS
    in_words = (
        f"{heading}: {', '.join(f'{bar.label} {bar.text}' for bar in rows)}." for heading, rows in panels.items()
    )
    svg = _figure(height, f"{name}. {' '.join(in_words)}")
    _horizontal_axis(svg, scale, height, axis, sides)
    if zero is not None:
        _line(svg, scale.at(zero), 0, scale.at(zero), height - AXIS, "zero")
    top = 0.0
    for heading, rows in panels.items():
        _text(svg, 0, top + 13, heading, "panel")
        top += HEAD
        for bar in rows:
            if above:
                _text(svg, 8, top + 12, bar.label, "start")
                _text(svg, WIDTH - 2, top + 12, bar.text, "number")
            else:
                _name(svg, gutter, top + ROW / 2, bar.label)
                _text(svg, WIDTH - 2, top + ROW / 2 + 4, bar.text, "number")
            _draw_bar(svg, scale, bar, top + row - ROW / 2)
            top += row
    return _written(svg)


def _draw_bar(svg: ElementTree.Element, scale: Scale, bar: Bar, middle: float) -> None:
    estimate = bar.estimate
    if not math.isfinite(estimate.value):
        return
    group = _add(svg, "g", {"class": "hollow" if bar.hue is None else f"h{bar.hue}"})
    _add(group, "title").text = bar.hover
    if math.isfinite(estimate.low) and math.isfinite(estimate.high):
        _line(group, scale.at(estimate.low), middle, scale.at(estimate.high), middle, "interval")
    shape = MARKS[bar.hue] if bar.hue is not None else "circle"
    _add(group, "path", {"d": _mark(shape, scale.at(estimate.value), middle), "class": "mark"})


def line_plot(
    lines: Sequence[Line],
    *,
    name: str,
    across: str,
    up: str,
    log_across: bool = False,
    log_up: bool = False,
    level: float | None = None,
    height: int = 250,
) -> str:
    """Lines over a common axis; the legend is the page's.

    Args:
        across, up: the axes' words.
        log_across, log_up: whether an axis is logarithmic; what is not above 0 is left out there.
        level: a height to mark.

    Returns:
        An ``<svg>`` element; an empty string where nothing is finite.
    """
    drawn = [line for line in (_finite(line, log_across, log_up) for line in lines) if len(line.x)]
    if not drawn:
        return ""
    xs, ys = np.concatenate([line.x for line in drawn]), np.concatenate([line.heights() for line in drawn])
    levels = [] if level is None else [level]
    horizontal = Scale.around([float(xs.min()), float(xs.max())], 52, WIDTH - 10, log_across)
    vertical = Scale.around([float(ys.min()), float(ys.max()), *levels], height - AXIS, 16, log_up)
    svg = _figure(height, name)
    _horizontal_axis(svg, horizontal, height, across)
    for tick in vertical.ticks():
        _line(svg, 52, vertical.at(tick), WIDTH - 10, vertical.at(tick), "grid")
        _text(svg, 47, vertical.at(tick) + 4, tick_text(tick), "tick end")
    _text(svg, 0, 10, up, "axis")
    if level is not None:
        _line(svg, 52, vertical.at(level), WIDTH - 10, vertical.at(level), "zero")
    for line in drawn:
        _draw_line(svg, horizontal, vertical, line)
    return _written(svg)


def _draw_line(svg: ElementTree.Element, horizontal: Scale, vertical: Scale, line: Line) -> None:
    points = [(horizontal.at(float(x)), vertical.at(float(y))) for x, y in zip(line.x, line.y, strict=True)]
    attributes: dict[str, Any] = {
        "d": "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points),
        "class": "line reference" if line.hue is None else f"line h{line.hue}",
    }
    if line.hue is not None and DASHES[line.hue]:
        attributes["stroke-dasharray"] = DASHES[line.hue]
    _add(_add(svg, "path", attributes), "title").text = line.label
    if line.low is None or line.high is None or line.hue is None:
        return
    group = _add(svg, "g", {"class": f"h{line.hue}"})
    for (x, y), low, high in zip(points, line.low.tolist(), line.high.tolist(), strict=True):
        if math.isfinite(low) and math.isfinite(high):
            _line(group, x, vertical.at(low), x, vertical.at(high), "interval")
        _add(group, "path", {"d": _mark(MARKS[line.hue], x, y), "class": "mark"})


def _finite(line: Line, log_across: bool, log_up: bool) -> Line:
    good = np.isfinite(line.x) & np.isfinite(line.y)
    if log_across:
        good &= line.x > 0
    if log_up:
        good &= line.y > 0
    return line.among(good)


def line_sample(hue: int | None) -> str:
    """A short piece of a line as legends show it."""
    svg = ElementTree.Element("svg", {"viewBox": "0 0 28 10", "class": "sample", "aria-hidden": "true"})
    attributes = {"d": "M1 5h26", "class": "line reference" if hue is None else f"line h{hue}"}
    if hue is not None and DASHES[hue]:
        attributes["stroke-dasharray"] = DASHES[hue]
    _add(svg, "path", attributes)
    return _written(svg)


def _figure(height: float, words: str) -> ElementTree.Element:
    return ElementTree.Element(
        "svg", {"viewBox": f"0 0 {WIDTH} {height:.0f}", "role": "img", "aria-label": words, "class": "figure"}
    )


def _horizontal_axis(svg: ElementTree.Element, scale: Scale, height: float, words: str, sides: str = "") -> None:
    bottom = height - AXIS
    for tick in scale.ticks(max(2, min(6, int((scale.end - scale.start) / 46)))):
        _line(svg, scale.at(tick), 0, scale.at(tick), bottom, "grid")
        _text(svg, scale.at(tick), bottom + 13, tick_text(tick), "tick middle")
    _line(svg, scale.start, bottom, scale.end, bottom, "edge")
    _text(svg, WIDTH - 2, bottom + 31, words, "axis end")
    if sides:
        _text(svg, 0, bottom + 31, sides, "axis")


def _gutter(names: Sequence[str]) -> float:
    return min(WIDEST_NAME, 14 + LETTER * max(map(len, names), default=0))


def _name(svg: ElementTree.Element, gutter: float, middle: float, name: str) -> None:
    """A row's name, right-aligned before the axis; what is too long ends in dots and is whole on hovering."""
    room = int((gutter - 8) / LETTER)
    text = _text(svg, gutter - 8, middle + 4, name if len(name) <= room else name[: room - 1] + "…", "name")
    if len(name) > room:
        _add(text, "title").text = name


def _mark(shape: str, x: float, y: float) -> str:
    """The outline of a point's shape, of equal area."""
    if shape == "square":
        return f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z"
    if shape == "diamond":
        return f"M{x:.1f} {y - 5.6:.1f}l5.6 5.6l-5.6 5.6l-5.6 -5.6z"
    if shape in {"up", "down"}:
        sign = 1 if shape == "up" else -1
        return f"M{x:.1f} {y - sign * 5.5:.1f}l5.3 {sign * 9.2:.1f}h-10.6z"
    return f"M{x - 4.5:.1f} {y:.1f}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z"


def _add(parent: ElementTree.Element, tag: str, attributes: Mapping[str, Any] | None = None) -> ElementTree.Element:
    words = {
        name: f"{value:.1f}" if isinstance(value, float) else str(value) for name, value in (attributes or {}).items()
    }
    return ElementTree.SubElement(parent, tag, words)


def _line(parent: ElementTree.Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
    _add(parent, "path", {"d": f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", "class": kind})


def _text(parent: ElementTree.Element, x: float, y: float, words: str, kind: str) -> ElementTree.Element:
    element = _add(parent, "text", {"x": float(x), "y": float(y), "class": kind})
    element.text = words
    return element


def _written(svg: ElementTree.Element) -> str:
    return ElementTree.tostring(svg, encoding="unicode")
