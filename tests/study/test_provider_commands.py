"""``mesoface study launch`` and its kin as a user types them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fake_prolific import TOKEN, FakeProlific
from sqlalchemy import Engine, select
from study_rows import add_assignment, add_study

from recon.errors import BudgetError, UsageError
from study import ledger, provider_commands
from study.database import HitRow
from study.engine import open_database, transaction, upgrade
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


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = open_database(f"sqlite:///{tmp_path / 'studies.sqlite'}")
    upgrade(found)
    yield found
    found.dispose()


def _enter(engine: Engine, provider: str, cap_cents: int) -> tuple[int, int]:
    """The published split-face study in the database; its raters and their reward."""
    specification = read_specification(EXAMPLE)
    with transaction(engine) as session:
        add_study(session, name="real", provider=provider, cap_cents=cap_cents, specification=specification.record())
    return specification.raters, specification.payment.reward


def _typed(engine: Engine, command: click.Command, *arguments: str) -> str:
    url = engine.url.render_as_string(hide_password=False)
    done = CliRunner().invoke(command, [*arguments, "--db", url], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_study_from_draft_to_stop_on_prolific(engine: Engine, fake: FakeProlific) -> None:
    raters, reward = _enter(engine, "prolific", cap_cents=1_000_000)
    given = ("real", "--url", URL, "--completion-code", "C0DE", "--endpoint", f"{fake.address}/api/v1")
    assert _typed(engine, provider_commands.launch, *given, "--draft").startswith("draft\t")
    assert fake.exposure_cents() == 0
    assert "set aside or paid\t0.00 USD" in _typed(engine, provider_commands.budget, "real")
    for _ in range(2):
        (posted,) = json.loads(_typed(engine, provider_commands.launch, *given, "--live", "--json"))
        assert (posted["state"], posted["places"]) == ("open", raters)
    (study,) = fake.studies.values()
    assert study["completion_codes"][0]["code"] == "C0DE" and study["reward"] == reward
    fake.arrive(posted["id"], "P1")
    endpoint = given[-2:]
    followed = json.loads(_typed(engine, provider_commands.follow, "real", *endpoint, "--json"))
    assert followed == {"counts": {"submitted": 1}, "never_reached_us": 1}
    assert _typed(engine, provider_commands.stop, "real", *endpoint).startswith("closed\t")
    found = json.loads(_typed(engine, provider_commands.budget, "real", "--json"))
    assert found["committed_cents"] == fake.exposure_cents() == -(-raters * reward * 140 // 100)
    assert found["left_cents"] == 1_000_000 - found["committed_cents"]


def test_a_cap_that_is_too_low_stops_the_launch(engine: Engine, fake: FakeProlific) -> None:
    _enter(engine, "prolific", cap_cents=100)
    with pytest.raises(BudgetError, match=r"cap is 1\.00 USD"):
        _typed(
            engine, provider_commands.launch, "real", "--url", URL, "--completion-code", "C0DE", "--live",
            "--endpoint", f"{fake.address}/api/v1",
        )  # fmt: skip
    assert fake.studies == {}


def test_raters_of_our_own_need_no_code_and_no_https(engine: Engine) -> None:
    _enter(engine, "local", cap_cents=1_000_000)
    said = _typed(engine, provider_commands.launch, "real", "--url", "http://127.0.0.1:8000/")
    assert said.startswith("open\t") and "http://127.0.0.1:8000/" in said
    with transaction(engine) as session:
        assert session.scalars(select(HitRow)).one().state == "open"


def test_wrong_use_is_said(engine: Engine, fake: FakeProlific) -> None:
    _enter(engine, "prolific", cap_cents=100)
    with pytest.raises(UsageError, match="--completion-code"):
        _typed(engine, provider_commands.launch, "real", "--url", URL)
    with pytest.raises(UsageError, match=r"no study 'other'.*real"):
        _typed(engine, provider_commands.budget, "other")


def test_what_nobody_knows_is_shown_and_settled(engine: Engine) -> None:
    with transaction(engine) as session:
        study = add_study(session, name="real", cap_cents=1000)
        rater = add_assignment(session, study, None)
        ledger.plan_bonus(session, study.id, rater.id, ledger.Wish("a" * 64, Cost(50, 10)), "bulk")
        ledger.move(session, "a" * 64, "planned", "sent")
    assert "unsettled\taaaaaaaaaaaa" in _typed(engine, provider_commands.budget, "real")
    assert _typed(engine, provider_commands.settle, "aaaaaaaa", "--not-paid") == "aaaaaaaaaaaa: failed\n"
    said = _typed(engine, provider_commands.budget, "real")
    assert "unsettled" not in said and "left\t10.00 USD" in said
