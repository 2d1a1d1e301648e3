"""Earlier names of commands and options: they still work and print one line with the new name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

COMMANDS: Mapping[str, str] = {
    "bench": "benchmark",
    "card": "model-card",
    "pseudo": "pseudo-label",
    "suspects": "label-issues",
    "watch": "video",
}
"""Old command -> new command."""

DATA_COMMANDS: Mapping[str, str] = {
    "draw": "synthesize",
    "mask": "add-masks",
    "mix": "oversample",
    "stores": "cache",
}
"""The same below `maskfit data`."""

_PREDICTION = {"--top": "--top-k", "--views": "--tta", "--vote": "--combine"}

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "add-masks": {"--worn": "--n-correct", "--wrongly": "--n-incorrect"},
    "benchmark": {"--batch": "--batch-size"},
    "calibrate": {"--below": "--threshold", "--keep": "--coverage"},
    "ensemble": _PREDICTION,
    "export": {"--to": "--format"},
    "gan": {"--batch": "--batch-size", "--upto": "--target-count"},
    "label-issues": {"--above": "--min-score"},
    "predict": {**_PREDICTION, "--attributes": "--attributes-csv", "--list": "--image-list"},
    "review": {"--suspects": "--label-issues"},
    "serve": _PREDICTION,
    "tune": {"--keep": "--keep-models"},
    "video": {
        "--gone": "--max-unseen-seconds",
        "--hold": "--min-state-seconds",
        "--smooth": "--smoothing-seconds",
        "--sure": "--min-confidence",
        "--top": "--top-k",
    },
}
"""New command -> old option -> new option."""

EVERYWHERE: Mapping[str, str] = {"--scheme": "--schema"}
"""Old option -> new option of every command that has it."""


def upgrade_arguments(command: str, args: Sequence[str], warn: Callable[[str], None]) -> list[str]:
    """Replaces old options of a command by the new ones.

    Args:
        command: The command's new name.
        args: Its arguments as typed; everything after `--` is left alone.
        warn: Called with one line for each old option.

    Returns:
        The arguments with new names, values unchanged.
    """
    renamed = {**EVERYWHERE, **OPTIONS.get(command, {})}
    upgraded: list[str] = []
    for index, arg in enumerate(args):
        if arg == "--":
            return [*upgraded, *args[index:]]
        name, equals, value = arg.partition("=")
        if name in renamed:
            warn(f"{name} is now {renamed[name]}")
            name = renamed[name]
        upgraded.append(f"{name}{equals}{value}")
    return upgraded
