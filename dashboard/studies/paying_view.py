"""Paying the raters of a study: what is due, asked for once more with the amount, then done in the background."""

from __future__ import annotations

import streamlit as st
from sqlalchemy import Engine

from dashboard import background
from dashboard.access import may_change, require_change, why_not
from dashboard.studies import listing
from dashboard.studies.facts import facts
from dashboard.studies.listing import Listed
from dashboard.trouble import told
from dashboard.wording import plain
from recon.errors import UsageError
from recon.progress import Progress
from study.costs import money
from study.progress import posted_live
from study.providers import PROVIDERS, ProviderSettings
from study.rewards import Dues, Settled, dues, settle


def amount_due(due: Dues) -> str:
    """What the raters who are to be paid now get, without fees."""
    return money(len(due.approve) * due.reward_cents, due.currency)


def paying(engine: Engine, one: Listed) -> None:
    """Draw what is due in the study ``one``."""
    due = dues(engine, one.name)
    st.markdown("##### Payment")
    rows = {
        "To pay": f"{len(due.approve)} raters, {amount_due(due)}",
        "To reject": str(len(due.reject)),
        "Paid": f"{len(due.paid)} raters, {money(len(due.paid) * due.reward_cents, due.currency)}",
        "Not decided": str(len(due.undecided)),
    }
    if due.gone:
        rows["Returned meanwhile"] = f"{len(due.gone)}: only a bonus could pay them"
    facts(rows)
    if one.status is not None and one.status.budget.unsettled:
        count = len(one.status.budget.unsettled)
        st.warning(
            f"Of {count} payments nobody knows whether they arrived: look at the marketplace, then "
            "`mesoface study settle`.", icon=":material/warning:",
        )  # fmt: skip
    _done(one.name)
    local = due.provider == "local"
    label = "Mark as paid …" if local else "Pay …"
    held = not may_change() or not (due.approve or due.reject)
    if st.button(label, icon=":material/payments:", disabled=held, help=why_not() or None, key="ask pay"):
        _ask(engine, one.name, due)
    if not local:
        _commands(one, live=posted_live(engine, one.name))


def _commands(one: Listed, *, live: bool) -> None:
    """What has no button here: dealings with one rater of a marketplace, which need words or a look at its own page."""
    folder = str(one.folder.path) if one.folder is not None else "STUDY"
    end = " --live" if live else ""
    lines = (
        ("How the raters stand there; free the places of those who left:", f"follow {folder}{end}"),
        ("Ask one to return the work, neither paid nor rejected:", f'ask-return {folder} SESSION --reason "…"{end}'),
        ("Pay one a bonus, within the cap:", f'bonus {folder} SESSION CENTS --reason "…"{end}'),
        ("Of a payment that may not have arrived, say whether it did:", "settle TOKEN --paid"),
    )
    with st.expander("On the command line: follow, ask to return, bonus, settle"):
        for what, command in lines:
            st.caption(what)
            st.code(f"mesoface study {command}", language=None)


def _done(name: str) -> None:
    work = background.known(("pay", name))
    if work is None or not background.settled(work):
        return
    done: Settled = work.result
    st.success(f"{len(done.approved)} paid, {len(done.rejected)} rejected.", icon=":material/check:")
    for session, reason in sorted(done.failed.items()):
        st.error(plain(f"session {session}: {reason}"), icon=":material/error:")
    if done.stopped:
        st.warning(plain(done.stopped), icon=":material/warning:")


@st.dialog("Pay raters", width="medium")
def _ask(engine: Engine, name: str, due: Dues) -> None:
    amount = amount_due(due)
    live = posted_live(engine, name)
    if due.provider == "local":
        st.markdown(
            f"**{len(due.approve)}** raters of **{plain(name)}** get **{amount}** in all, from hand to hand: here they "
            f"are only marked as paid. Marked as rejected: {len(due.reject)}."
        )
    else:
        kind = "real money" if live else "play money of the sandbox"
        st.markdown(
            f"This pays **{len(due.approve)}** raters of **{plain(name)}** on {plain(due.provider)} **{amount}** of "
            f"{kind}, and rejects **{len(due.reject)}**. It cannot be taken back."
        )
    for one in due.reject:
        st.caption(plain(f"reject session {one.session}: {'; '.join(one.decision.reasons)}"))
    typed = st.text_input("Type the amount to confirm", placeholder=amount, key="typed amount")
    ready = " ".join(typed.split()) == amount and may_change()
    if st.button(
        "Mark as paid" if due.provider == "local" else "Pay", type="primary", disabled=not ready, key="pay now"
    ):
        with told("the payment"):
            require_change()
            _start(engine, due, live)
            st.rerun()


def require_same(confirmed: Dues, now: Dues) -> None:
    """Nothing where all that would be done ``now`` was ``confirmed``; what was done elsewhere meanwhile may be gone.

    Raises:
        UsageError: somebody else would be paid or rejected, too.
    """
    for kind in ("approve", "reject"):
        then, today = ({one.session for one in getattr(each, kind)} for each in (confirmed, now))
        if today - then or now.reward_cents != confirmed.reward_cents:
            raise UsageError(
                f"what is due in '{now.study}' changed after it was confirmed, so nothing was paid: look at it again, "
                "then confirm it anew."
            )


def _start(engine: Engine, due: Dues, live: bool) -> None:
    name = due.study

    def work(progress: Progress) -> Settled:
        try:
            require_same(due, dues(engine, name))
            opened = PROVIDERS.get(due.provider)(ProviderSettings(live=live, engine=engine))
            return settle(engine, opened, name, progress)
        finally:
            listing.look_again()

    background.forget(("pay", name))
    background.start(("pay", name), "Paying raters", work)
