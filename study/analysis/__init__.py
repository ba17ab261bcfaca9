"""From answers to conclusions: what people's choices, rankings, verdicts and scores say about the conditions.

One flat module each; every one is pure functions on arrays or small frames, and gives frozen dataclasses:

- ``bradley_terry``, ``thurstone``, ``plackett_luce``: abilities from pairwise choices and rankings (``scale``);
- ``signal_detection``, ``fooling``: from verdicts *real* or *fake*;
- ``opinion_scores``, ``subject_bias``: mean opinion scores, and the ITU-T P.910 model of biased, inconsistent raters;
- ``rater_agreement``: Krippendorff's alpha; ``proportions``: Wilson's interval, exact binomial tests;
- ``contrasts``: differences between conditions, rater by rater; ``metric_agreement``: automatic metrics against people;
- ``power``: what a planned study would detect; ``published``: results of others, to set beside ours.

``answers`` turns what is stored into the frames that ``frames`` describes. What varies from study to study is who
answered: intervals resample raters (of metrics: subjects), with all that belongs to one staying together.
"""
