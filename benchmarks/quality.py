"""Quality side by side with what people would use, on the same folds of persons.

    uv run python benchmarks/quality.py --data TRAIN --weights mobilenetv2_100.safetensors --work quality
    uv run python benchmarks/quality.py ... --only baseline champion transfer --train-folds 0     # a part of it
    uv run --with fastai python benchmarks/quality.py ... --only fastai
    uv run python benchmarks/quality.py ... --only timm --timm-script pytorch-image-models/train.py
    uv run python benchmarks/quality.py --work quality --table                   # the table of what is finished

All contenders get the same photos and folds, MobileNetV2 with the same ImageNet weights (`transfer` and `quick` their
own start, which `--start` replaces), image size, batch size and number of epochs, and the model after the last epoch
counts, so that nobody chooses an epoch on held-out persons. Everything else is their own:

- `timm`: timm's train script (not in its package; `--timm-script` names it), AdamW and its default augmentation.
- `fastai`: `vision_learner` and `fine_tune`, its default augmentation and learning rate; one epoch is frozen.
- `baseline`, `champion`, `transfer`: maskfit's recipes.
- `quick`: heads on fixed features; its own epochs and batch size, since its steps cost next to nothing.

Each fold is a process of its own. A finished fold is skipped, so the table can be made in several sittings. Scores are
out of fold over the folds that all listed contenders have, with intervals over persons; CPU seconds are those of the
process and its children, from start to end.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import make_person_splits, read_splits
from maskfit.evaluation.bootstrap import Interval, bootstrap_counts
from maskfit.evaluation.metrics import macro_f1
from maskfit.evaluation.probability_table import ProbabilityTable, concat_tables, read_table
from maskfit.evaluation.scores import Scores, score
from maskfit.labels.schema import LABEL_SCHEMAS, FloatArray

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
BACKBONE = "mobilenetv2_100"
RECIPES = ("baseline", "champion", "transfer", "quick")
BUNDLED_START = ("transfer", "quick")
"""Recipes that start from a face model, not from ImageNet weights."""
PEERS = ("timm", "fastai")
WORKERS = 2
"""Loading processes of the peers."""


def link_fold(args: argparse.Namespace, fold: int) -> Path:
    """Makes folders of links, `train/CLASS` and `valid/CLASS`, as timm and fastai read them; returns their root.

    Every class has a folder in both, so that the class numbers of both are those of the schema.
    """
    root = Path(args.work, "folders", f"fold{fold}")
    if root.is_dir():
        return root
    photos = read_photos(args.data, SCHEMA)
    classes = SCHEMA.to_class_index(photos.attribute_indices(SCHEMA)).tolist()
    folds = read_splits(args.work / "splits.csv").fold_of_person
    for part in ("train", "valid"):
        for number in range(SCHEMA.num_classes):
            (root / part / f"{number:02d}").mkdir(parents=True, exist_ok=True)
    for number, (photo, label) in enumerate(zip(photos, classes, strict=True)):
        part = "valid" if folds[photo.person] == fold else "train"
        (root / part / f"{label:02d}" / f"{number:06d}{photo.path.suffix}").symlink_to(photo.path.resolve())
    return root


def write_peer_table(args: argparse.Namespace, out: Path, files: list[Path], probabilities: FloatArray) -> None:
    """Writes a peer's predictions under the photos' own names."""
    photos = read_photos(args.data, SCHEMA)
    names = tuple(photos[int(path.stem)].name for path in files)
    rows = probabilities / probabilities.sum(axis=1, keepdims=True)
    ProbabilityTable(names, rows, np.array([int(path.parent.name) for path in files])).write(out)


def held_out_files(root: Path) -> list[Path]:
    """Returns the held-out photos of a fold."""
    return sorted(path for path in (root / "valid").glob("*/*") if path.is_symlink())


def run_timm(args: argparse.Namespace, fold: int, out: Path) -> None:
    """Trains with timm's script and predicts with timm's transform."""
    import timm
    import torch
    from PIL import Image
    from timm.data import create_transform, resolve_data_config

    root, output = link_fold(args, fold), out.parent / f"timm{fold}"
    command = f"--data-dir {root} --train-split train --val-split valid --model {BACKBONE} --model-kwargs pad_type=same"
    command += f" --pretrained --pretrained-path {args.weights} --num-classes {SCHEMA.num_classes}"
    command += f" --img-size {args.size} --epochs {args.epochs} --warmup-epochs 1 --cooldown-epochs 0 --sched cosine"
    command += f" --opt adamw --lr {args.lr} --weight-decay 0.02 --batch-size {args.batch} --workers {WORKERS}"
    command += f" --device cpu --no-prefetcher --output {output} --experiment run --checkpoint-hist 1"
    subprocess.run([sys.executable, str(args.timm_script), *command.split()], check=True)
    network = timm.create_model(BACKBONE, num_classes=SCHEMA.num_classes, pad_type="same")
    saved = torch.load(output / "run" / "last.pth.tar", map_location="cpu", weights_only=False)
    network.load_state_dict(saved["state_dict"])
    transform = create_transform(**resolve_data_config({"img_size": args.size}, model=network.eval()))
    files, rows = held_out_files(root), []
    with torch.inference_mode():
        for start in range(0, len(files), args.batch):
            batch = [transform(Image.open(path).convert("RGB")) for path in files[start : start + args.batch]]
            rows.append(network(torch.stack(batch)).softmax(1).double().numpy())
    write_peer_table(args, out, files, np.concatenate(rows))


def run_fastai(args: argparse.Namespace, fold: int, out: Path) -> None:
    """Trains with fastai's vision_learner and fine_tune."""
    import torch
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        GrandparentSplitter,
        ImageBlock,
        Normalize,
        Resize,
        aug_transforms,
        get_image_files,
        imagenet_stats,
        parent_label,
        vision_learner,
    )
    from safetensors.torch import load_file

    torch.manual_seed(0)
    root = link_fold(args, fold)
    classes = [f"{number:02d}" for number in range(SCHEMA.num_classes)]
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=classes)),
        get_items=get_image_files,
        splitter=GrandparentSplitter("train", "valid"),
        get_y=parent_label,
        item_tfms=Resize(args.size + args.size // 4),
        batch_tfms=[*aug_transforms(size=args.size, min_scale=0.75), Normalize.from_stats(*imagenet_stats)],
    )
    loaders = block.dataloaders(root, bs=args.batch, num_workers=WORKERS)
    learner = vision_learner(loaders, BACKBONE, pretrained=False, normalize=False, pad_type="same")
    weights = {name: value for name, value in load_file(args.weights).items() if not name.startswith("classifier.")}
    missing, _ = learner.model[0].model.load_state_dict(weights, strict=False)
    if missing:
        raise SystemExit(f"{len(missing)} weights of the start are missing, such as {missing[0]}")
    # vision_learner freezes only a pretrained body; fine_tune freezes it for its first epoch in any case.
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(args.epochs - 1)
        files = held_out_files(root)
        probabilities, _ = learner.get_preds(dl=loaders.test_dl(files, num_workers=WORKERS))
    write_peer_table(args, out, files, probabilities.double().numpy())


def run_recipe(args: argparse.Namespace, fold: int, out: Path, name: str) -> None:
    """Trains a fold of a recipe of maskfit."""
    run = out.parent / "run"
    start = f"model.init_from={args.start}" if name in BUNDLED_START else f"model.pretrained={args.weights}"
    backbone = [f"model.backbone={{name: {BACKBONE}, pad_type: same}}"]
    length = [f"trainer.epochs={args.epochs}", f"trainer.batch_size={args.batch}"]
    overrides = [
        f"data.path={args.data}",
        f"data.image_size={args.size}",
        start,
        # The bundled model has a backbone of its own, which its recipes name.
        *(backbone if args.start != "bundled" or name not in BUNDLED_START else ()),
        *(length if name != "quick" else ()),
        "trainer.monitor=off",
        f"cv.split_file={args.work / 'splits.csv'}",
        f"cv.train_folds=[{fold}]",
        f"output_dir={run}",
        *args.override,
    ]
    resume = ["--resume"] if (run / "recipe.yaml").is_file() else []
    subprocess.run([sys.executable, "-m", "maskfit", "train", name, *overrides, *resume], check=True)
    table = read_table(run / f"fold{fold}" / "probabilities.csv")
    table.write(out)


CONTENDERS: dict[str, Callable[..., None]] = {"timm": run_timm, "fastai": run_fastai}


def run_fold(args: argparse.Namespace, name: str, fold: int) -> None:
    """Trains a contender's fold and stores its table and CPU seconds; a finished fold is skipped."""
    out = args.work / name / f"fold{fold}.csv"
    if out.is_file():
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_suffix(".draft")
    if name in RECIPES:
        run_recipe(args, fold, draft, name)
    else:
        CONTENDERS[name](args, fold, draft)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(item.ru_utime + item.ru_stime for item in used)
    out.with_suffix(".json").write_text(json.dumps({"cpu_seconds": seconds}), encoding="utf-8")
    draft.rename(out)


def finished_folds(args: argparse.Namespace, name: str) -> list[int]:
    """Returns the folds of a contender that are done."""
    return sorted(int(path.stem.removeprefix("fold")) for path in (args.work / name).glob("fold*.csv"))


def make_table(args: argparse.Namespace) -> str:
    """Returns the table over the folds that all contenders with a finished fold have, the best first."""
    names = [name for name in (*PEERS, *RECIPES) if finished_folds(args, name)]
    if not names:
        return "nothing is finished"
    folds = sorted(set.intersection(*(set(finished_folds(args, name)) for name in names)))
    persons = {row["photo"]: row["person"] for row in read_rows(args.work / "persons.csv")}
    first: tuple[str, ...] | None = None
    rows: list[tuple[float, str, Scores, float]] = []
    drawn: dict[str, tuple[float, FloatArray]] = {}
    people: list[str] = []
    for name in names:
        table = concat_tables([read_table(args.work / name / f"fold{fold}.csv") for fold in folds])
        table = table if first is None else table.reindex(first)
        first = table.names
        assert table.truth is not None
        people = [persons[photo] for photo in table.names]
        codes = SCHEMA.to_attribute_indices(table.truth)
        found = score(SCHEMA, codes, probabilities=table.probabilities, persons=people)
        counts = bootstrap_counts(table.truth, table.predictions, people, num_classes=SCHEMA.num_classes)
        value = macro_f1(table.truth, table.predictions, SCHEMA.num_classes)
        drawn[name] = (value, counts.macro_f1("skip"))
        notes = [args.work / name / f"fold{fold}.json" for fold in folds]
        seconds = sum(json.loads(path.read_text(encoding="utf-8"))["cpu_seconds"] for path in notes)
        rows.append((value, name, found, seconds))
    best_peer = max((name for name in names if name in PEERS), key=lambda name: drawn[name][0], default=None)
    lines = [
        f"Folds {', '.join(map(str, folds))}: {len(first or ()):,} photos of {len(set(people)):,} persons.",
        "",
        "| contender | macro F1 (95% over persons) | gain over the best peer | accuracy | mask F1 | gender F1 | age F1 "
        "| CPU minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for value, name, found, seconds in sorted(rows, reverse=True, key=lambda row: row[0]):
        interval = found.intervals["macro_f1"]
        gain = ""
        if best_peer is not None and best_peer != name:
            delta = Interval.from_draws(value - drawn[best_peer][0], drawn[name][1] - drawn[best_peer][1])
            gain = f"{delta.value:+.3f} ({delta.low:+.3f} to {delta.high:+.3f})"
        attributes = " | ".join(f"{item.macro_f1:.3f}" for item in found.per_attribute.values())
        lines.append(
            f"| {name} | {value:.3f} ({interval.low:.3f} to {interval.high:.3f}) | {gain} | {found.accuracy:.3f} | "
            f"{attributes} | {seconds / 60:.1f} |"
        )
    missing = [name for name in (*PEERS, *RECIPES) if name not in names]
    return "\n".join(lines) + (f"\n\nNot run: {', '.join(missing)}." if missing else "")


def read_rows(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def prepare(args: argparse.Namespace) -> None:
    """Writes the folds and the person on each photo, once."""
    args.work.mkdir(parents=True, exist_ok=True)
    if (args.work / "persons.csv").is_file():
        return
    photos = read_photos(args.data, SCHEMA)
    make_person_splits(photos, SCHEMA, args.folds, seed=0).write(args.work / "splits.csv")
    with (args.work / "persons.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("photo", "person"), *((photo.name, photo.person) for photo in photos)])


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="photos in the competition's layout, or a manifest")
    parser.add_argument("--weights", type=Path, help=f"ImageNet weights of {BACKBONE}")
    parser.add_argument("--work", type=Path, default=Path("quality"), help="folder of the runs")
    parser.add_argument("--only", nargs="+", default=[*PEERS, *RECIPES], choices=[*PEERS, *RECIPES])
    parser.add_argument("--train-folds", nargs="+", type=int, help="folds to train; default: all")
    parser.add_argument("--start", default="bundled", help="model that transfer and quick start from, such as a twin's")
    parser.add_argument("--timm-script", type=Path, help="train.py of timm's repository")
    parser.add_argument("--size", type=int, default=96, help="image size")
    parser.add_argument("--epochs", type=int, default=5, help="at least 2")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of timm's script, as that of baseline")
    parser.add_argument("--override", action="append", default=[], metavar="KEY=VALUE", help="for maskfit's recipes")
    parser.add_argument("--table", action="store_true", help="only print the table of what is finished")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "FOLD"), help=argparse.SUPPRESS)
    return parser.parse_args()


def skip_reason(args: argparse.Namespace, name: str) -> str | None:
    """Returns why a contender cannot run here; None where it can."""
    if name == "fastai" and importlib.util.find_spec("fastai") is None:
        return "fastai is not installed (uv run --with fastai)"
    if name == "timm" and args.timm_script is None:
        return "--timm-script is not given"
    return None


def main() -> None:
    """Runs the benchmark."""
    args = parse_arguments()
    if args.child:
        run_fold(args, args.child[0], int(args.child[1]))
        return
    if not args.table:
        prepare(args)
        for name in args.only:
            reason = skip_reason(args, name)
            if reason:
                print(f"{name}: skipped, {reason}")
                continue
            for fold in args.train_folds or range(args.folds):
                command = [sys.executable, __file__, *sys.argv[1:], "--child", name, str(fold)]
                subprocess.run(command, check=True)
    print(make_table(args))


if __name__ == "__main__":
    main()
