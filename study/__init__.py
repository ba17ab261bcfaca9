"""What people say: studies of realism and resemblance.

This room is for study designs (split-face real-or-fake, ranking, pairwise choice, opinion scores), their stimuli, the
database of answers, the web server and marketplaces through which raters answer, quality control, payment and
analysis. It may use ``metrics`` and ``recon``, and neither may use it.
"""
