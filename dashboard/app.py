"""The script that Streamlit runs for every visit: navigation, and the page that the address names."""

from __future__ import annotations

import streamlit as st

from dashboard.navigation import pages

st.set_page_config(page_title="mesoface", page_icon=":material/face:", layout="wide")
st.navigation(pages(), position="top").run()
