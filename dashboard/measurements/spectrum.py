"""Mean power spectra of the albedo maps beside the photographs': how much relief of each size a method makes."""

from __future__ import annotations

import streamlit as st

from dashboard import background
from dashboard.catalogue import Run
from dashboard.charts.curves import Curve, curves
from dashboard.charts.look import Look, draw
from dashboard.values import comparison_of
from dashboard.wording import plain
from metrics.conclusions import Selection
from metrics.report.layout import shown
from metrics.report.sources import Sources
from metrics.report.spectra import Spectra, mean_spectra

PEOPLE = 12
"""So many maps are read, spread evenly over the list; a spectrum of more people looks the same."""
_ACROSS = "cycles per texel of a 512² map"


def spectrum(run: Run, protocol: str, look: Look) -> None:
    """Draw the spectra under ``protocol`` as soon as they are there."""
    comparison = comparison_of(run, Selection(protocols=(protocol,), headline=True), contrasts=False)
    sources = Sources.of(comparison, [run.folder])
    work = background.start(
        ("spectrum", str(run.folder.path), run.stamp, protocol),
        f"Reading the albedo maps of {PEOPLE} people at most",
        lambda progress: mean_spectra(comparison, sources, protocol, PEOPLE, progress),
    )
    if background.settled(work):
        _drawn(work.result, protocol, look)


def _drawn(found: Spectra, protocol: str, look: Look) -> None:
    if found.people:
        left, right = st.columns(2, gap="medium")
        photograph = Curve("photograph", found.frequencies, found.reference)
        with left:
            st.markdown("**Power of the albedo's luma**")
            lines = [photograph, *(Curve(name, found.frequencies, power) for name, power in found.methods.items())]
            draw(curves(lines, look, _ACROSS, "power of relative contrast", log_x=True, log_y=True),
                 f"Power spectra under {protocol}: photograph and methods.", f"spectrum {protocol}")  # fmt: skip
        with right:
            st.markdown("**Against the photograph**")
            lines = [Curve(name, found.frequencies, decibel) for name, decibel in found.relative.items()]
            draw(curves(lines, look, _ACROSS, "dB against the photograph", log_x=True, level=0.0),
                 _in_words(found), f"relative spectrum {protocol}")  # fmt: skip
        st.caption(
            f"{_in_words(found)} Geometric means over {found.people} people; the judged skin for which all "
            "methods vouch, so that every line is of the same texels. Above 0 dB is more relief than the photograph "
            "has, below less."
        )
    else:
        st.info("No spectrum: the albedo maps of this run are not here, or too little skin is judged.")
    for problem in found.problems:
        st.caption(plain(problem))


def _in_words(spectra: Spectra) -> str:
    half = len(spectra.frequencies) // 2
    return "At the finer half of the frequencies: " + ", ".join(
        f"{name} {shown(float(decibel[half:].mean()), 1)} dB" for name, decibel in spectra.relative.items()
    ) + "."  # fmt: skip
