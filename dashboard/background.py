"""Long work beside the pages: started once, watched by everybody who looks, its result kept until what it read changes.

Two works run at a time, so that the pages stay quick on two cores. Work that changes something is asked for by a click
and keeps no result; work that reads is keyed by the state of what it reads.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import streamlit as st

from dashboard.trouble import sentence, tell
from dashboard.wording import plain
from recon.errors import InputError, ProviderError, StudyDatabaseError, UsageError
from recon.progress import Progress

T = TypeVar("T")
MOST_KEPT = 32
# A result that holds all answers of a study takes a hundred megabytes: of these the latest ones are kept.
_HEAVY, _MOST_HEAVY = "report", 3
_AT_ONCE = 2
_LOOK_EVERY = 0.7
_TRY_AGAIN = 10.0
_PASSING = (StudyDatabaseError, ProviderError)
# Work that ends this fast is waited for: a page that flickers is worse than one that takes a moment.
_PATIENCE = 0.25


@dataclass
class Work(Generic[T]):
    """Something that is being done.

    Attributes:
        title: what is being done, for people.
        done, total: how far it is; total None where that is not known.
        failure: why it failed.
        begun, ended: when, of the monotonic clock.
    """

    title: str
    done: int = 0
    total: int | None = None
    failure: Exception | None = None
    begun: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    _result: list[T] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return not self._ended.is_set()

    @property
    def result(self) -> T:
        """What came of it; only when it ended without a failure."""
        return self._result[0]

    @property
    def is_worth_another_try(self) -> bool:
        """Whether it failed for a reason that may have passed since, as a database that did not answer; what is wrong
        with the input stays wrong until the key changes."""
        if self.failure is None or self.running or time.monotonic() - self.ended <= _TRY_AGAIN:
            return False
        return isinstance(self.failure, _PASSING) or not isinstance(self.failure, InputError | UsageError)

    def tell(self, done: int, total: int | None) -> None:
        """Takes the progress that the work reports."""
        self.done, self.total = done, total


_works: OrderedDict[Hashable, Work[Any]] = OrderedDict()
_lock = threading.Lock()
_places = threading.BoundedSemaphore(_AT_ONCE)


def start(key: Hashable, title: str, work: Callable[[Progress], T]) -> Work[T]:
    """The work of ``key``, started by the first who asks."""
    with _lock:
        known = _works.get(key)
        if known is None or known.is_worth_another_try:
            known = _works[key] = Work(title)
            # Ctrl-C does not wait for it: whatever is done here may be killed at any point and done again.
            threading.Thread(target=_do, args=(known, work), name="dashboard-work", daemon=True).start()
            _forget_old()
        _works.move_to_end(key)
    known._ended.wait(_PATIENCE)
    return known


def known(key: Hashable) -> Work[Any] | None:
    """The work of ``key``, where somebody started it."""
    return _works.get(key)


def forget(key: Hashable) -> None:
    """Let the next who asks start it anew; work that runs is left to run."""
    with _lock:
        found = _works.get(key)
        if found is not None and not found.running:
            del _works[key]


def _forget_old() -> None:
    ended = [key for key, work in _works.items() if not work.running]
    heavy = [key for key in ended if isinstance(key, tuple) and key[0] == _HEAVY]
    for key in {*ended[: max(0, len(_works) - MOST_KEPT)], *heavy[: max(0, len(heavy) - _MOST_HEAVY)]}:
        del _works[key]


def _do(work: Work[T], what: Callable[[Progress], T]) -> None:
    try:
        with _places:
            work._result.append(what(work.tell))
    except Exception as error:  # told in the page of whoever asked
        work.failure = error
    finally:
        work.ended = time.monotonic()
        work._ended.set()


def settled(work: Work[T], *, may_wait: bool = False) -> bool:
    """Whether ``work`` ended well; else the page shows its progress until its end, or why it failed.

    Args:
        may_wait: bad input is no fault here, for example because answers are still to come.
    """
    if work.running:
        _watch(work)
        return False
    if may_wait and isinstance(work.failure, InputError):
        st.info(plain(sentence(work.failure)), icon=":material/hourglass_empty:")
        return False
    if work.failure is not None:
        tell(work.failure, work.title)
        return False
    return True


@st.fragment(run_every=_LOOK_EVERY)
def _watch(work: Work[Any]) -> None:
    if not work.running:
        st.rerun()
    seconds = f"{time.monotonic() - work.begun:.0f} s"
    if work.total:
        words = f"{work.title}: {work.done} of {work.total}, {seconds}"
        st.progress(min(work.done / work.total, 1.0), text=plain(words))
    else:
        st.markdown(f":material/hourglass_top: {plain(work.title)} … {seconds}")
