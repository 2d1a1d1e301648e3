"""Worker processes of one command: started, listened to over pipes, and stopped together.

A worker never outlives the command: it is stopped when the command leaves the supervisor's `with` block, when the
command gets SIGINT or SIGTERM, and, even if the command is killed with SIGKILL, when the parent process is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType, TracebackType
from typing import Any, Self

from maskfit.errors import MaskfitError

GRACE_SECONDS = 1.5
"""Seconds between SIGTERM and SIGKILL when workers are stopped; all of them are gone within two."""

POLL_SECONDS = 0.5
"""Seconds between two looks whether the parent is still there, in processes that multiprocessing did not start."""

USER_ERROR_CODE = 2
"""Exit code of a worker that ended with a `MaskfitError`, as of the command itself."""

INTERRUPTED_CODE = 130
"""Exit code of a worker that was interrupted, as shells report it for Ctrl-C."""


@dataclass(eq=False)
class Worker:
    """A process that was started by a `ProcessSupervisor`.

    Attributes:
        name: Name for messages, such as "fold 0".
        process: The process.
        pipe: The parent's end of the pipe, duplex.
        error: The `MaskfitError` that it ended with, if any.
        crash: Type and first line of the uncaught exception that it ended with; "" if there was none.
    """

    name: str
    process: BaseProcess
    pipe: Connection
    error: MaskfitError | None = None
    crash: str = ""

    def send(self, message: Any) -> None:
        """Sends a message to the worker.

        Args:
            message: Anything that can be pickled.

        Raises:
            OSError: The worker has ended.
        """
        self.pipe.send(message)

    def describe_exit(self) -> str:
        """Returns how the process ended, for error messages.

        Returns:
            A verb phrase, "was killed by SIGKILL (possibly out of memory)" or "ended with exit code 1: ValueError: x".
        """
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return f"was killed by {name}{' (possibly out of memory)' if name == 'SIGKILL' else ''}"
        return f"ended with exit code {code}{f': {self.crash}' if self.crash else ''}"


@dataclass(frozen=True)
class WorkerMessage:
    """A message from a worker.

    Attributes:
        worker: The sender.
        message: What it sent.
    """

    worker: Worker
    message: Any


@dataclass(frozen=True)
class WorkerExit:
    """A worker ended; its `process.exitcode`, `error` and `crash` are final.

    Attributes:
        worker: The worker.
    """

    worker: Worker

    @property
    def failed(self) -> bool:
        """Whether it ended with an error or a nonzero exit code."""
        return self.worker.error is not None or self.worker.process.exitcode != 0


WorkerEvent = WorkerMessage | WorkerExit


@dataclass(frozen=True)
class _Failed:
    """Sent by a worker that ends with a `MaskfitError`."""

    error: MaskfitError


@dataclass(frozen=True)
class _Crashed:
    """Sent by a worker that ends with any other exception."""

    summary: str


class ProcessSupervisor:
    """Starts workers, receives their messages and stops them; used as a context manager or ended with `stop`.

    While workers run, and if this is the main thread and SIGTERM has its default action, SIGTERM raises
    `SystemExit(143)` in this process, so that leaving the `with` block stops the workers. Ctrl-C raises
    `KeyboardInterrupt` here as always; workers ignore it.

    Args:
        grace_seconds: Seconds a worker gets to end after SIGTERM before it is killed; 0 kills workers at once. SIGTERM
            raises `KeyboardInterrupt` in the worker, so that unfinished files are removed.
        daemon: Whether workers may not start processes of their own, and are terminated where this process exits
            without `stop`.
    """

    def __init__(self, *, grace_seconds: float = GRACE_SECONDS, daemon: bool = False) -> None:
        self.grace_seconds = grace_seconds
        self.daemon = daemon
        self._workers: dict[Connection, Worker] = {}
        self._handles_sigterm = False

    def __enter__(self) -> Self:
        """Returns the supervisor."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops all workers."""
        self.stop()

    @property
    def workers(self) -> list[Worker]:
        """Workers whose exit `wait` has not returned yet, in the order in which they were started."""
        return list(self._workers.values())

    def start(self, target: Callable[..., None], *args: Any, name: str) -> Worker:
        """Starts a worker in a spawned process: neither torch's threads nor a GPU context survive a fork.

        Args:
            target: Module-level function, called in the worker as `target(pipe, *args)` with the worker's end of the
                pipe. It may end with a `MaskfitError`, which arrives as `Worker.error`.
            args: Further arguments; must be picklable.
            name: Name for messages.

        Returns:
            The running worker.
        """
        self._handle_sigterm()
        context = get_context("spawn")
        parent_end, worker_end = context.Pipe()
        arguments = (target, args, worker_end, self.grace_seconds)
        process: BaseProcess = context.Process(target=_run_worker, args=arguments, name=name, daemon=self.daemon)
        with _sigint_ignored():
            process.start()
        # The worker must hold the only other end: its exit is noticed by the end of the stream.
        worker_end.close()
        worker = Worker(name, process, parent_end)
        self._workers[parent_end] = worker
        return worker

    def wait(self, timeout: float | None = None) -> list[WorkerEvent]:
        """Waits for messages or exits.

        Args:
            timeout: Seconds to wait at most; without a limit by default.

        Returns:
            At least one event, unless no worker runs or the timeout has passed. A worker's exit comes after all of its
            messages.
        """
        events: list[WorkerEvent] = []
        while self._workers and not events:
            ready = wait(list(self._workers), timeout)
            if not ready:
                break
            for pipe in ready:
                assert isinstance(pipe, Connection)
                event = self._receive(pipe)
                if event is not None:
                    events.append(event)
        return events

    def stop(self) -> None:
        """Stops all workers: SIGTERM, then SIGKILL after `grace_seconds`; another Ctrl-C does not interrupt that."""
        workers = self.workers
        with _sigint_ignored():
            for worker in workers:
                if self.grace_seconds:
                    worker.process.terminate()
                else:
                    worker.process.kill()
            deadline = time.monotonic() + self.grace_seconds
            for worker in workers:
                self._reap(worker, deadline)
        self._restore_sigterm()

    def _receive(self, pipe: Connection) -> WorkerEvent | None:
        worker = self._workers[pipe]
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            self._forget(worker)
            return WorkerExit(worker)
        if isinstance(message, _Crashed):
            worker.crash = message.summary
            return None
        if isinstance(message, _Failed):
            worker.error = message.error
            self._reap(worker, time.monotonic() + self.grace_seconds)
            return WorkerExit(worker)
        return WorkerMessage(worker, message)

    def _reap(self, worker: Worker, deadline: float) -> None:
        """Waits for a worker's end until the deadline, then kills it."""
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        self._forget(worker)

    def _forget(self, worker: Worker) -> None:
        self._workers.pop(worker.pipe, None)
        worker.pipe.close()

    def _handle_sigterm(self) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and not self._handles_sigterm and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _exit_on_sigterm)
            self._handles_sigterm = True

    def _restore_sigterm(self) -> None:
        if self._handles_sigterm and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._handles_sigterm = False


def _exit_on_sigterm(signum: int, frame: FrameType | None) -> None:
    # Once: a second one must not interrupt the stopping of workers, after which the default action is back.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + signum)


class _InterruptOnce:
    """Handler of SIGTERM in a worker, which is stopped as at Ctrl-C: unfinished files are removed on the way out.

    Where the signal goes to the whole process group, the supervisor's comes second and must not interrupt that. The
    handler is not replaced for it: Lightning calls it from a handler of its own, and puts it back at its end.
    """

    def __init__(self) -> None:
        self._done = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if not self._done:
            self._done = True
            raise KeyboardInterrupt


@contextmanager
def _sigint_ignored() -> Iterator[None]:
    """Ignores SIGINT for the block, which a process started in it inherits.

    A terminal sends Ctrl-C to the whole process group; without this a worker that still imports its modules would
    print a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run_worker(target: Callable[..., None], args: tuple[Any, ...], pipe: Connection, grace_seconds: float) -> None:
    """Runs in the worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if grace_seconds:
        signal.signal(signal.SIGTERM, _InterruptOnce())
    exit_with_parent(grace_seconds)
    try:
        target(pipe, *args)
    except MaskfitError as error:
        with suppress(OSError):
            pipe.send(_Failed(error))
        sys.exit(USER_ERROR_CODE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_CODE)
    except Exception as error:
        with suppress(OSError):
            first_line = next(iter(str(error).strip().splitlines()), "")
            pipe.send(_Crashed(f"{type(error).__name__}: {first_line}".removesuffix(": ")))
        raise


def exit_with_parent(grace_seconds: float = GRACE_SECONDS) -> None:
    """Ends this process when its parent is gone, so that two commands never write to one folder; returns at once.

    Args:
        grace_seconds: Seconds between SIGTERM to itself and its end; 0 ends it at once.
    """
    threading.Thread(target=_exit_with_parent, args=(grace_seconds,), daemon=True).start()


def _exit_with_parent(grace_seconds: float) -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
    else:
        # Not started by multiprocessing: an orphan gets another parent.
        number = os.getppid()
        while os.getppid() == number:
            time.sleep(POLL_SECONDS)
    if grace_seconds:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_seconds)
    os._exit(1)
