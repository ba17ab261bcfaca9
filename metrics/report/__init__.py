"""What a comparison says, for readers: tables in a terminal, Markdown, LaTeX, a page of HTML, and rows for programs.

All of them print a :class:`metrics.comparison.Comparison` and compute nothing of their own.
"""
