"""Progress without a terminal: plain lines, not too many; none with --quiet."""

from __future__ import annotations

import io
import sys
import time

import pytest

from recon import progress as module
from recon.progress import be_quiet, progress_bar, stages


@pytest.fixture(autouse=True)
def loud() -> None:
    """Whatever an earlier test asked for."""
    be_quiet(False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until its only element is changed."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_long_work_says_now_and_then_how_far_it_is(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("counting sheep") as progress:
        for done in range(1, 31):  # one a second
            clock[0] += 1.0
            progress(done, 30)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "counting sheep …",
        "counting sheep: 10 of 30",
        "counting sheep: 20 of 30",
        "counting sheep: 30 of 30",
        "counting sheep: 30 of 30, done after 30 s",
    ]


def test_short_work_is_one_line_and_bytes_are_megabytes(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with stages() as progress:
        progress("looking", 0, 0)
        progress("fetching", 0, 2)
        progress("fetching", 1, 2)
        clock[0] += 2.4
    with progress_bar("loading", of_bytes=True) as load:
        clock[0] += module.LINE_EVERY
        load(2_500_000, 10_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "looking …",
        "fetching …",
        "fetching: 1 of 2, done after 2 s",
        "loading …",
        "loading: 2.5 of 10.0 MB",
        "loading: 2.5 of 10.0 MB, done after 10 s",
    ]


def test_work_that_fails_is_not_called_done(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with stages() as progress:
            progress("trying", 0, 3)
            clock[0] += 60.0
            raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        fail()
    assert capsys.readouterr().err == "trying …\n"


def test_a_bar_inside_another_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal two live bars would write over each other; the outer one comes back afterwards."""
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")

    def only(title: str) -> bool:
        """Whether the next three drawings are of ``title`` alone."""
        before, limit = stream.tell(), time.monotonic() + 30
        while (drawn := stream.getvalue()[before:]).count(title) < 3:
            assert time.monotonic() < limit, f"{title!r} was not drawn for half a minute"
            time.sleep(0.02)
        return drawn.count(title) == drawn.count(" work")

    with progress_bar("outer work") as outer:
        outer(1, 2)
        assert only("outer work")
        with progress_bar("inner work") as inner:
            inner(1, 2)
            assert only("inner work")
        assert only("outer work")


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    be_quiet()
    try:
        with progress_bar("whispering") as progress:
            progress(1, 2)
    finally:
        be_quiet(False)
    assert capsys.readouterr() == ("", "")
