"""What went wrong in a run: failures with their reasons and people, methods that do not apply, doubtful fits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.address import link
from dashboard.catalogue import Run
from dashboard.run_records.state import FRESH_SECONDS, Trouble, state_of
from dashboard.wording import plain
from recon.runs.folder import ResultKey, complete_record

_MOST_KEYS = 12


@dataclass(frozen=True)
class DoubtfulFit:
    """A fit that did not pass: of whom, under which protocol, and why."""

    subject: str
    protocol: str
    verdict: str
    reasons: str
    landmark_error: float


def problems(run: Run) -> None:
    """Draw all of them, or say that there are none."""
    state = state_of(run)
    again = f"Run the same 'mesoface run' again with --out {run.title}: it continues and tries what failed once more."
    if state.missing:
        st.warning(plain(f"{state.missing} of {state.expected} results were not made yet. {again}"))
    _listed("Failed", state.failed, again)
    _listed("Set aside, because the method does not apply", state.aside, "")
    fits = doubtful_fits(run)
    if fits:
        st.markdown(f"**Doubtful fits ({len(fits)})**")
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        "person": fit.subject,
                        "protocol": fit.protocol,
                        "verdict": {"doubt": "doubtful", "fail": "poor"}.get(fit.verdict, fit.verdict),
                        "why": fit.reasons,
                        "landmark error, px": fit.landmark_error,
                        "look": link("compare", {"run": run.name, "protocol": fit.protocol, "subject": fit.subject}),
                    }
                    for fit in fits
                ]
            ),
            hide_index=True,
            column_config={
                "look": st.column_config.LinkColumn("pictures", display_text="side by side"),
                "landmark error, px": st.column_config.NumberColumn(format="%.1f"),
                "why": st.column_config.TextColumn(width="large"),
            },
        )
    if not (state.missing or state.failed or state.aside or fits):
        st.success(f"All {state.done} results are there, and every fit passed.")


def _listed(title: str, troubles: tuple[Trouble, ...], mend: str) -> None:
    if not troubles:
        return
    st.markdown(f"**{title} ({len(troubles)})**")
    by_reason: dict[str, list[ResultKey]] = {}
    for one in troubles:
        by_reason.setdefault(one.reason, []).append(one.key)
    for reason, keys in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        named = ", ".join(str(key) for key in keys[:_MOST_KEYS]) + (" …" if len(keys) > _MOST_KEYS else "")
        st.markdown(f"- {plain(reason)}  \n  {len(keys)}: {plain(named)}")
    if mend:
        st.caption(plain(mend))


def doubtful_fits(run: Run) -> list[DoubtfulFit]:
    """Fits that did not pass, each person and protocol once."""
    return _doubtful(str(run.folder.path), run.stamp, run)


# While a run goes on, nothing of its stamp changes.
@st.cache_resource(
    max_entries=32,
    ttl=FRESH_SECONDS,
    refresh_mode="background",
    show_spinner="Reading how well the photographs were fitted …",
)
def _doubtful(name: str, stamp: tuple[int, ...], _run: Run) -> list[DoubtfulFit]:
    found = []
    for protocol in _run.protocols:
        for subject in _run.subjects:
            fit = _fit(_run, protocol, subject)
            if fit.get("verdict", "pass") != "pass":
                said, error = fit.get("reasons"), fit.get("landmark_error")
                reasons = "; ".join(map(str, said)) if isinstance(said, list) and said else "no reason was kept"
                error = float(error) if isinstance(error, int | float) else math.nan
                found.append(DoubtfulFit(subject, protocol, str(fit["verdict"]), reasons, error))
    return found


def _fit(run: Run, protocol: str, subject: str) -> dict[str, object]:
    """What the first result of a person says of the fit, which all methods share."""
    for method in run.methods:
        record = complete_record(run.folder.result(ResultKey(method, protocol, subject)) / "result.json")
        fit = record.get("fit") if record else None
        if isinstance(fit, dict):
            return fit
    return {}
