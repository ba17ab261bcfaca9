"""The study database on both systems: SQLite in a file, and a PostgreSQL server that a test process starts itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_postgresql import own_postgresql
from sqlalchemy import Engine, create_engine, make_url, text

from study.engine import open_database, upgrade

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL server of our own, whose database ``migrated`` has the schema."""
    with own_postgresql() as (server, _):
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        _create(url, "migrated")
        engine = open_database(_database(url, "migrated"))
        upgrade(engine)
        engine.dispose()
        yield url


def _create(url: str, name: str, template: str = "template1") -> None:
    administrator = create_engine(url, isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    administrator.dispose()


def _database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _new_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path, template: str) -> str:
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'studies.sqlite'}"
    server = request.getfixturevalue("postgresql")
    name = f"test{next(_numbers)}"
    _create(server, name, template)
    return _database(server, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without tables, on either system."""
    return _new_url(request.param, request, tmp_path, "template1")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a migrated database without rows, on either system."""
    url = _new_url(request.param, request, tmp_path, "migrated")
    if request.param == "sqlite":
        engine = open_database(url)
        upgrade(engine)
        engine.dispose()
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """A migrated database without rows, on either system."""
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of nobody, which the in-repo Mechanical Turk takes, and no proxy between us and ourselves."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A migrated SQLite database without rows."""
    engine = open_database(f"sqlite:///{tmp_path / 'one.sqlite'}")
    upgrade(engine)
    yield engine
    engine.dispose()
