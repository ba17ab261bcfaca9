"""Whether a rater's screen will do, and in words what it lacks."""

from __future__ import annotations

from study.server.messages import Screen
from study.server.settings import ScreenRequirements, Words

# Browsers round the ratio from which a zoom is found: 1 % is none.
_ZOOM_TOLERANCE = 0.01


def screen_problems(measured: Screen, required: ScreenRequirements, words: Words) -> list[str]:
    """One sentence for each thing that the screen lacks; none where it will do.

    The longer side of the window is held against the longer side that is required, so that a phone may be held either
    way; where width and height both matter, as on a desktop, the requirement is wider than high, and so is the window.
    """
    problems = []
    window = sorted((measured.viewport_width, measured.viewport_height))
    needed = sorted((required.width, required.height))
    if window[0] < needed[0] or window[1] < needed[1]:
        small = "device-small" if measured.touch else "window-small"
        found = f"{measured.viewport_width} × {measured.viewport_height}"
        problems.append(words.said(small, found=found, needed=f"{required.width} × {required.height}"))
    if measured.colour_depth < required.colour_depth:
        problems.append(words.said("colours-few", found=measured.colour_depth, needed=required.colour_depth))
    if required.zoom is not None and measured.zoom is not None and measured.zoom > required.zoom + _ZOOM_TOLERANCE:
        found, most = f"{100 * measured.zoom:.0f}", f"{100 * required.zoom:.0f}"
        problems.append(words.said("zoom-large", found=found, needed=most))
    if required.card and measured.pixels_per_mm is None:
        problems.append(words.said("card-missing"))
    return problems
