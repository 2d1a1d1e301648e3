"""Where an int8 file was calibrated and compared: read by what prints or runs it on another processor."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from maskfit import cpu_features
from maskfit.errors import ModelFileError
from maskfit.model_metadata import read_metadata

INT8_KEY = "maskfit.int8"
"""Metadata key that `maskfit export --int8` writes into its files."""


@dataclass(frozen=True)
class Int8Origin:
    """Where and on what an int8 network was calibrated.

    Attributes:
        instructions: Instruction set of the processor, as `describe_instructions` names it.
        photos: Calibration photos.
    """

    instructions: str
    photos: int

    def to_json(self) -> str:
        """Converts to JSON.

        Returns:
            An object with the fields.
        """
        return json.dumps(asdict(self))


def describe_instructions() -> str:
    """Names the instruction set of this processor.

    Returns:
        A level of `cpu_features.ISA_LEVELS`; where that is not known, the architecture.
    """
    return cpu_features.cpu_isa_level() or platform.machine() or "an unknown instruction set"


def read_int8_origin(path: Path) -> Int8Origin | None:
    """Reads where an int8 file was calibrated.

    Args:
        path: A model file.

    Returns:
        The origin; None where the file has none, as those of earlier versions and of other programs.

    Raises:
        ModelFileError: It is no model file, or its entry is damaged.
    """
    text = read_metadata(path).get(INT8_KEY)
    if text is None:
        return None
    try:
        data = json.loads(text)
        return Int8Origin(str(data["instructions"])[:40], int(data["photos"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise ModelFileError(
            f"its metadata '{INT8_KEY}' is damaged", location=path, hint="export it again with maskfit export"
        ) from None


def foreign_processor_warning(path: Path) -> str | None:
    """Says that an int8 file was compared and timed on another kind of processor.

    Args:
        path: A model file.

    Returns:
        One line; None where there is nothing to warn of.

    Raises:
        ModelFileError: It is no model file, or its entry is damaged.
    """
    origin, here = read_int8_origin(path), describe_instructions()
    if origin is None or origin.instructions == here:
        return None
    return (
        f"{path} was calibrated on a processor with {origin.instructions}, this one has {here}: what export printed "
        "about speed does not hold here, and close predictions may differ"
    )
