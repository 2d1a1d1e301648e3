"""Tests that refused locks are named as such: nobody waits without end, and no other process is blamed."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout
from tests.faults.conftest import TINY

from maskfit.errors import DataError
from maskfit.file_locks import acquire_lock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="flock")

REFUSALS = [errno.ENOLCK, errno.EACCES, errno.EOPNOTSUPP]
"""Numbers with which file systems refuse; filelock takes the second for a lock that another process has."""


@pytest.fixture(params=REFUSALS, ids=errno.errorcode.get)
def refused(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(*_: Any) -> None:
        raise OSError(request.param, "refused here")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("wait", [False, True])
def test_refused_locks_are_an_error(refused, tmp_path, wait):
    with pytest.raises(DataError, match="files in this folder cannot be locked") as caught:
        acquire_lock(FileLock(tmp_path / "lock"), "go elsewhere", (lambda: None) if wait else None)
    assert caught.value.location == str(tmp_path)
    assert caught.value.hint == "go elsewhere"
    assert [path.name for path in tmp_path.iterdir()] in (["lock"], [])


def test_a_lock_of_another_process_is_not_called_refused(tmp_path):
    code = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    lock = FileLock(tmp_path / "lock")
    with subprocess.Popen([sys.executable, "-c", code, lock.lock_file], **pipes) as process:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(Timeout):
            acquire_lock(lock, "")
        threading.Timer(0.3, process.stdin.close).start()
        begin = time.monotonic()
        said: list[float] = []
        with acquire_lock(lock, "", lambda: said.append(time.monotonic())):
            assert time.monotonic() - begin > 0.2
            assert len(said) == 1
            assert said[0] - begin < 0.2
            assert lock.is_locked
        assert not lock.is_locked
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_an_image_cache_says_where_it_can_be(refused, faces, command: Callable[..., Any]):
    result = command("train", "fast", f"data.path={faces}", *TINY)
    assert result.code == 2
    assert "files in this folder cannot be locked" in result.err
    assert "data.cache_dir=DIR" in result.err


def test_a_review_blames_no_other_review(refused, faces, tmp_path):
    from maskfit.apps.review.audit_log import AuditLog
    from maskfit.apps.review.state import ReviewState
    from maskfit.data.read_dataset import read_photos
    from maskfit.labels.schema import LABEL_SCHEMAS

    schema = LABEL_SCHEMAS["mask-gender-age"]
    with pytest.raises(DataError, match="cannot be locked") as caught:
        AuditLog(tmp_path / "review.jsonl", ReviewState(read_photos(faces, schema), schema), str(faces))
    assert "--log FILE" in str(caught.value.hint)


def test_a_sweep_blames_no_other_sweep(refused, faces, command: Callable[..., Any]):
    Path("space.yaml").write_text("optimizer.lr: {low: 1e-4, high: 1e-2, log: true}\n")
    words = [word for word in TINY if not word.startswith("output_dir")]
    result = command(
        "tune", "fast", "--space", "space.yaml", f"data.path={faces}", *words, "--out", "sweep", "--trials", "1"
    )
    assert result.code == 2
    assert "files in this folder cannot be locked" in result.err
    assert "--out DIR" in result.err


def test_a_cache_is_not_removed(refused, tmp_path):
    from maskfit.data.image_cache.admin import CacheInfo, remove_cache

    (tmp_path / "keys.txt").touch()
    with pytest.raises(DataError, match="cannot be locked"):
        remove_cache(CacheInfo(tmp_path, 0, None, "?", 0, 0.0))
    assert (tmp_path / "keys.txt").exists()
