"""The round trip that a statement shares with what is sent ahead of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from threading import get_ident
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus
from psycopg.pq.abc import PGresult

Connection = psycopg.Connection[Any]

NO_PIPELINE: Final = PipelineStatus.OFF


class RoundTrip(psycopg.Pipeline):
    """A pipeline for what one call of a cursor executes, behind something that is sent ahead.

    psycopg's own sends each statement, the Sync and a Flush in packets of their own and waits three
    times for it, which is twice the cost. It also loses an error that comes as late as the end of
    the transaction, a deferred foreign key's above all: one more answer than it counts on.

    Here all of it is sent when the cursor waits, and every answer is read before the first is
    handed out, so that a cursor whose statement is undone has no result, as without a pipeline.
    `executemany()` sends and reads by turns as ever; only the end is this one's.

    libpq is in pipeline mode only while the cursor waits, which is under the connection's lock. To
    other threads that share the connection there is no pipeline at all.

    A cursor class with an `execute()` of its own, a tracer's say, may execute more than one
    statement. Each is a round trip of its own here, and in autocommit has all that goes ahead.

    One that went well can be taken again.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._let_go()

    def _let_go(self) -> None:
        # The object is kept for the next write, and must not keep a connection alive.
        del self._conn, self.pgconn

    def send_ahead(
        self,
        connection: Connection,
        statements: list[bytes],
        run: Callable[[Any], Any],
        params: Any,
        *,
        many: bool = False,
    ) -> Any:
        """Send `statements` and what `run` has a cursor execute with `params` in one round trip.

        What opens the transaction, where one is due, is in there too. `many`: `run` is an
        `executemany()`.
        """
        self._conn = connection
        self.pgconn = connection.pgconn
        self._ahead = statements
        self._is_repeated = connection.autocommit and not many
        self._many = many
        self._begins = 0  # how many of the commands are psycopg's BEGIN
        self.has_sent = False
        self.level = 1  # psycopg takes it for nested, and leaves the end to us
        self._is_busy = False  # sending or reading, or interrupted while it did
        self._thread = get_ident()
        try:
            connection._pipeline = self
            if many:
                params = (_Rows if isinstance(params, Sized) else _followed)(params, self._end)
            result = run(params)
            if self.command_queue or self.pgconn.pipeline_status != NO_PIPELINE:
                # psycopg has queued something behind the statement, or a cursor class made a new
                # list of the rows, so that their end was not seen.
                with connection.lock:
                    connection.wait(self._send_and_read_gen())
        except BaseException as error:
            self._finish_behind(error)
            raise
        finally:
            connection._pipeline = None
            if self.pgconn.pipeline_status != NO_PIPELINE:
                self._leave()
            self._let_go()
        return result

    def _end(self) -> None:
        """Close the round trip of an `executemany()`, behind the last of its rows.

        It asks for them under the connection's lock, of which it lets go right afterwards.
        """
        if self.has_sent:
            self._conn.wait(self._send_and_read_gen())

    def __bool__(self) -> bool:
        return self._thread == get_ident()

    def __enter__(self) -> Self:
        """Called when a cursor class opens a pipeline of its own: it is in this one."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        pass

    def _finish_behind(self, error: BaseException) -> None:
        """Leave the transaction in the state that `error` would have left without a pipeline."""
        if self.pgconn.status != ConnStatus.OK or self._is_busy or not isinstance(error, Exception):
            return
        if not self.has_sent:
            if not self._begins:
                return
            # The statement was never sent; the BEGIN ahead of it would have been.
            while len(self.command_queue) > self._begins:
                self.command_queue.pop()
                self.result_queue.pop()
        elif not self._many:
            return
        # Errors from here on only follow from `error`.
        try:
            with self._conn.lock:
                self._conn.wait(self._send_and_read_gen())
        except psycopg.Error:
            pass
        except IndexError:
            # Interrupted between psycopg's two queues: nobody knows whose the next answer is.
            self.pgconn.finish()

    def _leave(self) -> None:
        """Take libpq out of a pipeline in which it was interrupted, or close the connection.

        Whoever used it next would read answers that are not theirs.
        """
        pgconn = self.pgconn
        if pgconn.status == ConnStatus.OK:
            try:
                pgconn.exit_pipeline_mode()
            except psycopg.OperationalError:
                pgconn.finish()

    # What psycopg calls in the course of a statement.

    def _sync_gen(self) -> PQGen[None]:
        """Called behind the BEGIN that psycopg puts before the first statement."""
        self._begins = len(self.command_queue)
        return
        yield

    def _communicate_gen(self) -> PQGen[None]:
        """Called when a statement is queued."""
        if not self._many:
            yield from self._send_and_read_gen()
            return
        self._is_busy = True
        self._put_ahead()
        try:
            yield from super()._communicate_gen()
        except psycopg.Error:
            self._is_busy = False
            raise
        self._is_busy = False

    def _put_ahead(self) -> None:
        """Enter the pipeline; send what goes ahead behind psycopg's BEGIN and before the rest."""
        self.pgconn.enter_pipeline_mode()
        self.has_sent = True
        while self._begins:
            self._begins -= 1
            self.command_queue.popleft()()
        for statement in self._ahead:
            self.pgconn.send_query_params(statement, None)
            self.result_queue.appendleft(None)
        if not self._is_repeated:
            self._ahead = []

    def _send_and_read_gen(self) -> PQGen[None]:
        commands, waiting = self.command_queue, self.result_queue
        is_preparing = len(commands) - self._begins > 1
        self._is_busy = True
        self._put_ahead()
        while commands:
            commands.popleft()()
        self.pgconn.pipeline_sync()
        yield from generators.send(self.pgconn)
        answers = yield from self._read_gen()
        if self.pgconn.status == ConnStatus.OK:
            self.pgconn.exit_pipeline_mode()
        self._is_busy = False
        first_error: psycopg.Error | None = None
        # More answers than commands: the last is the error of a check that was deferred to the end.
        for answer in answers[len(waiting) :]:
            waiting.clear()
            self._process_results(None, answer)
        for answer in answers:
            queued = waiting.popleft()
            if first_error is not None and is_preparing and queued is not None:
                self._forget_prepared(*queued)
            try:
                self._process_results(queued, answer)
            except psycopg.Error as error:
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    def _read_gen(self) -> PQGen[list[list[PGresult]]]:
        """Read every answer up to that to the Sync, which stays out."""
        answers: list[list[PGresult]] = []
        ends = 0
        try:
            # Each answer ends with an empty result. executemany() may have left the empty end of
            # its last answer unread, so only two in a row are the end of all.
            while ends < 2:
                results = yield from generators.fetch_many(self.pgconn)
                if not results:
                    ends += 1
                elif results[0].status == ExecStatus.PIPELINE_SYNC:
                    break
                else:
                    ends = 0
                    answers.append(results)
        except psycopg.Error:
            # A server that ends the session says why before it goes.
            if not any(answer[0].status == ExecStatus.FATAL_ERROR for answer in answers):
                raise
        return answers

    def _forget_prepared(self, cursor: Any, preparing: Any) -> None:
        """Have psycopg prepare the cursor's statement anew: what came before it has failed.

        In a pipeline it takes a statement for prepared before the server has answered, and would
        go on to execute by name what does not exist. It knows better by itself if it is to look.
        """
        if preparing is None and (names := self._conn._prepared._names):
            names.popitem()  # the latest


class _Rows(list[Any]):
    """The rows of an `executemany()` and what follows them, for a cursor class that counts them."""

    def __init__(self, rows: Iterable[Any], follow: Callable[[], None]) -> None:
        super().__init__(rows)
        self._follow = follow

    def __iter__(self) -> Iterator[Any]:
        return _followed(super().__iter__(), self._follow)


def _followed(rows: Iterable[Any], follow: Callable[[], None]) -> Iterator[Any]:
    yield from rows
    follow()
