"""Workers that end well, crash, are killed, ignore SIGTERM or lose their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from maskfit.errors import MissingExtraError, RunError
from maskfit.process_supervisor import ProcessSupervisor, WorkerEvent, WorkerExit, WorkerMessage

STARTED = "started"


@pytest.fixture(autouse=True)
def _importable_in_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers import this module by its name to find their function."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


def echo(pipe: Connection, greeting: str) -> None:
    """Sends a greeting, then every message back until it gets None."""
    pipe.send(greeting)
    while (message := pipe.recv()) is not None:
        pipe.send(message)


def crash(pipe: Connection) -> None:
    pipe.send(STARTED)
    raise ValueError("no such thing\nsecond line")


def fail(pipe: Connection) -> None:
    raise RunError("the run is damaged", location="run", hint="train again")


def fail_without_extra(pipe: Connection) -> None:
    raise MissingExtraError("'maskfit tune'", "tune")


def sleep(pipe: Connection, marker: str = "") -> None:
    """Sleeps; writes a marker file when it is interrupted."""
    try:
        pipe.send(STARTED)
        time.sleep(600)
    except KeyboardInterrupt:
        if marker:
            Path(marker).write_text("interrupted")
        raise


def clean_up_slowly(pipe: Connection, marker: str) -> None:
    """Sleeps; takes a while to clean up when it is interrupted, and says when it begins."""
    try:
        pipe.send(STARTED)
        time.sleep(600)
    finally:
        pipe.send("cleaning up")
        time.sleep(0.3)
        Path(marker).write_text("done")


def interrupt_the_parent_while_cleaning_up(pipe: Connection, marker: str) -> None:
    try:
        sleep(pipe)
    finally:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(0.3)
        Path(marker).write_text("done")


def wait_for(supervisor: ProcessSupervisor, message: str) -> None:
    events: list[WorkerEvent] = []
    while not any(isinstance(event, WorkerMessage) and event.message == message for event in events):
        events += supervisor.wait(timeout=60)


def ignore_sigterm(pipe: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe.send(STARTED)
    time.sleep(600)


def events_until_exit(supervisor: ProcessSupervisor) -> list[WorkerEvent]:
    found: list[WorkerEvent] = []
    while supervisor.workers:
        found += supervisor.wait()
    return found


def wait_for_messages(supervisor: ProcessSupervisor, count: int) -> None:
    """Waits for a number of messages, of which one `wait` may return several."""
    while count > 0:
        count -= len(supervisor.wait())


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def test_messages_go_both_ways_and_the_exit_comes_last() -> None:
    with ProcessSupervisor() as supervisor:
        worker = supervisor.start(echo, "hello", name="echo")
        assert supervisor.wait() == [WorkerMessage(worker, "hello")]
        worker.send({"number": 3})
        assert supervisor.wait() == [WorkerMessage(worker, {"number": 3})]
        worker.send(None)
        (event,) = supervisor.wait()
        assert isinstance(event, WorkerExit)
        assert not event.failed
        assert supervisor.workers == []
        assert supervisor.wait() == []


def test_waiting_ends_with_the_timeout() -> None:
    with ProcessSupervisor() as supervisor:
        supervisor.start(sleep, name="sleeper")
        assert len(supervisor.wait()) == 1
        assert supervisor.wait(timeout=0.05) == []


def test_a_worker_that_crashes_reports_the_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with ProcessSupervisor() as supervisor:
        worker = supervisor.start(crash, name="crasher")
        message, exit_event = events_until_exit(supervisor)
    assert message == WorkerMessage(worker, STARTED)
    assert isinstance(exit_event, WorkerExit)
    assert exit_event.failed
    assert worker.describe_exit() == "ended with exit code 1: ValueError: no such thing"
    # The traceback is on stderr, as of any process.
    assert "second line" in capfd.readouterr().err


def test_a_user_error_arrives_whole() -> None:
    with ProcessSupervisor() as supervisor:
        first = supervisor.start(fail, name="first")
        second = supervisor.start(fail_without_extra, name="second")
        events_until_exit(supervisor)
    assert isinstance(first.error, RunError)
    assert str(first.error) == "the run is damaged\n  at: run\n  next: train again"
    assert isinstance(second.error, MissingExtraError)
    assert first.process.exitcode == second.process.exitcode == 2


def test_a_worker_that_is_killed_is_named_with_its_signal() -> None:
    with ProcessSupervisor() as supervisor:
        worker = supervisor.start(sleep, name="victim")
        supervisor.wait()
        worker.process.kill()
        (event,) = supervisor.wait()
    assert isinstance(event, WorkerExit)
    assert event.failed
    assert worker.describe_exit() == "was killed by SIGKILL (possibly out of memory)"


def test_stopping_interrupts_workers_so_that_they_can_clean_up(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with ProcessSupervisor() as supervisor:
        worker = supervisor.start(sleep, str(marker), name="sleeper")
        supervisor.wait()
    assert worker.process.exitcode == 130
    assert marker.read_text() == "interrupted"


def test_a_second_sigterm_does_not_interrupt_the_cleaning_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As where a service manager or `timeout` signals the whole process group, and the supervisor its workers."""
    marker = tmp_path / "marker"
    with ProcessSupervisor() as supervisor:
        worker = supervisor.start(clean_up_slowly, str(marker), name="slow")
        wait_for(supervisor, STARTED)
        worker.process.terminate()
        wait_for(supervisor, "cleaning up")
    assert marker.read_text() == "done"
    assert capfd.readouterr().err == ""


def test_another_ctrl_c_does_not_interrupt_the_stopping_of_workers(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    received = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        with ProcessSupervisor() as supervisor:
            supervisor.start(interrupt_the_parent_while_cleaning_up, str(marker), name="slow")
            wait_for(supervisor, STARTED)
    finally:
        signal.signal(signal.SIGINT, before)
    assert marker.read_text() == "done"
    assert received == []


def test_without_grace_workers_are_killed_at_once(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with ProcessSupervisor(grace_seconds=0) as supervisor:
        worker = supervisor.start(sleep, str(marker), name="sleeper")
        supervisor.wait()
    assert worker.process.exitcode == -signal.SIGKILL
    assert not marker.exists()


def test_workers_that_ignore_sigterm_are_gone_within_two_seconds() -> None:
    with ProcessSupervisor() as supervisor:
        workers = [supervisor.start(ignore_sigterm, name=f"stubborn {number}") for number in range(2)]
        wait_for_messages(supervisor, 2)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert [worker.process.exitcode for worker in workers] == [-signal.SIGKILL] * 2


def test_sigterm_is_handled_only_while_workers_run() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ProcessSupervisor() as supervisor:
        supervisor.start(sleep, name="sleeper")
        supervisor.wait()
        if before is signal.SIG_DFL:
            with pytest.raises(SystemExit) as caught:
                signal.raise_signal(signal.SIGTERM)
            assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


COMMAND = """
import sys
from maskfit.process_supervisor import ProcessSupervisor
from test_process_supervisor import wait_for_messages, {target} as target

if __name__ == "__main__":
    with ProcessSupervisor(grace_seconds={grace}) as supervisor:
        workers = [supervisor.start(target, name=f"worker {{number}}") for number in range(2)]
        wait_for_messages(supervisor, 2)
        print(*(worker.process.pid for worker in workers), flush=True)
        while True:
            supervisor.wait()
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
@pytest.mark.parametrize(
    ("sent", "target", "grace"),
    [
        (signal.SIGKILL, "sleep", 1.5),
        (signal.SIGKILL, "sleep", 0),
        (signal.SIGKILL, "ignore_sigterm", 1.5),
        (signal.SIGTERM, "sleep", 1.5),
        (signal.SIGTERM, "ignore_sigterm", 1.5),
        (signal.SIGINT, "ignore_sigterm", 1.5),
        (signal.SIGINT, "sleep", 0),
    ],
)
def test_workers_end_with_their_parent(tmp_path: Path, sent: signal.Signals, target: str, grace: float) -> None:
    script = tmp_path / "command.py"
    script.write_text(COMMAND.format(target=target, grace=grace))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert command.stdout is not None
        pids = [int(word) for word in command.stdout.readline().split()]
        assert len(pids) == 2
        assert all(is_running(pid) for pid in pids)
        command.send_signal(sent)
        assert wait_until(lambda: not any(is_running(pid) for pid in pids), 3.0)
        command.wait(timeout=10)
    finally:
        command.kill()
        command.communicate()
