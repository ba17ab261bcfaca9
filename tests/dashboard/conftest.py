"""The dashboard as its users have it: started by its command, opened in Chromium."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

STARTING_SECONDS = 120
PATIENCE = 60_000
"""Milliseconds that a browser is waited for: the machine may be busy with other tests."""

_MAIN = sys.modules["__main__"]
# What a page needs to be there: Streamlit's script has run to its end.
DRAWN = "[data-testid=stApp][data-test-script-state=notRunning] [data-testid=stMainBlockContainer] *"


class Dashboard:
    """A ``mesoface dashboard`` that runs; ``address`` ends without a slash."""

    def __init__(self, runs: Path, options: tuple[str, ...], folder: Path, environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        command = [sys.executable, "-m", "mesoface", "dashboard", str(runs), "--port", str(self.port), "--no-browser"]
        if "--db" not in options:
            command += ["--db", f"sqlite:///{folder / 'studies.sqlite'}"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *options], cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log
            )
        self._wait()

    def _wait(self) -> None:
        for _ in range(STARTING_SECONDS * 10):
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"{self.address}/frame/mark.svg", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise AssertionError(f"the dashboard did not start: {self.log.read_text()}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """End it, as Ctrl-C does; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


StartDashboard = Callable[..., Dashboard]


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """What ``streamlit.testing`` puts in the place of ``__main__`` is what later processes would run as theirs."""
    yield
    sys.modules["__main__"] = _MAIN


@pytest.fixture
def close_folder(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """``close_folder(path)``: makes a folder that is not ours to read, even for a superuser, who is denied nothing."""

    def close(folder: Path) -> None:
        folder.mkdir()
        really = os.stat

        def denied(path: Any, *more: Any, **options: Any) -> os.stat_result:
            if str(path).startswith(f"{folder}/"):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return really(path, *more, **options)

        monkeypatch.setattr(os, "stat", denied)

    return close


@pytest.fixture(scope="module")
def start_dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartDashboard]:
    """``start_dashboard(runs, *options, **environment)``: a dashboard that lives until the module's tests end."""
    running: list[Dashboard] = []

    def start(runs: Path, *options: str, **environment: str) -> Dashboard:
        started = Dashboard(runs, options, tmp_path_factory.mktemp("dashboard"), environment)
        running.append(started)
        return started

    yield start
    for one in running:
        one.stop()


class Visit:
    """A browser's page, with what went wrong in it: errors of the console, failed requests, requests to elsewhere."""

    def __init__(self, page: Any, dashboard: Dashboard) -> None:
        self.page = page
        self.dashboard = dashboard
        self.problems: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: self._note(said.type == "error", f"console: {said.text}"))
        page.on("pageerror", lambda error: self._note(True, f"error: {error}"))
        page.on("response", lambda answer: self._note(answer.status >= 400, f"{answer.status}: {answer.url}"))
        page.on("request", lambda asked: self._note(self._is_outside(asked.url), f"asked outside: {asked.url}"))

    def _note(self, is_problem: bool, text: str) -> None:
        if is_problem:
            self.problems.append(text)

    def _is_outside(self, url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme not in ("data", "blob") and parts.netloc != f"127.0.0.1:{self.dashboard.port}"

    def open(self, path: str = "/") -> Any:
        """Open a page of the dashboard and wait until it is drawn; the Playwright page."""
        self.page.goto(self.dashboard.address + path)
        return self.drawn()

    def drawn(self) -> Any:
        """Wait until the script has run to its end."""
        self.page.wait_for_selector(DRAWN, state="attached")
        assert self.page.locator("[data-testid=stException]").count() == 0
        return self.page

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait until ``reached`` says so; for what no selector can tell."""
        for _ in range(PATIENCE // 100):
            if reached():
                return
            self.page.wait_for_timeout(100)
        raise AssertionError("the page did not get there")


StartVisit = Callable[..., Visit]


@pytest.fixture
def visit(chromium: Any) -> Iterator[StartVisit]:
    """``visit(dashboard, width=1440, height=900, **of_the_context)``; at the end nothing may have gone wrong in it.

    A test that provokes a problem takes it out of ``problems``.
    """
    begun: list[tuple[Visit, Any]] = []

    def begin(dashboard: Dashboard, width: int = 1440, height: int = 900, **options: Any) -> Visit:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        begun.append((Visit(context.new_page(), dashboard), context))
        return begun[-1][0]

    yield begin
    problems = [problem for one, _ in begun for problem in one.problems]
    for _, context in begun:
        context.close()
    assert problems == []
