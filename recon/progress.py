"""Progress of long work, on the error stream: a bar where a person watches, now and then a plain line where none does.

Work reports through a plain callable, so that nothing below the command line knows of bars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich import progress as rich_progress

Progress = Callable[[int, int | None], None]
"""Called with what is done and the total, or None where the total is not known."""

# Seconds between two lines about the same work, where there is no terminal: a log, a batch queue.
LINE_EVERY = 10.0
# Work that took less says so with its first line alone.
_WORTH_A_LAST_LINE = 1.0

# The bars whose blocks are open, the innermost last.
_shown: list[rich_progress.Progress] = []
_quiet: ContextVar[bool] = ContextVar("mesoface_quiet", default=False)


def no_progress(_done: int, _total: int | None) -> None:
    """Says nothing."""


def be_quiet(quiet: bool = True) -> None:
    """Turns all progress bars and lines of this program off (``--quiet``) or on."""
    _quiet.set(quiet)


@contextmanager
def progress_bar(title: str, of_bytes: bool = False) -> Iterator[Progress]:
    """A bar called ``title`` for the time of the block, or lines; gives the callable that moves it.

    Args:
        title: what is being done, lower case.
        of_bytes: whether the amounts are bytes, shown with their rate.
    """
    import sys

    if _quiet.get():
        yield no_progress
        return
    if not sys.stderr.isatty():
        with _lines(title, of_bytes) as progress:
            yield progress
        return
    from rich import progress as rich_progress
    from rich.console import Console

    amount: list[rich_progress.ProgressColumn] = (
        [rich_progress.DownloadColumn(), rich_progress.TransferSpeedColumn()]
        if of_bytes
        else [rich_progress.MofNCompleteColumn()]
    )
    bar = rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        *amount,
        rich_progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(title, total=None)
    with _alone(bar):
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _alone(bar: rich_progress.Progress) -> Iterator[None]:
    """Shows ``bar`` for the time of the block, in place of the one around it: two would write over each other."""
    outer = _shown[-1] if _shown else None
    if outer is not None:
        outer.stop()
    _shown.append(bar)
    try:
        with bar:
            yield
    finally:
        _shown.pop()
        if outer is not None:
            outer.start()


@contextmanager
def _lines(title: str, of_bytes: bool) -> Iterator[Progress]:
    """A line when the work begins, one every :data:`LINE_EVERY` seconds that it moves, and one when it is done."""
    import sys
    import time

    started = said = time.monotonic()
    last: tuple[int, int | None] = (0, None)

    def say(text: str) -> None:
        sys.stderr.write(f"{title}{text}\n")
        sys.stderr.flush()

    def progress(done: int, total: int | None) -> None:
        nonlocal said, last
        last = (done, total)
        if time.monotonic() - said >= LINE_EVERY:
            said = time.monotonic()
            say(f": {_amount(done, total, of_bytes)}")

    say(" …")
    yield progress
    seconds = time.monotonic() - started
    if seconds >= _WORTH_A_LAST_LINE:
        amount = _amount(*last, of_bytes) + ", " if last[0] else ""
        say(f": {amount}done after {seconds:.0f} s")


def _amount(done: int, total: int | None, of_bytes: bool) -> str:
    numbers = [f"{number / 1e6:.1f}" if of_bytes else str(number) for number in (done, total) if number is not None]
    return " of ".join(numbers) + (" MB" if of_bytes else "")


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Progress of work in stages: one bar at a time, named after the stage."""
    with ExitStack() as stack:
        current: dict[str, Progress] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in current:
                stack.close()
                current.clear()
                current[stage] = stack.enter_context(progress_bar(stage))
            current[stage](done, total or None)

        yield progress
