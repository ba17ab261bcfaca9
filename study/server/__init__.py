"""The pages that raters see: consent, screen check, training, trials, debrief; and the little API behind them.

One application serves one study. The page is one static document; everything that is a rater's own comes through the
API, under a signed token that travels in the request (marketplaces embed the page in frames, where cookies are lost).
What a rater was shown and said goes to ``study.database``; pictures come from the study folder, by sha256 alone.
"""
