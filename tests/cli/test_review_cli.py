"""`maskfit review` as a user types it; the page itself is tested in tests/apps."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from maskfit.apps.review.audit_log import AuditLog
from maskfit.apps.review.state import ReviewAction, ReviewState
from maskfit.data.label_corrections import read_corrected
from maskfit.data.read_dataset import read_photos
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three persons; their files are empty, since only the page opens photos."""
    for number in range(3):
        folder = tmp_path / "images" / f"{number:06d}_male_Asian_{30 + number}"
        folder.mkdir(parents=True)
        for stem in ("mask1", "normal"):
            (folder / f"{stem}.jpg").touch()
    return tmp_path / "images"


@pytest.fixture
def log(people: Path, tmp_path: Path) -> Path:
    """A review that relabeled the second person as female."""
    audit_log = AuditLog(tmp_path / "review.jsonl", ReviewState(read_photos(people, SCHEMA), SCHEMA), "images")
    audit_log.append(ReviewAction.relabel_action("gender", "female", "000001_male_Asian_31"))
    audit_log.append(ReviewAction.verdict_action("wrong", "000002_male_Asian_32"))
    audit_log.close()
    return audit_log.path


def test_corrections_are_written_without_a_page(command, people, log, tmp_path):
    target = tmp_path / "out.csv"
    result = command("review", people, "--log", log, "--export", target)
    assert result.code == 0, result.err
    assert "1 correction; 1 undecided, 1 new label, 1 marked wrong" in result.err
    photos = read_corrected(people, SCHEMA, [target])[0]
    assert [photo.labels["gender"] for photo in photos] == ["male"] * 2 + ["female"] * 2 + ["male"] * 2
    again = command("review", people, "--log", log, "--export", target)
    assert (again.code, "the file exists" in again.err) == (2, True)
    assert command("review", people, "--log", log, "--export", target, "--force").code == 0


def test_errors_are_raised_before_the_page_opens(command, people, log, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        audit_log = AuditLog(log, ReviewState(read_photos(people, SCHEMA), SCHEMA), "images")
        csv = tmp_path / "x.csv"
        csv.write_text("person,photo\n")
        for args, message in (
            ((tmp_path / "none",), "there is no such folder"),
            ((people, "--schema", "beard"), "label schema 'beard' is unknown"),
            ((people, "--port", port), f"port {port} cannot be used"),
            ((people, "--log", log), "another review is writing this log"),
            ((people, "--export", csv, "--force", "--log", tmp_path / "no.jsonl"), "the log does not exist"),
            ((people, "--out", tmp_path), "the path is a folder"),
            ((people, "--label-issues", csv), "column attribute"),
            ((people, "--probabilities", csv), "column ImageID"),
        ):
            free = [] if "--port" in args else ["--port", _free()]
            result = command("review", *args, *free)
            assert (result.code, message in result.err) == (2, True), result.err
        audit_log.close()


def test_missing_extra_is_named(command, people, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "streamlit" else find(name, *rest)
    )
    result = command("review", people)
    assert (result.code, "pip install 'maskfit[review]'" in result.err) == (2, True)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
def test_page_is_served_until_interrupted(people, tmp_path):
    pytest.importorskip("streamlit", reason="the page needs the extra 'review'")
    port = _free()
    args = [
        "review",
        str(people),
        "--port",
        str(port),
        "--log",
        str(tmp_path / "l.jsonl"),
        "--out",
        str(tmp_path / "c"),
    ]
    served = subprocess.Popen(
        [sys.executable, "-m", "maskfit", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert served.stdout is not None
        assert served.stdout.readline().startswith(f"http://localhost:{port}/?key=")
        assert _fetch(f"http://127.0.0.1:{port}/_stcore/health") == b"ok"
        served.send_signal(signal.SIGINT)
        rest, stderr = served.communicate(timeout=60)
    finally:
        served.kill()
    assert (served.returncode, rest) == (0, "")
    assert f"ssh -L {port}:localhost:{port}" in stderr
    assert "3 undecided" in stderr
    assert "Traceback" not in stderr


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _fetch(address: str) -> bytes:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
