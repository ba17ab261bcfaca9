"""The page Compare: orders and filters, what blind mode hides, what raters said, and the page itself in a browser."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import comparison_runs
import numpy as np
import pytest
import streamlit as st
import study_rows
import viewer_run

from dashboard import catalogue
from dashboard.catalogue import runs
from dashboard.settings import Settings, use
from dashboard.viewer import matrix as matrix_of
from dashboard.viewer import verdicts
from dashboard.viewer.asked import Asked
from dashboard.viewer.beside import beside, values_frame
from dashboard.viewer.blind import letter, shuffled
from dashboard.viewer.matrix import first_size, known_views, matrix
from dashboard.viewer.orders import Yardstick, arranged, inside, metrics_of, ranks, region_first, yardstick
from metrics import METRICS
from metrics.comparison import Place
from metrics.value_table import load_values
from recon.runs.folder import ResultKey, RunFolder
from study.database import QaDecisionRow, ResponseRow, StimulusRow, TrialRow, now
from study.engine import open_database, transaction, upgrade
from study.quality.decisions import RULES, decide_by_person


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return viewer_run.make_run(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture
def asked(made: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``asked(blind, **address)``: the page's view of ``made`` with the address that says so."""
    monkeypatch.setattr(catalogue, "_found", {})
    use(Settings(made.path.parent, None, False, tmp_path / "cache"))

    def make(blind: str = "", **address: str) -> Asked:
        monkeypatch.setattr(st, "query_params", address)
        run = runs()["first"]
        table = load_values([run.folder], [run.name], METRICS.names())
        measured = yardstick(table, metrics_of(table, "identity")["FLIP · picture"][0])
        return Asked(run, "identity", "fitted", run.methods, measured, run.subjects, "id", blind)

    return make


def _measured(values: list[list[float]], direction: str = "lower", methods: tuple[str, ...] = ("a", "b")) -> Yardstick:
    place = Place("identity", "image", "fitted", "skin/all", "photograph", "M", "m", "", direction)  # type: ignore[arg-type]
    subjects = tuple(f"s{number}" for number in range(len(values[0])))
    return Yardstick(place, methods, subjects, np.array(values, np.float64))


NAN = float("nan")


@pytest.mark.parametrize(
    ("direction", "order", "expected"),
    [
        ("lower", "worst:a", ["s1", "s2", "s0", "s3"]),
        ("lower", "best:a", ["s0", "s2", "s1", "s3"]),
        ("higher", "worst:a", ["s0", "s2", "s1", "s3"]),
        # |log2| of 0.25, 4.0 and 1.5: 2, 2 and 0.58; equal ones by id.
        ("one", "worst:a", ["s0", "s1", "s2", "s3"]),
        ("lower", "id", ["s0", "s1", "s2", "s3"]),
        ("lower", "worst:nobody", ["s0", "s1", "s2", "s3"]),
        # b is 1 everywhere: farthest from it is 4, then 0.25, then 1.5; s3 has one value alone.
        ("lower", "disputed", ["s1", "s0", "s2", "s3"]),
    ],
)
def test_subjects_stand_in_the_order_that_was_asked_for(direction: str, order: str, expected: list[str]) -> None:
    measured = _measured([[0.25, 4.0, 1.5, NAN], [1.0, 1.0, 1.0, 1.0]], direction)
    assert arranged(["s3", "s2", "s1", "s0"], order, measured, {}) == expected


def test_raters_come_before_metrics_where_they_disputed() -> None:
    measured = _measured([[0.0, 9.0], [0.0, 0.0]])
    assert arranged(["s0", "s1"], "disputed", measured, {"s0": 0.9, "s1": 0.1}) == ["s0", "s1"]
    assert arranged(["s0", "s1"], "disputed", measured, {}) == ["s1", "s0"]
    assert arranged(["s1", "s0"], "disputed", None, {}) == ["s0", "s1"]


def test_ranks_share_ties_and_follow_the_direction() -> None:
    assert ranks({"a": 1.0, "b": 2.0, "c": 1.0}, "lower") == {"a": 1, "b": 3, "c": 1}
    assert ranks({"a": 1.0, "b": 2.0, "c": 1.0}, "higher") == {"a": 2, "b": 1, "c": 2}
    assert ranks({"a": 0.5, "b": 2.0, "c": 1.0}, "one") == {"a": 2, "b": 2, "c": 1}
    assert ranks({"a": 1.0, "b": 2.0}, "none") == {}


def test_a_range_keeps_those_of_whom_a_shown_method_has_such_a_value() -> None:
    measured = _measured([[0.1, 0.5, NAN], [0.9, 0.9, 0.5]])
    assert inside(["s2", "s1", "s0"], measured, ("a",), 0.4, 0.6) == ["s1"]
    assert inside(["s2", "s1", "s0"], measured, ("a", "b"), 0.4, 0.6) == ["s2", "s1"]


def test_the_region_that_was_withheld_comes_first() -> None:
    def place(region: str) -> Place:
        return Place("p", "uv", "albedo", region, "photograph", "M", "m", "", "lower")

    assert region_first([place("skin/all"), place("skin/withheld")]) == "skin/withheld"
    assert region_first([place("skin/visible"), place("skin/all")]) == "skin/all"
    assert region_first([place("head")]) == "head"


def test_blind_order_is_a_lot_of_the_seed_and_the_subject() -> None:
    methods = [f"m{number}" for number in range(4)]
    orders = {tuple(shuffled(methods, "seed", "identity", f"s{number}")) for number in range(400)}
    assert len(orders) == 24  # all of them turn up: 400 lots miss one of 24 with probability below 1e-6
    assert shuffled(methods, "seed", "identity", "s1") == shuffled(methods[::-1], "seed", "identity", "s1")
    assert [letter(index) for index in (0, 25, 26)] == ["A", "Z", "A2"]


def test_the_matrix_shows_values_ranks_and_reasons(asked: Any) -> None:
    data = matrix(asked(), 0, "4 subjects")
    first = data["rows"][0]
    assert [cell["value"] for cell in first["cells"]] == ["0.100", "0.200", "0.300"]
    assert [cell["rank"] for cell in first["cells"]] == [1, 2, 3]
    assert data["rows"][3]["cells"][2]["missing"] == viewer_run.REASON
    assert [cell["rank"] for cell in data["rows"][3]["cells"][:2]] == [1, 1]
    assert first["frame"] == (200, 260)
    assert first["cells"][1]["href"].startswith("./?run=first&protocol=identity&subject=s1")
    assert data["metric"] == "FLIP ↓ (skin/all)"


def test_pages_of_the_matrix_follow_each_other(asked: Any) -> None:
    many = asked(rows="10")
    long = Asked(many.run, "identity", "fitted", many.methods, None, many.subjects * 6, "id", "")
    first, last = matrix(long, 0, ""), matrix(long, 2, "")
    assert (len(first["rows"]), len(last["rows"]), last["first"], first["last"]) == (10, 4, 20, 2)
    assert [page and page["page"] for page in first["pages"]] == [None, "2"]
    assert [page and page["page"] for page in last["pages"]] == ["2", None]


def test_nothing_that_the_browser_is_sent_in_blind_mode_tells_a_method(asked: Any) -> None:
    hidden = asked("5eed", subject="s1")
    for data in (matrix(asked("5eed"), 0, ""), beside(hidden)):
        sent = json.dumps(data)
        assert not re.search("alpha|beta|gamma", sent), sent
        assert "/pictures/blind/" in sent
    soon = beside(asked("5eed", subject="s1"))["next"]["soon"]
    assert len(soon) > 2 and soon == sorted(soon)  # by their tokens, not by the order of the methods
    revealed = beside(asked("5eed", subject="s1", revealed="s1"))
    names = [pane["name"] for pane in revealed["panes"] if pane["role"] == "method"]
    order = shuffled(viewer_run.METHODS, "5eed", "identity", "s1")
    assert names == [f"{letter(index)}: {method}" for index, method in enumerate(order)]
    assert not beside(asked("5eed", subject="s2", revealed="s1"))["revealed"]


def test_a_subject_has_its_neighbours_its_maps_and_its_numbers(asked: Any) -> None:
    own = asked(subject="s2", beside="gamma,beta,nobody")
    data = beside(own)
    assert [pane["name"] for pane in data["panes"]] == ["photograph", "gamma", "beta"]
    assert (data["position"], data["total"]) == (2, 4)
    assert (data["previous"]["subject"], data["next"]["subject"]) == ("s1", "s3")
    assert data["map"] == (64, 64)
    assert "imported as views" in data["panes"][2]["maps"]["head"]["missing"]
    assert data["panes"][1]["maps"]["flip"]["src"].startswith("/pictures/first/flip/identity/gamma/s2/fitted/")
    table = load_values([own.run.folder], ["first"], METRICS.names())
    row = values_frame(own, table).set_index("metric").loc["FLIP ↓"]
    assert (row["gamma"], row["beta"]) == ("0.200  (2)", "0.100  (1)")


def test_views_of_renderers_are_offered_beside_the_runs_own(asked: Any, made: RunFolder) -> None:
    place = made.path / "results/alpha/identity/s1/views/cycles"
    place.mkdir(parents=True)
    (place / "closeup-eyes.json").write_text("{}")
    assert list(known_views(asked().run, "identity")) == [
        "fitted", "albedo", "cycles/closeup-eyes",
    ]  # fmt: skip


def test_a_picture_too_large_to_open_leaves_the_others_their_size(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    albedos = [asked().picture("albedo", "s1", method) for method in ("alpha", "gamma")]
    assert first_size(albedos) == (64, 64)
    matrix_of._size.cache_clear()
    monkeypatch.setattr(matrix_of.Image, "MAX_IMAGE_PIXELS", 100)
    assert first_size(albedos) is None


def _study(engine: Any, made: RunFolder, simulated: bool, label: str) -> None:
    """A study of single pictures of s1: five raters look at alpha and at beta; one of them is left out."""

    def name(method: str) -> str:
        return method[0] * 64

    def key(method: str) -> ResultKey:
        return ResultKey(method, "identity", "s1")

    with transaction(engine) as session:
        study = study_rows.add_study(session, label, 5, design="single", simulated=simulated,
                                     specification={"design": "single"})  # fmt: skip
        for method in ("alpha", "beta"):
            session.add(StimulusRow(
                study_id=study.id, sha256=name(method), media_type="image/png", width=1, height=1,
                composition="single", condition=method, subject="s1", run=made.path.name, protocol="identity",
                view="fitted", licence="CC0",
                result=hashlib.sha256((made.result(key(method)) / "result.json").read_bytes()).hexdigest(),
            ))  # fmt: skip
        for rater, slot in enumerate(study.slots):
            sitting = study_rows.add_assignment(session, study, slot, f"{rater}" * 64)
            sitting.state, sitting.submitted_at = "submitted", now()
            for index, method in enumerate(("alpha", "beta")):
                trial = TrialRow(
                    assignment_id=sitting.id, index=index, part="main", question="real", shown=[name(method)]
                )
                session.add(trial)
                session.flush()
                choice = "real" if method == "alpha" or rater == 0 else "fake"
                session.add(ResponseRow(
                    trial_id=trial.id, client_uuid=f"{label}{rater}{index}", answer={"choice": choice}, correct=None,
                    reaction_ms=900, viewport_width=1280, viewport_height=720, device_pixel_ratio=1.0,
                ))  # fmt: skip
            if not simulated:
                session.add(QaDecisionRow(assignment_id=sitting.id, pay=True, use=rater != 4, reasons=[],
                                          decided_by=RULES))  # fmt: skip


def test_verdicts_are_counted_by_method_and_models_stay_apart(made: RunFolder, tmp_path: Path, asked: Any) -> None:
    asked()
    address = f"sqlite:///{tmp_path / 'studies.sqlite'}"
    engine = open_database(address)
    upgrade(engine)
    _study(engine, made, False, "people")
    _study(engine, made, True, "models")
    found = verdicts.studies_of(address, "first", "identity", engine)
    assert [(one.name, one.simulated, one.state[0]) for one in found] == [("people", False, 10), ("models", True, 10)]
    frame = verdicts.verdicts_of(address, "people", found[0].state, False, "first", "identity", engine)
    run = runs()["first"]
    own = verdicts.of_subject(frame, run, "identity", "s1", ("alpha", "beta")).set_index("method")
    assert own["verdict"].to_dict() == {"alpha": "4 of 4 said real", "beta": "1 of 4 said real"}
    assert "rater" not in own.columns and not own.astype(str).stack().str.contains("0000").any()
    assert list(verdicts.of_subject(frame, run, "identity", "s1", ("beta",))["method"]) == ["beta"]
    anew = frame.assign(result=frame["result"].where(frame["method"] == "beta", "0" * 64))
    assert list(verdicts.of_subject(anew, run, "identity", "s1", ("alpha", "beta"))["method"]) == ["beta"]
    # Agreement on alpha, and one of four against three on beta: 4 · ¼ · ¾ over two pictures alike.
    assert verdicts.disputes(runs()["first"], "identity", address, engine) == {"s1": pytest.approx(0.75 / 2)}
    assert verdicts.disputes(runs()["first"], "identity", address, None) == {}
    assert verdicts.rated_by_people(runs()["first"], "identity", address, engine)
    assert not verdicts.rated_by_people(runs()["first"], "blur:8", address, engine)
    models = verdicts.verdicts_of(address, "models", found[1].state, True, "first", "identity", engine)
    assert models.set_index("method")["answers"].to_dict() == {"alpha": 5, "beta": 5}


def test_verdicts_follow_a_decision_without_a_new_answer(made: RunFolder, tmp_path: Path, asked: Any) -> None:
    asked()
    address = f"sqlite:///{tmp_path / 'studies.sqlite'}"
    engine = open_database(address)
    upgrade(engine)
    _study(engine, made, False, "people")

    def said() -> dict[str, int]:
        verdicts.studies_of.clear()  # what ten seconds do
        (study,) = verdicts.studies_of(address, "first", "identity", engine)
        frame = verdicts.verdicts_of(address, "people", study.state, False, "first", "identity", engine)
        return dict(frame.set_index("method")["answers"])

    assert said() == {"alpha": 4, "beta": 4}
    decide_by_person(engine, "people", 1, pay=True, use=False, reason="was absent", by="somebody")
    assert said() == {"alpha": 3, "beta": 3}


@pytest.fixture(scope="module")
def dashboard(made: RunFolder, start_dashboard: Any) -> Any:
    comparison_runs.make_run(
        made.path.parent / "odd",
        comparison_runs.rows({"<b>bold</b>": {"p1": 1.0, "<img src=x>": 2.0}, "*star*": {"p1": 2.0}}),
    )
    return start_dashboard(made.path.parent)


def _text(page: Any, selector: str) -> str:
    return str(page.locator(selector).first.inner_text())


def test_the_worst_of_a_method_is_two_clicks_from_landing_and_back_returns(dashboard: Any, visit: Any) -> None:
    seen = visit(dashboard)
    page = seen.open("/?run=first")
    page.click(".matrix thead a:has-text('beta')")
    page.wait_for_selector(".bar:has-text('worst of beta first')")
    page.click(".matrix tbody tr:first-child td:nth-child(4) a")
    page.wait_for_selector("figure")
    assert _text(page, ".subject") == "s3"
    assert "order=worst" in page.url and "subject=s3" in page.url
    page.go_back()
    page.wait_for_selector(".matrix tbody tr:first-child th:has-text('s3')")
    page.go_back()
    page.wait_for_selector(".matrix tbody tr:first-child th:has-text('s1')")
    seen.drawn()
    # Keys begin where one looked last: from s3 down to s4.
    page.locator(".matrix a.cell[tabindex='0']").press("ArrowDown")
    for key in ("ArrowRight", "ArrowRight", "End", "Home", "ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("figure")
    assert _text(page, ".subject") == "s4"


def test_the_side_by_side_view_zooms_swipes_and_turns_all_pictures_together(dashboard: Any, visit: Any) -> None:
    seen = visit(dashboard)
    page = seen.open("/?run=first&subject=s1")
    page.wait_for_selector("figure")
    page.locator(".window").nth(1).hover()
    for _ in range(8):
        page.mouse.wheel(0, -300)
    page.wait_for_selector(".stage.nearest", state="attached")
    moved = page.locator(".stage").evaluate_all("all => all.map((one) => [one.style.transform, one.className])")
    assert len(moved) == 4 and len({str(one) for one in moved}) == 1
    assert "nearest" in moved[0][1]
    page.keyboard.press("=")
    assert _text(page, ".zoom") == "100 %"
    page.click("text=Copy link")
    copied = page.locator(".address").input_value()
    assert "at=" in copied
    page.locator(".zoom").click()
    page.keyboard.press("f")
    assert page.locator("button:has-text('Flicker')").get_attribute("aria-pressed") == "true"
    page.keyboard.press("2")
    handle = page.wait_for_selector(".handle")
    handle.press("ArrowRight")
    page.wait_for_selector(".handle[aria-valuenow='52']")
    page.wait_for_function("location.search.includes('mode=swipe')")
    seen.drawn()
    assert handle.evaluate("one => one.matches(':focus')"), "what the server answers leaves what is drawn already"
    assert "mode=swipe" in page.locator(".bar a[aria-label='next subject: s2']").get_attribute("href")
    for number, mode in ((3, "difference"), (4, "flip"), (5, "albedo")):
        page.locator(".subject").click()
        page.keyboard.press(str(number))
        page.wait_for_selector(f".segments button:nth-child({number})[aria-pressed=true]")
        page.wait_for_function(
            f"location.search.includes('mode={mode}') && ![...document.querySelectorAll('*')].some((one) => "
            "one.shadowRoot?.querySelector('.note, .stage img:not([src])'))")  # fmt: skip
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".subject:has-text('s2')")
    again = visit(dashboard).open(copied.removeprefix(dashboard.address))
    again.wait_for_selector(".zoom:has-text('100 %')")


def test_heads_are_drawn_and_turn_together(dashboard: Any, visit: Any) -> None:
    seen = visit(dashboard)
    page = seen.open("/?run=first&subject=s1&mode=head")
    filled = """all => all.map((one) => {
        const data = one.getContext('2d').getImageData(0, 0, one.width, one.height).data
        let sum = 0
        for (let at = 3; at < data.length; at += 4) sum += data[at] > 0
        return sum / (one.width * one.height)
    })"""
    heads = page.locator(".window.head canvas")
    heads.first.wait_for()
    assert heads.count() == 2, "alpha and gamma have heads, beta was imported as views"
    seen.until(lambda: min(heads.evaluate_all(filled)) > 0.1)
    assert "imported as views" in _text(page, ".window.empty")
    pixels = "all => all.map((one) => one.toDataURL())"
    before = heads.evaluate_all(pixels)
    box = page.locator(".window.head").first.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 60, steps=3)
    page.mouse.up()
    seen.until(lambda: all(one != other for one, other in zip(before, heads.evaluate_all(pixels), strict=True)))


def test_blind_mode_hides_names_from_page_and_requests_until_they_are_revealed(dashboard: Any, visit: Any) -> None:
    one = visit(dashboard)
    asked_for: list[str] = []
    one.page.on("request", lambda request: asked_for.append(request.url))
    page = one.open("/?run=first&subject=s1&blind=5eed")
    page.wait_for_selector("figure")
    shown = page.locator("[data-testid=stMainBlockContainer]").inner_text() + _text(page, ".viewer")
    assert not re.search("alpha|beta|gamma", shown)
    one.until(lambda: any("/pictures/blind/" in url for url in asked_for))
    assert not any(re.search("alpha|beta|gamma", url) for url in asked_for)
    page.click("text=Reveal the names")
    page.wait_for_selector("figcaption:has-text('A: ')")
    assert all(name in _text(page, ".viewer") for name in viewer_run.METHODS)


def test_names_are_text_and_what_is_not_there_says_why(dashboard: Any, visit: Any) -> None:
    page = visit(dashboard).open("/?run=odd")
    page.wait_for_selector(".matrix")
    assert "<b>bold</b>" in _text(page, ".matrix thead") and "*star*" in _text(page, ".matrix thead")
    assert "<img src=x>" in _text(page, ".matrix tbody")
    assert page.locator(".matrix b:has-text('bold'), .matrix img").count() == 0
    assert page.locator(".matrix .missing").count() > 0


@pytest.mark.parametrize(("width", "height", "scheme"), [(1440, 900, "light"), (390, 844, "dark")])
def test_there_are_no_barriers_on_a_screen_and_on_a_phone(
    dashboard: Any, visit: Any, width: int, height: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    one = visit(dashboard, width, height, color_scheme=scheme)
    for path, sign in (("/?run=first", ".matrix"), ("/?run=first&subject=s1", "figure"),
                       ("/?run=first&subject=s1&mode=swipe", ".handle")):  # fmt: skip
        page = one.open(path)
        page.wait_for_selector(sign)
        one.drawn()
        # What appears is faint for a moment.
        page.wait_for_function("document.getAnimations().every((one) => one.playState === 'finished')")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = axe.run(page).response["violations"]
        serious = [f"{issue['id']}: {node['html']}" for issue in found if issue["impact"] in ("serious", "critical")
                   for node in issue["nodes"]]  # fmt: skip
        assert serious == []
