"""Progress of long work, on the terminal's error stream: a bar where a person watches, nothing where none does.

Work reports through a plain callable, so that nothing below the command line knows of bars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[int, int | None], None]
"""Called with what is done and the total, or None where the total is not known."""

_quiet: ContextVar[bool] = ContextVar("mesoface_quiet", default=False)


def no_progress(_done: int, _total: int | None) -> None:
    """Says nothing."""


def be_quiet(quiet: bool = True) -> None:
    """Turns all progress bars of this program off (``--quiet``) or on."""
    _quiet.set(quiet)


@contextmanager
def progress_bar(title: str, of_bytes: bool = False) -> Iterator[Progress]:
    """A bar called ``title`` for the time of the block; gives the callable that moves it.

    Args:
        title: what is being done, lower case.
        of_bytes: whether the amounts are bytes, shown with their rate.
    """
    import sys

    if _quiet.get() or not sys.stderr.isatty():
        yield no_progress
        return
    from rich import progress as rich_progress
    from rich.console import Console

    amount: list[rich_progress.ProgressColumn] = (
        [rich_progress.DownloadColumn(), rich_progress.TransferSpeedColumn()]
        if of_bytes
        else [rich_progress.MofNCompleteColumn()]
    )
    with rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        *amount,
        rich_progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
