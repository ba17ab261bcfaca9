"""The dashboard on a large run and a large study: first paint and every interaction in Chromium, beside the goals.

    python benchmarks/dashboard.py                                  # 1,000 subjects × 8 methods, 100,000 answers
    python benchmarks/dashboard.py --subjects 100 --responses 3000 --protocols 3
    python benchmarks/dashboard.py --keep FOLDER                    # make the data once, use them again

The data are made up (``dashboard_data.py``), the server is ``mesoface dashboard`` in a process of its own, the browser
Chromium at 1440 × 900 on the same machine. A time runs from the click to the moment at which what was asked for stands
in the page and Streamlit's script has ended. *first*: nobody has asked for it before, so that the server computes it
and the browser loads its code; *again*: median of the repeats, each of them asking for something else where there is
something else (another method, page, subject). Pictures that come in after the page are timed apart. CPU seconds are
those of the repeats; other programs, which lengthen the rest, leave them nearly alone. Goals: 1.5 s to the first paint
in a fresh browser, 300 ms an interaction.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
# The checkout first, where `import metrics` looks, then this folder, whose `metrics.py` is another benchmark.
sys.path[:1] = [str(ROOT), str(ROOT / "benchmarks")]

GOAL_PAINT, GOAL_INTERACTION = 1.5, 0.3
# Looks into the open shadow roots of components; ``settled`` says that the script has ended and nothing is stale.
LOOK = """
window.found = (selector, within = document) => {
  const hit = [...within.querySelectorAll(selector)]
  for (const { shadowRoot } of within.querySelectorAll("*"))
    if (shadowRoot) hit.push(...window.found(selector, shadowRoot))
  return hit
}
window.settled = () => {
  const app = document.querySelector("[data-testid=stApp]")
  return app?.dataset.testScriptState === "notRunning" && !document.querySelector("[data-stale=true]")
}
window.said = (name) => new URL(location.href).searchParams.get(name)
"""
SEEN = "found('.matrix img').filter(one => one.getBoundingClientRect().top < innerHeight)"
PICTURES = f"{SEEN}.every(one => one.complete)"


@dataclass
class Times:
    """Seconds of one thing, in the order in which it was done; and CPU seconds of the server and of the browser."""

    what: str
    goal: float | None
    seconds: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    browser: list[float] = field(default_factory=list)

    def add(self, other: Times) -> None:
        """Times of the same thing in another page."""
        self.seconds += other.seconds
        self.server += other.server
        self.browser += other.browser


class Browser:
    """One page in Chromium that is timed."""

    def __init__(self, page: Any, address: str, server: int) -> None:
        self.page = page
        self.address = address
        self.server = server
        self.times: dict[str, Times] = {}
        page.add_init_script(LOOK)

    def timed(self, what: str, act: Callable[[], object], until: str, goal: float | None = GOAL_INTERACTION) -> None:
        """Do ``act``; note the seconds until ``until`` holds in the page."""
        times = self.times.setdefault(what, Times(what, goal))
        worked, begun = self._worked(), time.perf_counter()
        act()
        self.page.wait_for_function(until, polling="raf", timeout=120_000)
        times.seconds.append(time.perf_counter() - begun)
        server, browser = self._worked()
        times.server.append(server - worked[0])
        times.browser.append(browser - worked[1])

    def _worked(self) -> tuple[float, float]:
        """CPU seconds so far of the server, and of what else this program has started: the browser."""
        of, parents = {}, {}
        for place in Path("/proc").glob("[0-9]*/stat"):
            try:
                words = place.read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            process = int(place.parent.name)
            parents[process] = int(words[1])
            of[process] = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

        def is_ours(process: int) -> bool:
            while process in parents and process != os.getpid():
                process = parents[process]
            return process == os.getpid()

        others = {process for process in of if is_ours(process)} - {os.getpid(), self.server}
        return of.get(self.server, 0.0), sum(of[process] for process in others)

    def menu(self, name: str) -> Callable[[], None]:
        """A click on an entry of the menu."""
        return lambda: self.page.get_by_test_id("stTopNavLink").filter(has_text=name).click()

    def option(self, label: str, number: int) -> Callable[[], None]:
        """The ``number``-th option of a select box, which is opened before the clock starts."""
        box = self.page.get_by_role("combobox", name=label, exact=True).first
        box.scroll_into_view_if_needed()
        box.click()
        wanted = self.page.get_by_role("option").nth(number)
        wanted.wait_for()
        return wanted.click

    def settled(self) -> None:
        """Wait for the end of the script, off the clock."""
        self.page.wait_for_function("settled()", timeout=120_000)
        self.page.wait_for_timeout(150)


def compare_page(browser: Browser, repeats: int) -> None:
    """Order, metric, page, subject, next subject, Back."""
    page = browser.page
    for number in range(repeats):
        header = page.locator(".matrix thead th a").nth(number)
        browser.timed("order by a method's worst", header.click,
                      f"settled() && found('.matrix thead th')[{number + 2}]?.hasAttribute('aria-sort')")  # fmt: skip
        browser.settled()
    for number in range(repeats):
        act = browser.option("Metric", number + 1)
        browser.timed("another metric", act, "settled() && !found('[role=option]').length")
        browser.settled()
    for number in range(repeats):
        browser.timed("next page", page.get_by_role("link", name="next page").click,
                      f"settled() && said('page') === '{number + 2}'")  # fmt: skip
        browser.settled()
    browser.timed("pictures of a page that nobody saw before", lambda: None, PICTURES, None)
    for number in range(repeats):
        cell = page.locator(".matrix tbody tr").nth(1).locator("a.cell").nth(number + 1)
        browser.timed("open a subject", cell.click, "settled() && found('.window').length > 0 && said('subject')")
        browser.settled()
        for _ in range(2):
            was = page.evaluate("said('subject')")
            browser.timed("next subject", lambda: page.keyboard.press("ArrowRight"),
                          f"settled() && found('.window').length > 0 && said('subject') !== '{was}'")  # fmt: skip
            browser.settled()
        for _ in range(3):
            browser.timed("Back", page.go_back, "settled()", None)
            browser.settled()


def metrics_page(browser: Browser, repeats: int) -> None:
    """The page from the menu, a metric in depth, its other parts."""
    page = browser.page
    for _ in range(repeats):
        browser.timed("the page Metrics", browser.menu("Metrics"), "settled() && found('.mf-grid td').length > 0")
        browser.settled()
        browser.timed("the page Compare", browser.menu("Compare"), "settled() && found('.matrix tbody tr').length > 0")
        browser.settled()
    browser.menu("Metrics")()
    page.wait_for_function("settled() && found('.mf-grid td').length > 0")
    browser.settled()
    for number in range(repeats):
        was, act = page.evaluate("JSON.stringify(said('metric'))"), browser.option("Metric", number + 1)
        browser.timed("a metric in depth", act,
                      f"settled() && !found('[role=option]').length && said('metric') !== {was}")  # fmt: skip
        browser.settled()
    for name, part in (("Groups of people", "groups"), ("Spectrum", "spectrum"), ("Leaderboard", "")):
        button = page.get_by_role("radio", name=name)
        browser.timed(f"metrics: {name}", button.click, f"settled() && (said('part') ?? '') === '{part}'")
        browser.settled()


def people_pages(browser: Browser, repeats: int) -> None:
    """Studies, ratings, agreement, runs."""
    page = browser.page
    for _ in range(repeats):
        for name in ("Studies", "Ratings", "Agreement", "Runs"):
            browser.timed(
                f"the page {name}", browser.menu(name), f"settled() && location.pathname === '/{name.lower()}'"
            )
            browser.settled()
    browser.menu("Ratings")()
    browser.settled()
    for name, view in (("Quality and payment", "quality"), ("Results", "results"), ("Progress", "")) * 2:
        browser.timed(f"ratings: {name}", page.get_by_role("radio", name=name).click,
                      f"settled() && (said('view') ?? '') === '{view}'")  # fmt: skip
        browser.settled()


def measure(address: str, server: int, repeats: int) -> list[Times]:
    """All times, in the order of the pages."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise SystemExit("needs Chromium: no 'chromium', 'chromium-browser' or 'google-chrome' on the path")
    painted, matrix = Times("pictures of the first screen, after that", None), "found('.matrix tbody tr').length > 0"
    with sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        paints = {"first paint, fresh browser": GOAL_PAINT, "first paint, known browser": GOAL_PAINT}
        times = {what: Times(what, goal) for what, goal in paints.items()}
        for _ in range(repeats):
            context = chromium.new_context(viewport={"width": 1440, "height": 900})
            for what in paints:
                browser = Browser(context.new_page(), address, server)
                browser.timed(what, lambda browser=browser: browser.page.goto(address, wait_until="commit"), matrix)
                times[what].add(browser.times.pop(what))
                browser.timed("pictures", lambda: None, PICTURES, None)
                painted.add(browser.times.pop("pictures"))
                browser.settled()
        for visit in (compare_page, metrics_page, people_pages):
            try:
                visit(browser, repeats)
            except Exception as error:  # what was measured so far is worth printing
                print(f"{visit.__name__} ended early: {str(error)[:300]}", file=sys.stderr)
                browser.page.goto(address)
                browser.settled()
        chromium.close()
    return [*times.values(), painted, *browser.times.values()]


@contextmanager
def served(runs: Path, url: str, home: Path) -> Iterator[tuple[str, int, float]]:
    """Address, process and seconds until it answers of a dashboard with an empty cache."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, begun = f"http://127.0.0.1:{port}/", time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "mesoface",
        "dashboard",
        str(runs),
        "--db",
        url,
        "--port",
        str(port),
        "--no-browser",
    ]
    environment = {**os.environ, "MESOFACE_HOME": str(home)}
    with (home / "log").open("w") as log:
        process = subprocess.Popen([*command, "--no-browser"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit((home / "log").read_text()) from None
                time.sleep(0.05)
        yield address, process.pid, time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait(30)


def megabytes(process: int) -> dict[str, float]:
    """Present and largest memory of a process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    known = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return {name: int(value) / 1000 for name, value in known.items()}


def main() -> None:
    """Make the data, start the server, measure, print."""
    import dashboard_data

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=1000)
    parser.add_argument("--methods", type=int, default=8, choices=range(2, 9))
    parser.add_argument("--protocols", type=int, default=1, choices=range(1, 4))
    parser.add_argument("--responses", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3, choices=range(1, 6))
    parser.add_argument("--keep", type=Path, help="Make the data here and keep them; those that are there are used.")
    options = parser.parse_args()
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as scratch:
        place = (options.keep or Path(scratch)).resolve()
        run, url = place / "runs" / "large", f"sqlite:///{place / 'studies.sqlite'}"
        os.environ["MESOFACE_HOME"] = str(Path(scratch) / "home")
        if not (place / "studies.sqlite").exists():
            dashboard_data.make_run(run, options.subjects, options.methods, options.protocols)
            dashboard_data.make_study(place / "study", url, options.responses, run.name)
        home = Path(scratch) / "home"
        home.mkdir(exist_ok=True)
        with served(place / "runs", url, home) as (address, process, start):
            time.sleep(10)  # it is warm when people come
            warm = megabytes(process)["VmRSS"]
            times = measure(address, process, options.repeats)
            memory = megabytes(process)
        log = (home / "log").read_text()
    console.print(f"{options.subjects} subjects × {options.methods} methods × {options.protocols} protocols, "
                  f"{options.responses} answers; Python {platform.python_version()}, {os.cpu_count()} cores, load "
                  f"{os.getloadavg()[1]:.1f}")  # fmt: skip
    console.print(_drawn(times))
    console.print(f"server: answers after {start:.1f} s; memory {warm:.0f} MB once warm, {memory['VmRSS']:.0f} MB at "
                  f"the end, {memory['VmHWM']:.0f} MB at most; {log.count('defect')} defects in its log")  # fmt: skip


def _drawn(times: list[Times]) -> Table:
    table = Table(title="seconds in Chromium", title_justify="left")
    for heading in ("what", "goal", "first", "again (median)", "worst again", "CPU server", "CPU browser"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for one in times:
        first, *again = one.seconds
        middle = statistics.median(again or [first])
        late = one.goal is not None and middle > one.goal
        spent = (statistics.median(of[1:] or of) for of in (one.server, one.browser))
        table.add_row(one.what, "" if one.goal is None else f"{one.goal:.1f}", f"{first:.2f}",
                      f"[bold red]{middle:.2f}[/]" if late else f"{middle:.2f}", f"{max(again or [first]):.2f}",
                      *(f"{seconds:.2f}" for seconds in spent))  # fmt: skip
    return table


if __name__ == "__main__":
    main()
