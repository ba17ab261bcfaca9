"""What the rules of quality look at, counted for all sessions at once.

=========  =========================================================================================================
frame      columns
=========  =========================================================================================================
sessions   session, rater (as shown), person (equal for the same one), state, started (a moment), signature (of the
           screen; empty where it is not known)
trials     session, index, part, answered, correct (1, 0, or NaN where nothing was expected), reaction_ms, and of the
           answer key, answers, place, places, straight, first_kind, judgements: see
           :class:`study.quality.readings.Reading`
=========  =========================================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

SESSIONS = ("session", "rater", "person", "state", "started", "signature")
TRIALS = (
    "session", "index", "part", "answered", "correct", "reaction_ms", "key", "answers", "place", "places", "straight",
    "first_kind", "judgements",
)  # fmt: skip
COUNTS = (
    "trials", "answered", "main", "gold", "gold_right", "attention", "attention_wrong", "fast", "same", "answers",
    "at_place", "places", "straight", "otherwise", "before",
)  # fmt: skip


def measured(sessions: pd.DataFrame, trials: pd.DataFrame, fast_ms: int, further_ms: int = 0) -> pd.DataFrame:
    """A row for each session in the order of their numbers, with what the rules look at.

    Args:
        sessions, trials: see the module; the order of rows does not matter.
        fast_ms: main trials that were answered faster are counted as fast, ``further_ms`` later for each further
            judgement that their answer is made of.

    Returns:
        The columns of ``sessions``, and: trials, answered, gold, gold_right, attention, attention_wrong; of main trials
        main (how many were answered), median_ms, fast, asked_ms (the median of the times below which a trial is fast),
        and how many had the commonest answer (same; gold trials with another right answer are otherwise), the same
        score on all scales (straight), and the commonest place (at_place, of which place) with the probabilities of
        that by chance (same_chance, straight_chance, place_chance); median times of the first and the last third
        (first_ms, last_ms); shares of answers of the first kind in both halves (early_kind, late_kind) with
        drift_chance; the earliest other session of the same person that has answers (before, 0 for none), and the
        numbers of all sessions with the same screen, its own among them (alike, a list). Counts are 0, other values
        NaN where there is nothing.
    """
    import pandas as pd

    given = trials[trials["answered"].astype(bool)].sort_values(["session", "index"], ignore_index=True)
    main = given[given["part"] == "main"]
    parts: list[pd.DataFrame] = [
        sessions.set_index("session", drop=False).rename_axis(None).sort_index(),
        trials.groupby("session").size().to_frame("trials"),
        given.groupby("session").size().to_frame("answered"),
        _known(given),
        _pace(main, fast_ms, further_ms),
        _spread(main),
        _otherwise(given),
        _drift(main),
    ]
    table = pd.concat([part.reindex(parts[0].index) for part in parts], axis=1)
    table["before"] = _before(table)
    table["alike"] = _alike(table)
    table[list(COUNTS)] = table[list(COUNTS)].astype(float).fillna(0).astype(int)
    return table


def _known(given: pd.DataFrame) -> pd.DataFrame:
    """Gold and attention trials, and how they were answered."""
    import pandas as pd

    judged = given.dropna(subset=["correct"])
    gold = judged[judged["part"] == "gold"].groupby("session")["correct"].agg(["size", "sum"])
    attention = judged[judged["part"] == "attention"].groupby("session")["correct"].agg(["size", "sum"])
    return pd.concat(
        [gold["size"].rename("gold"), gold["sum"].rename("gold_right"), attention["size"].rename("attention"),
         (attention["size"] - attention["sum"]).rename("attention_wrong")], axis=1,
    )  # fmt: skip


def _pace(main: pd.DataFrame, fast_ms: int, further_ms: int) -> pd.DataFrame:
    """Times of main trials: over all, and of the first and the last third."""
    import pandas as pd

    by_session = main.groupby("session")
    count, place = by_session["index"].transform("size"), by_session.cumcount()
    times = main["reaction_ms"].astype(float)
    asked = fast_ms + further_ms * (main["judgements"].astype(float) - 1).clip(lower=0)
    return pd.concat(
        [
            by_session.size().rename("main"),
            times.groupby(main["session"]).median().rename("median_ms"),
            (times < asked).groupby(main["session"]).sum().rename("fast"),
            asked.groupby(main["session"]).median().rename("asked_ms"),
            times[place < count // 3].groupby(main["session"]).median().rename("first_ms"),
            times[place >= count - count // 3].groupby(main["session"]).median().rename("last_ms"),
        ],
        axis=1,
    )


def _spread(main: pd.DataFrame) -> pd.DataFrame:
    """How often the commonest answer and the commonest place were given, and whether that could be chance."""
    import pandas as pd

    by_session = main.groupby("session")
    table = pd.DataFrame(
        {
            "count": by_session.size(),
            "same": main.groupby(["session", "key"]).size().groupby(level="session").max(),
            "answers": by_session["answers"].min(),
            "straight": main["straight"].astype(bool).groupby(main["session"]).sum(),
            "places": by_session["places"].min(),
        }
    )
    placed = main.dropna(subset=["place"]).groupby(["session", "place"]).size().rename("at_place").reset_index()
    commonest = placed.sort_values(["at_place", "place"], ascending=[False, True]).drop_duplicates("session")
    table = table.join(commonest.set_index("session"))
    count = table.pop("count")
    table["same_chance"] = _chance(table["same"], count, table["answers"])
    table["straight_chance"] = _chance(table["straight"], count, table["answers"])
    table["place_chance"] = _chance(table["at_place"], count, table["places"])
    return table


def _otherwise(given: pd.DataFrame) -> pd.DataFrame:
    """How many gold trials were answered right, and otherwise than the commonest answer of main trials."""
    counts = given[given["part"] == "main"].groupby(["session", "key"]).size().rename("count").reset_index()
    commonest = counts.sort_values("count", kind="stable").drop_duplicates("session", keep="last")
    usual = given["session"].map(commonest.set_index("session")["key"])
    told = (given["part"] == "gold") & (given["correct"] == 1) & usual.notna() & (given["key"] != usual)
    return told.groupby(given["session"]).sum().to_frame("otherwise")


def _chance(most: pd.Series, count: pd.Series, kinds: pd.Series) -> NDArray[np.float64]:
    """``a · P(X ≥ m)``, ``X ~ Binomial(n, 1/a)``, at most 1 ``(S,)`` float64; NaN where there are no kinds."""
    from scipy.stats import binom  # here: half a second that who only looks at a study should not wait

    m, n, a = (values.to_numpy(dtype=np.float64) for values in (most, count, kinds))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: NDArray[np.float64] = np.minimum(a * binom.sf(m - 1, n, 1 / a), 1.0)
    return found


def _drift(main: pd.DataFrame) -> pd.DataFrame:
    """Shares of the first kind of answer in the halves of a session; twice Fisher's exact one-sided probability."""
    import pandas as pd
    from scipy.stats import hypergeom

    kinds = main.dropna(subset=["first_kind"])
    by_session = kinds.groupby("session")["first_kind"]
    count, place = by_session.transform("size"), by_session.cumcount()
    early = kinds[place < count // 2].groupby("session")["first_kind"].agg(["size", "sum"])
    table = pd.DataFrame({"count": by_session.size(), "kind": by_session.sum()})
    table = table.join(early.rename(columns={"size": "early", "sum": "early_sum"}))
    n, k, half, x = (table[name].to_numpy(dtype=np.float64) for name in ("count", "kind", "early", "early_sum"))
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.minimum(hypergeom.cdf(x, n, k, half), hypergeom.sf(x - 1, n, k, half))
        shares = {"early_kind": x / half, "late_kind": (k - x) / (n - half), "drift_chance": np.minimum(2 * tail, 1.0)}
    return pd.DataFrame(shares, index=table.index)


def _before(table: pd.DataFrame) -> pd.Series:
    """The earliest session with answers of the same person, where that is another and began earlier."""
    answered = table[table["answered"] > 0].sort_values(["started", "session"])
    first = answered.drop_duplicates("person").set_index("person")["session"]
    earliest = table["person"].map(first)
    later = earliest.notna() & (earliest != table["session"]) & (table["answered"] > 0)
    return earliest.where(later)


def _alike(table: pd.DataFrame) -> pd.Series:
    """The sessions with the same screen, where that is known."""
    import pandas as pd

    groups = table["session"].groupby(table["signature"]).agg(list).to_dict()
    shared = [groups[signature] if signature else [] for signature in table["signature"]]
    return pd.Series(shared, index=table.index, dtype=object)
