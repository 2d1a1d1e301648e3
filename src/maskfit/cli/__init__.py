"""The command `maskfit`: each subcommand parses its arguments, calls one function, and prints.

Subcommands are listed in the tables below and imported when they run; heavy packages are imported inside their
functions. So `maskfit --help` is fast, and the base install works without the training packages.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from maskfit.cli.defaults import limit_spinning, load_environment
from maskfit.cli.lazy_commands import LazyCommand, make_lazy_app
from maskfit.cli.legacy_names import COMMANDS, DATA_COMMANDS
from maskfit.cli.verbosity_options import (
    QUIET_HELP,
    VERBOSE_HELP,
    apply_verbosity,
    print_time,
    print_traceback,
    set_verbosity,
)
from maskfit.errors import DiskFullError, MaskfitError, OldNameWarning, PhotoWarning, printable
from maskfit.version import __version__

_default_format_warning = warnings.formatwarning

EXIT_INTERRUPTED = 130
"""Exit code of a command that the user interrupted, as in shells."""

EXIT_TERMINATED = 143
"""Exit code of a command that SIGTERM ended, as in shells."""

USER_ERRNOS = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ENOTEMPTY,
        errno.ELOOP,
    }
)
"""Errors of the operating system that the user can fix."""

COMMAND_TABLE = {
    "Start": {
        "demo": LazyCommand(
            "maskfit.cli.demo:demo",
            "Draw faces, train, evaluate, predict and picture the predictions: under three minutes on two cores.",
        ),
        "new": LazyCommand(
            "maskfit.cli.new:new",
            "Create a project folder: a recipe to edit, a README with the commands, .gitignore.",
        ),
        "recipes": LazyCommand(
            "maskfit.cli.recipes:recipes",
            "List the recipes that ship with maskfit, print one, or convert another program's config.",
        ),
        "check": LazyCommand(
            "maskfit.cli.recipes:check",
            "Check a recipe: every mistake at once, then the whole recipe with its defaults.",
        ),
        "components": LazyCommand(
            "maskfit.cli.components:components",
            "List what a recipe or command can name: options, defaults, ranges, papers, a line to copy.",
        ),
    },
    "Train and evaluate": {
        "train": LazyCommand(
            "maskfit.cli.train:train",
            "Train a recipe: split by person, train every fold, evaluate it on held-out persons.",
        ),
        "run": LazyCommand(
            "maskfit.cli.run:run",
            "Go from a recipe to a submission: train, views, ensemble, decide, submit, report; resumable.",
        ),
        "tune": LazyCommand(
            "maskfit.cli.tune:tune",
            "Search hyperparameters: many trainings of a recipe, each evaluated on the same held-out persons.",
        ),
        "evaluate": LazyCommand(
            "maskfit.cli.evaluate:evaluate",
            "Score predictions: accuracy and macro F1, overall, per class and per attribute.",
        ),
        "evaluate scenes": LazyCommand(
            "maskfit.cli.evaluate_scenes:evaluate_scenes",
            "Evaluate detector and model together on scenes with annotated faces.",
        ),
        "evaluate thresholds": LazyCommand(
            "maskfit.cli.evaluate_thresholds:evaluate_thresholds",
            "Choose the threshold of an alarm: what it catches, how often it is false, and how many alarms are right.",
        ),
        "report": LazyCommand(
            "maskfit.cli.report:report",
            "Write the report of a run, or compare several, on one self-contained page.",
        ),
        "compare": LazyCommand(
            "maskfit.cli.compare:compare",
            "Say what a change is worth: each later run minus the first, on the same photos of the same persons.",
        ),
        "ensemble": LazyCommand(
            "maskfit.cli.ensemble:ensemble",
            "Combine models from stored probabilities: compare ways to combine them, and predict with one.",
        ),
        "pseudo-label": LazyCommand(
            "maskfit.cli.pseudo_label:pseudo_label",
            "Write confident predictions as pseudo-labels, to train on with data.extra_train.",
        ),
        "calibrate": LazyCommand(
            "maskfit.cli.calibrate:calibrate",
            'Fit temperatures, "not sure" thresholds and decision weights on out-of-fold predictions.',
        ),
        "inspect": LazyCommand(
            "maskfit.cli.inspect:inspect",
            "Inspect a model: gradient check of every layer, graph of its modules, Grad-CAM on photos.",
        ),
    },
    "Photos and labels": {
        "data": LazyCommand(
            "maskfit.cli:data_group",
            "Datasets: import, check, explore, split, crop, add masks, oversample, synthesize.",
        ),
        "label-issues": LazyCommand(
            "maskfit.cli.label_issues:label_issues",
            "Rank labels by the probability that they are wrong.",
        ),
        "review": LazyCommand(
            "maskfit.cli.review:review",
            "Review labels person by person in the browser, and write corrections.",
        ),
    },
    "Predict and serve": {
        "predict": LazyCommand(
            "maskfit.cli.predict:predict",
            "Predict every face on the named photos, or one row for each photo of a folder or list.",
        ),
        "app": LazyCommand(
            "maskfit.cli.app:app",
            "Open a web page to upload or take photos and see the prediction for every face.",
        ),
        "serve": LazyCommand(
            "maskfit.cli.serve:serve",
            "Serve models over HTTP: POST photos to /v1/predict, get the prediction of every face as JSON.",
        ),
        "video": LazyCommand(
            "maskfit.cli.video:video",
            "Track people in a video or camera stream, and report who appears, leaves or changes the mask.",
        ),
        "detectors": LazyCommand(
            "maskfit.cli.detectors:detectors",
            "List face detectors with recall and time, and where they are on this machine; download one.",
        ),
        "export": LazyCommand(
            "maskfit.cli.export:export",
            "Export a model to ONNX or OpenVINO, which run without torch, or to bare weights.",
        ),
        "benchmark": LazyCommand(
            "maskfit.cli.benchmark:benchmark",
            "Measure a model's throughput on this machine by engine and batch size.",
        ),
        "model-card": LazyCommand(
            "maskfit.cli.model_card:model_card",
            "Print a model card: labels, training data, scores, calibration, limits.",
        ),
    },
}
"""Every command by name: where its function is, and the first line of that function's docstring."""

DATA_COMMANDS_TABLE = {
    "Inspect": {
        "check": LazyCommand(
            "maskfit.cli.data.dataset:check",
            "Find every problem of a dataset before training.",
        ),
        "explore": LazyCommand(
            "maskfit.cli.data.explore:explore",
            "Explore a dataset on one page: class counts, ages, mean faces, outliers, leaks between persons.",
        ),
    },
    "Import": {
        "import": LazyCommand(
            "maskfit.cli.data.import_labels:import_",
            "Import labels of other programs and published sets as a manifest.",
        ),
        "majority": LazyCommand(
            "maskfit.cli.data.majority:majority",
            "Make a manifest of majority labels from the votes of several annotators.",
        ),
        "corrections": LazyCommand(
            "maskfit.cli.data.corrections:corrections",
            "Read what was decided about label issues in Label Studio or CVAT, as label corrections.",
        ),
    },
    "Image cache": {
        "cache": LazyCommand(
            "maskfit.cli.data.cache:cache",
            "List image caches, cached features and converted networks, with size and last use; remove unused ones.",
        ),
    },
    "Split and crop": {
        "split": LazyCommand(
            "maskfit.cli.data.dataset:split",
            "Split persons into folds and write the split as CSV.",
        ),
        "crop": LazyCommand(
            "maskfit.cli.data.crop:crop",
            "Write cropped copies of photos, and list every detected face.",
        ),
    },
    "Synthesize": {
        "synthesize": LazyCommand(
            "maskfit.cli.data.dataset:synthesize",
            "Draw synthetic faces in the competition's layout, to try everything without a download.",
        ),
        "add-masks": LazyCommand(
            "maskfit.cli.data.add_masks:add_masks",
            "Add synthetic masks to bare faces, in the competition's layout.",
        ),
        "oversample": LazyCommand(
            "maskfit.cli.data.dataset:oversample",
            "Oversample rare classes with blends of two photos, to train on with data.extra_train.",
        ),
        "gan": LazyCommand(
            "maskfit.cli.data.gan:gan",
            "Train a small GAN and generate faces of rare classes, to train on with data.extra_train.",
        ),
    },
}
"""Subcommands of `maskfit data`."""

root_group = make_lazy_app(
    COMMAND_TABLE,
    "Classifiers for mask, gender and age from face photos: train, evaluate, combine, serve.",
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


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"maskfit {__version__}")
        raise typer.Exit


@root_group.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=QUIET_HELP, is_eager=True)] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help=VERBOSE_HELP, is_eager=True)] = False,
) -> None:
    apply_verbosity()
    set_verbosity(quiet=quiet, verbose=verbose)
    load_environment()


def main() -> None:
    """Runs a command; errors that the user can fix are printed without a traceback, with exit code 2."""
    warnings.formatwarning = _format_warning
    limit_spinning()
    _open_standard_streams()
    try:
        with _stop_on_sigterm():
            code = _run()
            try:
                sys.stdout.flush()
            except OSError as error:
                code = _report_lost_output(error)
            print_time()
    except BrokenPipeError as error:
        code = _report_lost_output(error)
    finally:
        _release_claims()
    if "torch" not in sys.modules:
        # Memory is freed with the process; the final garbage collection would take 0.07 s after a prediction. With
        # torch it is kept, since triton reports leaks without it.
        gc.freeze()
    sys.exit(code)


def _open_standard_streams() -> None:
    """Opens standard streams that the caller closed (`>&-`): the next file would take their place, and their output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def _release_claims() -> None:
    """Gives up the outputs that the command reserved; without the module there are none, and `--help` stays fast."""
    if "maskfit.file_locks" in sys.modules:
        from maskfit.file_locks import release_claims

        release_claims()


def _report_lost_output(error: OSError) -> int:
    """Reports results that standard output did not take, and drops what is left; returns the exit code."""
    # Python would report it again when flushing at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        # The reader closed the pipe, as `head -1` does.
        return 1
    from maskfit.file_io import is_disk_full

    message = f"standard output cannot be written: {error.strerror}"
    _print_error(DiskFullError("standard output") if is_disk_full(error) else MaskfitError(message, hint="check it"))
    return 2


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Ends the command on SIGTERM like on Ctrl-C: processes that it started end, temporary files are removed."""

    def stop(number: int, frame: FrameType | None) -> None:
        # Once: a second one must not interrupt the removal of files.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(EXIT_TERMINATED)

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """One plain line for notes about old names and photos; other warnings keep their source line."""
    if issubclass(category, OldNameWarning | PhotoWarning):
        return f"note: {printable(str(message))}\n"
    return _default_format_warning(message, category, filename, lineno, line)


def _run() -> int | str | None:
    """Runs a command and returns the exit code."""
    # A file name in another encoding than the terminal's must not end in a traceback.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        root_group()
    except MaskfitError as error:
        _print_error(_with_resume_hint(error) if isinstance(error, DiskFullError) else error)
        return 2
    except OSError as error:
        from maskfit.file_io import is_disk_full

        if is_disk_full(error):
            _print_error(_with_resume_hint(DiskFullError(error.filename or _find_full_output())))
            return 2
        if error.errno not in USER_ERRNOS:
            raise
        _print_error(
            MaskfitError(
                f"{error.strerror}", location=error.filename2 or error.filename, hint="check path and permissions"
            )
        )
        return 2
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = (str(error).strip().splitlines() or [""])[0]
        _print_error(
            MaskfitError(
                f"there is not enough memory{f': {reason:.200}' if reason else ''}",
                hint="end other programs, or use a smaller batch size, smaller images or fewer workers",
            )
        )
        return 2
    except (KeyboardInterrupt, SystemExit) as stop:
        code = stop.code if isinstance(stop, SystemExit) else EXIT_INTERRUPTED
        if code in (EXIT_INTERRUPTED, EXIT_TERMINATED):
            typer.echo("stopped", err=True)
        return code
    return 0


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory is what lacks; torch and ONNX Runtime say so only in the text of a RuntimeError."""
    text = str(error).lower()
    words = ("out of memory", "can't allocate memory", "cannot allocate memory", "failed to allocate", "bad_alloc")
    return isinstance(error, MemoryError) or any(word in text for word in words)


def _find_full_output() -> str:
    """What could not be written where the error has no name, as those of maskfit's own files have."""
    return f"a file in {os.getcwd()} or {tempfile.gettempdir()}" if sys.stdout.isatty() else "standard output"


def _with_resume_hint(error: DiskFullError) -> DiskFullError:
    """Says how the command goes on once there is room, where it does not just start again."""
    from maskfit.cli.resume_hint import resume_hint

    commands = {
        name: item
        for table in (COMMAND_TABLE, DATA_COMMANDS_TABLE)
        for group in table.values()
        for name, item in group.items()
    }
    error.hint = resume_hint(sys.argv[1:], commands) or error.hint
    return error


def _print_error(error: MaskfitError) -> None:
    try:
        from maskfit.cli.console import print_error

        print_traceback(error)
        print_error(error)
    except (ImportError, MemoryError, SystemError):
        # Where not even the console finds memory: the same lines, plain.
        sys.stderr.write(f"error: {error}\n")
