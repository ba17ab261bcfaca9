"""The form that makes a study from a run: what it writes is the file of the command line, seen while one types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.access import may_change, require_change, why_not
from dashboard.address import say
from dashboard.catalogue import Run
from dashboard.choosing import chosen_run, kept_choice
from dashboard.studies import listing
from dashboard.studies.draft import (
    Draft,
    about,
    kept_draft,
    name_for,
    run_from,
    suggested,
    validated,
)
from dashboard.studies.facts import facts
from dashboard.studies.folders import folders, studies_folder, write_study
from dashboard.studies.preparing import checked, cost_rows
from dashboard.trouble import told
from dashboard.wording import plain
from recon.errors import MesofaceError
from study.contract import PHOTOGRAPH
from study.costs import CURRENCIES, Costs, advice_on_costs, estimate, objections_to_costs
from study.designs import DESIGNS
from study.ready_files import changed, ready, ready_files
from study.specification import Specification
from study.suggestions import minutes_in
from study.wording import SCALES

_TITLES = {
    "split_face": "Half photograph, half rendering: real or fake?",
    "single_image": "One face alone: real or fake?",
    "ranking": "Sort renderings by realism",
    "pairwise": "Two pictures: which looks more real?",
    "avatar_scales": "Scores on scales: realism, trust …",
}
_PROVIDERS = {"local": "raters of your own", "prolific": "Prolific", "mturk": "Mechanical Turk"}


def new_study() -> None:
    """Draw the form, and beside it what it would write."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("All studies", icon=":material/arrow_back:", key="all studies"):
            say(view="", example="", run="")
            st.rerun()
        st.subheader("New study", anchor=False)
    if not may_change():
        st.info(plain(why_not()), icon=":material/lock:")
        return
    with st.container(horizontal=True):
        run = chosen_run()
        if run is None:
            return
        examples = list(ready_files())
        example = kept_choice(
            "example", examples, "pairwise", "Design", lambda name: _TITLES.get(name, name), width=380
        )
    st.caption(plain(about(example)))
    left, right = st.columns([3, 2], gap="large")
    with left:
        draft = _fields(run, example)
    with right, told("the study file"):
        _outcome(run, draft)


def _fields(run: Run, example: str) -> Draft:
    """The fields of the form; widgets of another run or example are other widgets."""
    fitting, key = suggested(run, example), f"{run.name} {example}"
    base = changed(ready(example), fitting.changes)
    if fitting.said:
        said = "\n".join(f"- {plain(sentence)}" for sentence in fitting.said)
        st.info(f"The ready study was made to fit this run:\n{said}", icon=":material/fit_width:")
    sizes = ("stimuli.width", "stimuli.height")
    changes: dict[str, Any] = {name: fitting.changes[name] for name in sizes if name in fitting.changes}
    one, two = st.columns(2)
    changes["name"] = one.text_input(
        "Name", name_for(run, example, {*folders()}), key=f"name {key}", help="What commands call it: a-z, 0-9, -."
    ).strip()
    changes["title"] = two.text_input("Title", base["title"], key=f"title {key}", help="What raters see first.").strip()
    changes |= _shown(run, base, key)
    if fitting.needs_leave and not changes["stimuli.allow_restricted"]:
        st.warning("Without this leave no picture of this run can be shown.", icon=":material/lock:")
    changes |= _trials(base, key)
    changes |= _payment(base, key)
    changes |= _words(base, key)
    changes["stimuli.runs"] = [run_from(studies_folder() / (changes["name"] or "study"), run)]
    return Draft(example, changes)


def _shown(run: Run, base: dict[str, Any], key: str) -> dict[str, Any]:
    people, training = base["stimuli"]["people"], base["stimuli"].get("training_subjects") or []
    options = [*run.methods, PHOTOGRAPH]
    conditions = st.multiselect(
        "Conditions", options, base["conditions"], key=f"conditions {key}",
        help=f"Methods that compete, and '{PHOTOGRAPH}' where real faces do.",
    )  # fmt: skip
    one, two, three = st.columns(3)
    wanted = base["stimuli"].get("protocol", "identity")
    index = run.protocols.index(wanted) if wanted in run.protocols else 0
    changes: dict[str, Any] = {"conditions": conditions}
    changes["stimuli.protocol"] = one.selectbox("Protocol", run.protocols, index, key=f"protocol {key}")
    changes["stimuli.people"] = two.number_input(
        "People", 1, max(1, len(run.subjects)), people, key=f"people {key}", help="Shown in main trials, drawn by lot."
    )
    kept = three.multiselect(
        "For training", run.subjects, training, key=f"training people {key}", help="Shown in training trials alone."
    )
    changes["stimuli.training_subjects"] = kept or None
    if base["design"] in ("acr", "dsis"):
        scales = st.multiselect("Scales", list(SCALES), [one["name"] for one in base["scales"]], key=f"scales {key}")
        changes["scales"] = [{"name": name} for name in scales]
    restricted = st.checkbox(
        "Show people whose licence forbids passing pictures on (raters in your own laboratory)", key=f"restricted {key}"
    )
    changes["stimuli.allow_restricted"] = restricted or None
    return changes


def _trials(base: dict[str, Any], key: str) -> dict[str, Any]:
    given = base["trials"]
    columns = st.columns(5)
    fields = (
        ("raters", "Raters", base["raters"], 1, 100_000, "People who answer."),
        ("trials.main", "Trials", given["main"], 1, 1000, "Of one rater, that are analysed."),
        ("trials.gold", "Gold", given.get("gold", 0), 0, 50, "With a known answer: spoilt copies."),
        ("trials.attention", "Attention", given.get("attention", 0), 0, 20, "Whose question says what to answer."),
        ("trials.training", "Training", given.get("training", 0), 0, 50, "Before the others, with feedback."),
    )
    return {
        name: column.number_input(label, least, most, int(value), key=f"{name} {key}", help=help_)
        for column, (name, label, value, least, most, help_) in zip(columns, fields, strict=True)
    }


def _payment(base: dict[str, Any], key: str) -> dict[str, Any]:
    given = base["payment"]
    one, two, three, four = st.columns(4)
    provider = one.selectbox(
        "Raters come from", list(_PROVIDERS), format_func=_PROVIDERS.__getitem__, key=f"provider {key}"
    )
    currencies = CURRENCIES.get(provider, ("USD", "EUR", "GBP"))
    currency = two.selectbox("Currency", currencies, key=f"currency {provider} {key}")
    reward = three.number_input(
        "Reward, in cents", 0, None, int(given["reward"]), 10, key=f"reward {key}",
        help="To each rater; 0 where nobody is paid.",
    )  # fmt: skip
    cap = four.number_input(
        "Cap, in cents", 0, None, int(given["cap"]), 500, key=f"cap {key}",
        help="Nothing that costs is done beyond this total, fees included.",
    )  # fmt: skip
    changes = {"payment.provider": provider, "payment.currency": currency, "payment.reward": reward, "payment.cap": cap}
    return {**changes, "payment.account": "academic" if provider == "prolific" else None}


def _words(base: dict[str, Any], key: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    one, two, three = st.columns([2, 1, 1])
    contact = one.text_input("Whom raters may ask", key=f"contact {key}", placeholder="name@example.org")
    version = two.text_input(
        "Version of the consent", str(base["consent"]["version"]), key=f"version {key}", help="Change it with the text."
    )
    changes["seed"] = three.number_input("Seed", 0, 2**31 - 1, int(base.get("seed", 1)), key=f"seed {key}")
    consent = st.text_area("Consent", base["consent"]["text"].strip(), key=f"consent {key}", height=150)
    instructions = st.text_area(
        "Instructions", base["wording"]["instructions"].strip(), key=f"instructions {key}", height=90
    )
    changes["wording.contact"] = contact.strip() or None
    changes["consent.version"] = version.strip()
    changes["consent.text"] = consent.strip() + "\n"
    changes["wording.instructions"] = instructions.strip() + "\n"
    return changes


def _outcome(run: Run, draft: Draft) -> None:
    """What the form would write: wrong or right, its cost, the file; and the button that writes it."""
    name = draft.changes["name"]
    file, text = studies_folder() / (name or "study") / "study.yaml", draft.text()
    specification = _validated(text, file)
    if specification is not None:
        costs = estimate(specification)
        for objection in objections_to_costs(specification, costs):
            st.error(plain(objection), icon=":material/block:")
        for note in (*advice_on_costs(specification, costs), *_about_consent(specification, costs)):
            st.info(plain(note), icon=":material/info:")
        facts({"Design": DESIGNS.get(specification.design).title, **cost_rows(costs)})
        with told("the check"):
            checked(kept_draft(text, run), of_form=True)
    with st.expander("study.yaml", expanded=specification is None):
        st.code(text, language="yaml", height=360)
    if st.button("Save the study", type="primary", disabled=specification is None, icon=":material/save:", key="write"):
        with told("the new study"):
            require_change()
            write_study(name, text)
            listing.look_again()
            say(view="", example="", run="", study=name)
            st.rerun()
    st.caption(f"Saving launches nothing. The file: {plain(str(file))}")


def _validated(text: str, file: Path) -> Specification | None:
    try:
        return validated(text, file)
    except MesofaceError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _about_consent(asked: Specification, costs: Costs) -> list[str]:
    """Whether what raters are told is so."""
    notes = []
    said, minutes = minutes_in(asked.consent.text), max(1, round(costs.minutes))
    if said is not None and abs(said - costs.minutes) > max(1.5, 0.35 * costs.minutes):
        notes.append(
            f"The consent tells raters that it takes about {said} minutes; with {costs.trials} trials it is about "
            f"{minutes}: change the text."
        )
    if (asked.payment.provider == "local") == ("marketplace" in asked.consent.text):
        notes.append(
            "The consent speaks of a marketplace, and raters of your own come through none: change the text."
            if asked.payment.provider == "local"
            else "The id that the marketplace gives a rater is kept until it is paid: say so in the consent."
        )
    return notes
