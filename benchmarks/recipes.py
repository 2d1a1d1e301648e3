"""Trains all recipes on the same photos, with the same initial weights, image size and number of epochs.

    uv run python benchmarks/recipes.py --data TRAIN --weights mobilenetv2_100.safetensors --out runs/recipes
    uv run python benchmarks/recipes.py ... --only baseline cv-08          # some of them
    uv run python benchmarks/recipes.py ... --jobs 2                       # two at a time, one core each
    uv run python benchmarks/recipes.py ... --image-list eval/info.csv     # and their submissions
    uv run python benchmarks/recipes.py ... --table docs/results.md        # the table of the finished ones

Each recipe keeps its own settings except backbone, initial weights, image size, epochs and folds; full-data epochs
after the evaluation are off. An interrupted run is resumed and a finished one is skipped, so the table can be made in
several sessions.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from maskfit.config.recipe_files import recipe_names
from maskfit.file_io import read_json, write_text
from maskfit.run_dir import RunDir, is_run_dir

BACKBONE = "{name: mobilenetv2_100, pad_type: same}"
"""The published weights of this network come from TensorFlow, which pads like this."""

TABLE_BEGIN, TABLE_END = "<!-- table begins -->\n", "<!-- table ends -->"
"""Marks in the file of `--table` between which the table is written."""


def common_overrides(args: argparse.Namespace) -> list[str]:
    """Returns the overrides that every recipe gets."""
    return [
        f"data.path={args.data}",
        f"model.backbone={BACKBONE}",
        f"model.pretrained={args.weights}",
        f"data.image_size={args.size}",
        f"trainer.epochs={args.epochs}",
        f"cv.num_folds={args.folds}",
        "trainer.full_data_epochs=0",
    ]


def run_command(command: list[str], log: Path, args: argparse.Namespace) -> None:
    """Runs a command: in the terminal, or with `--jobs` on one thread with its output in a log file."""
    if args.jobs == 1:
        subprocess.run(command, check=True)
        return
    with log.open("a", encoding="utf-8") as stream:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, stdout=stream, stderr=subprocess.STDOUT, env=environment)


def train(name: str, run: Path, args: argparse.Namespace) -> None:
    """Trains one recipe, or resumes its run."""
    command = [sys.executable, "-m", "maskfit", "train", name, *common_overrides(args), f"output_dir={run}"]
    run_command([*command, "--resume"] if is_run_dir(run) else command, args.out / f"{name}.log", args)


def predict(name: str, run: Path, args: argparse.Namespace) -> None:
    """Writes a recipe's submission for the evaluation list, averaged over its folds."""
    images = args.image_list.parent / "images"
    inputs = ["--images", str(images), "--image-list", str(args.image_list)]
    outputs = ["--out", str(args.submissions / f"{name}.csv"), "--probabilities", str(run / "evaluation.csv")]
    command = [sys.executable, "-m", "maskfit", "predict", str(run), *inputs, *outputs, "--tta", "flip", "--force"]
    run_command(command, args.out / f"{name}.log", args)


def process_recipe(name: str, args: argparse.Namespace) -> None:
    """Trains a recipe unless it is finished, and writes its submission."""
    run = args.out / name
    if not RunDir(run).scores.is_file():
        train(name, run, args)
    if args.image_list:
        predict(name, run, args)


def table_row(name: str, folder: RunDir) -> str:
    """Returns a row of the table: out-of-fold scores, mean and standard deviation over the folds, minutes."""
    scores = read_json(folder.scores)
    folds = list(scores["per_fold"].values())
    deviation = statistics.stdev(folds) if len(folds) > 1 else 0.0
    interval = scores["intervals"]["macro_f1"]
    attributes = " | ".join(f"{item['macro_f1']:.3f}" for item in scores["per_attribute"].values())
    return (
        f"| {name} | {scores['macro_f1']:.3f} ({interval['low']:.3f} to {interval['high']:.3f}) |"
        f" {statistics.mean(folds):.3f} ± {deviation:.3f} | {scores['accuracy']:.3f} | {attributes} |"
        f" {scores['seconds'] / 60:.0f} |"
    )


def make_table(names: list[str], args: argparse.Namespace) -> str:
    """Returns the table of all finished recipes, the best first."""
    finished = [(name, RunDir(args.out / name)) for name in names if RunDir(args.out / name).scores.is_file()]
    finished.sort(key=lambda item: -read_json(item[1].scores)["macro_f1"])
    lines = [
        "| recipe | macro F1, out of fold (95 % over persons) | mean and spread over folds | accuracy |"
        " mask F1 | gender F1 | age F1 | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(table_row(name, folder) for name, folder in finished),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="photos in the competition's layout")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights of mobilenetv2_100")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="folder of the runs")
    parser.add_argument("--only", nargs="+", help="names of recipes; default: all but fast")
    parser.add_argument("--size", type=int, default=96, help="image size")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="number of recipes at a time, one core each")
    parser.add_argument("--image-list", type=Path, help="evaluation list; its images are in images/ beside it")
    parser.add_argument("--submissions", type=Path, default=Path("benchmarks/submissions"))
    parser.add_argument("--table", type=Path, help="write the table into this file, between its two marks")
    args = parser.parse_args()
    names = args.only or [name for name in recipe_names() if name != "fast"]
    args.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda name: process_recipe(name, args), names))
    table = make_table(recipe_names(), args)
    print(table)
    if args.table:
        text = args.table.read_text(encoding="utf-8")
        head, tail = text.split(TABLE_BEGIN)[0], text.split(TABLE_END)[1]
        write_text(args.table, f"{head}{TABLE_BEGIN}\n{table}\n{TABLE_END}{tail}")


if __name__ == "__main__":
    main()
