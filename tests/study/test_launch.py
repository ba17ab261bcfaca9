"""``mesoface study launch``, ``status``, ``pause``, ``resume``, ``close``: repeated, broken off, too dear, at Prolific.

Sources: the promises of ``study.launching``; costs in closed form (raters times reward, plus the fee of the in-repo
Prolific, 40 %).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from fake_mturk import FakeMTurk
from fake_prolific import TOKEN, FakeProlific
from fastapi.testclient import TestClient
from provider_stages import add_session
from sqlalchemy import Engine, func, select
from study_rows import add_assignment, add_response, add_study
from study_runs import make_run

import study
from recon.errors import BudgetError, InputError, OutcomeUnknownError, UsageError
from study import launch_commands, review_commands
from study.check import check_study
from study.database import HitRow, PaymentRow, SlotRow, StimulusRow, StudyRow, now
from study.engine import open_database, reading, transaction
from study.hosting import server_settings
from study.launching import (
    close_study,
    place_study,
    prepared_database,
    set_state,
    study_names,
    study_status,
)
from study.leases import take_slot
from study.providers import PROVIDERS, ProviderSettings, paying
from study.pseudonyms import secret_key, shared_code
from study.server.app import create_app
from study.specification import read_specification

EXAMPLE = Path(study.__file__).parent / "examples" / "split_face.yaml"
RATERS, REWARD = 3, 50
COST = RATERS * REWARD


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small split-face study of raters of our own, on a run of made-up people."""
    make_run(tmp_path / "runs" / "first", subjects=("s1", "s2", "s3"))
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    content |= {
        "name": "small",
        "conditions": ["photograph", "alpha", "beta"],
        "raters": RATERS,
        "stimuli": {"runs": ["../../runs/first"], "training_subjects": ["s3"], "width": 96, "height": 120},
        "trials": {"main": 2, "training": 1},
        "payment": {"provider": "local", "reward": REWARD, "cap": COST},
    }
    path = tmp_path / "studies" / "small" / "study.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def change(file: Path, **blocks: Any) -> None:
    """Other values in blocks of the study file."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    for name, values in blocks.items():
        content[name] = {**content.get(name, {}), **values} if isinstance(values, dict) else values
    file.write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'studies.sqlite'}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = prepared_database(url)
    yield made
    made.dispose()


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProlific]:
    for name, value in {"PROLIFIC_API_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    made = FakeProlific()
    yield made
    made.close()


def typed(command: Any, *arguments: object) -> str:
    """What a command prints."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def launched(url: str, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(typed(launch_commands.launch, *arguments, "--db", url, "--quiet", "--json"))
    return found


def rows(engine: Engine) -> list[int]:
    with reading(engine) as session:
        tables = (StudyRow, StimulusRow, SlotRow, HitRow, PaymentRow)
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def test_as_many_people_as_the_file_says(file: Path, url: str) -> None:
    """The run has two beside the one kept for training: check before and after, and launch, show one of them."""
    change(file, stimuli={"people": 1}, trials={"main": 1})
    assert "stand-ins of 1 people" in check_study(file, simulations=0).pictures
    shown = 2 * 4  # a person and the one of training: photograph, two methods, spoilt copy
    assert launched(url, file)["pictures"] == shown
    found = check_study(file, simulations=0)
    assert found.objections == () and found.pictures.startswith(f"{shown} pictures")


def test_a_launch_repeated_does_nothing_twice(file: Path, url: str, engine: Engine) -> None:
    first = launched(url, file.parent)
    assert first["postings"] == [{"state": "open", "places": RATERS, "url": "http://127.0.0.1:8000/"}]
    # Three people as photograph and by two methods, and a spoilt copy of each.
    assert (first["pictures"], first["gaps"], first["committed_cents"], first["cap_cents"]) == (12, 0, COST, COST)
    before, made = rows(engine), sorted((file.parent / "stimuli").iterdir())
    assert before == [1, 12, RATERS, 1, 1]
    assert launched(url, file) == first
    assert rows(engine) == before and sorted((file.parent / "stimuli").iterdir()) == made
    said = typed(launch_commands.launch, file, "--db", url, "--quiet")
    assert "USD 1.50 set aside, cap USD 1.50" in said and f"mesoface study serve {file.parent} --db {url}\n" in said


def test_a_changed_file_is_refused_before_the_pictures_are_touched(file: Path, url: str, engine: Engine) -> None:
    launched(url, file)
    made = (file.parent / "stimuli.json").read_bytes()
    change(file, seed=99, stimuli={"people": 1})
    ended = CliRunner().invoke(launch_commands.launch, [str(file), "--db", url])
    assert isinstance(ended.exception, InputError) and "another study file" in str(ended.exception)
    assert (file.parent / "stimuli.json").read_bytes() == made


def test_a_study_is_named_by_its_folder_too(file: Path, url: str, engine: Engine) -> None:
    launched(url, file)
    for named in ("small", str(file.parent), str(file)):
        assert "small: open" in typed(launch_commands.status, named, "--db", url)
        assert "0 sessions" in typed(review_commands.review, named, "--db", url)


def test_a_launch_that_was_cut_off_goes_on(
    file: Path, url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("study.providers.local.LocalProvider.publish", cut_off)
        assert CliRunner().invoke(launch_commands.launch, [str(file), "--db", url]).exit_code != 0
    assert study_status(engine, "small").postings[0][0] == "draft"
    assert launched(url, file)["postings"][0]["state"] == "open"
    assert rows(engine) == [1, 12, RATERS, 1, 1]


def test_what_was_launched_is_served_until_it_is_paused_or_closed(file: Path, url: str, engine: Engine) -> None:
    launched(url, file)
    settings = server_settings(read_specification(file), secret_key())
    client = TestClient(create_app(engine, file.parent, settings))

    def come(number: int) -> int:
        visitor = f"00000000-0000-4000-8000-{number:012}"
        body = {"parameters": {}, "visitor": visitor, "consent_version": "1"}
        return client.post("/api/consent", json=body).status_code

    assert come(1) == 200
    assert typed(launch_commands.pause, "small", "--db", url) == "small: paused\n"
    assert (come(2), come(1)) == (409, 200)  # who is at work goes on
    with pytest.raises(UsageError, match=r"is paused.*'mesoface study resume small'"):
        launched(url, file)
    assert typed(launch_commands.resume, file.parent, "--db", url) == "small: open\n"
    assert typed(launch_commands.resume, file, "--db", url) == "small: was open already\n"
    assert come(3) == 200
    found = json.loads(typed(launch_commands.status, "small", "--db", url, "--json"))
    assert (found["state"], found["sessions"], found["slots"]) == ("open", {"consented": 2}, {"free": RATERS})
    assert typed(launch_commands.close, "small", "--db", url) == f"small: closed\n  posting closed, {RATERS} places\n"
    assert typed(launch_commands.close, "small", "--db", url).startswith("small: was closed already\n")
    assert (come(4), come(1)) == (409, 200)
    with pytest.raises(InputError, match="another name"):
        set_state(engine, "small", "open")
    with pytest.raises(UsageError, match=r"is closed.*another --name"):
        launched(url, file)
    assert study_status(engine, "small").closed_at is not None


def test_beyond_the_cap_nothing_is_made(file: Path, url: str, engine: Engine) -> None:
    change(file, payment={"cap": COST - 1})
    with pytest.raises(InputError, match=r"cannot be launched: the study costs USD 1\.50"):
        launched(url, file)
    assert rows(engine) == [0] * 5 and not (file.parent / "stimuli").exists()


def test_what_stands_against_the_layout_is_said_before_anything_is_entered(
    file: Path, url: str, engine: Engine
) -> None:
    change(file, trials={"main": 20})
    with pytest.raises(InputError, match="'small' cannot be launched: 20 trials a rater need 10 subjects"):
        launched(url, file)
    assert rows(engine) == [0] * 5


def test_a_study_is_placed_under_a_name_of_its_own(file: Path, url: str, engine: Engine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "deeply" / "nested" / "studies"
    found = launched(url, file, "--name", "second", "--folder", elsewhere)
    assert found["study"] == "second" and Path(found["folder"]) == elsewhere / "second"
    copy = read_specification(elsewhere / "second" / "study.yaml")
    assert copy.stimuli.runs == ("../../../../runs/first",)
    original = read_specification(file)
    assert copy.model_copy(update={"name": "small", "stimuli": original.stimuli}) == original
    assert launched(url, file, "--name", "second", "--folder", elsewhere) == found
    change(file, raters=2)
    with pytest.raises(InputError, match="another study"):
        place_study(file, elsewhere, "second")
    with pytest.raises(InputError, match="calls the study 'small'"):
        place_study(file, tmp_path, "studies/small")
    assert study_names(engine) == ("second",)


def test_all_studies_are_listed_and_unknown_ones_named(file: Path, url: str, engine: Engine) -> None:
    assert "no studies" in typed(launch_commands.status, "--db", url)
    launched(url, file)
    said = typed(launch_commands.status, "--db", url)
    assert "small: open (split-face, raters of 'local')" in said and "0 of 3 done, 0 at work, 3 free" in said
    assert "nobody came yet" in said and "USD 1.50 set aside, of it USD 0.00 paid; cap USD 1.50" in said
    with pytest.raises(UsageError, match=r"no study 'smal'.*small"):
        typed(launch_commands.status, "smal", "--db", url)


def test_status_counts_what_there_is_and_a_lease_that_ran_out_as_free(database: Engine) -> None:
    with transaction(database) as session:
        row = add_study(session, name="trial", slots=4)
        moments = (now() + timedelta(hours=1), now() - timedelta(seconds=1))
        seats = [take_slot(session, row.id, timedelta(0), at) for at in moments]
        rater = add_assignment(session, row, seats[0])
        add_response(session, rater, 0, "00000000-0000-4000-8000-000000000001")
    found = study_status(database, "trial")
    assert (found.slots, found.sessions, found.answers) == ({"leased": 1, "free": 3}, {"consented": 1}, 1)
    assert [set_state(database, "trial", wanted) for wanted in ("open", "paused", "paused", "open")] == [
        False, True, False, True,
    ]  # fmt: skip
    assert close_study(database, "trial") == (True, ()) and close_study(database, "trial") == (False, ())


def test_prolific_live_by_wish_alone_once_and_closed(
    file: Path, url: str, engine: Engine, market: FakeProlific
) -> None:
    change(file, payment={"provider": "prolific", "cap": 1000, "reward": 60})
    given = (file, "--endpoint", f"{market.address}/api/v1")
    with pytest.raises(UsageError, match="give --url"):
        launched(url, *given)
    given = (*given, "--url", "https://study.example.org/")
    with pytest.raises(UsageError, match="--live"):
        launched(url, *given)
    assert market.exposure_cents() == 0 and len(market.studies) == 1
    found = launched(url, *given, "--live")
    assert launched(url, *given, "--live") == found
    code = shared_code(secret_key(), "small", "completed")
    assert found["completion_code"] == code and len(code) == 10
    (posted,) = market.studies.values()
    assert posted["completion_codes"][0]["code"] == code
    assert market.exposure_cents() == found["committed_cents"] == RATERS * 60 * 14 // 10
    changed, (closed,) = close_study(engine, "small", live=True, endpoint=str(given[2]))
    assert changed and closed.state == "closed"
    assert "nobody took is not charged" in typed(launch_commands.status, "small", "--db", url)


def test_test_participants_answer_a_study_of_their_own_and_cost_nothing(
    file: Path, url: str, engine: Engine, market: FakeProlific
) -> None:
    change(file, payment={"provider": "prolific", "cap": 1000, "reward": 60})
    given = ("--endpoint", f"{market.address}/api/v1", "--url", "https://study.example.org/", "--test")
    first = launched(url, file, *given)
    assert first["study"] == "small-test" and Path(first["folder"]) == file.parent.parent / "small-test"
    assert launched(url, file.parent, *given) == launched(url, first["folder"], *given) == first
    assert [(one["status"], one["test"]) for one in market.studies.values()] == [
        ("UNPUBLISHED", False),
        ("ACTIVE", True),
    ]
    assert market.exposure_cents() == first["committed_cents"] == 0
    assert study_names(engine) == ("small-test",)  # answers of the test are none of the study's
    real = launched(url, file, *given[:-1], "--live")
    assert real["study"] == "small" and market.exposure_cents() == real["committed_cents"] > 0
    with pytest.raises(UsageError, match="different wishes"):
        launched(url, file, *given, "--draft")


def test_nothing_is_made_for_test_participants_whom_nobody_has(file: Path, url: str, engine: Engine) -> None:
    with pytest.raises(UsageError, match="'local' has no test participants"):
        launched(url, file, "--test")
    assert sorted(file.parent.parent.iterdir()) == [file.parent] and study_names(engine) == ()


def test_paid_screen_outs_and_filters_reach_prolific(
    file: Path, url: str, engine: Engine, market: FakeProlific
) -> None:
    desktops = {"device_compatibility": ["desktop"]}
    change(file, payment={"provider": "prolific", "cap": 1000, "reward": 60, "screen_out": 10, "screen_out_raters": 2,
                          "options": desktops})  # fmt: skip
    # Printed rates, 33.4 %: 3 x (60 + 21) and 2 x (10 + 4).
    assert check_study(file, simulations=0).costs.total == 271
    where = ("--endpoint", f"{market.address}/api/v1", "--live")
    found = launched(url, file, *where, "--url", "https://study.example.org/")
    assert found["committed_cents"] == 280  # 40 % as this Prolific says: 3 x 84 and 2 x 14
    ((number, posted),) = market.studies.items()
    assert posted["device_compatibility"] == ["desktop"]
    (action,) = posted["completion_codes"][1]["actions"]
    assert (action["fixed_screen_out_reward"], action["slots"]) == (10, 2)
    session = add_session(engine, "small", "prolific", market.arrive(number, "P1"), "P1", number)
    paying.approve(engine, PROVIDERS.get("prolific")(ProviderSettings(live=True, endpoint=where[1])), session)
    assert study_status(engine, "small").budget.confirmed_cents == 84


@pytest.mark.parametrize(
    ("payment", "said"),
    [
        ({"screen_out": 10, "screen_out_raters": 2}, "'local' pays nobody whose screen will not do"),
        ({"provider": "prolific", "screen_out": 10}, "screen_out and screen_out_raters go together"),
        ({"provider": "mturk", "options": {"filters": []}}, "it has qualifications, keywords, frame_height"),
        (
            {"provider": "mturk", "options": {"frame_height": "tall"}},
            "'frame_height' .* must be a whole number",
        ),
        ({"options": {"filters": []}}, "'local' has no option 'filters': it has none"),
    ],
)
def test_payment_that_contradicts_itself_is_refused_with_its_line(
    file: Path, payment: dict[str, Any], said: str
) -> None:
    change(file, payment=payment)
    with pytest.raises(InputError, match=f"line [0-9]+.*{said}"):
        read_specification(file)


def test_an_option_replaces_nothing_of_the_study(file: Path, url: str, engine: Engine, market: FakeProlific) -> None:
    change(file, payment={"provider": "prolific", "cap": 1000, "reward": 60, "options": {"reward": 1}})
    with pytest.raises(UsageError, match="cannot say 'reward'"):
        launched(url, file, "--endpoint", f"{market.address}/api/v1", "--url", "https://study.example.org/", "--live")
    assert market.studies == {}


def test_without_test_participants_the_mend_is_said(file: Path, url: str, engine: Engine) -> None:
    with pytest.raises(UsageError, match="'local' has no test participants"):
        launched(url, file, "--test")


def test_a_cap_that_fees_would_pass_stops_the_posting(
    file: Path, url: str, engine: Engine, market: FakeProlific
) -> None:
    # Printed fees (33.4 %) fit under the cap; those that Prolific itself says (40 %) do not.
    change(file, payment={"provider": "prolific", "cap": 245, "reward": 60})
    with pytest.raises(BudgetError, match=r"cap is"):
        launched(url, file, "--endpoint", f"{market.address}/api/v1", "--url", "https://study.example.org/", "--live")
    assert market.exposure_cents() == 0
    # Nobody saw it, so the cap may be raised; once it was offered, its file stands.
    change(file, payment={"cap": 252})
    given = (file, "--endpoint", f"{market.address}/api/v1", "--url", "https://study.example.org/", "--live")
    assert launched(url, *given)["committed_cents"] == market.exposure_cents() == 252
    assert rows(engine)[0] == 1 and len(market.studies) == 1
    change(file, payment={"cap": 1000})
    with pytest.raises(InputError, match="another study file"):
        launched(url, *given)


def test_a_file_is_not_changed_under_a_posting_of_which_nobody_knows(
    file: Path, url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret", "NO_PROXY": "127.0.0.1",
                        "no_proxy": "127.0.0.1"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    market = FakeMTurk()
    change(file, payment={"provider": "mturk", "cap": 1000})
    given = (file, "--endpoint", market.address, "--url", "https://study.example.org/")
    try:
        with monkeypatch.context() as patch:
            patch.setattr("study.providers.mturk.MTurkProvider.publish", lost)
            with pytest.raises(OutcomeUnknownError):
                launched(url, *given)
        change(file, payment={"cap": 2000})
        with pytest.raises(InputError, match="another study file"):
            launched(url, *given)
        change(file, payment={"cap": 1000})
        assert launched(url, *given)["postings"][0]["state"] == "open" and len(market.hits) == 1
    finally:
        market.close()


def lost(*_: object) -> None:
    raise OutcomeUnknownError("Mechanical Turk may or may not have posted it.")


def test_a_database_without_tables_is_made_and_another_schema_refused(url: str) -> None:
    prepared_database(url).dispose()
    made = open_database(url)
    assert study_names(made) == ()
    with made.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'later'")
    made.dispose()
    with pytest.raises(InputError, match="schema 'later'"):
        prepared_database(url)
