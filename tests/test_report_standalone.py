"""Figures as files of their own: well-formed, with a size, and with every colour written out."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import made_up_comparison
import pytest

from metrics.report.figures import cards
from metrics.report.palette import HUES, places_in_palette
from metrics.report.standalone import as_file


@pytest.mark.parametrize("which", ["boxes", "differences"])
def test_file_stands_alone(which: str) -> None:
    comparison = made_up_comparison.comparison()
    hues = places_in_palette(comparison.methods)
    text = as_file(getattr(cards(comparison, hues)[0], which))
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and float(root.attrib["width"]) > 0
    style = root[0].text or ""
    assert "var(" not in text and f".h{hues['meso']} {{ color: {HUES[hues['meso']][0]}; }}" in style
    used = {name for element in root.iter() for name in element.attrib.get("class", "").split()}
    styled = set(re.findall(r"\.([\w-]+)", style))
    assert {"figure", "box", "tick"} & used <= styled
