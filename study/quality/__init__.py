"""Whose answers are used, and who is paid: two questions, answered apart, each with reasons in plain words.

``readings`` says what one answer shows of how it was given, ``rules`` judges sessions by the study file's rules (pure
functions on two small frames), ``records`` reads these frames from the database, and ``decisions`` keeps what was
decided: rows are only ever added, the latest one holds, and what a person decided no rule overrules.

A session is judged by its own answers alone. Nothing here compares a rater's opinion with that of others: people may
disagree, and are paid for it.
"""
