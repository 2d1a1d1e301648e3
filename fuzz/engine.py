"""Runs one reader on mutated inputs in a process of its own, and watches that process from outside.

Most inputs are mutated by plain random decisions, which cost little. In every `BATCHES`th batch hypothesis decides,
which prefers extremes and repetition, varies what it tried before, and shrinks an input that crashes.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

BATCH_INPUTS = 300
"""Inputs of one batch; hypothesis remembers all of its own, so that a batch cannot be long."""

BATCHES = 10
"""One batch of so many is decided by hypothesis."""

SLOW_SECONDS = 5.0
"""Processor time for one input that counts as a crash."""

MEMORY_BYTES = 1 << 30
"""Growth of the process's memory by one input that counts as a crash."""

HANG_SECONDS = 60.0
"""Processor time without a new input after which a process is killed; on a busy machine it says more than a clock."""

GRACE_SECONDS = 120.0
"""Seconds after the end of its time after which a process is killed in any case."""

START_SECONDS = 900.0
"""Seconds until the first input after which a process is killed; readers of models export networks before it."""

MAX_INPUT_BYTES = 1 << 22
"""Size of the shared memory that holds the current input."""

_COUNT = struct.Struct("<QI")


class Sample(NamedTuple):
    """A valid input.

    Attributes:
        kind: What the reader is told about it, such as its suffix.
        data: Its bytes, or a value from which `mutate` makes bytes.
    """

    kind: str
    data: Any


class Reader(Protocol):
    """A reader under test.

    Attributes:
        name: Its name on the command line.
        refusals: Exceptions by which it refuses an input.
        checks: Functions as `module:name` that are called once an input has passed the first check, then the next;
            `module:name()` where they must also return. Several of one rank are separated by `|`.
    """

    @property
    def name(self) -> str: ...

    @property
    def refusals(self) -> tuple[type[BaseException], ...]: ...

    @property
    def checks(self) -> tuple[str, ...]: ...

    def samples(self, folder: Path) -> Sequence[Sample]:
        """Makes the valid inputs.

        Args:
            folder: An empty folder, which `read` may use as well.

        Returns:
            The inputs.
        """

    def mutate(self, rng: Random, sample: Sample) -> bytes:
        """Mutates an input.

        Args:
            rng: Source of random numbers.
            sample: The input.

        Returns:
            The changed bytes.
        """

    def write(self, sample: Sample) -> bytes:
        """Returns a sample's bytes.

        Args:
            sample: The input.

        Returns:
            The unchanged bytes.
        """

    def read(self, kind: str, data: bytes) -> None:
        """Reads an input.

        Args:
            kind: Its kind.
            data: Its bytes.
        """


@dataclass
class Result:
    """What became of the inputs of a reader.

    Attributes:
        inputs: How many were tried.
        passed: How many passed each of the reader's checks, from the first on.
        accepted: How many were read without an error.
        crashes: Signature of a crash -> how often it was seen.
        kept: Signature -> a file with one such input, outside of the repository.
    """

    inputs: int = 0
    passed: list[int] = field(default_factory=list)
    accepted: int = 0
    crashes: dict[str, int] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    def add(self, other: Result) -> None:
        """Adds the counts of another result.

        Args:
            other: The other.
        """
        self.inputs += other.inputs
        self.accepted += other.accepted
        length = max(len(self.passed), len(other.passed))
        pad = [0] * length
        self.passed = [a + b for a, b in zip((self.passed + pad)[:length], (other.passed + pad)[:length], strict=True)]
        for crash, count in other.crashes.items():
            self.crashes[crash] = self.crashes.get(crash, 0) + count
        self.kept.update(other.kept)


class CheckWatcher:
    """Notes which of a reader's checks the current input has passed.

    Args:
        checks: As `Reader.checks`.
    """

    def __init__(self, checks: Sequence[str]) -> None:
        self.reached = [False] * len(checks)
        for rank, names in enumerate(checks):
            for name in names.split("|"):
                self._wrap(rank, name)

    def _wrap(self, rank: int, name: str) -> None:
        returned = name.endswith("()")
        module, _, path = name.removesuffix("()").partition(":")
        owner: Any = import_module(module)
        *outer, last = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        original = getattr(owner, last)

        def wrapper(*args: Any, **options: Any) -> Any:
            self.reached[rank] |= not returned
            result = original(*args, **options)
            self.reached[rank] = True
            return result

        if outer:
            setattr(owner, last, wrapper)
            return
        # Modules that imported the function have names of their own for it.
        for other in list(sys.modules.values()):
            if getattr(other, "__name__", "").startswith("maskfit") and vars(other).get(last) is original:
                setattr(other, last, wrapper)


class CrashError(Exception):
    """An input crashed the reader; the message is the signature."""


def signature(error: BaseException) -> str:
    """Names a crash, the same for all of one cause.

    Args:
        error: What the reader raised.

    Returns:
        The kind of error and the innermost line of maskfit in its traceback.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}maskfit{os.sep}" in frame.filename]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}" if own else "outside of maskfit"
    return (
        f"{type(error).__name__} at {place}: {str(error).splitlines()[0]:.80}"
        if str(error)
        else (f"{type(error).__name__} at {place}")
    )


@dataclass
class Session:
    """One reader in this process.

    Attributes:
        reader: The reader.
        samples: Its valid inputs.
        watcher: Notes how far inputs come.
        folder: Where inputs that crash are kept.
        current: Shared memory for the number and bytes of the current input; None in tests.
        result: The counts so far.
        known: Crashes of earlier batches, which hypothesis is not told about again.
    """

    reader: Reader
    samples: Sequence[Sample]
    watcher: CheckWatcher
    folder: Path
    current: mmap.mmap | None = None
    result: Result = field(default_factory=Result)
    known: set[str] = field(default_factory=set)

    def try_input(self, kind: str, data: bytes) -> None:
        """Reads one input.

        Args:
            kind: Its kind.
            data: Its bytes.

        Raises:
            CrashError: It crashed in a way that was not seen before.
        """
        self.result.inputs += 1
        if self.current is not None:
            shown = data[: MAX_INPUT_BYTES - _COUNT.size]
            self.current[_COUNT.size : _COUNT.size + len(shown)] = shown
            self.current[: _COUNT.size] = _COUNT.pack(self.result.inputs, len(shown))
        self.watcher.reached[:] = [False] * len(self.watcher.reached)
        memory, seconds, crash, repeats = _peak_memory(), time.process_time(), "", False
        try:
            self.reader.read(kind, data)
            self.result.accepted += 1
        except self.reader.refusals:
            pass
        except Exception as error:
            crash, repeats = signature(error), True
        seconds = time.process_time() - seconds
        if not crash and seconds > SLOW_SECONDS:
            crash = f"more than {SLOW_SECONDS:g} seconds"
        if not crash and _peak_memory() - memory > MEMORY_BYTES:
            crash = f"more than {MEMORY_BYTES >> 20} MiB"
        passed = self.result.passed or [0] * len(self.watcher.reached)
        self.result.passed = [count + reached for count, reached in zip(passed, self.watcher.reached, strict=True)]
        if crash:
            self.result.crashes[crash] = self.result.crashes.get(crash, 0) + 1
            self._keep(crash, kind, data)
            # What depends on time or on earlier inputs cannot be shrunk.
            if repeats and crash not in self.known:
                raise CrashError(crash)

    def _keep(self, crash: str, kind: str, data: bytes) -> None:
        """Keeps the smallest input of a crash."""
        path = self.folder / f"{self.reader.name}-{abs(hash_text(crash)):08x}.{kind.rpartition('.')[2]}"
        if not path.exists() or path.stat().st_size > len(data):
            path.write_bytes(data)
        self.result.kept[crash] = str(path)

    def run_batch(self, seed: int, inputs: int, end: float) -> None:
        """Tries a number of mutated inputs; whatever crashes is counted, and does not stop the others.

        Args:
            seed: Seed of the random decisions.
            inputs: How many.
            end: Monotonic time after which nothing more is tried.
        """
        rng = Random(seed)
        for _ in range(inputs):
            if time.monotonic() > end:
                break
            sample = self.samples[rng.randrange(len(self.samples))]
            with suppress(CrashError):
                self.try_input(sample.kind, self.reader.mutate(rng, sample))
        self.known |= set(self.result.crashes)

    def run_hypothesis(self, seed: int, inputs: int, end: float) -> None:
        """Tries inputs by the decisions of hypothesis, and shrinks the first that crashes in a new way.

        Args:
            seed: As for `run_batch`.
            inputs: As for `run_batch`.
            end: As for `run_batch`.
        """
        from hypothesis import HealthCheck, Phase, Verbosity, given, settings
        from hypothesis import seed as seeded
        from hypothesis import strategies as st
        from hypothesis.errors import HypothesisException

        @seeded(seed)
        @settings(
            max_examples=inputs,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )
        @given(st.integers(0, len(self.samples) - 1), st.randoms(use_true_random=False))
        def fuzz(index: int, rng: Random) -> None:
            if time.monotonic() > end:
                return
            sample = self.samples[index]
            self.try_input(sample.kind, self.reader.mutate(rng, sample))

        # Where the time ends in the middle of a batch, hypothesis misses decisions.
        with suppress(CrashError, HypothesisException):
            fuzz()
        self.known |= set(self.result.crashes)


def hash_text(text: str) -> int:
    """Returns a number that is the same in every process.

    Args:
        text: A text.

    Returns:
        Its CRC-32.
    """
    from zlib import crc32

    return crc32(text.encode("utf-8", "replace"))


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def open_session(reader: Reader, folder: Path, keep: Path, current: mmap.mmap | None = None) -> Session:
    """Prepares a reader.

    Args:
        reader: The reader.
        folder: An empty folder for its files.
        keep: Where inputs that crash are kept.
        current: As `Session.current`.

    Returns:
        The session, whose samples were read once.
    """
    samples = reader.samples(folder)
    for sample in samples:
        # Imports what is imported on first use, so that it is neither counted as slow nor missed by the watcher.
        reader.read(sample.kind, reader.write(sample))
    return Session(reader, samples, CheckWatcher(reader.checks), keep, current)


def run_child(reader: Reader, seconds: float, seed: int, keep: Path, shared: Path) -> None:
    """Fuzzes in this process and prints the counts as JSON lines; started by `run_reader`.

    Args:
        reader: The reader.
        seconds: Seconds after the samples were read.
        seed: Seed.
        keep: Where inputs that crash are kept.
        shared: File of the shared memory.
    """
    warnings.simplefilter("ignore")
    with shared.open("r+b") as stream, tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        current = mmap.mmap(stream.fileno(), MAX_INPUT_BYTES)
        out = os.fdopen(os.dup(1), "w")
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.chdir(folder)
        session = open_session(reader, Path(folder), keep, current)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            session.result = Result()
            run = session.run_hypothesis if seed % BATCHES == 0 else session.run_batch
            run(seed, BATCH_INPUTS, end)
            seed += 1
            print(json.dumps(asdict(session.result)), file=out, flush=True)


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run_reader(name: str, seconds: float, seed: int, keep: Path) -> Result:
    """Fuzzes a reader in processes of its own; one that dies or hangs is a crash, and another takes its place.

    Args:
        name: Name of the reader.
        seconds: For how long, not counting the time that the first process needs to start.
        seed: Seed.
        keep: Where inputs that crash are kept.

    Returns:
        The counts.

    Raises:
        RuntimeError: A process ended, or took longer than `START_SECONDS`, before its first input.
    """
    total, left, restarted = Result(), seconds, False
    with tempfile.NamedTemporaryFile(dir=_fast_folder()) as shared:
        while left > 0:
            os.truncate(shared.name, 0)
            os.truncate(shared.name, MAX_INPUT_BYTES)
            command = [sys.executable, "-m", "fuzz", name, "--child", shared.name]
            command += ["--seconds", str(left), "--seed", str(seed), "--keep", str(keep)]
            began = time.monotonic()
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
            hung, used = _watch(process, Path(shared.name), total, left + GRACE_SECONDS)
            # A restart counts in full, so that a reader that always crashes at its first input ends too.
            left -= time.monotonic() - began if restarted else used
            restarted = True
            if process.returncode == 0:
                break
            number, data = _current(Path(shared.name))
            if hung and left <= 0 and number:
                break
            if not number:
                reason = f"within {START_SECONDS:g} s" if hung else f"(exit code {process.returncode})"
                raise RuntimeError(f"the fuzzer of {name} does not start {reason}")
            death = signal.Signals(-process.returncode).name if process.returncode < 0 else str(process.returncode)
            crash = f"no end within {HANG_SECONDS:g} processor seconds" if hung else f"the process ended with {death}"
            path = keep / f"{name}-{hash_text(crash + str(seed)):08x}.death"
            path.write_bytes(data)
            total.add(Result(inputs=number, crashes={crash: 1}, kept={crash: str(path)}))
            seed += 1_000_000
    return total


def _watch(process: subprocess.Popen[str], shared: Path, total: Result, seconds: float) -> tuple[bool, float]:
    """Collects counts until a process ends; returns whether it hung and was killed, and its seconds since the start.

    It has `START_SECONDS` until its first input, and `seconds` from there.
    """
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    last, since = 0, 0.0
    began, first = time.monotonic(), None
    while True:
        ended = process.poll() is not None
        for line in _lines(process.stdout):
            total.add(Result(**json.loads(line)))
        number, used = _current(shared)[0], _processor_seconds(process.pid)
        now = time.monotonic()
        if number and first is None:
            first = now
        elapsed = 0.0 if first is None else now - first
        if ended:
            return False, elapsed
        if number != last or not number:
            last, since = number, used
        is_late = now - began > START_SECONDS if first is None else elapsed > seconds
        if used - since > HANG_SECONDS or is_late:
            process.kill()
            process.wait()
            return True, elapsed
        time.sleep(0.1)


def _processor_seconds(pid: int) -> float:
    """Returns the processor time of a process; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _lines(stream: Any) -> Iterator[str]:
    with suppress(BlockingIOError, TypeError):
        while line := stream.readline():
            yield line


def _current(shared: Path) -> tuple[int, bytes]:
    with shared.open("rb") as stream:
        number, length = _COUNT.unpack(stream.read(_COUNT.size))
        return number, stream.read(length)
