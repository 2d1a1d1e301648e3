"""Tests that a full disk is named with path, bytes and next step, loses nothing, and that the command goes on after."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from pathlib import Path

import pytest
from tests.faults.conftest import TINY, file_limit
from tests.faults.processes import started

from maskfit.cli import COMMAND_TABLE, DATA_COMMANDS_TABLE
from maskfit.cli.resume_hint import resume_hint
from maskfit.errors import DiskFullError
from maskfit.file_io import atomic_write, is_disk_full, write_csv, write_text, writing
from maskfit.run_dir import RunDir

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")


def check_error(text: str, path: str, hint: str = "make room, then run") -> None:
    """Path, bytes and next step are there, once, without a traceback."""
    assert "Traceback" not in text
    assert re.search(r"at least [\d,]+ bytes are needed|need [\d,]+ bytes", text), text
    assert re.search(rf"  at: .*{path}", text), text
    assert hint in text


def test_the_old_file_is_kept_and_the_temporary_one_removed(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, ["a"], [["1"]])
    with file_limit(1000), pytest.raises(DiskFullError, match=r"at least 1,00[01] bytes are needed") as caught:
        write_csv(path, ["a"], ([str(number)] for number in range(10_000)))
    assert caught.value.location == str(path)
    assert [item.name for item in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "a\n1\n"
    # Where the size is known beforehand it is the whole one.
    with file_limit(1000), pytest.raises(DiskFullError, match="at least 5,000 bytes are needed"):
        write_text(path, "x" * 5000)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(28, "No space left on device"), True),
        (OSError(122, "Disk quota exceeded"), True),
        (RuntimeError("Error while serializing: IoError(Os { code: 28, message: No space left on device })"), True),
        (RuntimeError("[enforce fail at inline_container.cc:595] . PytorchStreamWriter file write failed"), True),
        (OSError(13, "Permission denied"), False),
        (ValueError("no such label"), False),
    ],
)
def test_forms_of_the_error(tmp_path, error, full):
    assert is_disk_full(error) is full
    with pytest.raises(DiskFullError if full else type(error)) as caught, writing(tmp_path):
        raise error
    if full:
        assert re.search(r"the disk is full: [\d,]+ are free", str(caught.value))


def test_an_error_of_our_own_passes(tmp_path):
    own = DiskFullError(tmp_path / "inner", 5, 3)
    with pytest.raises(DiskFullError) as caught, atomic_write(tmp_path / "outer"):
        raise own
    assert caught.value is own


def test_predictions(command, bundled_model, evaluation):
    arguments = ("predict", "--images", evaluation / "images", "--jsonl", "out.jsonl")
    with file_limit(300):
        result = command(*arguments)
    assert result.code == 2
    check_error(result.err, "out.jsonl", "next: make room, then run the command again\n")
    assert list(Path().iterdir()) == []
    assert command(*arguments).code == 0


def test_shards_keep_what_is_done_and_resume(command, bundled_model, evaluation):
    arguments = ("predict", "--images", evaluation / "images", "--shards", "out", "--shard-size", 2)
    assert command(*arguments).code == 0
    whole = {path.name: path.read_bytes() for path in Path("out/answers").iterdir()}
    Path("out/answers/000002.csv").unlink()
    kept = {path: path.stat().st_mtime_ns for path in Path("out/answers").iterdir()}
    with file_limit(100):
        result = command(*arguments, "--resume")
    assert result.code == 2
    check_error(result.err, "answers/000002.csv", "run the same command again\n")
    assert {path: path.stat().st_mtime_ns for path in Path("out/answers").iterdir()} == kept
    assert command(*arguments, "--resume").code == 0
    assert {path.name: path.read_bytes() for path in Path("out/answers").iterdir()} == whole


def test_crops_resume(command, faces):
    arguments = ("data", "crop", faces.parent, "--out", "crops", "--crop", "center", "--json")
    with file_limit(2000):
        result = command(*arguments)
    assert result.code == 2
    check_error(result.err, "crops")
    done = len(list(Path("crops").rglob("*.jpg")))
    assert not list(Path("crops").rglob("*.part"))
    result = command(*arguments)
    assert result.code == 0
    assert len(list(Path("crops").rglob("mask1.*"))) == 6
    assert done < 42


def test_drawing_leaves_nothing(command):
    with file_limit(3000):
        result = command("data", "synthesize", "faces", "--persons", 1)
    assert result.code == 2
    check_error(result.err, "faces", "make room")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("limit", [30_000, 200_000])
def test_training_resumes(command, faces, limit):
    """The first limit is met by the cache, the second by the checkpoint; the result is that of an unhindered run."""
    arguments = ("train", "fast", f"data.path={faces}", *TINY)
    with file_limit(limit):
        result = command(*arguments)
    assert result.code == 2, result.out
    check_error(result.err, "cache" if limit == 30_000 else "run", "run")
    assert not list(Path("run").rglob("*.part"))
    again = command(*arguments, *(["--resume"] if RunDir(Path("run")).recipe.exists() else []))
    assert again.code == 0, again.err
    other = command("train", "fast", f"data.path={faces}", *TINY[:-2], "data.cache_dir=cache2", "output_dir=run2")
    assert other.code == 0
    scores, others = (json.loads(Path(f"{name}/fold0/scores.json").read_text()) for name in ("run", "run2"))
    assert {**scores, "seconds": 0} == {**others, "seconds": 0}
    assert Path("run/oof_probabilities.csv").read_bytes() == Path("run2/oof_probabilities.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("predict --images photos", None),
        ("-q predict --images photos --shards=out", "again with --resume"),
        ("predict --images photos --shards out --resume", "run the same command again"),
        ("train fast output_dir=run", "again with --resume"),
        ("train fast output_dir=other", None),
        ("train fast", "again with output_dir=DIR --resume, where DIR is the folder that it began"),
        ("tune fast", "again with --out DIR --resume, where DIR is the folder that it began"),
        ("tune fast --out sweep", "again with --resume"),
        ("-v data add-masks faces --out masked", "again with --resume"),
        ("data mask faces --out masked", "again with --resume"),
        ("data gan faces --out faces2", "again with --resume"),
        ("data crop faces --out crops", None),
        ("run fast --out out", None),
        ("absent", None),
        ("", None),
    ],
)
def test_resume_is_named_where_it_would_help(tmp_path, monkeypatch, words, hint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SM_MODEL_DIR", raising=False)
    Path("run").mkdir()
    Path("run/recipe.yaml").write_text("name: fast\n")
    tables = (COMMAND_TABLE, DATA_COMMANDS_TABLE)
    commands = {name: item for table in tables for group in table.values() for name, item in group.items()}
    found = resume_hint(words.split(), commands)
    assert found == hint or (hint and found.endswith(hint)), found


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_standard_output_on_a_full_disk(tmp_path):
    with (
        open("/dev/full", "w") as full,
        started(
            "recipes",
            "champion",
            cwd=tmp_path,
            before=f"import os; os.dup2({full.fileno()}, 1)",
            pass_fds=(full.fileno(),),
        ) as process,
    ):
        _, text = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the disk is full" in text
    assert "standard output" in text
    assert "Traceback" not in text


def test_rows_of_a_video_say_where(tmp_path):
    from maskfit.apps.video.durable_csv import DurableCsvWriter

    with file_limit(200), DurableCsvWriter(tmp_path / "events.csv", ["a"]) as writer:
        writer.write([["first"]])
        with pytest.raises(DiskFullError) as caught:
            writer.write([["x" * 500]])
    assert caught.value.location == str(tmp_path / "events.csv")
    with (tmp_path / "events.csv").open() as stream:
        assert next(csv.DictReader(stream)) == {"a": "first"}


def test_a_compiled_file_that_a_full_disk_cut_is_named(command, monkeypatch):
    """Python writes it without noticing, and every later command ended with no more than "Aborted."."""

    def cut(path):
        raise EOFError("marshal data too short")

    monkeypatch.setattr("maskfit.cli.lazy_commands.load_command", cut)
    result = command("recipes", "fast")
    assert result.code == 2
    assert "error: a file ends too early: marshal data too short" in result.err
    assert "__pycache__" in result.err
