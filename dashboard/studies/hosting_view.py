"""The server of a study as its page shows it: whether it runs, start and stop, and links for raters."""

from __future__ import annotations

import csv
import io

import streamlit as st

from dashboard import background
from dashboard.access import may_change, require_change, why_not
from dashboard.studies import servers
from dashboard.studies.listing import Listed
from recon.errors import UsageError
from study.pseudonyms import secret_key
from study.server.arrivals import rater_link

_REACH = {servers.HERE: "on this machine", servers.ALL: "in this network"}
MOST_LINKS = 500


def hosting(one: Listed) -> None:
    """Draw the server of the study ``one``, and its links."""
    st.markdown("##### Server")
    running = servers.server_of(one.name)
    if running is not None:
        _running(one, running)
    else:
        _stopped(one)
    # A link is an entry ticket, signed with our key: only for who may let people in.
    if one.provider == "local" and may_change():
        _links(one, running.address if running is not None else "http://127.0.0.1:8000/")


def _running(one: Listed, running: servers.Server) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge("running", icon=":material/dns:", color="green")
        st.markdown(f"Raters open `{running.address}`")
        st.link_button("Open", running.address, icon=":material/open_in_new:")
        if st.button("Stop the server", disabled=not may_change(), help=why_not() or None, key="stop server"):
            require_change()
            with st.spinner("Requests that are under way are finished …"):
                servers.stop(one.name)
            background.forget(("serve", one.name))
            st.rerun()
    st.caption(
        "A browser is one rater: for another on the same machine take a private window, or links by name. The server "
        "ends with the dashboard; for people elsewhere serve the study by the command line, behind https."
    )


def _stopped(one: Listed) -> None:
    folder = one.folder
    if folder is None or one.name != folder.name:
        st.caption("Not served from here: the study's folder is not among those that the dashboard knows.")
        return
    work = background.known(("serve", one.name))
    if work is not None and work.running:
        background.settled(work)
        return
    if work is not None and work.failure is not None:
        background.settled(work)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        reach = st.selectbox("Who can open it", list(_REACH), format_func=_REACH.__getitem__, key="reach", width=220)
        if st.button(
            "Start the server", type="primary", disabled=not may_change(), help=why_not() or None, key="serve"
        ):
            require_change()
            path, name = folder.path, one.name
            background.forget(("serve", name))
            background.start(("serve", name), "Starting the server", lambda _: servers.serve(name, path, reach))
            st.rerun()
    st.caption("Not served by this dashboard. On another machine, with the same --db:")
    st.code(f"mesoface study serve {folder.path}", language=None)


def _links(one: Listed, address: str) -> None:
    with st.expander("Links by name, for raters of your own"):
        st.caption("Who opens the same link again goes on where the session stood. Names are kept as pseudonyms.")
        given = st.text_area("Names, one a line", placeholder="P01\nP02", key="rater names", height=110)
        base = st.text_input("Address of the server", address, key=f"rater address {address}")
        names = list(dict.fromkeys(name.strip() for name in given.splitlines() if name.strip()))
        if not names:
            return
        found = links_for(one.name, base, names)
        st.dataframe({"rater": [name for name, _ in found], "link": [link for _, link in found]}, hide_index=True)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("rater", "link"), *found])
        st.download_button("Download as CSV", text.getvalue(), f"{one.name}-links.csv", "text/csv", key="links csv")


def links_for(study: str, address: str, names: list[str]) -> list[tuple[str, str]]:
    """Name and link of each rater, as ``mesoface study links`` prints them.

    Raises:
        UsageError: too many, a name that cannot be in a link, or no address.
    """
    if len(names) > MOST_LINKS:
        raise UsageError(f"{len(names)} names are more than a page shows ({MOST_LINKS}): use 'mesoface study links'.")
    if not address.startswith(("http://", "https://")):
        raise UsageError(f"'{address}' is no address of a server: write http://HOST:PORT/ or https://HOST/.")
    for name in names:
        if not (name.isascii() and name.isprintable() and len(name) <= 100):
            raise UsageError(f"'{name}' cannot be in a link: take at most 100 plain letters, digits and signs.")
    key = secret_key()
    return [(name, rater_link(address, key, study, name)) for name in names]
