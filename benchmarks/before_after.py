"""CPU seconds and peak memory of commands in this tree against an older commit, side by side.

    uv run python benchmarks/before_after.py OLD_COMMIT [--only ROW,ROW] [--rounds N] [--photos DIR] [--model FILE]
        [--weights FILE]

The older commit runs from a temporary git worktree with the packages of this environment. Both take turns, each run in
a process of its own; printed are medians and the ratio of new to old. CPU seconds (user and system, of the process and
those that it started) rather than wall time, so that other work on the machine matters less. Bytecode is cached, as
`pip install` leaves it: without it, imports take two to three times as long. What `serve.py`, `train.py` and
`predict.py` measure is not repeated here; `serve_before_after.py` compares services. The row `video` takes the weights
of an older commit's detector from `MASKFIT_DETECTORS`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from maskfit.cpu_features import cpu_isa_level
from maskfit.synthesis.drawn import write_train_set

REPOSITORY = Path(__file__).resolve().parent.parent

FIRST_STEP = """
import importlib.util, os, sys

class Hook:
    def find_spec(self, name, path=None, target=None):
        if name != "maskfit.training.task":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        def run_and_stop(module):
            run(module)
            module.ClassificationTask.on_train_batch_end = lambda *rest: os._exit(0)
        spec.loader.exec_module = run_and_stop
        return spec

sys.meta_path.insert(0, Hook())
from maskfit.cli import main
main()
"""

MANIFEST = """
import sys
from pathlib import Path
from maskfit.data.read_dataset import read_photos
from maskfit.labels.schema import LABEL_SCHEMAS
read_photos(sys.argv[1], LABEL_SCHEMAS["mask-gender-age"])
"""

MANIFEST_ROWS = 31_000
SIDE = 5600
"""Height and width of the large PNG files."""


@dataclass(frozen=True)
class Usage:
    """What one run took: CPU seconds, and peak resident memory in MiB of its largest process."""

    cpu_seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        wanted: Largest ratio of new to old that is wanted; None where the row is a reference.
        prepare: Returns the arguments of Python, given a folder that all runs share and an empty one for this run.
    """

    wanted: float | None
    prepare: Callable[[Path, Path], list[str]]


def _command(*words: object) -> list[str]:
    return ["-m", "maskfit", *map(str, words)]


def _photos(shared: Path) -> Path:
    if not (shared / "photos").exists():
        write_train_set(shared / "photos", 24, size=(192, 256), workers=1)
    return shared / "photos" / "images"


def _first_step(recipe: str, *more: str) -> Callable[[Path, Path], list[str]]:
    def prepare(shared: Path, own: Path) -> list[str]:
        keys = (f"data.path={_photos(shared)}", f"output_dir={own / 'run'}", f"data.cache_dir={own / 'cache'}")
        return ["-c", FIRST_STEP, "train", recipe, *keys, *more]

    return prepare


def _manifest(shared: Path) -> Path:
    path = shared / "photos.csv"
    if not path.exists():
        files = sorted(_photos(shared).rglob("*.jpg"))
        masks, genders = ("wear", "incorrect", "not wear"), ("male", "female")
        links = shared / "many"
        links.mkdir()
        lines = ["path,person,mask,gender,age"]
        for number in range(MANIFEST_ROWS):
            os.link(files[number % len(files)], links / f"{number}.jpg")
            lines.append(
                f"many/{number}.jpg,{number // 7},{masks[number % 3]},{genders[number % 2]},{18 + number % 50}"
            )
        path.write_text("\n".join(lines) + "\n")
    return path


def _png(name: str) -> Callable[[Path, Path], list[str]]:
    def prepare(shared: Path, own: Path) -> list[str]:
        path = shared / f"{name}.png"
        if not path.exists():
            values = np.linspace(0, 65535, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint16)
            Image.fromarray(values if name == "png16" else (values >> 8).astype(np.uint8)).save(path, compress_level=1)
        return _command("predict", path, "--faces", "whole")

    return prepare


def _video(shared: Path, own: Path) -> list[str]:
    from video import write_synthetic_video

    path = shared / "video.mp4"
    if not path.exists():
        write_synthetic_video(path)
    return _command("video", path, "--json")


def _rows(images: Path | None, model: Path | None, weights: Path | None = None) -> dict[str, Row]:
    # A batch of two, so that the start is measured rather than the step.
    timm = ("model.backbone=mobilenetv2_100", f"model.pretrained={weights or 'none'}", "trainer.batch_size=2")

    def predict(shared: Path, own: Path) -> list[str]:
        words = ("predict", *([model] if model else []), "--images", images or _photos(shared))
        return _command(*words, "--out", own / "out.csv", "--faces", "whole")

    return {
        "check": Row(None, lambda shared, own: _command("check", "champion")),
        "first-step": Row(0.5, _first_step("fast")),
        "first-step-timm": Row(0.5, _first_step("baseline", *timm)),
        "demo": Row(0.5, lambda shared, own: _command("demo", "--out", own / "demo")),
        "manifest": Row(1 / 3, lambda shared, own: ["-c", MANIFEST, str(_manifest(shared))]),
        "data-check": Row(1 / 3, lambda shared, own: _command("data", "check", _manifest(shared))),
        "png8": Row(None, _png("png8")),
        "png16": Row(None, _png("png16")),
        "predict": Row(0.77, predict),
        "video": Row(1 / 1.8, _video),
    }


def measure(arguments: list[str], tree: Path, cache: Path) -> Usage:
    """Runs Python with a tree's maskfit.

    Args:
        arguments: Arguments of Python.
        tree: Root of the tree.
        cache: Folder for bytecode.

    Returns:
        What it took.

    Raises:
        SystemExit: It failed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(tree / "src"), "PYTHONPYCACHEPREFIX": str(cache)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=log, stderr=log)
        # Also counts what its own children took, as long as it waited for them.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        # data check ends with 1 where it has found something.
        if process.returncode not in (0, 1):
            log.seek(0)
            raise SystemExit(f"{arguments[-3:]} failed in {tree}:\n{log.read().decode(errors='replace')[-3000:]}")
    return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def compare(row: Row, trees: dict[str, Path], shared: Path, rounds: int) -> dict[str, list[Usage]]:
    """Runs a row in turns.

    Args:
        row: The row.
        trees: Name to tree; the first one runs first.
        shared: Folder for inputs and bytecode.
        rounds: Measured runs of each tree, after one that is not counted.

    Returns:
        Name of the tree to the usage of its runs.
    """
    found: dict[str, list[Usage]] = {name: [] for name in trees}
    for number in range(rounds + 1):
        for name, tree in trees.items():
            with tempfile.TemporaryDirectory() as own:
                usage = measure(row.prepare(shared, Path(own)), tree, shared / "bytecode")
            if number:
                found[name].append(usage)
    return found


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD_COMMIT", help="commit to compare with")
    parser.add_argument("--only", help=f"rows, separated by commas: {', '.join(_rows(None, None))}")
    parser.add_argument("--rounds", type=int, default=3, help="measured runs of each tree")
    parser.add_argument("--photos", type=Path, help="folder of the row predict; default: 168 drawn faces")
    parser.add_argument("--model", type=Path, help="model of the row predict; default: the bundled one")
    parser.add_argument("--weights", type=Path, help="MobileNetV2's weights for first-step-timm; default: random ones")
    parser.add_argument("--json", type=Path, help="file for every figure")
    args = parser.parse_args()
    rows = _rows(args.photos, args.model, args.weights)
    names = args.only.split(",") if args.only else list(rows)
    if unknown := [name for name in names if name not in rows]:
        parser.error(f"there is no row {unknown[0]}; rows: {', '.join(rows)}")
    processor = f"{platform.processor() or platform.machine()} with {cpu_isa_level() or 'an unknown level'}"
    print(f"{processor}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; medians of {args.rounds} rounds\n")
    print("| row | CPU s old | CPU s new | new / old | wanted | peak MiB old | new |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old"
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(old), args.old], check=True)
        try:
            for name in names:
                found = compare(rows[name], {"old": old, "new": REPOSITORY}, Path(folder), args.rounds)
                results[name] = {tree: [vars(usage) for usage in runs] for tree, runs in found.items()}
                cpu = {tree: statistics.median(run.cpu_seconds for run in runs) for tree, runs in found.items()}
                peak = {tree: statistics.median(run.peak_mib for run in runs) for tree, runs in found.items()}
                wanted = "" if rows[name].wanted is None else f"{rows[name].wanted:.2f}"
                print(
                    f"| {name} | {cpu['old']:.2f} | {cpu['new']:.2f} | {cpu['new'] / cpu['old']:.2f} | {wanted} "
                    f"| {peak['old']:.0f} | {peak['new']:.0f} |",
                    flush=True,
                )
        finally:
            subprocess.run([*git, "remove", "--force", str(old)], check=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
