"""Tests that a command that is ended leaves no process and no temporary file, and ends within two seconds."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.conftest import write_photo
from tests.faults.processes import group, started, wait_until

from maskfit.file_locks import _claims, claim, release_claims

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

SECONDS = 2.0
"""What is promised; a busy machine gets twice as long."""


TWO_CORES = "import os; os.cpu_count = lambda: 2"
"""So that the command starts two processes."""


def has_part(folder: Path) -> bool:
    return any(path.name.endswith(".part") for path in folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drawing_ends_with_its_processes(tmp_path, number):
    with started("data", "synthesize", "faces", "--persons", 400, cwd=tmp_path, before=TWO_CORES) as process:
        # Three persons of the first chunk are enough to know that both workers draw.
        assert wait_until(lambda: len(list(tmp_path.glob(".faces.*.part/images/*/*"))) > 3, 60)
        assert len(group(process.pid)) >= 3
        begin = time.monotonic()
        # Ctrl-C in a terminal reaches the whole group; a service manager's SIGTERM often only the first process.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        code = process.wait(30)
        assert time.monotonic() - begin < 2 * SECONDS
        assert wait_until(lambda: not group(process.pid), 0.5)
        assert code == 128 + number
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[-1] == "stopped"
    assert list(tmp_path.iterdir()) == []


def test_drawing_that_is_killed_leaves_no_process_and_the_next_cleans_up(tmp_path):
    arguments = ("data", "synthesize", "faces", "--persons")
    with started(*arguments, 400, cwd=tmp_path, before=TWO_CORES) as process:
        assert wait_until(lambda: list(tmp_path.glob(".faces.*.part/images/*/*")), 60)
        process.kill()
        process.wait()
        assert wait_until(lambda: not group(process.pid), 2 * SECONDS)
    assert has_part(tmp_path)
    with started(*arguments, 6, cwd=tmp_path) as process:
        assert process.wait(120) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


SLOW = """
import time, maskfit.inference.image_loading as loading
decode = loading.decode
def slowly(*arguments, **options):
    time.sleep(0.2)
    return decode(*arguments, **options)
loading.decode = slowly
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_predictions_end_and_leave_nothing(tmp_path, number):
    for index in range(300):
        write_photo(tmp_path / "photos" / f"{index:03d}.jpg", index)
    arguments = ("predict", "--images", "photos", "--out", "out.csv")
    with started(*arguments, cwd=tmp_path, before=SLOW) as process:
        assert wait_until(lambda: has_part(tmp_path), 60)
        time.sleep(0.5)
        begin = time.monotonic()
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert time.monotonic() - begin < 2 * SECONDS
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_killed_prediction_is_cleaned_up_by_the_next(tmp_path):
    for index in range(40):
        write_photo(tmp_path / "photos" / f"{index:03d}.jpg", index)
    arguments = ("predict", "--images", "photos", "--out", "out.csv")
    with started(*arguments, cwd=tmp_path, before=SLOW) as process:
        assert wait_until(lambda: has_part(tmp_path), 60)
        process.kill()
        process.wait()
    assert has_part(tmp_path)
    # A file of the user's that only looks similar, and one of another target, stay.
    (tmp_path / ".out.csv.part").touch()
    (tmp_path / ".other.csv.0123abcd.part").touch()
    with started(*arguments, cwd=tmp_path) as process:
        assert process.wait(120) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "photos",
        "out.csv",
        ".out.csv.part",
        ".other.csv.0123abcd.part",
    }


def test_of_two_commands_with_one_output_the_second_is_refused(tmp_path):
    for index in range(60):
        write_photo(tmp_path / "photos" / f"{index:03d}.jpg", index)
    arguments = ("predict", "--images", "photos", "--out")
    with started(*arguments, "out.csv", cwd=tmp_path, before=SLOW) as first:
        assert wait_until(lambda: has_part(tmp_path), 60)
        with started(*arguments, "./out.csv", "--force", cwd=tmp_path) as second:
            _, text = second.communicate(timeout=60)
            assert second.returncode == 2
            assert "another command is writing this" in text
        with started(*arguments, "other.csv", cwd=tmp_path) as third:
            assert third.wait(60) == 0
        assert first.wait(60) == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 61
    assert not has_part(tmp_path)


def test_every_verb_with_an_output_reserves_it(command, bundled_model, evaluation, faces):
    """Another process has the output: nothing is read, nothing written."""
    images = evaluation / "images"
    verbs = {
        "out.csv": ("predict", "--images", images, "--out", "out.csv"),
        "drawn.jpg": ("predict", images / "3.jpg", "--draw", "drawn.jpg"),
        "drawn": ("predict", images, "--draw", "drawn"),
        "shards": ("predict", "--images", images, "--shards", "shards"),
        "made": ("data", "synthesize", "made", "--persons", 6),
        "crops": ("data", "crop", images, "--out", "crops", "--crop", "center"),
        "masked": ("data", "add-masks", faces, "--out", "masked"),
        "more": ("data", "oversample", faces, "--out", "more", "--count", 3, "--schema", "mask-gender-age"),
        "folds.csv": ("data", "split", faces, "--folds", 2, "--out", "folds.csv"),
        "page.html": ("data", "explore", faces, "--out", "page.html"),
        "run": ("train", "fast", f"data.path={faces}", "output_dir=run"),
        "card.md": ("model-card", bundled_model, "--out", "card.md"),
        "model.pt2": ("export", bundled_model, "--format", "torch", "--out", "model.pt2"),
    }
    for name, arguments in verbs.items():
        with claimed_elsewhere(Path(name)):
            result = command(*arguments)
        assert result.code == 2, name
        assert "another command is writing this" in result.err, (name, result.err)
    assert list(Path().iterdir()) == []
    assert command(*verbs["folds.csv"]).code == 0


@contextmanager
def claimed_elsewhere(path: Path) -> Iterator[None]:
    """Reserves an output as another process does; a lock belongs to the open file, not to the process."""
    claim(path)
    others = dict(_claims)
    _claims.clear()
    try:
        yield
    finally:
        _claims.update(others)
        release_claims()
