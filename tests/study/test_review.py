"""``mesoface study review`` and ``pay``: decisions that add up, and money that moves once."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import pytest
from provider_stages import STAGES, Stage, add_session, posting
from sqlalchemy import Engine, func, select
from study_rows import add_assignment, add_study

import mesoface
from recon.errors import BudgetError, InputError, UsageError
from study.database import (
    AssignmentRow,
    PaymentRow,
    QaDecisionRow,
    ResponseRow,
    SlotRow,
    StudyRow,
    TrialRow,
    WorkerContactRow,
    now,
)
from study.engine import transaction
from study.providers import launching
from study.quality.decisions import RULES, decide_by_person, decide_by_rules, latest, review
from study.rewards import dues, give_bonus, rejection, settle

QUALITY = {"gold": {"at_least": 0.5, "withholds": ["use"]}, "speed": {"at_least_ms": 600, "withholds": ["pay", "use"]}}
SPECIFICATION = {"design": "split-face", "payment": {"reward": 150}, "quality": QUALITY}
RUSHED = "speed: half of the main trials answered within 200 ms, 600 ms are asked"


def answer_all(
    engine: Engine, assignment_id: int, *, ms: int = 2000, gold_right: bool = True, missing: int = 0
) -> None:
    """Eight main trials, real and fake in turn, and a gold trial; the last ``missing`` are not answered."""
    with transaction(engine) as session:
        for index in range(9):
            part = "gold" if index == 4 else "main"
            trial = TrialRow(
                assignment_id=assignment_id, index=index, part=part, question="real-or-fake", shown=["1" * 64],
                expected={"choice": "fake"} if part == "gold" else None,
            )  # fmt: skip
            session.add(trial)
            session.flush()
            if index >= 9 - missing:
                continue
            session.add(
                ResponseRow(
                    trial_id=trial.id, client_uuid=str(uuid4()), answer={"choice": ("real", "fake")[index % 2]},
                    correct=gold_right if part == "gold" else None, reaction_ms=ms, viewport_width=9,
                    viewport_height=9, device_pixel_ratio=1.0,
                )
            )  # fmt: skip


def local_study(engine: Engine, **changed: Any) -> list[int]:
    """A good rater, one who missed the gold trial, one who rushed, one who went away."""
    with transaction(engine) as session:
        study = add_study(session, specification=SPECIFICATION, slots=4, **changed)
        found = [add_assignment(session, study, None, pseudonym=name * 64) for name in "abcd"]
        for row in found[:3]:
            row.state, row.completion_code = "submitted", f"CODE{row.id}"
        found[3].state = "abandoned"
        numbers = [row.id for row in found]
    answer_all(engine, numbers[0])
    answer_all(engine, numbers[1], gold_right=False)
    answer_all(engine, numbers[2], ms=200)
    answer_all(engine, numbers[3], missing=5)
    return numbers


def count(engine: Engine, row: type[Any]) -> int:
    with transaction(engine) as session:
        return session.scalar(select(func.count()).select_from(row)) or 0


def test_pay_and_use_are_decided_apart_and_once(database: Engine) -> None:
    good, unsure, rushed, gone = local_study(database)
    before = review(database, "trial")
    assert [(one.judgement.session, one.pay, one.use) for one in before.standings] == [
        (good, True, True), (unsure, True, False), (rushed, False, False), (gone, False, False)
    ]  # fmt: skip
    assert all(one.decision is None for one in before.standings) and count(database, QaDecisionRow) == 0
    assert decide_by_rules(database, "trial") == 3
    assert decide_by_rules(database, "trial") == 0
    with transaction(database) as session:
        held = latest(session, 1)
    assert held[rushed].reasons == (RUSHED,) and held[rushed].decided_by == RULES
    assert held[unsure].reasons == ("gold: 0 of 1 gold trials right, at least 50% must be",)
    assert gone not in held


def test_a_person_s_decision_holds_over_the_rules_and_the_latest_one_holds(database: Engine) -> None:
    good, _, rushed, gone = local_study(database)
    decide_by_rules(database, "trial")
    decide_by_person(database, "trial", rushed, pay=True, use=False, reason="Wrote to us.", by="ada")
    decide_by_person(database, "trial", good, pay=True, use=False, reason="A colleague.", by="ada")
    assert decide_by_rules(database, "trial") == 0
    decide_by_person(database, "trial", good, pay=True, use=True, reason="No colleague.", by="ada")
    with transaction(database) as session:
        held = latest(session, 1)
        written = session.scalars(select(QaDecisionRow).where(QaDecisionRow.assignment_id == good)).all()
    assert (held[rushed].pay, held[rushed].use, held[rushed].reasons) == (True, False, ("Wrote to us.",))
    assert held[good].use and len(written) == 3
    for number, reason, by, said in (
        (gone, "x", "ada", "not handed in"), (999, "x", "ada", "no session 999"), (good, " ", "ada", "--reason"),
        (good, "x", RULES, "--by"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            decide_by_person(database, "trial", number, pay=True, use=True, reason=reason, by=by)


def test_our_own_raters_are_owed_once_and_nothing_is_taken_back(database: Engine) -> None:
    good, unsure, rushed, _ = local_study(database)
    provider = STAGES["local"](database).open(False)
    assert dues(database, "trial").undecided == (good, unsure, rushed)
    nothing = settle(database, provider, "trial")
    assert nothing.approved == nothing.rejected == () and count(database, PaymentRow) == 0
    decide_by_rules(database, "trial")
    done = settle(database, provider, "trial")
    assert (done.approved, done.rejected, done.failed) == ((good, unsure), (rushed,), {})
    again = settle(database, provider, "trial")
    assert (again.approved, again.rejected, again.failed) == ((), (), {})
    assert [one.session for one in dues(database, "trial").paid] == [good, unsure]
    with transaction(database) as session:
        amounts = session.scalars(select(PaymentRow.amount_cents).where(PaymentRow.state == "confirmed")).all()
    assert sorted(amounts) == [150, 150, 600]  # two rewards, out of the promise of four places
    with pytest.raises(UsageError, match="cannot take back"):
        decide_by_person(database, "trial", good, pay=False, use=False, reason="x", by="ada")


def test_a_rule_that_changes_its_mind_takes_no_money_back(database: Engine) -> None:
    good, *_ = local_study(database)
    decide_by_rules(database, "trial")
    settle(database, STAGES["local"](database).open(False), "trial")
    with transaction(database) as session:
        study = session.get_one(StudyRow, 1)
        study.specification = {**SPECIFICATION, "quality": {"speed": {"at_least_ms": 5000, "withholds": ["pay"]}}}
    assert decide_by_rules(database, "trial") == 3
    with transaction(database) as session:
        held = latest(session, 1)[good]
    assert held.pay and held.reasons[-1] == "was paid before this was decided"


def test_the_cap_is_not_passed(database: Engine) -> None:
    local_study(database, cap_cents=599)
    decide_by_rules(database, "trial")
    with pytest.raises(UsageError, match="cap"):
        settle(database, STAGES["local"](database).open(False), "trial")
    assert count(database, PaymentRow) == 0


def test_more_raters_than_places_are_said_before_anybody_is_paid(database: Engine) -> None:
    local_study(database)
    with transaction(database) as session:
        for slot in session.scalars(select(SlotRow).limit(3)):
            session.delete(slot)
    decide_by_rules(database, "trial")
    with pytest.raises(UsageError, match="1 raters, and 2 are"):
        settle(database, STAGES["local"](database).open(False), "trial")
    assert count(database, PaymentRow) == 0


def test_model_raters_are_decided_and_never_paid(database: Engine) -> None:
    local_study(database, simulated=True)
    assert decide_by_rules(database, "trial") == 3
    assert review(database, "trial").simulated
    with pytest.raises(UsageError, match="models"):
        settle(database, STAGES["local"](database).open(False), "trial")
    assert count(database, PaymentRow) == 0


def test_one_person_under_two_pseudonyms_is_seen_while_ids_are_kept(database: Engine) -> None:
    good, unsure, *_ = local_study(database)
    with transaction(database) as session:
        for number in (good, unsure):
            person = session.get_one(AssignmentRow, number).participant_id
            session.add(WorkerContactRow(participant_id=person, raw_id="W1", delete_after=now().date()))
    second = review(database, "trial").standings[1].judgement
    assert f"duplicates: the same rater answered before, in session {good}" in map(str, second.reasons)
    assert "W1" not in repr(second)


def test_rules_that_cannot_be_read_are_said(database: Engine) -> None:
    with transaction(database) as session:
        add_study(session, specification={"quality": {"gold": {"at_most": 3}}})
    with pytest.raises(InputError, match=r"gold\.at_most"):
        review(database, "trial")


@pytest.fixture(params=["prolific", "mturk"])
def stage(request: pytest.FixtureRequest, engine: Engine, amazon: None) -> Iterator[Stage]:
    """A marketplace where three raters handed their work in."""
    with transaction(engine) as session:
        add_study(session, provider=request.param, cap_cents=10_000, specification=SPECIFICATION)
    made = STAGES[request.param](engine)
    yield made
    made.market.close()


def launched(stage: Stage) -> tuple[list[int], list[str]]:
    """Sessions and submissions of a good rater, one who missed gold, and one who rushed."""
    (posted,) = launching.launch(stage.engine, stage.open(True), posting(places=3))
    people = ["W1", "W2", "W3"]
    submissions = stage.arrive(posted.provider_id, people)
    provider = stage.open(True).name
    numbers = [
        add_session(stage.engine, "trial", provider, submission, person, posted.provider_id)
        for submission, person in zip(submissions, people, strict=True)
    ]
    answer_all(stage.engine, numbers[0])
    answer_all(stage.engine, numbers[1], gold_right=False)
    answer_all(stage.engine, numbers[2], ms=200)
    return numbers, submissions


def states(stage: Stage) -> list[str]:
    """What the marketplace says of its submissions."""
    provider = stage.open(True)
    found = provider.find("t" * 64)
    assert found is not None
    return [one.state for one in sorted(provider.submissions(found.provider_id), key=lambda one: one.provider_id)]


def test_a_marketplace_pays_what_was_decided_and_no_more(stage: Stage) -> None:
    numbers, _ = launched(stage)
    provider = stage.open(True)
    assert settle(stage.engine, provider, "trial").approved == ()
    assert states(stage) == ["submitted"] * 3  # nobody decided
    decide_by_rules(stage.engine, "trial")
    done = settle(stage.engine, provider, "trial")
    assert (list(done.approved), list(done.rejected), done.failed) == (numbers[:2], numbers[2:], {})
    assert states(stage) == ["approved", "approved", "rejected"]
    requests = count(stage.engine, PaymentRow)
    again = settle(stage.engine, stage.open(True), "trial")
    assert (again.approved, again.rejected, again.failed) == ((), (), {})
    assert count(stage.engine, PaymentRow) == requests


class KilledError(BaseException):
    """Our program ended here."""


class Killing:
    """A provider that takes a call, and whose program is then killed."""

    def __init__(self, provider: Any, call: str) -> None:
        self._provider, self._call = provider, call

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._provider, name)
        if name != self._call:
            return found

        def call(*arguments: Any) -> None:
            found(*arguments)
            raise KilledError

        return call


@pytest.mark.parametrize("call", ["approve", "reject"])
def test_paying_goes_on_where_it_was_killed(stage: Stage, call: str) -> None:
    numbers, _ = launched(stage)
    decide_by_rules(stage.engine, "trial")
    killing: Any = Killing(stage.open(True), call)
    with pytest.raises(KilledError):
        settle(stage.engine, killing, "trial")
    done = settle(stage.engine, stage.open(True), "trial")
    assert done.failed == {} and states(stage) == ["approved", "approved", "rejected"]
    assert set(numbers[:2]) == {one.session for one in dues(stage.engine, "trial").paid}
    with transaction(stage.engine) as session:
        rewards = session.scalars(select(PaymentRow).where(PaymentRow.assignment_id.in_(numbers[:2]))).all()
    assert [row.state for row in rewards] == ["confirmed", "confirmed"]


def test_one_refusal_stops_nobody_else(stage: Stage) -> None:
    numbers, submissions = launched(stage)
    by_hand = _decision("Decided by hand on the marketplace's page.")
    stage.open(True).reject(submissions[0], rejection("trial", by_hand, frozenset()))
    decide_by_rules(stage.engine, "trial")
    done = settle(stage.engine, stage.open(True), "trial")
    assert list(done.failed) == numbers[:1] and "cannot become approved" in done.failed[numbers[0]]
    assert (list(done.approved), list(done.rejected)) == (numbers[1:2], numbers[2:])


@pytest.mark.parametrize("stage", ["prolific"], indirect=True)  # Mechanical Turk never tells of returned work
def test_what_was_returned_at_the_marketplace_is_neither_paid_nor_rejected(stage: Stage) -> None:
    numbers, submissions = launched(stage)
    for submission in submissions[1:]:
        stage.market.people[submission]["status"] = "RETURNED"
    decide_by_rules(stage.engine, "trial")
    done = settle(stage.engine, stage.open(True), "trial")
    assert (list(done.approved), done.rejected, done.failed) == (numbers[:1], (), {})
    assert [one.session for one in dues(stage.engine, "trial").gone] == numbers[1:]


def _decision(*reasons: str, by: str = "ada") -> Any:
    from study.quality.decisions import Decision

    return Decision(False, False, reasons, by, now())


def test_a_rejected_rater_reads_what_withheld_the_pay_and_nothing_else() -> None:
    reasons = ("gold: 1 of 4 known answers were right", "order_effects: the answers drift")
    told = rejection("trial", _decision(*reasons, by=RULES), frozenset({"gold"}))
    assert reasons[0] in told and reasons[1] not in told and "fixed before the study began" in told
    by_hand = rejection("trial", _decision(*reasons), frozenset({"gold"}))
    assert all(reason in by_hand for reason in reasons) and "A person looked at it" in by_hand


def test_a_study_that_was_never_launched_pays_nobody(stage: Stage) -> None:
    with pytest.raises(UsageError, match="never launched"):
        settle(stage.engine, stage.open(True), "trial")


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        mesoface.main(["study", *arguments])
    captured = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, captured.out, captured.err


def test_review_as_a_user_types_it(
    database: Engine, database_url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rushed = local_study(database)[2]
    place = ("--db", database_url)
    code, out, _ = typed(capsys, "review", "trial", *place)
    assert code == 0 and RUSHED in out and "4 sessions, 3 handed in, 0 of these decided; pay 2, use 1" in out
    assert "rules that struck: gold 1, speed 1" in out and count(database, QaDecisionRow) == 0
    by_hand = ("--set", str(rushed), "use=no", "pay=yes", "--reason", "Wrote to us.", "--by", "ada")
    code, out, _ = typed(capsys, "review", "trial", *place, "--decide", *by_hand, "--csv", str(tmp_path / "r.csv"))
    assert code == 0 and "2 decided now" in out and "Wrote to us." in out
    table = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert [(row["pay"], row["use"], row["decided_by"]) for row in table] == [
        ("yes", "yes", "rules"), ("yes", "no", "rules"), ("yes", "no", "ada"), ("no", "no", "")
    ]  # fmt: skip
    code, out, _ = typed(capsys, "review", "trial", *place, "--json")
    found = json.loads(out)
    assert found["summary"]["decided"] == 3 and found["sessions"][2]["rules"]["pay"] is False
    assert "a" * 13 not in out  # never a whole pseudonym
    for wrong in (("12", "pay=yes", "pay=no"), ("12", "pay=ja", "use=no"), ("x", "pay=yes", "use=no")):
        assert typed(capsys, "review", "trial", *place, "--set", *wrong, "--reason", "x")[0] == 2
    assert typed(capsys, "review", "lost", *place)[0] == 2


def test_pay_as_a_user_types_it(database: Engine, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    good, unsure, rushed, _ = local_study(database)
    typed(capsys, "review", "trial", "--db", database_url, "--decide")
    code, out, _ = typed(capsys, "pay", "trial", "--db", database_url, "--dry-run")
    assert code == 0 and "to pay 2 raters, USD 3.00" in out and f"reject session {rushed}: {RUSHED}" in out
    assert count(database, PaymentRow) == 0
    for _ in range(2):
        code, out, err = typed(capsys, "pay", "trial", "--db", database_url, "--quiet")
        rows = list(csv.DictReader(io.StringIO(out)))
        assert code == 0 and [(int(row["session"]), row["amount"]) for row in rows] == [
            (good, "1.50"),
            (unsure, "1.50"),
        ]
        assert [row["completion_code"] for row in rows] == [f"CODE{good}", f"CODE{unsure}"]
    # Four places of 1.50 were set aside; the place of the rejected rater goes to another, with its money.
    assert "paid 0, rejected 0, not decided 0; confirmed USD 3.00 of USD 6.00 set aside, cap USD 10.00" in err


def test_pay_at_a_marketplace_as_a_user_types_it(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers, submissions = launched(stage)
    decide_by_rules(stage.engine, "trial")
    url = stage.engine.url.render_as_string(hide_password=False)
    with monkeypatch.context() as patch:
        patch.setenv("PROLIFIC_API_TOKEN", "secret-of-the-test")
        suffix = "/api/v1" if stage.open(True).name == "prolific" else ""
        where = ("--db", url, "--endpoint", f"{stage.market.address}{suffix}", "--quiet")
        code, _, err = typed(capsys, "pay", "trial", *where)
        assert code == 2 and "--live" in err and states(stage) == ["submitted"] * 3
        code, _, err = typed(capsys, "pay", "trial", *where, "--live")
        assert code == 0 and "paid 2, rejected 1" in err
        code, out, _ = typed(
            capsys, "bonus", "trial", str(numbers[0]), "50", "--reason", "Good.", *where[:-1], "--live"
        )
    assert code == 0 and "bonus of USD 0.50" in out and stage.bonuses() == [50]
    assert states(stage) == ["approved", "approved", "rejected"] and len(submissions) == 3


def test_a_bonus_is_paid_once_for_each_reason_and_within_the_cap(stage: Stage) -> None:
    numbers, _ = launched(stage)
    with pytest.raises(UsageError, match="reason"):
        give_bonus(stage.engine, stage.open(True), "trial", numbers[2], 100, " ")
    for _ in range(2):
        give_bonus(stage.engine, stage.open(True), "trial", numbers[2], 100, "Our server fell silent.")
    assert stage.bonuses() == [100]
    give_bonus(stage.engine, stage.open(True), "trial", numbers[2], 100, "For patience.")
    assert stage.bonuses() == [100, 100]
    with pytest.raises(BudgetError):
        give_bonus(stage.engine, stage.open(True), "trial", numbers[0], 9_900, "All that there is.")
    with transaction(stage.engine) as session:
        other = add_assignment(session, add_study(session, name="other"), None).id
    with pytest.raises(UsageError, match=f"no session {other}"):
        give_bonus(stage.engine, stage.open(True), "trial", other, 100, "Of another study.")
    assert stage.bonuses() == [100, 100]


def test_the_commands_are_there() -> None:
    from study.commands import study

    assert {"review", "pay", "bonus"} <= set(study.list_commands(click.Context(study)))
