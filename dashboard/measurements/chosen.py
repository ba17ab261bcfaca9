"""What the page *Metrics* shows: its filters, kept in the URL, as selections of ``metrics.conclusions``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from dashboard.address import one_of, say, some_of, text
from dashboard.catalogue import Run
from dashboard.charts.look import Look
from dashboard.choosing import kept_choice
from dashboard.values import comparison_of, values_of
from dashboard.viewer.orders import label
from metrics.comparison import Comparison, Place
from metrics.conclusions import ALL, Selection
from metrics.report.cases import headline_place
from metrics.report.layout import Block, heading

ANY = "any"
HEADLINES = "headline"
_SPACES = {ANY: "all", "uv": "albedo (UV)", "image": "rendered view", "shape": "shape of the head"}


@dataclass(frozen=True)
class Chosen:
    """What is looked at.

    Attributes:
        run, protocol: which run, under which protocol.
        selection: filters, without the metric in depth.
        comparison: what was concluded from it, without pairs.
    """

    run: Run
    protocol: str
    selection: Selection
    comparison: Comparison

    @property
    def places(self) -> tuple[Place, ...]:
        """What can be looked at in depth."""
        return tuple(dict.fromkeys(standing.place for standing in self.comparison.standings))

    def key(self, place: Place, look: Look, *more: object) -> tuple[object, ...]:
        """All that a chart of ``place`` follows from, for :func:`dashboard.charts.drawing.kept`."""
        return (str(self.run.folder.path), self.run.stamp, place, look, *more)

    def of(self, place: Place) -> Selection:
        """The selection of one place alone, across nothing but its metric."""
        return Selection((place.metric,), (place.region,), (place.space,), (place.view,), (), (place.protocol,))


def choose(run: Run, protocol: str) -> Chosen:
    """Draw the filters into the present container, and conclude.

    Raises:
        InputError: the run has not been measured.
    """
    places = [place for place in values_of(run).places if place.protocol == protocol]
    spaces = list(dict.fromkeys(place.space for place in places))
    space = kept_choice(
        "space", [ANY, *spaces], ANY, "What is compared", lambda name: _SPACES.get(name, name), width=170
    )
    places = [place for place in places if space in (ANY, place.space)]
    regions = list(dict.fromkeys(place.region for place in places))
    region = kept_choice("within", [ANY, *regions], ANY, "Region", _or_usual, width=150)
    places = [place for place in places if region in (ANY, place.region)]
    views = list(dict.fromkeys(place.view for place in places))
    look = kept_choice("look", [ANY, *views], ANY, "View", _or_usual, width=150)
    metrics = kept_choice("metrics", [HEADLINES, ALL], HEADLINES, "Metrics", width=130)
    selection = Selection(
        metrics=(ALL,) if metrics == ALL else (),
        regions=() if region == ANY else (region,),
        spaces=() if space == ANY else (space,),
        views=() if look == ANY else (look,),
        protocols=(protocol,),
        headline=metrics != ALL or region == ANY,
    )
    return Chosen(run, protocol, selection, comparison_of(run, selection, contrasts=False))


def _or_usual(name: str) -> str:
    return "usual ones" if name == ANY else name


def chosen_place(chosen: Chosen) -> Place | None:
    """Draws the chooser of the metric in depth; what the address says comes first, then the deciding metric."""
    places = [
        place for place in chosen.places if any(s.values for s in chosen.comparison.standings if s.place == place)
    ]
    if not places:
        return None
    names = {place_name(place): place for place in places}
    deciding = headline_place(chosen.comparison, chosen.protocol)
    default = place_name(deciding) if deciding in places else next(iter(names))
    said = next((name for name, place in names.items() if _meant(place)), default)
    st.session_state["choose metric"] = said

    def take() -> None:
        say(metric=st.session_state["choose metric"], region="")

    st.selectbox("Metric", list(names), key="choose metric", on_change=take, width=420)
    return names[said]


def _meant(place: Place) -> bool:
    """Whether the address says this place: by its whole name, as *Compare* writes it, or by its metric alone."""
    wanted, region = text("metric"), text("region")
    return wanted == place_name(place) or (wanted in (label(place), place.metric) and region in ("", place.region))


def place_name(place: Place) -> str:
    """The metric, and where it looks."""
    looked_at = replace(Block.of(place), protocol="", group="").title
    return f"{heading(place)} · {looked_at}"


def chosen_pair(methods: tuple[str, ...], label: str = "") -> tuple[str, str] | None:
    """Draws the choosers of two methods, ``methods=a,b`` in the address; None of less than two."""
    if len(methods) < 2:
        return None
    said = some_of("methods", methods)
    first = said[0] if said else methods[0]
    rest = [name for name in methods if name != first]
    second = next((name for name in said[1:] if name in rest), rest[0])
    st.session_state["first method"], st.session_state["second method"] = first, second

    def take() -> None:
        one, other = st.session_state["first method"], st.session_state["second method"]
        say(methods=(one, other if other != one else first))

    st.selectbox("First method", methods, key="first method", on_change=take, width=170)
    st.selectbox("Second method", rest, key="second method", on_change=take, width=170)
    return first, second


def chosen_attribute(chosen: Chosen) -> str:
    """Draws the chooser of the attribute that splits the people; empty where there is none."""
    known = _attributes(chosen.comparison)
    if not known:
        return ""
    preferred = next((name for name in ("gender", "ethnicity", "age band", "ITA group") if name in known), known[0])
    return kept_choice("by", known, preferred, "Groups by", width=200)


def _attributes(comparison: Comparison) -> list[str]:
    """Attributes with at least two values that several people share; ages as bands."""
    values: dict[str, list[str]] = {}
    for own in comparison.subjects.values():
        for name, value in own.items():
            values.setdefault(name, []).append(value)
    people = len(comparison.subjects)
    return sorted(
        name for name, found in values.items() if 1 < len(set(found)) <= max(2, people // 2) and name != "age"
    )


def part(names: dict[str, str]) -> str:
    """Draws the chooser of the page's part, ``part=`` in the address."""
    default = next(iter(names))
    st.session_state["part"] = one_of("part", list(names), default)

    def take() -> None:
        chosen = st.session_state["part"] or default
        say(part="" if chosen == default else chosen)

    st.segmented_control(
        "Part of the page", list(names), format_func=names.__getitem__, key="part", on_change=take,
        label_visibility="collapsed", required=True,
    )  # fmt: skip
    return st.session_state["part"] or default
