"""Tests of the fuzzers: valid inputs pass every check, mutations do not end, and what crashes is noticed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import fuzz.engine
import pytest
from fuzz.__main__ import main
from fuzz.containers import EBML, ISO, JPEG, PACKETS, PNG, PROTOBUF, RIFF
from fuzz.engine import CheckWatcher, Sample, open_session, run_reader
from fuzz.mutations import mutate_bytes, mutate_table, mutate_value
from fuzz.readers import READERS

from maskfit.errors import DataError

FAST = ("photos", "tables", "bodies", "exports", "videos")


@pytest.mark.parametrize(
    "name", [*FAST, pytest.param("yaml", marks=pytest.mark.slow), pytest.param("models", marks=pytest.mark.slow)]
)
def test_valid_inputs_pass_every_check_and_mutations_crash_nothing(name, tmp_path, monkeypatch):
    folder, kept = tmp_path / "work", tmp_path / "kept"
    folder.mkdir()
    kept.mkdir()
    monkeypatch.chdir(folder)
    # The watcher changes functions for good in a fuzzer's own process; here for this test.
    unwatched = monkeypatch_watcher(monkeypatch)
    session = open_session(READERS[name](), folder, kept)
    for sample in session.samples:
        session.watcher.reached[:] = [False] * len(session.watcher.reached)
        session.try_input(sample.kind, session.reader.write(sample))
        # Of OpenVINO's XML only the metadata is read: the sample has no network.
        assert all(session.watcher.reached[: 1 if sample.kind == "m.xml" else None]), sample.kind
    assert session.result.accepted == len(session.samples)
    session.run_batch(1, 40, time.monotonic() + 20)
    assert session.result.crashes == {}
    assert session.result.passed[0] > len(session.samples)
    unwatched()


def monkeypatch_watcher(monkeypatch):
    """Records what a watcher replaces, and returns what puts it back."""
    import fuzz.engine as engine

    replaced = []
    plain = setattr

    def remember(owner, name, value):
        if hasattr(owner, name):
            replaced.append((owner, name, getattr(owner, name)))
        plain(owner, name, value)

    monkeypatch.setattr(engine, "setattr", remember, raising=False)

    def undo():
        for owner, name, value in reversed(replaced):
            plain(owner, name, value)

    return undo


class Brittle:
    """A reader that reads numbers, and falls over one in five."""

    name = "brittle"
    refusals = (DataError,)
    checks = ()

    def samples(self, folder):
        return [Sample("txt", b"1")]

    def mutate(self, rng, sample):
        return str(rng.randrange(100)).encode()

    def write(self, sample):
        return sample.data

    def read(self, kind, data):
        if int(data) % 5 == 0:
            raise KeyError("five")
        if int(data) % 5 == 1 and int(data) > 1:
            raise DataError("no")


@pytest.mark.parametrize("run", ["run_batch", "run_hypothesis"])
def test_a_crash_is_counted_and_its_input_kept(tmp_path, run):
    session = open_session(Brittle(), tmp_path, tmp_path)
    getattr(session, run)(3, 100, time.monotonic() + 20)
    (crash,) = session.result.crashes
    assert crash.startswith("KeyError")
    assert int(Path(session.result.kept[crash]).read_bytes()) % 5 == 0
    # Hypothesis makes the input small.
    assert run == "run_batch" or Path(session.result.kept[crash]).read_bytes() == b"0"
    assert run == "run_hypothesis" or 0 < session.result.accepted < session.result.inputs


@pytest.mark.parametrize(
    ("container", "name"),
    [(PNG, "png"), (JPEG, "jpg"), (RIFF, "webp"), (ISO, "mp4"), (EBML, "mkv"), (RIFF, "avi"), (PACKETS, "ts")],
)
def test_containers_are_written_as_they_were_read(tmp_path, container, name):
    reader = READERS["photos" if name in ("png", "jpg", "webp") else "videos"]()
    data = next(bytes(sample.data) for sample in reader.samples(tmp_path) if sample.kind == name)
    again = container.build(container.parse(data))
    if container in (PNG, EBML):
        # Compressed anew, or with longer lengths: equal once more than that.
        assert container.build(container.parse(again)) == again
    else:
        assert again == data
    assert len({container.mutate(Random(seed), data) for seed in range(20)}) > 10


def test_protobuf_is_written_as_it_was_read():
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Relu", ["a"], ["b"])
    value = [onnx.helper.make_tensor_value_info(name, 1, [1, 3]) for name in "ab"]
    data = onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:])).SerializeToString()
    assert PROTOBUF.build(PROTOBUF.parse(data)) == data


def test_mutations_leave_the_original_alone():
    value = {"a": [1, {"b": "c"}], "d": None}
    changed = [mutate_value(Random(seed), value) for seed in range(200)]
    assert value == {"a": [1, {"b": "c"}], "d": None}
    assert sum(item != value for item in changed) > 150
    assert len({mutate_bytes(Random(seed), b"some bytes") for seed in range(50)}) > 40
    rows = [["a", "b"], ["1", "2"]]
    assert sum(mutate_table(Random(seed), rows) != rows for seed in range(50)) > 40
    assert rows == [["a", "b"], ["1", "2"]]


def test_the_watcher_sees_calls_and_returns(monkeypatch):
    undo = monkeypatch_watcher(monkeypatch)
    watcher = CheckWatcher(("maskfit.text:format_count", "maskfit.text:format_count()"))
    from maskfit import text

    with pytest.raises(TypeError):
        text.format_count()
    assert watcher.reached == [True, False]
    text.format_count(2, "photo")
    assert watcher.reached == [True, True]
    undo()


@pytest.mark.slow
def test_a_fuzzer_in_a_process_of_its_own(tmp_path):
    result = run_reader("tables", 10, 1, tmp_path)
    assert result.inputs > 20
    assert result.crashes == {}
    assert 0 < result.accepted < result.passed[0] < result.inputs


@pytest.mark.parametrize(
    "wrong", [("--jobs", "0"), ("--jobs", "x"), ("--seconds", "0"), ("--seconds", "-1"), ("--seconds", "nan")]
)
def test_wrong_options_are_a_usage_error(wrong, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fuzz", "tables", *wrong])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert f"argument {wrong[0]}" in capsys.readouterr().err


SLOW_CHILD = """
import sys, time
arguments = sys.argv[1:]
time.sleep(1.5)
with open(arguments[arguments.index("--child") + 1], "r+b") as stream:
    stream.write((1).to_bytes(8, "little") + bytes(4))
time.sleep(0.3)
print('{"inputs": 7}')
"""


def run_child_that_starts_slowly(monkeypatch, tmp_path, seconds):
    """Runs a reader whose process needs longer to start than it has for its inputs."""
    script = tmp_path / "child.py"
    script.write_text(SLOW_CHILD)
    real, commands = subprocess.Popen, []

    def start(command, **options):
        commands.append(command)
        return real([sys.executable, str(script), *command[3:]], **options)

    monkeypatch.setattr(fuzz.engine.subprocess, "Popen", start)
    monkeypatch.setattr(fuzz.engine, "GRACE_SECONDS", 0.9)
    result = run_reader("tables", seconds, 1, tmp_path)
    (command,) = commands
    assert float(command[command.index("--seconds") + 1]) == seconds
    return result


def test_the_start_does_not_count(tmp_path, monkeypatch):
    assert run_child_that_starts_slowly(monkeypatch, tmp_path, 0.1).inputs == 7


def test_a_start_that_does_not_end_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz.engine, "START_SECONDS", 0.3)
    with pytest.raises(RuntimeError, match=r"tables does not start within 0\.3 s"):
        run_child_that_starts_slowly(monkeypatch, tmp_path, 0.1)
