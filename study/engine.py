"""The connection to the study database: one file of SQLite by default, PostgreSQL by URL; transactions; schema.

SQLite is used in WAL mode, so that readers never wait for a writer, with ``synchronous = FULL``: an answer that was
acknowledged is on the disk, and survives a killed process and a lost mains supply alike. Writing transactions begin
with ``BEGIN IMMEDIATE``: they wait for their turn at the start, where waiting is harmless, instead of failing in the
middle when a second writer got there first.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InternalError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from recon.errors import StudyDatabaseError

if TYPE_CHECKING:
    from alembic.config import Config

URL_VARIABLE = "MESOFACE_STUDY_DATABASE"
# How long a writer waits for its turn on SQLite: longer than any transaction of ours by orders of magnitude. What one
# request may wait in all stays below the 20 s after which a rater's page gives it up and sends it again.
BUSY_MILLISECONDS = 8_000
# To reach PostgreSQL, and for a connection of the pool, in seconds.
CONNECT_SECONDS = 8
POOL_SECONDS = 8
_READING = "mesoface_reading"


def default_url() -> str:
    """``MESOFACE_STUDY_DATABASE``, else a file in the mesoface home."""
    from recon.assets import home

    return os.environ.get(URL_VARIABLE) or f"sqlite:///{home() / 'studies.sqlite'}"


def open_database(url: str | None = None) -> Engine:
    """An engine for ``url``; nothing is created: :func:`upgrade` makes the file of SQLite, and no other call does.

    Args:
        url: of SQLAlchemy, for example ``sqlite:///studies.sqlite`` or ``postgresql+psycopg://user@host/name``; None
            for :func:`default_url`.

    Raises:
        StudyDatabaseError: a URL that names no database, or a driver that is not installed.
    """
    text = url or default_url()
    try:
        address = make_url(text)
        if address.drivername in {"postgresql", "postgres"}:
            address = address.set(drivername="postgresql+psycopg")
        if address.get_backend_name() == "sqlite":
            if not address.database or address.database == ":memory:":
                raise StudyDatabaseError(f"'{text}' keeps nothing: name a file, for example sqlite:///studies.sqlite.")
            return _sqlite(address)
        if address.get_backend_name() == "postgresql" and "connect_timeout" not in address.query:
            address = address.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})
        # A dropped connection is noticed before a rater's answer is sent into it. Few connections a process: where more
        # wait at the server for a processor they hold each other up, and the slowest answers take twice as long.
        return create_engine(address, pool_pre_ping=True, pool_size=4, max_overflow=0, pool_timeout=POOL_SECONDS)
    except (ArgumentError, NoSuchModuleError) as error:
        raise StudyDatabaseError(
            f"'{text}' is no database address ({error}): use sqlite:///FILE or postgresql://USER@HOST/NAME."
        ) from error
    except ModuleNotFoundError as error:
        raise StudyDatabaseError(
            f"'{text}' needs the Python package '{error.name}': install it with pip install 'mesoface[postgresql]'."
        ) from error


def _sqlite(address: URL) -> Engine:
    # The server's threads, 40 of them, all may read at once.
    engine = create_engine(
        address, connect_args={"timeout": BUSY_MILLISECONDS / 1000}, max_overflow=40, pool_timeout=POOL_SECONDS
    )

    @event.listens_for(engine, "do_connect")
    def only_what_is_there(*_: Any) -> None:
        if not is_there(engine):  # SQLite would make an empty file for whoever only looks
            raise StudyDatabaseError(_absence(engine))

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself: the listener below does
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def is_there(engine: Engine) -> bool:
    """False where the database is a file of SQLite that does not exist; of others only a connection can tell."""
    file = _file(engine)
    return file is None or file.exists()


def _file(engine: Engine) -> Path | None:
    """The file of SQLite's; None for PostgreSQL, and for SQLite's own URIs, which say themselves what may be made."""
    url = engine.url
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" and "uri" not in url.query else None


def _absence(engine: Engine) -> str:
    return (
        f"there is no study database at '{engine.url.render_as_string(hide_password=True)}': 'mesoface study launch' "
        f"makes one with its first study, '{_upgrade_command(engine)}' an empty one; or name another with --db."
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A writing transaction: committed at the end, rolled back whole on any error.

    Raises:
        StudyDatabaseError: the database cannot be reached, or answers that it is busy, full or damaged.
    """
    with _typed(engine), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A transaction that only reads, and on SQLite does not wait for writers.

    Raises:
        StudyDatabaseError: see :func:`transaction`.
    """
    with _typed(engine), Session(engine.execution_options(**{_READING: True})) as session, session.begin():
        yield session


@contextmanager
def _typed(engine: Engine) -> Iterator[None]:
    """Turns failures of the connection into sentences; what a caller can handle (constraints) passes as it is."""
    try:
        yield
    except PoolTimeoutError as error:
        name = engine.url.render_as_string(hide_password=True)
        raise StudyDatabaseError(f"the study database '{name}' is busy: all connections are in use.") from error
    except (OperationalError, InternalError) as error:
        raise StudyDatabaseError(_said(engine, error)) from error
    except DBAPIError as error:
        # SQLite says of a file that is damaged, or none of its own, no more than that it is an error of the database.
        if error.connection_invalidated or type(error) is DatabaseError or _lacks_a_table(error):
            raise StudyDatabaseError(_said(engine, error)) from error
        raise


def _said(engine: Engine, error: DBAPIError) -> str:
    reason = str(error.orig).strip().splitlines()[0] if error.orig is not None else str(error)
    name = engine.url.render_as_string(hide_password=True)
    if _lacks_a_table(error):
        return f"the study database '{name}' has no tables yet: make them with '{_upgrade_command(engine)}'."
    return f"the study database '{name}' did not answer ({reason}): check that it is there, then try again."


def _lacks_a_table(error: DBAPIError) -> bool:
    """Whether SQLite or PostgreSQL (code 42P01, undefined table) says that a table is not there."""
    return "no such table" in str(error.orig) or getattr(error.orig, "sqlstate", None) == "42P01"


def migrations_folder() -> Path:
    """Where the migrations lie: beside this room in a checkout, inside it in an installed package."""
    room = Path(__file__).resolve().parent
    for place in (room.parent / "alembic", room / "alembic"):
        if (place / "env.py").is_file():
            return place
    raise StudyDatabaseError(f"the migrations are missing beside '{room}': install mesoface again.")


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to ``revision``, with the data in it; nothing to do where it is there.

    Makes the file of SQLite, and its folder, where there is none.

    Raises:
        StudyDatabaseError: the database cannot be reached, or is of a later version of mesoface.
        StorageError: the file cannot be made.
    """
    from recon.storage import make_folder, storage_errors

    file = _file(engine)
    if file is not None and not file.exists():
        make_folder(file.absolute().parent)
        with storage_errors(file):
            file.touch(0o644)  # as SQLite makes its files
    _migrate(engine, "upgrade", revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Bring the schema back to ``revision`` (``base``: no tables, and nothing that was in them).

    Raises:
        StudyDatabaseError: see :func:`upgrade`.
    """
    _migrate(engine, "downgrade", revision)


def _migrate(engine: Engine, direction: str, revision: str) -> None:
    from alembic import command
    from alembic.util.exc import CommandError

    try:
        with _typed(engine), engine.begin() as connection:
            getattr(command, direction)(_configuration(connection), revision)
    except CommandError as error:
        raise StudyDatabaseError(
            f"the study database '{engine.url.render_as_string(hide_password=True)}' cannot be migrated ({error}): "
            "it may have been made by a later mesoface; install that one."
        ) from error


def schema_version(engine: Engine) -> tuple[str | None, str | None]:
    """Revision that the database is at (None: no tables, or no file), and the newest that this mesoface knows."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if not is_there(engine):
        return None, ScriptDirectory.from_config(_configuration()).get_current_head()
    with _typed(engine), engine.execution_options(**{_READING: True}).connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
        return present, ScriptDirectory.from_config(_configuration(connection)).get_current_head()


def is_known(revision: str) -> bool:
    """Whether this mesoface has the migration ``revision``: a database at one that it has not is of a later version."""
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    try:
        return ScriptDirectory.from_config(_configuration()).get_revision(revision) is not None
    except CommandError:
        return False


def require_schema(engine: Engine) -> None:
    """Nothing where the schema is the one that this mesoface works with.

    Raises:
        StudyDatabaseError: it is not, or there is no database; the message says what to do.
    """
    if not is_there(engine):
        raise StudyDatabaseError(_absence(engine))
    present, newest = schema_version(engine)
    if present != newest:
        name = engine.url.render_as_string(hide_password=True)
        raise StudyDatabaseError(
            f"the study database '{name}' has the schema '{present or 'none'}', this mesoface works with '{newest}': "
            f"run '{_upgrade_command(engine)}'."
        )


def _upgrade_command(engine: Engine) -> str:
    """The command that mends the schema of this very database, not of the default one."""
    command = "mesoface study database upgrade"
    name = engine.url.render_as_string(hide_password=True)
    return command if name == _plain(default_url()) else f"{command} --db {shlex.quote(name)}"


def _plain(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:  # the default is not in use here, so its mistakes are not told here
        return ""


def _configuration(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["connection"] = connection
    return configuration
