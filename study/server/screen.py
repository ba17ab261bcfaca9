"""Whether a rater's screen will do, and in words what it lacks."""

from __future__ import annotations

from study.server.messages import Screen
from study.server.settings import ScreenRequirements

# Browsers round the ratio from which a zoom is found: 1 % is none.
_ZOOM_TOLERANCE = 0.01


def screen_problems(measured: Screen, required: ScreenRequirements) -> list[str]:
    """One sentence for each thing that the screen lacks; none where it will do.

    The longer side of the window is held against the longer side that is required, so that a phone may be held either
    way; where width and height both matter, as on a desktop, the requirement is wider than high, and so is the window.
    """
    problems = []
    window = sorted((measured.viewport_width, measured.viewport_height))
    needed = sorted((required.width, required.height))
    if window[0] < needed[0] or window[1] < needed[1]:
        problems.append(
            f"The window is {measured.viewport_width} × {measured.viewport_height} pixels; it must have at least "
            f"{required.width} × {required.height}. "
            + ("Take a device with a larger screen." if measured.touch else "Make it larger, or zoom out.")
        )
    if measured.colour_depth < required.colour_depth:
        problems.append(
            f"The screen shows {measured.colour_depth} bits of colour; it must show {required.colour_depth}. "
            "Another device may do."
        )
    if required.zoom is not None and measured.zoom is not None and measured.zoom > required.zoom + _ZOOM_TOLERANCE:
        problems.append(
            f"The page is zoomed to {measured.zoom:.0%}; it may have at most {required.zoom:.0%}. "
            "Zoom out with Ctrl and minus."
        )
    if required.card and measured.pixels_per_mm is None:
        problems.append("The size of a bank card is missing: hold a card against the screen and move the slider.")
    return problems
