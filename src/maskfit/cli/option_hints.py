"""Options that other tools have and maskfit says otherwise: what to write in place of them.

`train` takes recipe keys (`trainer.epochs=3`), as Hydra does, where argparse tools take `--epochs 3`; `predict` takes
models and photos without an option, and so do the other commands that take a model, but `video`.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from maskfit.errors import MaskfitError, is_model_name

_RECIPE_OPTIONS: Mapping[str, str] = {
    "--epochs": "trainer.epochs=N",
    "--batch-size": "trainer.batch_size=N",
    "--batch": "trainer.batch_size=N",
    "--lr": "optimizer.lr=X",
    "--learning-rate": "optimizer.lr=X",
    "--data": "data.path=PHOTOS",
    "--data-dir": "data.path=PHOTOS",
    "--dataset": "data.path=PHOTOS",
    "--image-size": "data.image_size=N",
    "--img-size": "data.image_size=N",
    "--imgsz": "data.image_size=N",
    "--model": "model.backbone=NAME",
    "--backbone": "model.backbone=NAME",
    "--pretrained": "model.pretrained=NAME_OR_FILE",
    "--device": "trainer.device=cuda",
    "--folds": "cv.num_folds=N",
    "--output-dir": "output_dir=DIR",
}
_MODEL = "name the model beside the photos: maskfit predict photo.jpg model.onnx"
_PHOTOS = "name the photos without an option: maskfit predict photo.jpg holiday/*.jpg"

_INT8 = "the bundled model runs in int8 by itself; for a model of your own: --calibrate PHOTOS"
_ANSWERS = "the answers are scored, which maskfit predict model.onnx --images PHOTOS --out answers.csv writes"
_SCORED = "name both files without an option, the truth first: maskfit evaluate truth.csv submission.csv"
_NAMED_ALONE: Mapping[str, str] = {
    "app": "maskfit app model.onnx",
    "benchmark": "maskfit benchmark model.onnx",
    "calibrate": "maskfit calibrate runs/first",
    "evaluate scenes": "maskfit evaluate scenes scenes.csv model.onnx",
    "export": "maskfit export runs/first/fold0 --format onnx",
    "inspect": "maskfit inspect model.safetensors",
    "model-card": "maskfit model-card model.onnx",
    "serve": "maskfit serve model.onnx",
}
"""Command that takes its model or run without an option -> how."""

_FURTHER: Mapping[str, Mapping[str, str]] = {
    "serve": {"--int8": _INT8, "--threads": "each worker takes its part of the cores: --workers N"},
}

OPTION_HINTS: Mapping[str, Mapping[str, str]] = {
    "train": {**_RECIPE_OPTIONS, "--seed": "trainer.seed=N", "--out": "output_dir=DIR"},
    "check": {**_RECIPE_OPTIONS, "--seed": "trainer.seed=N", "--out": "output_dir=DIR"},
    "run": {**_RECIPE_OPTIONS, "--seed": "trainer.seed=N"},
    "predict": {
        "--model": _MODEL,
        "--weights": _MODEL,
        "--checkpoint": _MODEL,
        "--source": _PHOTOS,
        "--input": _PHOTOS,
        "--image": _PHOTOS,
        "--save": "draw the answers on the photos: --draw OUT",
        "--visualize": "draw the answers on the photos: --draw OUT",
        "--output": "write a table of the faces with --faces-csv FILE, or draw them on the photos with --draw OUT",
        "--csv": "write a table with a row for each face: --faces-csv FILE; with --images, for each photo: --out FILE",
    },
    "video": {"--int8": _INT8},
    "evaluate": {
        **dict.fromkeys(("--model", "--checkpoint", "--images"), _ANSWERS),
        **dict.fromkeys(("--truth", "--labels", "--submission", "--predictions"), _SCORED),
    },
    **{
        command: {
            **dict.fromkeys(("--model", "--weights", "--checkpoint"), f"name it without an option: {line}"),
            **_FURTHER.get(command, {}),
        }
        for command, line in _NAMED_ALONE.items()
    },
}
"""Command -> option that it does not have -> what to write. None of them is an option or an old name of the command."""


def check_foreign_options(command: str, args: Sequence[str]) -> None:
    """Raises for an option of other tools, with what to write in place of it.

    Args:
        command: The command's name.
        args: Its arguments as typed; everything after `--` is left alone.

    Raises:
        MaskfitError: One of the arguments is such an option.
    """
    hints = OPTION_HINTS.get(command, {})
    for index, arg in enumerate(args):
        if arg == "--":
            return
        name, _, value = arg.partition("=")
        if name in hints:
            value = value or (args[index + 1] if index + 1 < len(args) and args[index + 1][:1] != "-" else "")
            raise MaskfitError(f"maskfit {command} has no option {name}", hint=_fill_in(hints[name], value))


_ONE_MODEL = "it takes one model: call it again for another"
_EXTRA_MODELS: Mapping[str, str] = {
    "benchmark": _ONE_MODEL,
    "export": f"{_ONE_MODEL}; the file to write is named with --out FILE",
    "inspect": f"{_ONE_MODEL}; maskfit compare takes several runs",
    "model-card": _ONE_MODEL,
    "video": "name it with an option: maskfit video {other} --model {model}",
}
"""Command that takes no model, or no further one, without an option -> what to write."""


def explain_extra_arguments(command: str, message: str, args: Sequence[str]) -> MaskfitError | None:
    """Explains an argument too many where it is a model.

    Args:
        command: The command's name.
        message: What Typer says.
        args: The arguments of the command line.

    Returns:
        The error; None for Typer's own.
    """
    if not message.startswith("Got unexpected extra argument"):
        return None
    models = [arg for arg in args if is_model_name(arg) or Path(arg, "recipe.yaml").is_file()]
    if not models:
        return None
    extra = message.rpartition("(")[2].removesuffix(")").split()
    named = args[args.index(command) + 1 :] if command in args else []
    # The film is what is too many, or else, before the model, the first argument.
    others = (arg for arg in (*extra, *named) if arg[:1] != "-" and arg not in models)
    hint = _EXTRA_MODELS.get(command, "leave it out; maskfit {command} --help says what it takes")
    return MaskfitError(
        f"maskfit {command} takes no {'further ' if _ONE_MODEL in hint else ''}model as an argument",
        location=models[-1],
        hint=hint.format(command=command, other=shlex.quote(next(others, "FILM")), model=shlex.quote(models[-1])),
    )


def explain_missing_out(command: str, args: Sequence[str], flags: Collection[str] = ()) -> MaskfitError:
    """Says how to name what a command writes, where its `--out` is missing.

    Args:
        command: The command's name.
        args: The arguments of the command line; the last one is taken for the output if it is nothing that exists, and
            no value of the option before it.
        flags: The command's options that take no value.

    Returns:
        The error.
    """
    *before, last = args
    # An ensemble takes any number of runs, of which the last may be misspelled.
    may_be_output = command != "ensemble" and len(before) > len(command.split())
    is_value = bool(before) and before[-1][:1] == "-" and before[-1] not in flags and "=" not in before[-1]
    named = may_be_output and last[:1] != "-" and not is_value and not Path(last).exists()
    written = [*before, "--out", last] if named else [*args, "--out", "OUT"]
    return MaskfitError(f"maskfit {command} needs --out, what it writes", hint=f"maskfit {shlex.join(written)}")


def _fill_in(hint: str, value: str) -> str:
    """A recipe key with the value that was given; other hints as they are."""
    key, equals, _ = hint.partition("=")
    if not equals:
        return hint
    return f"write {key}={shlex.quote(value)}" if value else f"write {hint}"
