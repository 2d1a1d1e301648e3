"""`maskfit data gan`: generated faces for rare classes, and their quality."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import TRAIN_MODULES, err, out, print_json, print_table, print_written, progress, require_extra
from maskfit.cli.dataset_options import CodesOption, SchemaOption, find_schema, parse_codes
from maskfit.cli.defaults import setup_allocator
from maskfit.file_locks import claim
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.synthesis.gan.evaluation import GanEvaluation
    from maskfit.synthesis.gan.pipeline import GanResult

SourceArgument = Annotated[
    Path, typer.Argument(metavar="ROOT|CSV", help="A folder of person folders, or a CSV manifest.", show_default=False)
]
TargetOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")]
FoldsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Split, person,fold: the GAN is not trained on persons of --fold.")
]
ClassesOption = Annotated[
    str, typer.Option(metavar="WHICH", help="thin (fewer photos than the average class), all, or class indices: 2,5,8.")
]
TargetCountOption = Annotated[
    int | None,
    typer.Option(
        "--target-count",
        metavar="N",
        min=1,
        help="Photos per class including generated ones; the average class by default.",
    ),
]
CropOption = Annotated[
    str | None,
    typer.Option(
        metavar="CROP", help="Crop, as data.crop of the recipe that will use the faces; champion's by default."
    ),
]
MinutesOption = Annotated[float | None, typer.Option(metavar="M", min=0, help="Maximum training time in minutes.")]
WeightsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Sample from this gan.safetensors without training.")
]
JudgeOption = Annotated[
    Path | None,
    typer.Option(metavar="MODEL", help="Classifier that measures quality; must not have seen the held-out persons."),
]


def gan(
    source: SourceArgument,
    target: TargetOption,
    folds: FoldsOption = None,
    fold: Annotated[int, typer.Option(metavar="K", min=0, help="Fold whose persons are held out.")] = 0,
    classes: ClassesOption = "thin",
    target_count: TargetCountOption = None,
    size: Annotated[int, typer.Option(metavar="N", help="Image size: 16, 32, 48, 64, 96 or 128 pixels.")] = 64,
    crop: CropOption = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Training steps in total.")] = 20_000,
    minutes: MinutesOption = None,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", min=2, max=4096, help="Batch size.")] = 32,
    width: Annotated[int, typer.Option(metavar="N", min=1, max=512, help="Channels of the largest feature map.")] = 32,
    weights: WeightsOption = None,
    judge: JudgeOption = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Random seed.")] = 0,
    schema: SchemaOption = "mask-gender-age",
    codes: CodesOption = "",
    resume: Annotated[bool, typer.Option("--resume", help="Continue the training in --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Train a small GAN and generate faces of rare classes, to train on with data.extra_train.

    Training leaves generated faces out wherever a person that the GAN was trained on is held out. Therefore they are
    made for one fold, with --folds and --fold. --judge measures their quality with a classifier.

    Examples:

        maskfit data gan train/images --folds splits.csv --fold 0 --out gan0 --judge runs/a/fold0/best.safetensors

        maskfit data gan train/images --folds splits.csv --fold 0 --out gan0 --resume --minutes 60

        maskfit data gan train/images --weights gan0/gan.safetensors --out new --classes 2,8 --target-count 500 --seed 1

        maskfit train champion data.path=DIR cv.split_file=s.csv cv.train_folds=0 data.extra_train=gan0/manifest.csv
    """
    require_extra("data gan", "train", *TRAIN_MODULES)
    setup_allocator()
    from maskfit.config.loader import parse_component, read_recipe
    from maskfit.synthesis.gan.pipeline import GanTrainOptions, generate_faces

    labels, meanings = find_schema(schema), parse_codes(codes)
    crop_spec = parse_component(crop, "data.crop") if crop else read_recipe("champion", []).data.crop
    options = GanTrainOptions(labels, crop_spec, folds, fold, size, width, batch_size, steps, minutes, resume)
    claim(target)
    result = generate_faces(
        source,
        target,
        weights or options,
        classes=classes,
        target_count=target_count,
        judge=judge,
        codes=meanings,
        seed=seed,
        progress_bar=progress,
    )
    if json:
        print_json(result.result_dict)
    else:
        _print_result(result, target)
    if folds is None and weights is None:
        message = (
            "the GAN was trained on everybody, so training leaves these faces out wherever one of them is held out"
        )
        err.print(f"{message}; --folds FILE --fold K makes them for one fold", style="yellow")


def _print_result(result: GanResult, target: Path) -> None:
    rows = [
        (result.metadata.label_schema.describe(number), result.samples.train_counts[number], count)
        for number, count in result.samples.generated.items()
    ]
    print_table("Faces", ["class", "photos", "generated"], rows)
    out.print()
    if result.evaluation:
        _print_evaluation(result.evaluation)
    print_written(result.samples.manifest, format_count(sum(result.samples.generated.values()), "face"), console=out)
    out.print(f"to look at: {target / 'real-and-made.png'}", soft_wrap=True)


def _print_evaluation(evaluation: GanEvaluation) -> None:
    rows = [
        (item.words, *(f"{fraction:.0%} of {count:,}" if fraction is not None else "-" for fraction, count in kinds))
        for item in evaluation.agreement
        for kinds in [(item.made, item.strangers, item.learned)]
    ]
    print_table("Classifier agrees", ["", "generated", "real, held out", "real, training"], rows)
    out.print()
    titles = {
        "real": "other held-out photos (minimum)",
        "small": "the same at the size of the faces",
        "made": "generated faces",
        "blurred": "blurred held-out photos",
        "noise": "noise",
    }
    features = evaluation.about or evaluation.judge
    title = f"Fréchet distance from {format_count(evaluation.compared, 'held-out photo')}, in features of {features}"
    print_table(title, ["", "distance"], [(text, evaluation.frechet[name]) for name, text in titles.items()])
    out.print()
    out.print(
        f"distance to the nearest training photo (median): {evaluation.nearest['made']:.2f} for generated faces, "
        f"{evaluation.nearest['small']:.2f} for held-out photos; {evaluation.copies:.0%} of generated faces are nearer "
        "than 99 of 100 held-out photos",
        soft_wrap=True,
    )
    if evaluation.unknown_to_judge is None:
        err.print(
            "unknown whether the classifier was trained on these held-out photos: it is not in a run folder",
            style="yellow",
        )
