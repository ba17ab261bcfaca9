"""The page *Agreement*: every automatic metric against what people said of the same results."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from dashboard import background
from dashboard.address import one_of, say
from dashboard.catalogue import Run
from dashboard.charts.look import draw, look_of
from dashboard.choosing import chosen_run, kept_choice
from dashboard.studies import listing
from dashboard.studies.agreement_data import Agreed, agreed, direction_of, in_words, means, points, table, used_by
from dashboard.studies.analysing import analysed
from dashboard.studies.folders import folder_of
from dashboard.studies.going import link_to
from dashboard.studies_database import is_to_be_made, studies_database
from dashboard.trouble import told
from dashboard.wording import plain
from study.analysis.metric_agreement import Agreements
from study.progress import marks_of, without_seen
from study.report.findings import SIMULATED
from study.report.trust import trust_in_words

_TURN = "metrics table"
_COLUMNS = {
    "metric": st.column_config.TextColumn("Metric, where", width=290),
    "SRCC": st.column_config.NumberColumn(format="%.2f", help="Spearman's rank correlation; positive is agreement."),
    "PLCC": st.column_config.NumberColumn(format="%.2f", help="Pearson's linear correlation."),
    "KRCC": st.column_config.NumberColumn(format="%.2f", help="Kendall's rank correlation."),
    "SRCC interval": st.column_config.TextColumn("95 %", help="Bootstrap over the people shown."),
    "PLCC interval": st.column_config.TextColumn("95 %"),
    "KRCC interval": st.column_config.TextColumn("95 %"),
    "p": st.column_config.NumberColumn("p against the first", format="%.3f", help="Williams' test of PLCC, Holm."),
    "results": st.column_config.NumberColumn("Results"),
    "people": st.column_config.NumberColumn("People shown"),
    "reason": st.column_config.TextColumn("Why not computed", width="medium"),
}


def show() -> None:
    """Draw the page."""
    st.title("Agreement", anchor=False)
    engine = studies_database()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        run = chosen_run()
        if run is None or (engine is None and not is_to_be_made()):
            return
        known = {} if engine is None else used_by(run, listing.listed(engine))
        if engine is None or not known:
            _nothing(run)
            return
        first = next((name for name, one in known.items() if one.raters == listing.PEOPLE), next(iter(known)))
        name = kept_choice("study", list(known), first, "Study", lambda one: known[one].label, width=380)
        rehearsed = known[name].raters == listing.MODELS
        every = st.toggle("All sessions that were handed in", rehearsed, key=f"all sessions {name}")
    if rehearsed:
        st.warning(SIMULATED, icon=":material/smart_toy:")
    with told("the agreement"):
        _study(engine, name, every)


def _nothing(run: Run) -> None:
    st.info(
        f"No launched study shows pictures of {plain(run.title)}, so there is nothing to set its metrics beside. Ask "
        "people which of its pictures look real.", icon=":material/scatter_plot:",
    )  # fmt: skip
    link_to("studies", "New study", ":material/add:", view="new", run=run.name)


def _study(engine: Engine, name: str, every: bool) -> None:
    folder = folder_of(name)
    assert folder is not None
    key = ("agreement", name, every, without_seen(marks_of(engine, name)), folder.measured)
    work = background.start(key, "Setting metrics beside people", lambda _: agreed(engine, name, folder.path, every))
    if analysed(work, name):
        _agreement(work.result, name)


def _agreement(found: Agreed, name: str) -> None:
    asked = list(found.found)
    st.markdown("##### Which metric to trust")
    for what in asked:
        st.markdown(f"- {plain(trust_in_words(what, found.found[what]))}")
    notes = [f"{found.raters} raters."]
    if found.within:
        notes.append("People compared pictures of one person, so each person's mean is taken away from both sides.")
    st.caption(" ".join(notes))
    what = kept_choice("asked", asked, asked[0], "What people said", width=300) if len(asked) > 1 else asked[0]
    left, right = st.columns([3, 2], gap="large")
    with left, told("the table"):
        metric = _metrics(found.found[what], name, what)
    with right, told("the scatter plot"):
        if metric:
            _scatter(found, what, metric)


def _metrics(found: Agreements, name: str, what: str) -> str:
    """The table of all metrics; the one that is looked at."""
    frame = table(found)
    chosen = one_of("metric", list(frame["metric"]), str(frame["metric"].iloc[0]) if len(frame) else "")
    st.markdown("##### Every metric against people")
    if not frame["reason"].any():
        frame = frame.drop(columns="reason")
    turn = st.session_state.setdefault(_TURN, 0)
    picked = st.dataframe(
        frame, hide_index=True, column_config=_COLUMNS, on_select="rerun", selection_mode="single-row",
        key=f"{_TURN} {turn} {name} {what}", height=460, placeholder="–",
    )  # fmt: skip
    rows = picked["selection"]["rows"]
    if rows:
        st.session_state[_TURN] = turn + 1
        say(metric=str(frame["metric"].iloc[rows[0]]))
        st.rerun()
    text = frame.to_csv(index=False)
    st.download_button("Download the table", text, f"{name}-agreement.csv", "text/csv", icon=":material/download:")
    return chosen


def _scatter(found: Agreed, what: str, metric: str) -> None:
    st.markdown(f"##### {plain(metric)}")
    st.caption(plain(in_words(found.found[what], metric)))
    results = points(found, what, metric)
    if results.empty:
        st.caption("There are no values to draw.")
        return
    conditions = sorted(results["condition"].unique())
    look = look_of(conditions)
    less = ", less the person's mean" if found.within else ""
    axes = (f"{direction_of(found, metric)}{less}", f"people: {what}{less}")
    legend = alt.Legend(title=None, orient="top")
    colour = alt.Color("condition:N", scale=look.colour(conditions), legend=legend)
    shape = alt.Shape("condition:N", scale=look.shape(conditions), legend=legend)
    chart = alt.layer(*_small(results, colour, shape, axes), *_large(means(results), colour, shape))
    draw(chart.properties(height=430), f"{what} against {metric}: {in_words(found.found[what], metric)}", "scatter")
    st.caption("Small: one method's result of one person. Large: a method's mean with 95 % intervals over people.")


def _small(results: pd.DataFrame, colour: alt.Color, shape: alt.Shape, axes: tuple[str, str]) -> list[alt.Chart]:
    free = alt.Scale(zero=False, nice=True)
    tips = ["condition:N", "subject:N", alt.Tooltip("value:Q", format=".4g"), alt.Tooltip("score:Q", format=".3g")]
    return [
        alt.Chart(results).mark_point(filled=True, opacity=0.4, size=35).encode(
            x=alt.X("value:Q", title=axes[0], scale=free), y=alt.Y("score:Q", title=axes[1], scale=free),
            color=colour, shape=shape, tooltip=tips,
        )
    ]  # fmt: skip


def _large(averages: pd.DataFrame, colour: alt.Color, shape: alt.Shape) -> list[alt.Chart]:
    base = alt.Chart(averages).encode(color=colour)
    numbers = [alt.Tooltip(f"{name}:Q", format=".3g") for name in averages.columns if name != "condition"]
    across = base.mark_rule(strokeWidth=2).encode(x="value low:Q", x2="value high:Q", y="score:Q")
    along = base.mark_rule(strokeWidth=2).encode(x="value:Q", y="score low:Q", y2="score high:Q")
    marks = base.mark_point(filled=True, size=170, opacity=1)
    return [across, along, marks.encode(x="value:Q", y="score:Q", shape=shape, tooltip=["condition:N", *numbers])]
