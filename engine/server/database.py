"""The database behind the job store: one connection on one thread, operations grouped into durable commits.

SQLite writes ahead (one disk sync a commit) with the file locked for this connection alone: the race that old versions
have when they reset a write-ahead log needs a second connection, and under the lock there is none (ADR 6).

Every operation is a function of a connection; it runs on the writer thread inside a transaction. Operations that wait
while a commit is under way share the next one (group commit); a caller hears back only after the commit. One that
raises is undone alone.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from engine.core.errors import SettingsError
from engine.server.failures import StorageFailed

__all__ = ["Database", "has_wal_reset_race"]

Result = TypeVar("Result")
_MAX_GROUP = 256
_FIXED_WAL = (3, 51, 3)
_BACKPORTS = {(3, 50): 7, (3, 44): 6}
_IDLE_S = 0.5
"""After this long without work the log is written back, so that it is not done while somebody waits."""
_MAX_LOG_PAGES = 8192
_log = logging.getLogger(__name__)


def has_wal_reset_race(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite may corrupt a log that several connections share (3.7.0 to 3.51.2, but for two backports)."""
    if version >= _FIXED_WAL or version < (3, 7, 0):
        return False
    backport = _BACKPORTS.get(version[:2])
    return backport is None or version[2] < backport


class Database:
    """A job database. Open it, `run` operations, close it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._waiting: queue.SimpleQueue[tuple[Callable[[sa.Connection], Any], Callable[[Any, Any], None]] | None]
        self._waiting = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="job-store", daemon=True)
        self._connection = engine.connect()
        self._writes_ahead = engine.dialect.name == "sqlite"
        self._has_log = False
        self.num_commits = 0
        self._is_closed = False

    @classmethod
    def open(cls, url: str) -> Database:
        """Connect, bring the schema up to date, and start the writer thread.

        Raises SettingsError for an unusable URL and for a database of a newer program.
        """
        try:
            engine = _make_engine(url)
            with engine.connect() as connection:
                _migrate(connection)
        except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise SettingsError(
                f"The database URL cannot be used: {error}", hint="Use sqlite:///FILE or postgresql+psycopg://…"
            ) from error
        except exc.DBAPIError as error:
            raise SettingsError(
                f"The database cannot be opened: {error.orig}", hint="Check the file's folder and permissions."
            ) from error
        database = cls(engine)
        database._thread.start()
        return database

    async def run(
        self, operation: Callable[[sa.Connection], Result], then: Callable[[Result], None] | None = None
    ) -> Result:
        """Run `operation(connection)` in a transaction; its result once that is durable.

        Raises what the operation raised, StorageFailed when the commit could not be made (then nothing of it is kept).
        `then(result)` is called on the event loop after the commit, in commit order, also when the caller has been
        cancelled meanwhile.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def finish(result: Any, error: BaseException | None) -> None:
            if error is None and then is not None:
                then(result)
            if future.cancelled():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def answer(result: Any, error: BaseException | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, result, error)

        if self._is_closed:
            raise RuntimeError("the database is closed")
        self._waiting.put((operation, answer))
        return await future

    def close(self) -> None:
        """Finish what is queued and disconnect. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._waiting.put(None)
        self._thread.join()
        self._connection.close()
        self._engine.dispose()

    # ------------------------------------------------------------------ the writer thread

    def _serve(self) -> None:
        while True:
            group = [self._next()]
            while len(group) < _MAX_GROUP and group[-1] is not None:
                try:
                    group.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            is_last = group[-1] is None
            work = [entry for entry in group if entry is not None]
            if work:
                self._commit_group(work)
            if is_last:
                return

    def _next(self) -> Any:
        """The next operation; meanwhile, once a pause is long enough, SQLite's log is written back."""
        if self._has_log:
            try:
                return self._waiting.get(timeout=_IDLE_S)
            except queue.Empty:
                self._write_back()
        return self._waiting.get()

    def _write_back(self) -> None:
        self._has_log = False
        raw = self._connection.connection.dbapi_connection
        assert raw is not None
        try:
            raw.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()
        except Exception as error:  # noqa: BLE001 - the log still holds every commit; it is tried again after the next
            _log.warning("The job database's log could not be written back: %s", error)

    def _commit_group(self, work: list[Any]) -> None:
        answers: list[tuple[Callable[[Any, Any], None], Any, BaseException | None]] = []
        try:
            with self._connection.begin():
                for operation, answer in work:
                    answers.append(self._run_one(operation, answer, is_alone=len(work) == 1))
            self.num_commits += 1
            self._has_log = self._writes_ahead
        except Exception as error:  # noqa: BLE001 - whatever stopped the commit goes to every caller
            _log.warning("A commit failed: %s", error)
            shown = _storage_failure(error) if _is_of_the_store(error) else error
            answers = [(answer, None, shown) for _, answer in work]
        for answer, result, error in answers:
            answer(result, error)

    def _run_one(self, operation: Any, answer: Any, *, is_alone: bool) -> tuple[Any, Any, BaseException | None]:
        if is_alone:
            return answer, operation(self._connection), None
        try:
            with self._connection.begin_nested():
                return answer, operation(self._connection), None
        except Exception as error:
            if _is_of_the_store(error):
                raise  # the disk or the server, not this operation: nobody's work is known to be safe
            return answer, None, error  # belongs to its caller; the savepoint undid it


def _is_of_the_store(error: Exception) -> bool:
    """Whether the disk, the connection or the server failed, so that the same may work later; not what was asked."""
    is_asked = isinstance(error, exc.IntegrityError | exc.DataError | exc.ProgrammingError | exc.NotSupportedError)
    return isinstance(error, exc.DBAPIError | exc.PendingRollbackError | exc.TimeoutError) and not is_asked


def _storage_failure(error: Exception) -> StorageFailed:
    failure = StorageFailed(
        f"The job store cannot write: {getattr(error, 'orig', error)}.",
        hint="Free space on its disk, or bring its database back, then send it again. Accepted jobs wait meanwhile.",
    )
    failure.__cause__ = error
    return failure


def _make_engine(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_size=1, max_overflow=0, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        parsed, poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False, "timeout": 10}
    )
    pragmas = (
        "locking_mode=EXCLUSIVE",  # before the journal mode, so that not even the first access shares the log
        "journal_mode=WAL",
        f"wal_autocheckpoint={_MAX_LOG_PAGES}",
        "synchronous=FULL",
        "foreign_keys=ON",
        "fullfsync=ON",
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's BEGIN below, not the driver's guesses
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _migrate(connection: sa.Connection) -> None:
    """Bring the schema to the newest version. Alembic is imported only when there is something to do."""
    folder = Path(__file__).parent / "migrations"
    known = sorted(path.name[1:5] for path in (folder / "versions").glob("v[0-9][0-9][0-9][0-9]_*.py"))
    with connection.begin():
        current = _schema_version(connection)
        if current is not None and current not in known:
            raise SettingsError(
                f"The job database has schema version {current}, which is newer than this program's ({known[-1]}).",
                code="database_is_newer",
                hint="Start the newer program, or name another database.",
            )
        if current == known[-1]:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _schema_version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
