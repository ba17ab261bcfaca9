"""The study database on SQLite and PostgreSQL: migrations with data, drift, and what the database itself refuses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from study_rows import add_assignment, add_response, add_study

from recon.errors import StorageError, StudyDatabaseError
from study.database import Base, ParticipantRow, QaDecisionRow, ResponseRow, StudyRow, TrialRow, now
from study.engine import (
    downgrade,
    migrations_folder,
    open_database,
    reading,
    require_schema,
    schema_version,
    transaction,
    upgrade,
)


def filled(engine: Engine) -> None:
    with transaction(engine) as session:
        study = add_study(session)
        assignment = add_assignment(session, study, study.slots[0])
        add_response(session, assignment, 0, str(uuid.uuid4()))
        session.add(
            QaDecisionRow(assignment_id=assignment.id, pay=True, use=False, reasons=["fast"], decided_by="rules")
        )


def test_the_migrations_make_the_tables_that_the_code_has(database: Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_migrations_make_the_checks_that_the_code_has(database: Engine) -> None:
    """Alembic compares tables, columns, keys and indices, and no CHECK: a state that only the code knows is refused."""
    tables = inspect(database)
    for table in Base.metadata.sorted_tables:
        ours = {str(one.name): str(one.sqltext) for one in table.constraints if isinstance(one, CheckConstraint)}
        theirs = {str(one["name"]): str(one["sqltext"]) for one in tables.get_check_constraints(table.name)}
        assert set(ours) == set(theirs), table.name
        for name, condition in ours.items():
            # PostgreSQL writes 'a' IN ('b') anew, so the quoted words are compared.
            assert re.findall(r"'([^']*)'", condition) == re.findall(r"'([^']*)'", theirs[name]), name


def test_data_survives_an_upgrade_that_is_run_again_and_a_downgrade_takes_all(empty_url: str) -> None:
    engine = open_database(empty_url)
    assert schema_version(engine) == (None, "0003")
    with pytest.raises(StudyDatabaseError, match="mesoface study database upgrade"):
        require_schema(engine)
    upgrade(engine)
    require_schema(engine)
    filled(engine)
    upgrade(engine)
    with reading(engine) as session:
        study = session.scalars(select(StudyRow)).one()
        assert study.specification["wording"] == {"question": "Echt? — ∂'本物"}
        assert study.created_at.tzinfo is not None and abs((now() - study.created_at).total_seconds()) < 60
    downgrade(engine, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine)
    with reading(engine) as session:
        assert session.scalars(select(StudyRow)).all() == []
    engine.dispose()


def test_each_migration_keeps_what_is_there(empty_url: str) -> None:
    """Also the triggers, which SQLite drops with a table that is copied."""
    engine = open_database(empty_url)
    upgrade(engine)
    filled(engine)
    downgrade(engine, "0001")
    upgrade(engine)
    with reading(engine) as session:
        assert session.scalars(select(StudyRow)).one().key_check is None
        assert len(session.scalars(select(ResponseRow)).all()) == 1
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text("DELETE FROM response"))
    with pytest.raises(DBAPIError, match="never share"), engine.begin() as connection:
        connection.execute(text("UPDATE study SET simulated = NOT simulated"))
    engine.dispose()


def test_without_tables_the_message_says_what_to_do(empty_url: str) -> None:
    engine = open_database(empty_url)
    # psycopg calls a missing table a programming error, which a defect of ours would be too: checked beforehand.
    with pytest.raises(StudyDatabaseError, match="upgrade"):
        require_schema(engine)
    engine.dispose()


def test_a_file_that_is_not_there_is_made_by_an_upgrade_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "studies.sqlite"
    engine = open_database(f"sqlite:///{file}")
    assert schema_version(engine)[0] is None
    tries: list[Callable[[], object]] = [
        lambda: require_schema(engine), lambda: filled(engine), lambda: downgrade(engine, "base"),
    ]  # fmt: skip
    for attempt in tries:
        with pytest.raises(StudyDatabaseError, match=f"there is no study database at 'sqlite:///{file}'"):
            attempt()
    assert not file.parent.exists()
    upgrade(engine)
    require_schema(engine)
    engine.dispose()


def test_a_place_where_no_file_can_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    engine = open_database(f"sqlite:///{tmp_path / 'taken' / 'studies.sqlite'}")
    with pytest.raises(StorageError, match="taken"):
        upgrade(engine)


def test_an_address_in_the_manner_of_sqlite_is_left_to_sqlite(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///file:{tmp_path / 'studies.sqlite'}?mode=rwc&uri=true")
    upgrade(engine)
    require_schema(engine)
    engine.dispose()


@pytest.mark.parametrize("table", ["response", "qa_decision"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id + 1", "DELETE FROM {}"])
def test_answers_and_decisions_cannot_be_changed(database: Engine, table: str, change: str) -> None:
    filled(database)
    with pytest.raises(DBAPIError, match="append-only"), database.begin() as connection:
        connection.execute(text(change.format(table)))
    with reading(database) as session:
        assert len(session.scalars(select(ResponseRow)).all()) == 1


def test_postgresql_refuses_to_empty_the_table_of_answers(database: Engine) -> None:
    if database.dialect.name != "postgresql":
        pytest.skip("SQLite has no TRUNCATE")
    filled(database)
    with pytest.raises(DBAPIError, match="append-only"), database.begin() as connection:
        connection.execute(text("TRUNCATE response"))


def test_simulated_raters_and_people_never_share_a_study(database: Engine) -> None:
    with transaction(database) as session:
        people, models = add_study(session, "people").id, add_study(session, "models", simulated=True).id
    for study, simulated in ((people, True), (models, False)):
        with pytest.raises(IntegrityError, match="never share"), transaction(database) as session:
            session.add(ParticipantRow(study_id=study, provider="local", pseudonym="b" * 64, simulated=simulated))
    with pytest.raises(IntegrityError, match="never share"), transaction(database) as session:
        session.get_one(StudyRow, people).simulated = True


def answer(engine: Engine, trial: int, token: str) -> None:
    with transaction(engine) as session:
        session.add(
            ResponseRow(
                trial_id=trial,
                client_uuid=token,
                answer={},
                reaction_ms=1,
                viewport_width=1,
                viewport_height=1,
                device_pixel_ratio=1.0,
            )
        )


def test_one_answer_a_trial_and_one_row_a_uuid(database: Engine) -> None:
    with transaction(database) as session:
        study = add_study(session)
        assignment = add_assignment(session, study, study.slots[0])
        first = add_response(session, assignment, 0, str(uuid.uuid4()))
        trial = TrialRow(assignment_id=assignment.id, index=1, part="main", question="which", shown=[])
        session.add(trial)
    with pytest.raises(IntegrityError):
        answer(database, first.trial_id, str(uuid.uuid4()))
    with pytest.raises(IntegrityError):
        answer(database, trial.id, first.client_uuid)
    answer(database, trial.id, str(uuid.uuid4()))


def test_a_state_that_does_not_exist_is_refused(database: Engine) -> None:
    with pytest.raises(IntegrityError), transaction(database) as session:
        add_study(session, state="forgotten")


def test_a_moment_without_zone_is_refused(database: Engine) -> None:
    with pytest.raises(StatementError, match="time zone"), transaction(database) as session:
        add_study(session, opened_at=datetime(2026, 1, 1))
    with transaction(database) as session:
        add_study(session, opened_at=datetime(2026, 1, 1, 12, tzinfo=UTC))
    with reading(database) as session:
        assert session.scalars(select(StudyRow.opened_at)).one() == datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_failed_transaction_leaves_nothing(database: Engine) -> None:
    def fail_half_way() -> None:
        with transaction(database) as session:
            add_study(session)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with reading(database) as session:
        assert session.scalars(select(StudyRow)).all() == []


WRITER = """
import sys, uuid
from study_rows import add_assignment, add_response, add_study
from study.engine import open_database, transaction
engine = open_database(sys.argv[1])
with transaction(engine) as session:
    study = add_study(session)
    assignment = add_assignment(session, study, study.slots[0])
for index in range(100_000):
    token = str(uuid.uuid4())
    with transaction(engine) as session:
        add_response(session, session.merge(assignment), index, token)
    print(token, flush=True)  # acknowledged
"""


def test_what_was_acknowledged_survives_a_killed_process(database_url: str) -> None:
    folder = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(folder.parent)])}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, database_url], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(40)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.stdout.read().split("\n")[:-1]
    process.wait()
    engine = open_database(database_url)
    with reading(engine) as session:
        kept = session.scalars(select(ResponseRow.client_uuid)).all()
    engine.dispose()
    assert all(acknowledged) and set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept)) <= len(acknowledged) + 1  # the one that was committed but not yet printed


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "mydb://x/y"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(StudyDatabaseError, match="sqlite:///"):
        open_database(url)


def test_a_database_that_is_away_is_said_without_its_password() -> None:
    engine = open_database("postgresql://rater:hidden@127.0.0.1:9/studies")
    with pytest.raises(StudyDatabaseError, match="did not answer") as caught:
        filled(engine)
    assert "hidden" not in str(caught.value)


def test_a_database_without_tables_is_told_from_one_that_is_not_there(empty_url: str, postgresql: str) -> None:
    engine = open_database(empty_url)
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).touch()
    with (
        pytest.raises(StudyDatabaseError, match=r"has no tables yet.*study database upgrade"),
        reading(engine) as session,
    ):
        session.scalars(select(ResponseRow.client_uuid)).all()
    engine.dispose()
    nobody = open_database(make_url(postgresql).set(database="nobody").render_as_string(hide_password=False))
    with pytest.raises(StudyDatabaseError, match=r"did not answer.*does not exist.*check that it is there"):
        filled(nobody)


def test_the_folder_of_migrations_is_no_package() -> None:
    """It would shadow the library that runs them."""
    assert not (migrations_folder() / "__init__.py").exists()
