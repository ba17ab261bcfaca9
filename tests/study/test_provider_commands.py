"""From a study file to its raters at a marketplace; ``mesoface study follow`` and ``settle`` as a user types them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fake_prolific import TOKEN, FakeProlific
from provider_stages import add_session
from sqlalchemy import Engine, select
from study_rows import add_assignment, add_study

from recon.errors import InputError, UsageError
from study import launch_commands, ledger, provider_commands
from study.database import HitRow, StudyRow
from study.engine import transaction
from study.offer import posting_of
from study.providers import PROVIDERS, ProviderSettings, launching, paying
from study.providers.contract import Cost
from study.specification import read_specification

EXAMPLE = Path(provider_commands.__file__).parent / "examples" / "split_face.yaml"
URL = "https://study.example/"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProlific]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("PROLIFIC_API_TOKEN", TOKEN)
    market = FakeProlific()
    yield market
    market.close()


def _enter(engine: Engine, provider: str, cap_cents: int, simulated: bool = False) -> tuple[int, int]:
    """The published split-face study in the database; its raters and their reward."""
    specification = read_specification(EXAMPLE)
    with transaction(engine) as session:
        add_study(
            session,
            name="real",
            provider=provider,
            cap_cents=cap_cents,
            simulated=simulated,
            specification=specification.record(),
        )
    return specification.raters, specification.payment.reward


def _typed(engine: Engine, command: click.Command, *arguments: str) -> str:
    url = engine.url.render_as_string(hide_password=False)
    done = CliRunner().invoke(command, [*arguments, "--db", url], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def _study(engine: Engine) -> StudyRow:
    with transaction(engine) as session:
        return session.scalars(select(StudyRow)).one()


def test_a_study_file_from_draft_to_raters_on_prolific(engine: Engine, fake: FakeProlific) -> None:
    raters, reward = _enter(engine, "prolific", cap_cents=1_000_000)
    endpoint = f"{fake.address}/api/v1"
    offer = posting_of(_study(engine), URL, completion_code="C0DE")
    assert (offer.places, offer.reward_cents, offer.minutes_allowed >= 30) == (raters, reward, True)
    provider = PROVIDERS.get("prolific")(ProviderSettings(live=True, endpoint=endpoint))
    (drafted,) = launching.draft(engine, provider, offer)
    assert drafted.state == "draft" and fake.exposure_cents() == 0
    for _ in range(2):
        (posted,) = launching.launch(engine, provider, posting_of(_study(engine), URL, completion_code="C0DE"))
        assert (posted.state, posted.places, posted.provider_id) == ("open", raters, drafted.provider_id)
    (study,) = fake.studies.values()
    assert study["completion_codes"][0]["code"] == "C0DE" and study["reward"] == reward
    fake.arrive(posted.provider_id, "P1")
    followed = json.loads(_typed(engine, provider_commands.follow, "real", "--endpoint", endpoint, "--json"))
    assert followed == {"counts": {"submitted": 1}, "never_reached_us": 1}
    assert _typed(engine, provider_commands.follow, "real", "--endpoint", endpoint).splitlines() == [
        "submitted\t1",
        "1 of them never reached our server",
    ]
    assert [one.state for one in launching.close(engine, provider, "real")] == ["closed"]
    with transaction(engine) as session:
        found = ledger.budget(session, _study(engine))
    assert found.committed_cents == fake.exposure_cents() == -(-raters * reward * 140 // 100)


def test_raters_of_our_own_need_no_code_and_no_https(engine: Engine) -> None:
    _enter(engine, "local", cap_cents=1_000_000)
    provider = PROVIDERS.get("local")(ProviderSettings(engine=engine))
    (posted,) = launching.launch(engine, provider, posting_of(_study(engine), "http://127.0.0.1:8000/"))
    assert (posted.state, posted.url) == ("open", "http://127.0.0.1:8000/")
    with transaction(engine) as session:
        assert session.scalars(select(HitRow)).one().state == "open"


def test_a_study_goes_to_its_own_raters_alone(engine: Engine, fake: FakeProlific) -> None:
    _enter(engine, "prolific", cap_cents=1_000_000)
    with pytest.raises(UsageError, match="--completion-code"):
        posting_of(_study(engine), URL)
    offer = posting_of(_study(engine), URL, completion_code="C0DE")
    with pytest.raises(UsageError, match="not from 'local'"):
        launching.launch(engine, PROVIDERS.get("local")(ProviderSettings(engine=engine)), offer)
    assert fake.studies == {}
    with pytest.raises(UsageError, match=r"no study 'other'.*real"):
        _typed(engine, provider_commands.follow, "other")


def test_a_rehearsal_is_never_offered_to_people(engine: Engine, fake: FakeProlific) -> None:
    _enter(engine, "prolific", cap_cents=1_000_000, simulated=True)
    provider = PROVIDERS.get("prolific")(ProviderSettings(live=True, endpoint=f"{fake.address}/api/v1"))
    for offer in (launching.draft, launching.launch):
        with pytest.raises(UsageError, match="models"):
            offer(engine, provider, posting_of(_study(engine), URL, completion_code="C0DE"))
    assert fake.studies == {}


def test_what_nobody_knows_is_shown_and_settled(engine: Engine) -> None:
    with transaction(engine) as session:
        study = add_study(session, name="real", cap_cents=1000)
        rater = add_assignment(session, study, None)
        ledger.plan_bonus(session, study.id, rater.id, ledger.Wish("a" * 64, Cost(50, 10)), "bulk")
        ledger.move(session, "a" * 64, "planned", "sent")
    assert "UNSETTLED  1 payments" in (said := _typed(engine, launch_commands.status, "real")) and "a" * 12 in said
    with pytest.raises(UsageError, match="no payments begin with 'b'"):
        _typed(engine, provider_commands.settle, "b", "--not-paid")
    assert _typed(engine, provider_commands.settle, "aaaaaaaa", "--not-paid") == "aaaaaaaaaaaa: failed\n"
    with transaction(engine) as session:
        found = ledger.budget(session, session.scalars(select(StudyRow)).one())
    assert (found.committed_cents, found.unsettled) == (0, ())


@pytest.fixture
def handed_in(engine: Engine, fake: FakeProlific) -> tuple[int, str, list[str]]:
    """A rater of Prolific who handed the work in: session, submission, and options of commands."""
    _enter(engine, "prolific", cap_cents=1_000_000)
    endpoint = f"{fake.address}/api/v1"
    provider = PROVIDERS.get("prolific")(ProviderSettings(live=True, endpoint=endpoint))
    (posted,) = launching.launch(engine, provider, posting_of(_study(engine), URL, completion_code="C0DE"))
    number = fake.arrive(posted.provider_id, "P1")
    session = add_session(engine, "real", "prolific", number, "P1", posted.provider_id)
    return session, number, ["--endpoint", endpoint]


def test_work_is_asked_back_once_and_live_alone(
    engine: Engine, fake: FakeProlific, handed_in: tuple[int, str, list[str]]
) -> None:
    session, number, where = handed_in
    given = ("real", str(session), "--reason", "You wrote that you want to withdraw.", *where)
    with pytest.raises(UsageError, match="--live"):
        _typed(engine, provider_commands.ask_return, *given)
    with pytest.raises(UsageError, match="no session 999"):
        _typed(engine, provider_commands.ask_return, "real", "999", *given[2:], "--live")
    with pytest.raises(UsageError, match="--reason"):
        _typed(engine, provider_commands.ask_return, *given[:3], " ", *where, "--live")
    for _ in range(2):
        assert "is asked to return" in _typed(engine, provider_commands.ask_return, *given, "--live")
    assert sum(path.endswith("request-return/") for _, path in fake.requests) == 1
    fake.people[number]["status"] = "RETURNED"
    assert _typed(engine, provider_commands.follow, "real", *where) == "returned\t1\n"


def test_what_was_paid_is_not_asked_back(
    engine: Engine, fake: FakeProlific, handed_in: tuple[int, str, list[str]]
) -> None:
    session, _, where = handed_in
    paying.approve(engine, PROVIDERS.get("prolific")(ProviderSettings(live=True, endpoint=where[1])), session)
    with pytest.raises(InputError, match="was paid"):
        _typed(engine, provider_commands.ask_return, "real", str(session), "--reason", "x", *where, "--live")
    assert not any(path.endswith("request-return/") for _, path in fake.requests)


def test_our_own_raters_are_asked_in_person(engine: Engine) -> None:
    _enter(engine, "local", cap_cents=1_000_000)
    provider = PROVIDERS.get("local")(ProviderSettings(engine=engine))
    launching.launch(engine, provider, posting_of(_study(engine), "http://127.0.0.1:8000/"))
    with transaction(engine) as session:
        number = add_assignment(session, session.scalars(select(StudyRow)).one(), None).id
    with pytest.raises(UsageError, match="'local' cannot ask for work back"):
        _typed(engine, provider_commands.ask_return, "real", str(number), "--reason", "x")
