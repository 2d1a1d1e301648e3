"""The commands of docs/features.md, run one after the other on drawn faces in one folder."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from maskfit.synthesis.drawn import write_eval_set, write_train_set

PAGE = Path(__file__).parents[2] / "docs" / "features.md"

ROWS = {
    *(f"A{number}" for number in range(1, 17)),
    *(f"B{number}" for number in range(1, 8)),
    *(f"C{number}" for number in range(1, 8)),
    *(f"D{number}" for number in range(1, 9)),
    *(f"E{number}" for number in range(1, 8)),
    *(f"F{number}" for number in range(1, 5)),
    *(f"G{number}" for number in range(1, 8)),
}
"""Every capability that the page must name."""


class Line(NamedTuple):
    """A command of the page.

    Attributes:
        words: The command.
        comment: What stands behind it: the rows that it shows.
    """

    words: list[str]
    comment: str

    def is_marked(self, mark: str) -> bool:
        return re.search(rf"\b{mark}$", self.comment) is not None


def read_lines() -> list[Line]:
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [Line(shlex.split(line, comments=True), line.rpartition("# ")[2].strip()) for line in lines]


def prepare(folder: Path) -> None:
    """Makes what the table at the top of the page lists."""
    write_train_set(folder / "drawn-set", 12, seed=3, size=(48, 64), workers=1).rename(folder / "photos")
    write_train_set(folder / "drawn", 4, seed=5, size=(192, 256), workers=1)
    write_eval_set(folder / "eval", 2, seed=7, size=(96, 128), workers=1)
    persons = sorted((folder / "photos").iterdir())
    rows = [f"{path.relative_to(folder)},{path.parent.name},wear,," for item in persons for path in item.glob("mask*")]
    rows += [f"{path.relative_to(folder)},{path.parent.name},,female,31" for path in persons[0].glob("normal*")]
    (folder / "some.csv").write_text("path,person,mask,gender,age\n" + "\n".join(rows) + "\n")
    for name, pattern in (("with_mask", "mask1.*"), ("without_mask", "normal.*")):
        (folder / "folders" / name).mkdir(parents=True)
        for item in persons:
            for path in item.glob(pattern):
                shutil.copy(path, folder / "folders" / name / f"{item.name}{path.suffix}")
    (folder / "corrections.csv").write_text(f"person,attribute,value\n{persons[0].name},gender,male\n")
    (folder / "space.yaml").write_text("optimizer.lr: {low: 1e-4, high: 1e-2, log: true}\n")
    (folder / "config.json").write_text(json.dumps({"arch": {"type": "resnet18"}, "trainer": {"epochs": 3}}))
    write_scene(folder)


def write_scene(folder: Path) -> None:
    """One scene of two drawn faces side by side, with their boxes from the drawing."""
    with (folder / "drawn" / "landmarks.csv").open() as stream:
        drawn = list(csv.DictReader(stream))
    chosen = [next(row for row in drawn if Path(row["path"]).stem == stem) for stem in ("mask1", "normal")]
    scene = Image.new("RGB", (192 * 2, 256), (90, 110, 120))
    rows = []
    for number, (row, mask) in enumerate(zip(chosen, ("wear", "not_wear"), strict=True)):
        scene.paste(Image.open(folder / "drawn" / row["path"]), (192 * number, 0))
        left, top, right, bottom = (192 * number + 50, 60, 192 * number + 142, 190)
        rows.append(f"scene.jpg,{left},{top},{right},{bottom},{mask}")
    scene.save(folder / "scene.jpg")
    (folder / "scenes.csv").write_text("path,xmin,ymin,xmax,ymax,mask\n" + "\n".join(rows) + "\n")


def write_clip(folder: Path) -> None:
    """Two seconds of a drawn video."""
    av = pytest.importorskip("av")
    from maskfit.synthesis.drawn.synthetic_video import render_video

    video = render_video(3, people=1, seconds=4, size=(160, 120), fps=5)
    with av.open(str(folder / "door.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _, pixels in video.frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode())


def run_lines(command, folder: Path, monkeypatch: pytest.MonkeyPatch, lines: list[Line]) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    failed = []
    for line in lines:
        result = command(*line.words[1:])
        if result.code != 0:
            failed.append(f"{shlex.join(line.words)}\n{result.err or result.out}")
    assert failed == [], "\n\n".join(failed)


def test_every_row_has_a_command_or_a_place() -> None:
    lines = read_lines()
    assert all(line.words[0] == "maskfit" and line.comment for line in lines)
    named = {row for line in lines for row in re.findall(r"\b[A-H]\d+\b", line.comment)}
    # E6 is about variables of the environment, and stands in the text with its place in the docs.
    assert named | {"E6"} >= ROWS
    assert "E6, folders from" in PAGE.read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::maskfit.errors.OldNameWarning")
def test_the_fast_commands_run(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    lines = [line for line in read_lines() if not line.is_marked("slow") and not line.is_marked("server")]
    assert len(lines) > 40
    run_lines(command, tmp_path, monkeypatch, lines)
    with (tmp_path / "submission.csv").open() as found, (tmp_path / "eval" / "info.csv").open() as listed:
        assert [row["ImageID"] for row in csv.DictReader(found)] == [row["ImageID"] for row in csv.DictReader(listed)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_commands_run(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    write_clip(tmp_path)
    run_lines(command, tmp_path, monkeypatch, [line for line in read_lines() if not line.is_marked("server")])
    for name in ("report.html", "look.html", "scenes.html", "photos.html", "model.onnx", "votes", "sweep", "gan"):
        assert (tmp_path / name).exists(), name
