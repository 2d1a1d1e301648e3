"""All recipes on the same photos, with the same start weights, photo size and number of photos seen.

    uv run python benchmarks/recipes.py --data TRAIN --weights mobilenetv2_100.safetensors --out runs/recipes
    uv run python benchmarks/recipes.py ... --only baseline cv-08          # some of them
    uv run python benchmarks/recipes.py ... --jobs 2                       # two at a time, a core each
    uv run python benchmarks/recipes.py ... --image-list eval/info.csv           # and their submissions
    uv run python benchmarks/recipes.py ... --table docs/results.md        # the table of what is there

Each recipe keeps everything of its own but what is named here: backbone, start weights, size, epochs, folds; and no
recipe trains on after its folds are judged, which would be photos more. A run that is cut off goes on where it stopped;
one that is done is not done again, so the table can be made in several sittings.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from maskfit.config.loader import recipe_names
from maskfit.file_io import read_json, write_text
from maskfit.run_dir import RunDir, is_run_dir

BACKBONE = "{name: mobilenetv2_100, pad_type: same}"
"""The published weights of this network come from TensorFlow, which pads like this."""


def words_of(given: argparse.Namespace) -> list[str]:
    """What every recipe gets."""
    return [
        f"data.path={given.data}",
        f"model.backbone={BACKBONE}",
        f"model.pretrained={given.weights}",
        f"data.image_size={given.size}",
        f"trainer.epochs={given.epochs}",
        f"cv.num_folds={given.folds}",
        "trainer.full_data_epochs=0",
    ]


def run_one(command: list[str], log: Path, given: argparse.Namespace) -> None:
    """Runs a command: on the screen where it is alone, on one core and into a log where several run side by side."""
    if given.jobs == 1:
        subprocess.run(command, check=True)
        return
    with log.open("a", encoding="utf-8") as stream:
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, stdout=stream, stderr=subprocess.STDOUT, env=alone)


def train(name: str, run: Path, given: argparse.Namespace) -> None:
    """Trains one recipe, or goes on with it."""
    command = [sys.executable, "-m", "maskfit", "train", name, *words_of(given), f"output_dir={run}"]
    run_one([*command, "--resume"] if is_run_dir(run) else command, given.out / f"{name}.log", given)


def predict(name: str, run: Path, given: argparse.Namespace) -> None:
    """Writes a recipe's answers for the evaluation list, its folds averaged."""
    images = given.list.parent / "images"
    command = [sys.executable, "-m", "maskfit", "predict", str(run), "--images", str(images), "--image-list", str(given.list)]
    outputs = ["--out", str(given.submissions / f"{name}.csv"), "--probabilities", str(run / "evaluation.csv")]
    run_one([*command, *outputs, "--tta", "flip", "--force"], given.out / f"{name}.log", given)


def work(name: str, given: argparse.Namespace) -> None:
    """All there is to do for a recipe."""
    run = given.out / name
    if not RunDir(run).scores.is_file():
        train(name, run, given)
    if given.list:
        predict(name, run, given)


def row(name: str, folder: RunDir) -> str:
    """A line of the table: out-of-fold scores, the folds' mean and spread, minutes."""
    scores = read_json(folder.scores)
    folds = list(scores["per_fold"].values())
    spread = statistics.stdev(folds) if len(folds) > 1 else 0.0
    interval = scores["intervals"]["macro_f1"]
    attributes = " | ".join(f"{item['macro_f1']:.3f}" for item in scores["per_attribute"].values())
    return (
        f"| {name} | {scores['macro_f1']:.3f} ({interval['low']:.3f} to {interval['high']:.3f}) |"
        f" {statistics.mean(folds):.3f} ± {spread:.3f} | {scores['accuracy']:.3f} | {attributes} |"
        f" {scores['seconds'] / 60:.0f} |"
    )


def table(names: list[str], given: argparse.Namespace) -> str:
    """The table of every recipe that is done, the best first."""
    done = [(name, RunDir(given.out / name)) for name in names if RunDir(given.out / name).scores.is_file()]
    done.sort(key=lambda item: -read_json(item[1].scores)["macro_f1"])
    lines = [
        "| recipe | macro F1, out of fold (95 % over persons) | mean and spread over folds | accuracy |"
        " mask F1 | gender F1 | age F1 | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(row(name, folder) for name, folder in done),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="photos in the competition's layout")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights for mobilenetv2_100")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--only", nargs="+", help="these recipes")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="so many recipes at a time, each on one core")
    parser.add_argument("--image-list", type=Path, help="an evaluation list; photos lie in images/ beside it")
    parser.add_argument("--submissions", type=Path, default=Path("benchmarks/submissions"))
    parser.add_argument("--table", type=Path, help="write the table into this file, between its two marks")
    given = parser.parse_args()
    names = given.only or [name for name in recipe_names() if name != "fast"]
    given.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(lambda name: work(name, given), names))
    made = table(recipe_names(), given)
    print(made)
    if given.table:
        begin, end = "<!-- table begins -->\n", "<!-- table ends -->"
        text = given.table.read_text(encoding="utf-8")
        head, tail = text.split(begin)[0], text.split(end)[1]
        write_text(given.table, f"{head}{begin}\n{made}\n{end}{tail}")


if __name__ == "__main__":
    main()
