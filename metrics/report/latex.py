"""A comparison as LaTeX: tables with booktabs that a paper prints, one for each protocol, space and region.

Methods stand below each other, metrics beside each other; a table that is wider than the page goes on in another one.
The interval of a number stands at its foot and head, ``31.20`` with ``30.11`` below and ``32.04`` above. What TeX reads
as a command is escaped; Greek letters and the signs of the field become mathematics, so that pdfTeX, XeTeX and LuaTeX
alike set them.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from metrics.comparison import Comparison, Contrast, FairnessGap, Place, Standing
from metrics.report.layout import (
    ARROWS,
    Block,
    Table,
    as_pair,
    by_pair,
    chosen_pairs,
    decimals,
    headline_and_further,
    shown,
)
from metrics.report.marks import BEST, TIED, marks_of
from metrics.statistics import SIGNIFICANT

PACKAGES = r"""\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage{booktabs}"""
WIDTH = 74
"""Letters of ten points in a line of an A4 article; a column of a two-column paper holds some 44."""

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
}
_SIGNS = {
    "°": r"\textdegree{}",
    "·": r"\textperiodcentered{}",
    "×": r"$\times$",
    "−": r"$-$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\dots{}",
    "’": r"\textquoteright{}",
    "‘": r"\textquoteleft{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "µ": r"$\mu$",
    "²": r"\textsuperscript{2}",
    "³": r"\textsuperscript{3}",
    "₂": r"\textsubscript{2}",
    "\u00a0": "~",
}
# Greek letters that TeX has no command for, because the Latin ones look the same.
_LIKE_LATIN = {
    "ALPHA": "A", "BETA": "B", "EPSILON": "E", "ZETA": "Z", "ETA": "H", "IOTA": "I", "KAPPA": "K", "MU": "M", "NU": "N",
    "OMICRON": "O", "RHO": "P", "TAU": "T", "CHI": "X",
}  # fmt: skip


def escaped(text: str) -> str:
    """``text`` as TeX sets it, letter by letter. A letter that pdfTeX's fonts lack is named by its number, U+65E5."""
    letters = "".join(_letter(letter) for letter in unicodedata.normalize("NFC", text))
    return re.sub("-(?=-)", "-{}", letters)  # two hyphens in a row would become a dash


def _letter(letter: str) -> str:
    if letter in _COMMANDS:
        return _COMMANDS[letter]
    if letter in _SIGNS:
        return _SIGNS[letter]
    if " " <= letter <= "~" or ("\u00c0" <= letter <= "\u017f" and unicodedata.category(letter)[0] == "L"):
        return letter
    if letter.isspace():
        return " "
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(letter, ""))
    if greek:
        size, name = greek.groups()
        name = name.replace("LAMDA", "LAMBDA").replace("FINAL SIGMA", "SIGMA")
        if size == "CAPITAL":
            return f"$\\mathrm{{{_LIKE_LATIN[name]}}}$" if name in _LIKE_LATIN else f"$\\{name.capitalize()}$"
        return "$o$" if name == "OMICRON" else f"$\\{name.lower()}$"
    return f"[U+{ord(letter):04X}]"


def as_latex(
    comparison: Comparison,
    *,
    caption: str | None = None,
    label: str | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    width: int = WIDTH,
) -> str:
    """The tables of ``comparison``, to be put into a paper with ``\\input``.

    Where skin was withheld, what is visible and what is withheld stand apart; elsewhere the whole of the skin stands
    for its parts.

    Args:
        caption: words that every caption begins with, plain text.
        label: what every ``\\label`` begins with; ``tab:mesoface`` if None.
        pairs: methods whose differences are printed; the first beside each other one if empty.
        width: letters of ten points in a line of the paper.

    Returns:
        ``table`` environments, after a comment that names the packages that they need.
    """
    parts = ["% Needs in the preamble:", *(f"%   {line}" for line in PACKAGES.splitlines())]
    parts += [f"% {_one_line(note)}" for note in comparison.notes]
    return "\n".join([*parts, ""]) + "\n".join(_floats(comparison, caption, label, pairs, width))


def as_document(
    comparison: Comparison,
    *,
    caption: str | None = None,
    label: str | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    width: int = WIDTH,
) -> str:
    """The tables of :func:`as_latex` as a document of their own, which TeX can set as it is."""
    floats = _floats(comparison, caption, label, pairs, width)
    # TeX holds some fifty tables back while it looks for room, and no more.
    body = "\n".join(text + ("\\clearpage\n" if index % 4 == 3 else "") for index, text in enumerate(floats))
    notes = "".join(f"\\par {escaped(note)}\n" for note in comparison.notes)
    return (
        "\\documentclass[a4paper,10pt]{article}\n\\usepackage[margin=22mm]{geometry}\n\\usepackage{lmodern}\n"
        f"{PACKAGES}\n\\begin{{document}}\n{notes}{body}\\end{{document}}\n"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _floats(
    comparison: Comparison, caption: str | None, label: str | None, pairs: Sequence[tuple[str, str]], width: int
) -> list[str]:
    contrasts, changes = by_pair(comparison.contrasts), by_pair(comparison.changes)
    shared = list(dict.fromkeys((change.first, change.second) for change in comparison.changes))
    lead = f"{escaped(caption).rstrip('. ')}. " if caption else ""
    floats = []
    everybody: dict[Block, Table] = {}
    for table in headline_and_further(comparison)[0]:
        name = f"{label or 'tab:mesoface'}-{_slug(table.block)}"
        floats += _standings(table, lead, name, width)
        chosen = [pair for pair in chosen_pairs(comparison, pairs) if pair not in shared and pair[::-1] not in shared]
        floats += _differences(table, contrasts, chosen, lead, f"{name}-differences", width)
        whole = replace(table.block, group="")
        everybody[whole] = replace(table, block=whole, places=tuple(replace(p, group="") for p in table.places))
    # Changes between runs and gaps between groups are of all people, also where the tables are of groups.
    for table in everybody.values():
        name = f"{label or 'tab:mesoface'}-{_slug(table.block)}"
        floats += _differences(table, changes, shared, lead, f"{name}-changes", width)
        floats += _fairness(table, comparison.fairness, lead, f"{name}-fairness", width)
    return floats


def _slug(block: Block) -> str:
    parts = (block.protocol, block.space, block.view, block.region, block.reference, block.group)
    words = "-".join(part for part in parts if part and part != "photograph")
    return re.sub(r"[^a-z0-9.]+", "-", unicodedata.normalize("NFKD", words).lower()).strip("-")


@dataclass(frozen=True)
class _Column:
    """A column of a table: its heading, its cells by row, and the letters that it takes."""

    heading: str
    cells: Mapping[str, str]
    letters: float


def _standings(table: Table, lead: str, label: str, width: int) -> list[str]:
    """The methods' means with their intervals."""
    columns = []
    for place in table.places:
        found = {method: table.cells.get((method, place)) for method in table.methods}
        digits = decimals([cell.mean.value for cell in found.values() if cell])
        marks = marks_of(table, place)
        cells = {method: _standing_cell(cell, digits, marks.get(method, "")) for method, cell in found.items()}
        letters = [_letters(cell.mean.value, cell.mean.low, digits) for cell in found.values() if cell]
        columns.append(_column(place, cells, letters))
    counts = {
        method: str(max((table.cells[method, p].mean.n for p in table.places if (method, p) in table.cells), default=0))
        for method in table.methods
    }
    caption = (
        f"{lead}{escaped(table.block.title)}: mean over subjects and its 95\\,\\% interval. Bold: best beyond chance; "
        "underlined: tied for best, none is better beyond chance (no mark where all are tied)."
    )
    if any(place.direction == "one" for place in table.places):
        caption += " Of ratios the geometric mean."
    return _split(columns, "method", list(table.methods), counts, caption, label, width)


def _standing_cell(standing: Standing | None, digits: int, mark: str) -> str:
    if standing is None or not math.isfinite(standing.mean.value):
        return "--"
    mean, command = standing.mean, {BEST: "\\mathbf", TIED: "\\underline"}.get(mark, "")
    return _with_interval(mean.value, mean.low, mean.high, digits, command)


def _with_interval(value: float, low: float, high: float, digits: int, mark: str, plus: bool = False) -> str:
    text = _number(value, digits, plus)
    text = f"{mark}{{{text}}}" if mark else text
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"${text}$"
    return f"${text}_{{{_number(low, digits, plus)}}}^{{{_number(high, digits, plus)}}}$"


def _number(value: float, digits: int, plus: bool = False) -> str:
    text = shown(value, digits).replace("−", "-")
    return f"+{text}" if plus and value > 0 and float(text) != 0 else text


def _letters(value: float, bound: float, digits: int) -> float:
    """Letters of ten points that a number with its interval, which is set smaller, takes."""
    if not math.isfinite(value):
        return 2.0
    return len(_number(value, digits)) + (0.75 * (1 + len(_number(bound, digits))) if math.isfinite(bound) else 0)


def _column(place: Place, cells: Mapping[str, str], letters: Sequence[float]) -> _Column:
    """A column whose heading is broken where it is wider than its numbers."""
    name = place.metric + (f" [{place.unit}]" if place.unit else "")
    room = max([6.0, *letters])
    lines: list[str] = []
    for word in name.split():
        if lines and len(lines[-1]) + 1 + len(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    arrow = ARROWS[place.direction]
    taken = max(room, *(len(line) + (2 if line is lines[-1] and arrow else 0) for line in lines))
    # The empty group keeps TeX from reading a unit in brackets as the break's own argument.
    text = r"\\{}".join(escaped(line) for line in lines) + (f"~{escaped(arrow)}" if arrow else "")
    heading = text if len(lines) == 1 else f"\\begin{{tabular}}[b]{{@{{}}r@{{}}}}{text}\\end{{tabular}}"
    return _Column(heading, cells, taken + 2)


def _differences(
    table: Table,
    contrasts: Mapping[tuple[Place, frozenset[str]], Contrast],
    pairs: Sequence[tuple[str, str]],
    lead: str,
    label: str,
    width: int,
) -> list[str]:
    """Paired differences of the chosen pairs."""
    rows = {
        f"{first} − {second}": [
            as_pair(contrasts[place, frozenset((first, second))], first)
            for place in table.places
            if (place, frozenset((first, second))) in contrasts
        ]
        for first, second in pairs
    }
    rows = {name: found for name, found in rows.items() if found}
    if not rows:
        return []
    columns = []
    for place in table.places:
        found = {name: contrast for name, line in rows.items() for contrast in line if contrast.place == place}
        if not found:
            continue
        digits = decimals([contrast.difference.value for contrast in found.values()])
        cells = {name: _difference_cell(contrast, digits) for name, contrast in found.items()}
        letters = [1 + _letters(c.difference.value, c.difference.low, digits) for c in found.values()]
        columns.append(_column(place, cells, letters))
    counts = {name: str(max(contrast.difference.n for contrast in line)) for name, line in rows.items()}
    caption = (
        f"{lead}{escaped(table.block.title)}: differences between methods on the same subjects, with their 95\\,\\% "
        "intervals. Bold: the first is better beyond chance, italic: the second (sign-flip permutation test, "
        f"$p \\leq {SIGNIFICANT}$ after Holm's correction)."
    )
    if any(place.direction == "one" for place in table.places):
        caption += r" Of ratios the difference of $|\log_2|$, so that less is nearer to one."
    return _split(columns, "difference", list(rows), counts, caption, label, width)


def _difference_cell(contrast: Contrast, digits: int) -> str:
    difference = contrast.difference
    if not math.isfinite(difference.value):
        return "--"
    mark = {contrast.first: "\\mathbf", contrast.second: "\\mathit"}.get(contrast.better, "")
    return _with_interval(difference.value, difference.low, difference.high, digits, mark, plus=True)


def _fairness(table: Table, gaps: Sequence[FairnessGap], lead: str, label: str, width: int) -> list[str]:
    """How far apart groups of people are, where they are grouped."""
    here = {(gap.method, gap.place): gap for gap in gaps if gap.place in table.places}
    methods = [method for method in table.methods if any(name == method for name, _ in here)]
    if not methods:
        return []
    columns = []
    for place in (place for place in table.places if any(known == place for _, known in here)):
        found = {method: here[method, place] for method in methods if (method, place) in here}
        digits = decimals([gap.gap.value for gap in found.values()])
        cells = {
            method: _with_interval(gap.gap.value, gap.gap.low, gap.gap.high, digits,
                                   "\\mathbf" if gap.adjusted <= SIGNIFICANT else "")
            if math.isfinite(gap.gap.value) else "--"
            for method, gap in found.items()
        }  # fmt: skip
        columns.append(_column(place, cells, [_letters(g.gap.value, g.gap.low, digits) for g in found.values()]))
    counts = {method: str(max(gap.gap.n for (name, _), gap in here.items() if name == method)) for method in methods}
    attribute = next(iter(here.values())).attribute
    caption = (
        f"{lead}{escaped(table.block.title)}: gap between the groups by {escaped(attribute)} that a method serves best "
        f"and worst, with its 95\\,\\% interval. Bold: more than chance ($p \\leq {SIGNIFICANT}$ after Holm's "
        "correction)."
    )
    if any(place.direction == "one" for place in table.places):
        caption += r" Of ratios that of $|\log_2|$."
    return _split(columns, "method", methods, counts, caption, label, width)


def _split(
    columns: Sequence[_Column],
    stub: str,
    rows: Sequence[str],
    counts: Mapping[str, str],
    caption: str,
    label: str,
    width: int,
) -> list[str]:
    """The columns as tables that are no wider than the page, each with the names of its rows."""
    outer = max(map(len, [stub, *rows])) + 6
    parts: list[list[_Column]] = []
    left = 0.0
    for column in columns:
        if not parts or left < column.letters:
            parts.append([])
            left = float(width - outer)
        parts[-1].append(column)
        left -= column.letters
    return [
        _float(
            part,
            stub,
            rows,
            counts,
            caption + (" (Continued.)" if index else ""),
            label + "abcdefghijklmnopqrstuvwxyz"[index % 26] * (len(parts) > 1),
        )
        for index, part in enumerate(parts)
    ]


def _float(
    columns: Sequence[_Column], stub: str, rows: Sequence[str], counts: Mapping[str, str], caption: str, label: str
) -> str:
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        r"\renewcommand{\arraystretch}{1.25}",
        r"\setlength{\belowcaptionskip}{5pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(columns)}r@{{}}}}",
        r"\toprule",
        " & ".join([stub, *(column.heading for column in columns), "$n$"]) + r" \\",
        r"\midrule",
    ]
    for row in rows:
        lines.append(" & ".join([escaped(row), *(c.cells.get(row, "--") for c in columns), counts[row]]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])
