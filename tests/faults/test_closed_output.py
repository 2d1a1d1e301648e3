"""Tests of outputs that take nothing: closed standard streams, folders in which no file can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.conftest import write_photo
from tests.faults.processes import PROLOGUE


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&-"])
def test_closed_standard_streams(tmp_path, closed):
    photos = [write_photo(tmp_path / f"{index}.jpg", index) for index in range(3)]
    for arguments in ([*map(str, photos)], ["--images", str(tmp_path), "--out", str(tmp_path / "out.csv")]):
        done = subprocess.run(
            ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", PROLOGUE, "predict", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    # Nothing that was printed went into the file.
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["ImageID", "0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize("out", ["/proc/o.csv", "/proc/folder/o.csv", "/dev/null/o.csv", "x" * 300 + ".csv"])
def test_places_where_no_file_can_be(command, bundled_model, evaluation, out):
    result = command("predict", "--images", evaluation / "images", "--out", out)
    assert result.code == 2
    assert "  next: " in result.err
    assert out in result.err.replace("\n", "") or "/proc" in result.err
