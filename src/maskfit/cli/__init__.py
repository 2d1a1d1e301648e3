"""The command `maskfit`: verbs that parse, call one function, and print.

Every verb stands in the tables below and is imported when it is called; what is heavy it imports inside its function.
So `maskfit --help` answers at once, and the base install never misses what only training needs.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from typing import Annotated

import typer

from maskfit import __version__
from maskfit.cli.defaults import load_environment
from maskfit.cli.lazy_commands import LazyCommand, make_lazy_app
from maskfit.cli.legacy_names import COMMANDS, DATA_COMMANDS
from maskfit.errors import MaskfitError

STOPPED = 130
"""The exit code of a command that the user stopped, as shells have it."""

OF_THE_USER = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ENAMETOOLONG,
    }
)
"""What the system refuses for a reason that the user can mend."""

COMMAND_TABLE = {
    "Begin": {
        "demo": LazyCommand(
            "maskfit.cli.demo:demo",
            "Draw faces, train on them, judge, predict, and picture the answers: under three minutes on two cores.",
        ),
        "new": LazyCommand(
            "maskfit.cli.new:new",
            "Start a project folder: recipe.yaml to change, README.md with the commands, .gitignore.",
        ),
        "recipes": LazyCommand(
            "maskfit.cli.recipes:recipes",
            "List the recipes that ship, show one, or make one from another program's config.",
        ),
        "check": LazyCommand(
            "maskfit.cli.recipes:check",
            "Check a recipe without data: every mistake at once, and the whole recipe as it would be trained.",
        ),
    },
    "Train and judge": {
        "train": LazyCommand(
            "maskfit.cli.train:train",
            "Train a recipe: split by person, train every fold, judge it on the persons it never saw.",
        ),
        "tune": LazyCommand(
            "maskfit.cli.tune:tune",
            "Search a recipe's space: many trainings with other values, each judged on the same held-out persons.",
        ),
        "evaluate": LazyCommand(
            "maskfit.cli.evaluate:evaluate",
            "Score a submission: accuracy, macro F1, each class and each attribute.",
        ),
        "report": LazyCommand(
            "maskfit.cli.report:report",
            "Judge a run, or compare several, on one page that needs no network.",
        ),
        "ensemble": LazyCommand(
            "maskfit.cli.ensemble:ensemble",
            "Combine members by votes: compare the votes on held-out photos, and answer new ones. No photo is opened.",
        ),
        "pseudo-label": LazyCommand(
            "maskfit.cli.pseudo_label:pseudo_label",
            "Make labels of what a model is sure of, to train on them with data.extra_train.",
        ),
        "calibrate": LazyCommand(
            "maskfit.cli.calibrate:calibrate",
            'Fit temperatures and "not sure" thresholds to a run\'s held-out answers, and write them into its models.',
        ),
        "inspect": LazyCommand(
            "maskfit.cli.inspect:inspect",
            "Look inside a model: does every layer learn, how is it built, and where on a face does it look?",
        ),
    },
    "Photos and labels": {
        "data": LazyCommand(
            "maskfit.cli:data_group",
            "Sets of photos: check, explore, split, crop, put masks on, mix, draw, make.",
        ),
        "label-issues": LazyCommand(
            "maskfit.cli.label_issues:label_issues",
            "Rank labels by how likely they are to be wrong.",
        ),
        "review": LazyCommand(
            "maskfit.cli.review:review",
            "Look at labels person by person, mark what is wrong, give what is right.",
        ),
    },
    "Use": {
        "predict": LazyCommand(
            "maskfit.cli.predict:predict",
            "Answer for photos: for every face on those that are named, or a row for each photo of a list or folder.",
        ),
        "app": LazyCommand(
            "maskfit.cli.app:app",
            "Open a page on which photos are uploaded or taken, and every face on them is boxed and answered for.",
        ),
        "serve": LazyCommand(
            "maskfit.cli.serve:serve",
            "Serve models over HTTP: POST photos to /v1/predict, get every face's answer as JSON.",
        ),
        "video": LazyCommand(
            "maskfit.cli.video:video",
            "Follow the people in a video or before a camera, and tell who appears, leaves or changes the mask.",
        ),
        "export": LazyCommand(
            "maskfit.cli.export:export",
            "Export a model to ONNX or OpenVINO, which run without torch, or to its bare weights.",
        ),
        "benchmark": LazyCommand(
            "maskfit.cli.benchmark:benchmark",
            "Time a model on this machine: photos a second by engine and batch size, and which is the fastest.",
        ),
        "model-card": LazyCommand(
            "maskfit.cli.model_card:model_card",
            "Show a model's card: what it reads, what it learnt from, its scores, how sure it is, its limits.",
        ),
    },
}
"""Every verb by its name: where its function stands, and the first line of that function's docstring."""

DATA_COMMANDS_TABLE = {
    "Look": {
        "check": LazyCommand(
            "maskfit.cli.data.dataset:check",
            "List everything that is wrong with a set of photos, before a training finds it.",
        ),
        "explore": LazyCommand(
            "maskfit.cli.data.explore:explore",
            "Look at a set of photos before anything is trained on it: counts, ages, mean faces, oddities, leaks.",
        ),
    },
    "Keep": {
        "cache": LazyCommand(
            "maskfit.cli.data.cache:cache",
            "List the stores of decoded photos with size and last use, and remove those that nothing uses.",
        ),
    },
    "Divide and cut": {
        "split": LazyCommand(
            "maskfit.cli.data.dataset:split",
            "Deal the persons of a set to folds and write the split down.",
        ),
        "crop": LazyCommand(
            "maskfit.cli.data.crop:crop",
            "Write cropped copies of photos in the same folders, and list every face on them.",
        ),
    },
    "Make": {
        "synthesize": LazyCommand(
            "maskfit.cli.data.dataset:synthesize",
            "Draw faces of people who do not exist, in the competition's layout, to try everything without any "
            "download.",
        ),
        "add-masks": LazyCommand(
            "maskfit.cli.data.add_masks:add_masks",
            "Put masks on bare faces: five worn well, one worn wrongly, and the bare face, in the competition's "
            "layout.",
        ),
        "oversample": LazyCommand(
            "maskfit.cli.data.dataset:oversample",
            "Fill up the thin classes with blends of two of their photos, to train on them with data.extra_train.",
        ),
        "gan": LazyCommand(
            "maskfit.cli.data.gan:gan",
            "Train a small GAN on a set and make faces for its thin classes, to train on with data.extra_train.",
        ),
    },
}
"""The verbs of `maskfit data`."""

root_group = make_lazy_app(
    COMMAND_TABLE,
    "Read mask, gender and age from face photos: train, judge, combine and use classifiers.",
    name="maskfit",
    old_names=COMMANDS,
)
data_group = make_lazy_app(
    DATA_COMMANDS_TABLE,
    COMMAND_TABLE["Photos and labels"]["data"].help,
    old_names=DATA_COMMANDS,
    name="data",
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"maskfit {__version__}")
        raise typer.Exit


@root_group.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    load_environment()


def main() -> None:
    """The entry point: runs a verb; what the user can mend is said without a traceback, with exit code 2."""
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read this has enough, as `head -1` has. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    if "torch" not in sys.modules:
        # What is left is freed with the process. Python would look through all of it for cycles first, and more than
        # once: 0.07 s after a prediction. What torch brings along complains of leaks where that is left out.
        gc.freeze()
    sys.exit(code)


def _run() -> int | str | None:
    """Runs a verb and gives the exit code."""
    # A file name in another encoding than the terminal's must not end in a traceback.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        root_group()
    except MaskfitError as error:
        _tell(error)
        return 2
    except OSError as error:
        if error.errno not in OF_THE_USER:
            raise
        _tell(MaskfitError(f"{error.strerror}", location=error.filename2 or error.filename, hint="check the path"))
        return 2
    except (KeyboardInterrupt, SystemExit) as left:
        if isinstance(left, SystemExit) and left.code != STOPPED:
            return left.code
        typer.echo("stopped", err=True)
        return STOPPED
    return 0


def _tell(error: MaskfitError) -> None:
    from maskfit.cli.console import print_error

    print_error(error)
