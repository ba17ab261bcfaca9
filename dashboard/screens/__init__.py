"""What the pages show: one module each, with ``show()``.

Not called ``pages``: Streamlit takes a folder of that name beside the script for its own.
"""
