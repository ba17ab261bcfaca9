"""Parts of the page *Metrics*: filters, leaderboard, one metric in depth, groups, strengths, spectra, two runs."""
