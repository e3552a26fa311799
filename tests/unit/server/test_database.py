"""The database: durability mode, group commit, migrations."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import exc

from engine.core.errors import ConflictError, SettingsError
from engine.server.database import Database, has_wal_reset_race
from engine.server.failures import StorageFailed
from engine.server.tables import METADATA, STATE


def url_in(folder) -> str:
    return f"sqlite:///{folder / 'jobs.sqlite3'}"


def put(name: str):
    return lambda connection: connection.execute(sa.insert(STATE).values(name=name, value="x"))


def names(connection: sa.Connection) -> list[str]:
    return list(connection.scalars(sa.select(STATE.c.name).order_by(STATE.c.name)))


@pytest.mark.parametrize(
    ("version", "has_race"),
    [
        ((3, 40, 1), True), ((3, 51, 2), True), ((3, 51, 3), False), ((3, 50, 7), False), ((3, 50, 6), True),
        ((3, 44, 6), False), ((3, 45, 9), True), ((3, 6, 23), False), ((3, 52, 0), False),
    ],
)  # fmt: skip
def test_versions_with_the_wal_reset_race_are_known(version, has_race):
    assert has_wal_reset_race(version) is has_race


async def test_commits_are_written_ahead_and_synced_under_a_lock_that_lets_no_second_connection_in(tmp_path):
    database = Database.open(url_in(tmp_path))
    await database.run(put("locked"))

    def pragma(name: str):
        return database.run(lambda connection: str(connection.exec_driver_sql(f"PRAGMA {name}").scalar()))

    found = [await pragma(name) for name in ("journal_mode", "synchronous", "locking_mode")]
    assert found == ["wal", "2", "exclusive"]  # 2 is FULL
    other = sqlite3.connect(tmp_path / "jobs.sqlite3", timeout=0.05)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT name FROM state")
    other.close()
    database.close()


async def test_the_log_is_written_back_while_nobody_waits(tmp_path):
    database = Database.open(url_in(tmp_path))
    before = (tmp_path / "jobs.sqlite3").read_bytes()
    await database.run(put("a-name-in-the-log"))
    assert (tmp_path / "jobs.sqlite3").read_bytes() == before
    for _ in range(100):
        await asyncio.sleep(0.1)
        if b"a-name-in-the-log" in (tmp_path / "jobs.sqlite3").read_bytes():
            break
    else:
        raise AssertionError("the log was not written back")
    assert await database.run(names) == ["a-name-in-the-log"]
    database.close()


async def test_a_rollback_journal_database_of_an_earlier_version_opens(tmp_path):
    earlier = sqlite3.connect(tmp_path / "jobs.sqlite3")
    earlier.execute("PRAGMA journal_mode=PERSIST")
    earlier.execute("CREATE TABLE other (name TEXT)")
    earlier.commit()
    earlier.close()
    database = Database.open(url_in(tmp_path))
    await database.run(put("kept"))
    assert await database.run(names) == ["kept"]
    database.close()


async def test_operations_that_wait_share_a_commit(tmp_path):
    database = Database.open(url_in(tmp_path))
    await asyncio.gather(*(database.run(put(f"{number:03}")) for number in range(200)))
    assert len(await database.run(names)) == 200
    assert database.num_commits < 100
    database.close()


async def test_an_operation_that_raises_is_undone_alone(tmp_path):
    database = Database.open(url_in(tmp_path))

    def fail(connection: sa.Connection) -> None:
        put("half")(connection)
        raise ConflictError("no")

    results = await asyncio.gather(
        database.run(put("a")), database.run(fail), database.run(put("b")), database.run(fail), return_exceptions=True
    )
    assert [isinstance(result, ConflictError) for result in results] == [False, True, False, True]
    assert await database.run(names) == ["a", "b"]
    database.close()


@pytest.mark.parametrize(
    ("kind", "is_of_the_store"),
    [
        (exc.OperationalError, True), (exc.InterfaceError, True), (exc.InternalError, True), (exc.DatabaseError, True),
        (exc.IntegrityError, False), (exc.DataError, False), (exc.ProgrammingError, False),
    ],
)  # fmt: skip
async def test_a_fault_of_the_store_is_told_from_one_of_what_was_asked(tmp_path, kind, is_of_the_store):
    """What the store did not take is tried again; what it can never take is not."""
    database = Database.open(url_in(tmp_path))

    def fail(connection: sa.Connection) -> None:
        put("half")(connection)
        raise kind("INSERT", None, Exception("the server went away"))

    with pytest.raises(StorageFailed if is_of_the_store else kind, match="the server went away"):
        await database.run(fail)
    assert await database.run(names) == []
    database.close()


async def test_what_was_committed_is_there_after_opening_again(tmp_path):
    database = Database.open(url_in(tmp_path))
    await database.run(put("kept"))
    database.close()
    database = Database.open(url_in(tmp_path))
    assert await database.run(names) == ["kept"]
    database.close()


def test_the_migrations_lead_to_the_tables_the_code_uses(tmp_path):
    Database.open(url_in(tmp_path)).close()
    engine = sa.create_engine(url_in(tmp_path))
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
        made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'jobs_by_place'").scalar()
    engine.dispose()
    # Alembic cannot compare an index with an expression in it, so that one is compared as SQL.
    assert [item[:1] for item in differences if getattr(item[1], "name", "") != "jobs_by_place"] == []
    assert made == "CREATE INDEX jobs_by_place ON jobs (state, priority DESC, number, sequence)"


def test_a_database_of_a_newer_program_is_refused(tmp_path):
    Database.open(url_in(tmp_path)).close()
    with sqlite3.connect(tmp_path / "jobs.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SettingsError, match="newer than this program's") as caught:
        Database.open(url_in(tmp_path))
    assert caught.value.code == "database_is_newer"


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////proc/nowhere/x.db", "notadatabase://x/y"])
def test_an_unusable_url_is_a_settings_error(url):
    with pytest.raises((SettingsError, OSError)):
        Database.open(url)


def test_a_damaged_file_is_a_settings_error(tmp_path):
    (tmp_path / "jobs.sqlite3").write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(SettingsError, match="cannot be opened"):
        Database.open(url_in(tmp_path))
