"""Export: a trained model as a file for others to run, compared with the one it came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, MaskfitError, ModelFileError
from maskfit.inference.engines import open_engine
from maskfit.inference.engines.engine import Engine, TorchEngine
from maskfit.inference.export.fp16_weights import convert_weights_to_fp16
from maskfit.inference.export.onnx_export import Compress, write_onnx
from maskfit.inference.export.other_formats import write_openvino, write_weights
from maskfit.inference.export.parity import Parity, Progress, compare, f32_rounding_error, random_inputs, read_frames
from maskfit.inference.export.quantization import quantize_static
from maskfit.model_file import ModelMetadata, read_model_metadata

PARITY_TOLERANCE = 1e-4
"""A probability may differ by this much where the numbers are as fine as the network's own; no answer hangs on it."""

ROUNDING_FACTOR = 4.0
"""On noise a probability may also differ by so many times what 32 bits make of it: two programs that each round in
their own order, and the few frames that were looked at."""

FP16_TOLERANCE = 0.2
"""The same where weights have sixteen bits: answers on the edge between two move by some hundredths."""

Write = Callable[[Path, Path, Compress | None], None]
"""Writes a model as a file: `write(model, out, shrink)`, with what makes its numbers smaller if that is wanted."""


@dataclass(frozen=True)
class ExportFormat:
    """A format to export to.

    Attributes:
        ending: How its file ends.
        write: Writes it.
        engines: What runs it, as words for `open_engine`; the first must agree with torch to `SAME`.
        beside: Endings of files that are written beside that one and belong to it.
        shrinks: Whether it can be had in sixteen bits or eight.
    """

    suffix: str
    write: Write
    engines: tuple[str, ...]
    companion_suffixes: tuple[str, ...] = ()
    supports_compression: bool = True

    def files(self, out: Path) -> tuple[Path, ...]:
        """Every file that it writes, `out` first."""
        return (out, *(out.with_suffix(ending) for ending in self.companion_suffixes))


EXPORTS: dict[str, ExportFormat] = {
    "onnx": ExportFormat(".onnx", write_onnx, ("onnx",)),
    "openvino": ExportFormat(
        ".xml", write_openvino, ("openvino", "openvino:precision=bf16"), companion_suffixes=(".bin",)
    ),
    "torch": ExportFormat(".safetensors", write_weights, ("torch",), supports_compression=False),
}
"""What `--to` can name."""


@dataclass(frozen=True)
class ExportResult:
    """What was written, and how far it is from the model it came from.

    Attributes:
        files: The files.
        bytes: Their size together.
        engines: Words for `open_engine`, all that were compared.
        parity: Of each of these engines.
        compared_on: What that was measured on, in words.
    """

    files: tuple[Path, ...]
    bytes: int
    engines: tuple[str, ...]
    parity: tuple[Parity, ...]
    compared_on: str


def export_model(
    model: Path,
    out: Path,
    to: str = "onnx",
    *,
    half: bool = False,
    calibrate: Sequence[Photo] | None = None,
    photos: Sequence[Photo] | None = None,
    progress: Progress | None = None,
) -> ExportResult:
    """Writes a `.safetensors` model in a format of `EXPORTS`. It is tried against torch before it takes its place.

    Args:
        model: The model.
        out: The file to write.
        to: A name of `EXPORTS`.
        half: Whether weights are kept in sixteen bits; see `halving`.
        calibrate: Photos that set the ranges of an int8 network; see `quantising`.
        photos: What the file is compared on. Left out: every second photo of `calibrate`, which then sets no range; or
            else noise.
        progress: Called with (photos compared, photos).

    Raises:
        ModelFileError: `model` is no such model, or `out` has another ending.
        DataError: The format cannot be had in fewer bits, or is to be had in two kinds of them; there are too few
            photos, or none that can be read.
        MissingExtraError: What writes or runs the format is not installed.
        MaskfitError: The exported network answers otherwise; an int8 network may.
    """
    form = EXPORTS[to]
    if out.suffix != form.suffix:
        raise ModelFileError(
            f"a model for {to} ends in {form.suffix}, not in '{out.suffix}'",
            location=out,
            hint=f"--out model{form.suffix}",
        )
    _refuse_bits(form, to, half, calibrate is not None)
    shrink, most = (convert_weights_to_fp16, FP16_TOLERANCE) if half else (None, PARITY_TOLERANCE)
    engines = form.engines
    if calibrate is not None:
        calibrate, photos = _share_out(calibrate, photos)
        shrink, most, engines = partial(quantize_static, photos=calibrate), math.inf, form.engines[:1]
    facts = read_model_metadata(model)
    with _drafted(form, out) as draft:
        form.write(model, draft, shrink)
        model_itself = TorchEngine(model)
        opened = [model_itself, *(open_engine(draft, engine=word) for word in engines)]
        parity, compared_on = _compare(facts, opened, photos, progress)
        finest = parity[0].max_difference
        # Asked the other way round, a difference that is no number would pass.
        if not finest < most and not (
            photos is None and finest < ROUNDING_FACTOR * f32_rounding_error(model_itself, random_inputs(facts))
        ):
            raise MaskfitError(
                f"the exported network's probabilities differ by {finest:.2g}",
                location=out,
                hint="report this as a fault",
            )
    files = form.files(out)
    return ExportResult(files, sum(path.stat().st_size for path in files), engines, parity, compared_on)


def _refuse_bits(form: ExportFormat, to: str, half: bool, int8: bool) -> None:
    """Stops where a format is to be had in bits that it has not.

    Raises:
        DataError: It is.
    """
    if half and int8:
        raise DataError("a file's weights have sixteen bits or eight", hint="leave out --half or --int8")
    if (half or int8) and not form.supports_compression:
        known = " or ".join(name for name, other in EXPORTS.items() if other.supports_compression)
        raise DataError(f"{to} knows no {'half' if half else 'int8'}", hint=f"--to {known}, or all of its bits")


def _share_out(calibrate: Sequence[Photo], photos: Sequence[Photo] | None) -> tuple[Sequence[Photo], Sequence[Photo]]:
    """Photos to set ranges by, and others to compare on.

    Raises:
        DataError: There are too few for both.
    """
    if photos is None:
        calibrate, photos = calibrate[::2], calibrate[1::2]
    if not calibrate or not photos:
        raise DataError(
            "there are too few photos to set the ranges by", hint="a hundred that look like those to come do"
        )
    return calibrate, photos


@contextmanager
def _drafted(form: ExportFormat, out: Path) -> Iterator[Path]:
    """Gives a path in a folder of its own beside `out`; on leaving without an error its files take their places."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        draft = Path(folder) / out.name
        yield draft
        # The file that a user names comes last: where it stands, what belongs to it does.
        for written, place in reversed(list(zip(form.files(draft), form.files(out), strict=True))):
            written.replace(place)


def _compare(
    facts: ModelMetadata, engines: Sequence[Engine], photos: Sequence[Photo] | None, progress: Progress | None
) -> tuple[tuple[Parity, ...], str]:
    """How far engines are from the first, and on what."""
    if photos is None:
        frames = random_inputs(facts)
        return compare(engines, [frames]), f"{len(frames)} frames of noise"
    parity = compare(engines, read_frames(facts.preprocessing.crop_resize, photos, progress))
    return parity, f"{parity[0].num_images:,} photos"
