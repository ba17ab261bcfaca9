"""A figure of a report as a file of its own: an SVG that needs no page around it, on light paper.

Programs that set papers know no custom properties of CSS, so these are written out.
"""

from __future__ import annotations

import re

from metrics.report.palette import HUES, PAPER

_SCALE = 1.5
# Rules of the pages' style sheet that figures use.
_OF_FIGURES = re.compile(r"^(?:\.figure|\.line|\.h\d+)\b[^{}]*\{[^{}]*\}", re.MULTILINE)
_VARIABLE = re.compile(r"(--[\w-]+):\s*([^;]+);")


def as_file(figure: str) -> str:
    """The SVG document of ``figure``, as :mod:`metrics.report.figures` makes it."""
    width, height = (float(number) for number in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', figure)[0])
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width * _SCALE:g}" height="{height * _SCALE:g}"'
    paper = f'<rect width="{width:g}" height="{height:g}" fill="{PAPER[0]}"/>'
    opening, inside = figure.split(">", 1)
    return f"{opening.replace('<svg', f'<svg {size}', 1)}><style>{_style()}</style>{paper}{inside}\n"


def _style() -> str:
    from jinja2 import Environment, PackageLoader

    sheet = Environment(loader=PackageLoader("metrics.report"), autoescape=True).get_template("style.css")
    text = sheet.render(palette=list(enumerate(HUES)), paper=PAPER)
    light = dict(_VARIABLE.findall(text.split("@media", 1)[0]))
    rules = "\n".join(_OF_FIGURES.findall(text))
    return re.sub(r"var\((--[\w-]+)\)", lambda found: light[found[1]], rules)
