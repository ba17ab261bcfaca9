"""What comes before the launch of a study: the check of layout, cost and power, its pictures, and a preview."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import background
from dashboard.access import may_change, require_change, why_not
from dashboard.catalogue import modified
from dashboard.studies import servers
from dashboard.studies.facts import facts
from dashboard.studies.folders import StudyFolder, look_again
from dashboard.trouble import told
from dashboard.wording import plain
from recon.progress import Progress
from study.check import Checked, check_study, power_in_words
from study.contract import Stimulus
from study.costs import Costs, money, objections_to_costs
from study.stimuli import build_stimuli, read_catalogue
from study.stimuli.catalogue import CATALOGUE

SIMULATIONS = 400


def preparation(folder: StudyFolder) -> None:
    """Draw the steps before the launch of the study in ``folder``."""
    left, right = st.columns(2, gap="large")
    with left, told("the check"):
        st.markdown("##### 1 · Check")
        checked(folder.file)
    with right:
        with told("the pictures"):
            st.markdown("##### 2 · Pictures")
            _pictures(folder)
        with told("the preview"):
            st.markdown("##### 3 · Preview")
            _preview(folder)


def checked(file: Path, *, of_form: bool = False) -> None:
    """The check of the study ``file`` in the background, and what it found.

    Args:
        of_form: beside the form of a new study, which shows the costs itself: the layout is checked with every change,
            power is simulated after a click.
    """
    key = (str(file), modified(file), modified(file.parent / CATALOGUE))
    layout = None
    if of_form and background.known(("check", *key)) is None:
        layout = background.start(("layout", *key), "Laying the trials out", lambda _: check_study(file, 0))
        if not background.settled(layout):
            return
        _found(layout.result, costs=False, power=False)
        if layout.result.objections or not st.button("Simulate its power", icon=":material/query_stats:", key="check"):
            return
    work = background.start(
        ("check", *key), "Checking layout, cost and power", lambda _: check_study(file, SIMULATIONS)
    )
    if background.settled(work):
        _found(work.result, costs=not of_form)


def _found(found: Checked, *, costs: bool, power: bool = True) -> None:
    said = set() if costs else {*objections_to_costs(found.specification, found.costs), *found.notes}
    for objection in found.objections:
        if objection not in said:
            st.error(plain(objection), icon=":material/block:")
    if not found.objections:
        st.success("Nothing stands against running it.", icon=":material/check:")
    for note in found.notes:
        if note not in said:
            st.info(plain(note), icon=":material/info:")
    least, most = found.views
    seen = f"{least}" if least == most else f"{least} to {most}"
    rows = cost_rows(found.costs) if costs else {}
    if found.sessions:
        rows["Layout"] = f"laid out for {len(found.sessions)} raters; each rendering is seen {seen} times"
    if power:
        rows["Power"] = power_in_words(found)
    facts(rows)


def cost_rows(costs: Costs) -> dict[str, str]:
    """Time and money in words."""
    currency = costs.currency
    parts = (("rewards", costs.rewards), ("bonuses", costs.bonuses), ("fees", costs.fees), ("tax", costs.tax))
    said = ", ".join(f"{name} {money(cents, currency)}" for name, cents in parts if cents)
    return {
        "Time": f"{costs.minutes:.1f} minutes a rater, {costs.trials} trials of {costs.seconds_per_trial:g} s",
        "Pay": f"{money(int(costs.per_hour), currency)} an hour",
        "Cost": f"{money(costs.total, currency)}" + f" ({said})" * bool(said),
        "Cap": money(costs.cap, currency),
    }


def _pictures(folder: StudyFolder) -> None:
    asked = folder.specification
    assert asked is not None
    key = ("pictures", str(folder.path))
    if folder.has_pictures:
        catalogue = read_catalogue(folder.path)
        st.markdown(f"{len(catalogue.stimuli)} pictures are made.")
        if catalogue.gaps:
            with st.expander(f"{len(catalogue.gaps)} could not be made"):
                st.markdown("\n".join(f"- {plain(str(gap))}" for gap in catalogue.gaps))
    work = background.known(key)
    if work is not None and work.running:
        background.settled(work)
        return
    if work is not None and work.failure is not None:
        background.settled(work)
    label = "Make them again" if folder.has_pictures else "Make the pictures"
    if st.button(label, icon=":material/image:", disabled=not may_change(), help=why_not() or None, key="pictures"):
        require_change()
        order = asked.stimuli_order(folder.path)

        def make(progress: Progress) -> tuple[Stimulus, ...]:
            try:
                return build_stimuli(order, folder.path, progress)
            finally:
                look_again()

        background.forget(key)
        background.start(key, "Making pictures", make)
        st.rerun()


def _preview(folder: StudyFolder) -> None:
    """The pages of the study on this machine; answers are thrown away."""
    if not folder.has_pictures:
        st.caption("Needs the pictures.")
        return
    address = servers.preview_of(folder.name)
    with st.container(horizontal=True, vertical_alignment="center"):
        if address:
            st.link_button("Open the preview", address, icon=":material/open_in_new:")
            if st.button("End it", disabled=not may_change(), key="end preview"):
                require_change()
                servers.stop_preview(folder.name)
                st.rerun()
        elif st.button("Start a preview", icon=":material/visibility:", disabled=not may_change(), key="preview"):
            require_change()
            with st.spinner("Starting …"):
                servers.start_preview(folder.name, folder.file)
            st.rerun()
    st.caption("The real pages, on this machine alone; every opening is a new rater, and answers are thrown away.")
