"""One table: every verb that reads photos or writes files, under every fault."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.conftest import TINY, file_limit, memory_limit, write_photo
from tests.faults.processes import started

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits, locks and links of Linux")

VERBS: dict[str, tuple[str, ...]] = {
    "predict": ("predict", "--images", "{photos}", "--out", "out.csv"),
    "predict faces": ("predict", "{photos}/3.jpg", "--faces", "whole", "--json"),
    "predict --shards": ("predict", "--images", "{photos}", "--shards", "out", "--shard-size", "2"),
    "predict --jsonl": ("predict", "--images", "{photos}", "--jsonl", "out.jsonl"),
    "train": ("train", "fast", "data.path={faces}", *TINY),
    "data check": ("data", "check", "{faces}"),
    "data explore": ("data", "explore", "{faces}", "--out", "out.html"),
    "data split": ("data", "split", "{faces}", "--folds", "2", "--out", "out.csv"),
    "data crop": ("data", "crop", "{photos}", "--out", "out", "--crop", "center"),
    "data synthesize": ("data", "synthesize", "out", "--persons", "1"),
    "data import": ("data", "import", "{classes}", "--out", "out.csv", "--format", "folders"),
    "evaluate": ("evaluate", "{truth}", "{truth}"),
    "export": ("export", "{model}", "--format", "torch", "--out", "out.safetensors"),
    "model-card": ("model-card", "{model}", "--out", "out.md"),
    "recipes": ("recipes", "fast"),
    "check": ("check", "fast"),
}
"""Verb -> arguments. What is written is `out*`, `run` and `cache`."""

READS_NO_PHOTO = {"data synthesize", "data split", "export", "model-card"} | {
    "evaluate",
    "recipes",
    "check",
    "data import",
}
WRITES_NOTHING = {"predict faces", "data check", "evaluate", "recipes", "check"}


SLOW = {"train", "data explore", "export", "data import", "evaluate", "check"}


def verbs(*left_out: str) -> list[Any]:
    """The verbs without some; those that take longer, or resemble another, are slow tests."""
    return [pytest.param(verb, marks=[pytest.mark.slow] * (verb in SLOW)) for verb in VERBS if verb not in left_out]


@pytest.fixture
def places(evaluation: Path, faces: Path, bundled_model: Path, tmp_path: Path) -> dict[str, Path]:
    """What the arguments name."""
    truth = tmp_path / "truth.csv"
    truth.write_text("ImageID,ans\na.jpg,3\nb.jpg,17\n")
    for name in ("with_mask", "without_mask"):
        write_photo(tmp_path / "classes" / name / "a.jpg")
    photos = evaluation / "images"
    return {"photos": photos, "faces": faces, "model": bundled_model, "truth": truth, "classes": tmp_path / "classes"}


@pytest.fixture
def run(command: Callable[..., Any], places: dict[str, Path]) -> Callable[..., Any]:
    """Runs a verb in the empty current folder; a traceback fails the test."""

    def call(verb: str, **other: Path) -> Any:
        return command(*(word.format(**{**places, **other}) for word in VERBS[verb]))

    return call


def check_refusal(result: Any) -> None:
    assert result.code == 2
    # `data check` prints what it found as its result.
    assert "  next: " in result.err + result.out
    # Nothing that is only begun stays behind.
    assert not list(Path().rglob("*.part"))


@pytest.mark.parametrize("verb", verbs())
@pytest.mark.parametrize("fault", ["no_locks", "read_only_home", "jumping_clock", "slow_files"])
def test_faults_that_hinder_nothing(run, request, verb, fault):
    request.getfixturevalue(fault)
    result = run(verb)
    if (fault, verb) == ("no_locks", "train"):
        # Two trainings that fill one image cache without a lock would give each other wrong pixels.
        check_refusal(result)
        assert "data.cache_dir=DIR" in result.err
        return
    assert result.code == 0, result.err
    assert not list(Path().rglob("*.part"))
    assert bool(list(Path().iterdir())) is (verb not in WRITES_NOTHING)


@pytest.mark.parametrize("verb", verbs())
def test_symlinked_folders_give_the_same(run, places, tmp_path, verb):
    links = {}
    for name, path in places.items():
        links[name] = tmp_path / "links" / (name + path.suffix)
        links[name].parent.mkdir(exist_ok=True)
        links[name].symlink_to(path, target_is_directory=path.is_dir())
    plain = run(verb)
    written = snapshot()
    for item in Path().iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()
    linked = run(verb, **links)
    assert (plain.code, linked.code) == (0, 0), linked.err
    assert snapshot().keys() == written.keys()
    if verb in ("predict", "predict --jsonl", "data split", "data crop"):
        assert snapshot() == written


def snapshot() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file() and "cache" not in path.parts}


@pytest.mark.parametrize("verb", verbs(*WRITES_NOTHING))
def test_a_full_disk(run, verb):
    with file_limit(10):
        result = run(verb)
    check_refusal(result)
    assert "bytes are needed" in result.err
    assert "make room" in result.err


@pytest.mark.parametrize("verb", verbs(*READS_NO_PHOTO))
def test_a_photo_that_vanishes(run, faces, vanishing, verb):
    for name in ("3.jpg", *(path.name for path in faces.glob("*/mask1.*"))):
        vanishing(name)
    result = run(verb)
    assert result.code in (0, 1, 2)
    lists = [*Path().rglob("unreadable/*.csv"), *Path().glob("out.html")]
    said = result.err + result.out + "".join(path.read_text() for path in lists)
    assert not result.code or "  next: " in said
    assert not list(Path().rglob("*.part"))
    assert "3.jpg" in said or "mask1" in said


@pytest.mark.parametrize("verb", verbs(*READS_NO_PHOTO, "data check"))
def test_no_memory(run, no_memory, verb):
    result = run(verb)
    check_refusal(result)
    assert "there is not enough memory: Unable to allocate 1.00 GiB" in result.err


@pytest.mark.parametrize("verb", verbs(*READS_NO_PHOTO, "predict faces"))
def test_a_folder_that_cannot_be_listed(run, no_permission, places, verb):
    for name in ("photos", "faces"):
        no_permission(places[name])
    result = run(verb)
    check_refusal(result)
    assert "Permission denied" in result.err + result.out


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [1, 10, 40])
def test_a_real_limit_of_memory(tmp_path, megabytes):
    """The bundled model on photos of 12 megapixels, with too little memory for them."""
    write_photo(tmp_path / "photos" / "small.jpg")
    from PIL import Image

    Image.new("RGB", (4000, 3000), (90, 120, 150)).save(tmp_path / "photos" / "large.png")
    arguments = ("predict", "--images", "photos", "--out", "out.csv")
    with started(*arguments, cwd=tmp_path, before=memory_limit(megabytes << 20)) as process:
        _, text = process.communicate(timeout=300)
    assert process.returncode in (0, 2), text
    assert "Traceback" not in text
    assert process.returncode == 0 or "  next: " in text
    assert (tmp_path / "out.csv").exists() is (process.returncode == 0)


def test_an_error_is_printed_where_the_console_has_no_memory(command, monkeypatch):
    def refuse(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("maskfit.cli.console.print_error", refuse)
    result = command("recipes", "absent")
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert "  next: " in result.err


def test_events_of_a_review_survive_a_kill_at_every_byte(tmp_path, faces):
    """A log that is cut anywhere gives the actions of its whole lines, and can be gone on with."""
    from maskfit.apps.review.audit_log import AuditLog, replay_log
    from maskfit.apps.review.state import ReviewAction, ReviewState
    from maskfit.data.read_dataset import read_photos
    from maskfit.labels.schema import LABEL_SCHEMAS

    schema = LABEL_SCHEMAS["mask-gender-age"]
    photos = read_photos(faces, schema)
    persons = sorted({photo.person for photo in photos})
    path = tmp_path / "review.jsonl"
    review = ReviewState(photos, schema)
    log = AuditLog(path, review, str(tmp_path))
    for person in persons[:3]:
        log.append(ReviewAction.verdict_action("wrong", person))
    log.undo()
    log.close()
    content = path.read_bytes()
    first = content.index(b"\n") + 1
    for length in range(first, len(content) + 1):
        path.write_bytes(content[:length])
        again = ReviewState(photos, schema)
        replay = replay_log(path, again)
        lines = [json.loads(line) for line in content[:length].splitlines(keepends=True) if line.endswith(b"\n")]
        done = sum({"mark": 1, "undo": -1}.get(line.get("do"), 0) for line in lines)
        assert len(again.actions) == done
        assert bool(replay.warnings) is (not content[:length].endswith(b"\n"))
    path.write_bytes(content[:-3])
    again = ReviewState(photos, schema)
    log = AuditLog(path, again, str(tmp_path))
    log.append(ReviewAction.verdict_action("wrong", persons[4]))
    log.close()
    assert len(replay_actions(path, photos, schema)) == 4


def replay_actions(path: Path, photos: Any, schema: Any) -> Any:
    from maskfit.apps.review.audit_log import replay_log
    from maskfit.apps.review.state import ReviewState

    review = ReviewState(photos, schema)
    replay_log(path, review)
    return review.actions
