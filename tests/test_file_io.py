"""Files: whole or not at all, and CSV rows that keep their numbers."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskfit.errors import DataError, MaskfitError
from maskfit.file_io import atomic_write, read_csv, read_json, write_csv, write_json, write_text


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [item.name for item in path.parent.iterdir()] == ["file.txt"]


def test_a_file_has_the_rights_of_the_users_umask(tmp_path):
    before = os.umask(0o027)
    try:
        path = write_text(tmp_path / "file.txt", "x")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_json_round_trip_and_no_nan(tmp_path):
    path = write_json(tmp_path / "a.json", {"ä": [1, None]})
    assert read_json(path) == {"ä": [1, None]}
    assert "ä" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, float("nan"))
    assert read_json(path) == {"ä": [1, None]}


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"{", "invalid JSON"), (b"\xff", "invalid JSON")]
)
def test_json_that_cannot_be_read_says_why(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MaskfitError, match=message) as caught:
        read_json(path)
    assert caught.value.location == str(path)


def test_a_folder_is_no_json_and_no_csv(tmp_path):
    with pytest.raises(MaskfitError, match="cannot be read"):
        read_json(tmp_path)
    with pytest.raises(DataError, match="folder"):
        read_csv(tmp_path, ["a"])
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(tmp_path / "file" / "a.csv", ["a"])


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8).map(str.strip)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(cells.filter(bool), cells), max_size=5))
def test_csv_round_trip(tmp_path, rows):
    """Commas, quotes, line ends, form feeds and U+2028 in a cell stay in that cell."""
    path = write_csv(tmp_path / "a.csv", ["one", "two"], rows)
    assert read_csv(path, ["one"]) == [{"one": one, "two": two} for one, two in rows]


def test_a_text_that_is_not_utf_8_is_an_error_and_keeps_the_file(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["path"], [["ü.jpg"]])
    with pytest.raises(DataError, match="a text is not UTF-8 and cannot be written") as caught:
        write_csv(path, ["path"], [["b.jpg"], ["\udcff.jpg"]])
    assert caught.value.location == str(path)
    assert read_csv(path, ["path"]) == [{"path": "ü.jpg"}]
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("character", ["\u2028", "\x0c", "\x85", "\x1c"])
def test_only_a_line_end_ends_a_row(tmp_path, character):
    path = tmp_path / "a.csv"
    path.write_text(f"a,b\n1{character}2,3\n", encoding="utf-8")
    assert read_csv(path, ["a", "b"]) == [{"a": f"1{character}2", "b": "3"}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_and_a_byte_order_mark(tmp_path, end):
    path = tmp_path / "a.csv"
    path.write_bytes(("\ufeff" + end.join(["a, b ", "1, 2 ", "3", "", ""])).encode())
    assert read_csv(path, ["a", "b"]) == [{"a": "1", "b": "2"}, {"a": "3", "b": ""}]


def test_item_i_is_row_i_plus_two_also_after_an_empty_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n\n3,4\n\n\n")
    assert read_csv(path, ["a"]) == [{"a": "1", "b": "2"}, {"a": "", "b": ""}, {"a": "3", "b": "4"}]
    path.write_text("a,b\n1,2\n\n3,4,5\n")
    with pytest.raises(DataError, match="row 4 has 3 cells, the first row has 2"):
        read_csv(path, ["a"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"\xff\xfe", "UTF-8"),
        (b"", "column a is missing; the first row has nothing"),
        (b"x,y\n1,2\n", "column a is missing; the first row has x, y"),
        (b"a,a\n1,2\n", "duplicate column name"),
        (b'a\n"1\n2\n3', "invalid CSV"),
        (b'a\n"1"2\n', "invalid CSV"),
    ],
)
def test_csv_that_cannot_be_read_says_why(tmp_path, content, message):
    path: Path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_csv(path, ["a"])
    assert caught.value.location == str(path)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_are_found_in_the_first_row(tmp_path, delimiter):
    path = tmp_path / "a.csv"
    path.write_text(f"a{delimiter}b\n1,5{delimiter}2\n")
    assert read_csv(path, ["a", "b"]) == [{"a": "1,5", "b": "2"}]
    path.write_text(f"a,b{delimiter}c\n1,2\n")
    assert list(read_csv(path, ["a"])[0]) == ["a", f"b{delimiter}c"]


def test_a_single_column_has_no_delimiter(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('"a;b"\n1;2\n')
    assert read_csv(path, []) == [{"a;b": "1;2"}]


@pytest.mark.parametrize("encoding", ["cp949", "euc-kr", "utf-16", "utf-8-sig"])
def test_korean_text_in_other_encodings(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes("경로,마스크\r\n가.jpg,미착용\r\n".encode(encoding))
    assert read_csv(path, ["경로"]) == [{"경로": "가.jpg", "마스크": "미착용"}]


def test_western_text_that_is_not_utf_8_is_an_error(tmp_path):
    (tmp_path / "a.csv").write_bytes("a,b\ncafé,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_csv(tmp_path / "a.csv", ["a"])


def test_columns_without_a_name_are_no_duplicates(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(",a,,\n0,x,1,2\n")
    assert read_csv(path, ["a"]) == [{"": "0", "a": "x"}]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_excels_line_of_the_delimiter_is_no_row(tmp_path, delimiter, end):
    path = tmp_path / "t.csv"
    path.write_bytes(f"sep={delimiter}{end}path{delimiter}age{end}a.jpg{delimiter}3{end}".encode())
    assert read_csv(path, ["path", "age"]) == [{"path": "a.jpg", "age": "3"}]


def test_a_link_is_written_to_the_file_behind_it(tmp_path):
    target, link = tmp_path / "results" / "target.csv", tmp_path / "latest.csv"
    target.parent.mkdir()
    target.write_text("old\n")
    link.symlink_to("results/target.csv")
    write_csv(link, ["a"], [["1"]])
    assert link.is_symlink()
    assert target.read_text() == "a\n1\n"
    # Also where there is no such file yet, and in a folder that is a link.
    target.unlink()
    write_csv(link, ["b"], [])
    assert target.read_text() == "b\n"
    (tmp_path / "folder").symlink_to("results")
    write_csv(tmp_path / "folder" / "target.csv", ["c"], [])
    assert target.read_text() == "c\n"
    assert sorted(path.name for path in target.parent.iterdir()) == ["target.csv"]


def test_a_link_into_a_store_of_data_version_control_is_refused(tmp_path):
    """DVC 3.67.1 with `cache.type symlink` and git-annex: a link to a file without write permission."""
    stored, link = tmp_path / "store" / "051d5be97c", tmp_path / "labels.csv"
    stored.parent.mkdir()
    stored.write_text("old\n")
    stored.chmod(0o444)
    link.symlink_to(stored)
    with pytest.raises(DataError, match="protected from writing") as caught:
        write_csv(link, ["a"], [["1"]])
    assert "dvc unprotect" in str(caught.value.hint)
    assert (stored.read_text(), sorted(stored.parent.iterdir())) == ("old\n", [stored])
    # The way out: the link becomes a file of its own.
    link.unlink()
    write_csv(link, ["a"], [["1"]])
    assert (link.read_text(), stored.read_text()) == ("a\n1\n", "old\n")


@pytest.fixture
def pipe() -> Iterator[Callable[[str], Path]]:
    """Makes a pipe with a text as a shell does for `<(...)`: it can be read once."""
    opened: list[int] = []

    def write(text: str) -> Path:
        end, other = os.pipe()
        opened.append(end)
        os.write(other, text.encode())
        os.close(other)
        return Path(f"/dev/fd/{end}")

    yield write
    for number in opened:
        os.close(number)


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="this system has no /dev/fd")
def test_a_table_in_a_pipe_is_read_as_often_as_needed(pipe):
    first, second = pipe("path,mask\na.jpg,wear\n"), pipe("path\nb.jpg\n")
    assert [read_csv(first, ("path",)) for _ in range(3)] == [[{"path": "a.jpg", "mask": "wear"}]] * 3
    assert read_csv(second, ()) == [{"path": "b.jpg"}]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused(tmp_path):
    """What is written to it next would be another table, and nobody may ever write."""
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(DataError, match="named pipe, which can be read only once"):
        read_csv(tmp_path / "list.csv", ())


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="this system has no /dev/fd")
def test_a_pipe_in_place_of_a_dataset_or_label_file_says_so(pipe):
    from maskfit.data.importers.source import ImportSource
    from maskfit.data.read_dataset import read_photos
    from maskfit.labels.schema import LABEL_SCHEMAS

    with pytest.raises(DataError, match="this is a pipe or device, and a dataset is a file or folder") as caught:
        read_photos(pipe("path,mask\na.jpg,wear\n"), LABEL_SCHEMAS["mask"])
    assert "ends in .csv, beside the photos" in (caught.value.hint or "")
    with pytest.raises(DataError, match="this is a pipe or device, no file"):
        ImportSource(pipe("[]"))
