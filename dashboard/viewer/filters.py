"""The row of choosers above the pictures; each choice is in the address, and the address is what counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import streamlit as st

from dashboard.address import one_of, say, some_of, text, words
from dashboard.catalogue import Run
from dashboard.viewer.asked import MOST_BESIDE, ROWS
from dashboard.viewer.orders import BEST, DISPUTED, ID, WORST, Yardstick, inside, known_orders

Attributes = Mapping[str, Mapping[str, str]]


def choice(
    name: str,
    options: Sequence[str],
    default: str,
    label: str,
    shown: Callable[[str], str] = str,
    *,
    width: int | Literal["stretch"] = 200,
) -> str:
    """A select box whose choice is ``name=`` in the address."""
    value = one_of(name, options, default)
    key = f"compare {name}"
    st.session_state[key] = value

    def take() -> None:
        chosen = st.session_state[key]
        say(**{name: "" if chosen == default else chosen, "page": ""})

    st.selectbox(label, options, format_func=shown, key=key, on_change=take, width=width)
    return value


def chosen_order(methods: Sequence[str], disputed_by: str, *, names_hidden: bool) -> str:
    """The order of the subjects; where names are hidden, none that names a method."""
    options = [ID, DISPUTED] if names_hidden else known_orders(methods)
    return choice("order", options, ID, "Order", lambda order: order_in_words(order, disputed_by), width=220)


def order_in_words(order: str, disputed_by: str) -> str:
    """What an order is called; ``disputed_by`` is what :data:`DISPUTED` is called, which depends on who disputes."""
    if order.startswith((WORST, BEST)):
        kind, _, method = order.partition(":")
        return f"{kind} of {method} first"
    return {ID: "by id", DISPUTED: disputed_by}[order]


def filtered(run: Run, attributes: Attributes, measured: Yardstick | None) -> tuple[list[str], list[str]]:
    """Draws the further filters into a popover; the subjects that pass, and the filters that are set, in words."""
    subjects, said = list(run.subjects), []
    active = bool(text("by") and words("group")) or bool(text("between"))
    with st.popover("Filter", icon=":material/filter_alt:", type="primary" if active else "secondary"):
        by, groups = _group(attributes)
        if by and groups:
            subjects = [name for name in subjects if attributes.get(name, {}).get(by, "unknown") in groups]
            said.append(f"{by}: {', '.join(groups)}")
        if measured is not None:
            span = _between(measured)
            if span:
                subjects = inside(subjects, measured, shown_methods(run), *span)
                said.append(f"{measured.place.metric} from {span[0]:g} to {span[1]:g}")
        _columns(run)
        choice("rows", [str(one) for one in ROWS], str(ROWS[1]), "Subjects on a page", width="stretch")
    return subjects, said


def shown_methods(run: Run) -> tuple[str, ...]:
    """The columns of the matrix."""
    return some_of("methods", run.methods) or run.methods


def _group(attributes: Attributes) -> tuple[str, tuple[str, ...]]:
    names = sorted({name for own in attributes.values() for name in own})
    if not names:
        st.caption("The run recorded no attributes of its subjects.")
        return "", ()
    by = choice("by", ["", *names], "", "Attribute", lambda name: name or "any", width="stretch")
    if not by:
        return "", ()
    known = sorted({own.get(by, "unknown") for own in attributes.values()}, key=_number_first)
    return by, _several("group", known, "Groups", "all")


def _number_first(word: str) -> tuple[bool, float, str]:
    try:
        return False, float(word), word
    except ValueError:
        return True, 0.0, word


def _several(name: str, options: Sequence[str], label: str, none: str) -> tuple[str, ...]:
    """A box for several words, which is ``name=`` in the address."""
    key = f"compare {name}"
    st.session_state[key] = list(some_of(name, options))

    def take() -> None:
        say(**{name: st.session_state[key], "page": ""})

    st.multiselect(label, options, key=key, on_change=take, placeholder=none)
    return some_of(name, options)


def _columns(run: Run) -> None:
    _several("methods", run.methods, "Methods", "all")


def _between(measured: Yardstick) -> tuple[float, float] | None:
    """A slider over the values of the metric; None where it is open at both ends."""
    finite = measured.values[np.isfinite(measured.values)]
    if finite.size < 2 or finite.min() == finite.max():
        return None
    low, high = _outwards(float(finite.min()), float(finite.max()))
    now = _span("between", low, high)
    key = "compare between"
    st.session_state[key] = now

    def take() -> None:
        first, last = st.session_state[key]
        say(between="" if (first, last) == (low, high) else f"{first:g}~{last:g}", page="")

    st.slider(
        f"{measured.place.metric} of any method shown", low, high, key=key, on_change=take,
        step=(high - low) / 100, format="%.3g",
    )  # fmt: skip
    return None if now == (low, high) else now


def _outwards(low: float, high: float) -> tuple[float, float]:
    """Two numbers of few digits around ``low`` and ``high``."""
    step = 10.0 ** (np.floor(np.log10(high - low)) - 2)
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step)


def _span(name: str, low: float, high: float) -> tuple[float, float]:
    """Two numbers of the address within ``low`` and ``high``; these where it says nothing that makes sense."""
    first, _, last = text(name).partition("~")
    try:
        found = max(low, float(first)), min(high, float(last))
    except ValueError:
        return low, high
    return found if found[0] <= found[1] else (low, high)


def chosen_beside(run: Run, present: Sequence[str]) -> None:
    """Which methods stand beside the photograph."""
    key = "compare beside"
    st.session_state[key] = list(present)

    def take() -> None:
        # Of too many the one that was chosen last comes in, and the first goes.
        say(beside=list(st.session_state[key])[-MOST_BESIDE:])

    st.multiselect(
        "Methods beside the photograph", run.methods, key=key, on_change=take, label_visibility="collapsed",
        width=460, placeholder="methods beside the photograph: the first four",
    )  # fmt: skip
