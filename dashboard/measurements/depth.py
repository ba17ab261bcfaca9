"""One metric in depth: its spread over people, every pair of methods, and two methods person by person."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard.charts import distributions, intervals, people
from dashboard.charts.drawing import Chart, kept
from dashboard.charts.look import Look, draw
from dashboard.measurements.chosen import Chosen, chosen_pair
from dashboard.measurements.opening import open_people
from dashboard.values import comparison_of
from dashboard.wording import plain
from metrics.comparison import Comparison, Contrast, Place, Standing
from metrics.report.layout import as_pair, by_pair, decimals, heading, shown, shown_interval, shown_p

_MANY_PAIRS = 10


def depth(chosen: Chosen, place: Place, look: Look) -> Comparison:
    """Draw all of ``place``; what was concluded on it, pairs included."""
    comparison = comparison_of(chosen.run, chosen.of(place))
    standings = [one for one in comparison.standings if one.place == place]
    contrasts = [one for one in comparison.contrasts if one.place == place]
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Spread over people**")
        chart = kept(chosen.key(place, look, "spread"), lambda: distributions.distributions(standings, look))
        if chart is None:
            st.caption("This is a number of all people together: it has no spread.")
        else:
            clicked = draw(chart, _spread_in_words(standings), f"spread {place}", select=distributions.CLICK)
            st.caption(
                "Box: quartiles and median; whiskers: 1.5 × their distance. Click a dot to see the person side by side."
            )
            if clicked:
                partner = next((one.method for one in standings if one.method != clicked["method"]), "")
                open_people(chosen, place, str(clicked["subject"]), (str(clicked["method"]), partner))
    with right:
        st.markdown("**Every pair of methods**")
        chart = kept(chosen.key(place, look, "pairs"), lambda: _forest(contrasts, look))
        if chart is None:
            st.caption("No two methods have values of the same people.")
        else:
            draw(chart, "; ".join(map(_in_words, contrasts)), f"pairs {place}")
            st.caption(
                "Mean paired difference with its 95 % BCa bootstrap interval, in the better method's colour; grey is a "
                "tie. p by sign-flip permutation, after Holm's correction over all pairs."
            )
    # Many pairs make a long column: what stands under it would leave the other half of the page empty.
    with left if len(contrasts) > _MANY_PAIRS else st.container():
        _pair(chosen, place, standings, contrasts, look)
    # A filter by name may have let a neighbour in, such as the same metric against the truth.
    return replace(comparison, standings=tuple(standings), contrasts=tuple(contrasts))


def _forest(contrasts: list[Contrast], look: Look) -> Chart | None:
    if not contrasts:
        return None
    rows = [intervals.row_of_contrast(one) for one in contrasts]
    return intervals.forest(rows, look, intervals.difference_axis(contrasts[0]), zero=True)


def _pair(chosen: Chosen, place: Place, standings: list[Standing], contrasts: list[Contrast], look: Look) -> None:
    by_method = {one.method: one for one in standings if one.values}
    st.markdown("**Two methods, person by person**")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        pair = chosen_pair(tuple(by_method))
    if pair is None:
        st.caption("This needs two methods with values.")
        return
    contrast = by_pair(contrasts).get((place, frozenset(pair)))
    if contrast is None:
        st.caption(f"{pair[0]} and {pair[1]} have no values of the same people.")
        return
    turned = as_pair(contrast, pair[0])
    st.markdown(_verdict(turned))
    chart = kept(
        chosen.key(place, look, "people", *pair),
        lambda: people.differences(by_method[pair[0]], by_method[pair[1]], turned, look),
    )
    clicked = draw(chart, _in_words(turned), f"people {place} {pair}", select=people.CLICK)
    st.caption("A dot is a person; the band is the mean with its interval. Click a dot to see the person side by side.")
    if clicked:
        open_people(chosen, place, str(clicked["subject"]), pair)


def _verdict(contrast: Contrast) -> str:
    digits = decimals([contrast.difference.value])
    said = f"{shown(contrast.difference.value, digits)} {shown_interval(contrast.difference, digits)}".strip()
    verdict = f"{plain(contrast.better)} is better beyond chance" if contrast.better else "A tie: nothing beyond chance"
    what = plain(f"{contrast.first} − {contrast.second}: {said}")
    return (
        f"**{verdict}** — {what}; p {_equals(shown_p(contrast.adjusted))} "
        f"(Holm), effect {shown(contrast.effect, 2)}, n = {contrast.difference.n}."
    )


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"


def _in_words(contrast: Contrast) -> str:
    digits = decimals([contrast.difference.value])
    return (
        f"{contrast.first} minus {contrast.second}: {shown(contrast.difference.value, digits)} "
        f"{shown_interval(contrast.difference, digits)}, {f'{contrast.better} better' if contrast.better else 'a tie'}"
    )


def _spread_in_words(standings: list[Standing]) -> str:
    digits = decimals([one.mean.value for one in standings])
    said = (
        f"{one.method} {shown(one.median, digits)} ({shown(one.q25, digits)} to {shown(one.q75, digits)})"
        for one in standings
        if one.values
    )
    return f"{heading(standings[0].place)}, median and quartiles: {'; '.join(said)}"
