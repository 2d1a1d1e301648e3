"""CSV files that outlast a power cut and are continued."""

from __future__ import annotations

import os

import pytest

from maskfit.apps.video.durable_csv import CsvEnd, DurableCsvWriter
from maskfit.errors import DataError
from maskfit.file_io import read_csv

HEADER = ("a", "person", "b")


def test_rows_are_flushed_at_once(tmp_path):
    path = tmp_path / "new" / "rows.csv"
    with DurableCsvWriter(path, ("a", "b")) as rows:
        assert read_csv(path, ("a", "b")) == []
        rows.write([[1, "x, y"]])
        assert read_csv(path, ("a",)) == [{"a": "1", "b": "x, y"}]


@pytest.mark.parametrize(
    ("before", "kept", "broken"),
    [
        ("a,person,b\n1,3,x\n", "a,person,b\n1,3,x\n", ""),
        ("a,person,b\n", "a,person,b\n", ""),
        # All cells are there, and only the end of the line is not.
        ("a,person,b\n1,3,x", "a,person,b\n1,3,x\n", ""),
        ("a,person,b\n1,3,x\n2,4", "a,person,b\n1,3,x\n", "2,4"),
        ("a,person,b\n1,3,x\n2,4\0\0\0", "a,person,b\n1,3,x\n", "2,4"),
        ("a,person,b\n1,3,x\n\0\0\0", "a,person,b\n1,3,x\n", ""),
        # As a spreadsheet saves it; a row of another kind stays as it is.
        ("\ufeffa,person,b\r\n1,?\r\n1,3,x\r\n", "\ufeffa,person,b\r\n1,?\r\n1,3,x\r\n", ""),
    ],
)
def test_a_file_is_continued_behind_its_last_whole_row(tmp_path, before, kept, broken):
    path = tmp_path / "rows.csv"
    path.write_bytes(before.encode())
    end = CsvEnd.read(path, HEADER, "person")
    assert (end.broken, end.highest) == (broken, 3 if "3" in before else 0)
    with DurableCsvWriter(path, HEADER, append=True) as rows:
        rows.write([[9, 9, "new"]])
    assert path.read_bytes().decode() == kept + "9,9,new\n"


@pytest.mark.parametrize("before", [None, "", "a,per", "a,person,b", "\0\0"])
def test_a_file_without_a_whole_header_is_begun(tmp_path, before):
    path = tmp_path / "rows.csv"
    if before is not None:
        path.write_text(before)
    assert CsvEnd.read(path, HEADER) is None
    with DurableCsvWriter(path, HEADER, append=True):
        pass
    assert path.read_text() == "a,person,b\n"


@pytest.mark.parametrize("before", ["a,b\n1,2\n", "mine", "a,person,b,c\n", "\n"])
def test_a_file_with_other_columns_is_left_alone(tmp_path, before):
    path = tmp_path / "rows.csv"
    path.write_text(before)
    with pytest.raises(DataError, match="it has other columns"):
        DurableCsvWriter(path, HEADER, append=True)
    assert path.read_text() == before


def test_rows_are_written_through_to_the_disk_where_that_is_asked_for(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(descriptor))
    for sync in (False, True):
        with DurableCsvWriter(tmp_path / f"{sync}.csv", HEADER, sync=sync) as rows:
            rows.write([[1, 2, 3]])
        assert len(synced) == (2 if sync else 0)
