"""Export: a trained model as a file that runs without torch, compared with the model it came from."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, MaskfitError, ModelFileError
from maskfit.inference.engines import open_engine
from maskfit.inference.engines.engine import Engine, TorchEngine
from maskfit.inference.engines.openvino import has_bf16
from maskfit.inference.export.fp16_weights import convert_weights_to_fp16
from maskfit.inference.export.onnx_export import Compress, write_onnx
from maskfit.inference.export.other_formats import write_openvino, write_weights
from maskfit.inference.export.parity import Parity, Progress, compare, f32_rounding_error, random_inputs, read_frames
from maskfit.inference.export.quantization import quantize_static
from maskfit.model_file import ModelMetadata, read_model_metadata
from maskfit.text import format_count

PARITY_TOLERANCE = 1e-4
"""Maximum difference of a probability in f32; no prediction depends on it."""

LOGIT_TOLERANCE = 1e-3
"""Maximum difference of a logit in f32, relative to the largest of its head. Rounding makes about 1e-5; a wrong network
may agree in probabilities to `PARITY_TOLERANCE`, where a few random images are predicted with near certainty."""

ROUNDING_FACTOR = 4.0
"""On random images a probability may also differ by this many times float32's own rounding error: two programs round
in different orders, and only a few frames are compared."""

FP16_TOLERANCE = 0.2
"""Maximum difference of a probability with fp16 weights: predictions close to a tie move by some hundredths."""

Write = Callable[[Path, Path, Compress | None], None]
"""Writes a model as a file: `write(model, out, compress)`."""

CompareSpeed = Callable[[Path, Path, str], float]
"""Says how many times as fast as a second file an engine runs a first one: `benchmark.compare_speed`."""


@dataclass(frozen=True)
class ExportFormat:
    """A format to export to.

    Attributes:
        suffix: Suffix of its file.
        write: Writes it.
        engines: Engines that run it, as for `open_engine`; the first must agree with torch to `PARITY_TOLERANCE`.
        companion_suffixes: Suffixes of files that are written in addition and belong to it.
        supports_compression: Whether fp16 weights and int8 are available.
        fuses_activations: Whether what runs it computes any activation together with the convolution before it.
    """

    suffix: str
    write: Write
    engines: tuple[str, ...]
    companion_suffixes: tuple[str, ...] = ()
    supports_compression: bool = True
    fuses_activations: bool = False

    def files(self, out: Path) -> tuple[Path, ...]:
        """Lists every file that it writes.

        Args:
            out: The file that the user named.

        Returns:
            The files, `out` first.
        """
        return (out, *(out.with_suffix(suffix) for suffix in self.companion_suffixes))

    def available_engines(self) -> tuple[str, ...]:
        """Lists the engines that are compared: those in bfloat16 where the processor multiplies in it.

        Returns:
            Engines as for `open_engine`.

        Raises:
            MissingExtraError: OpenVINO is not installed.
        """
        return tuple(name for name in self.engines if "bf16" not in name or has_bf16())

    def int8_engines(self) -> tuple[str, ...]:
        """Lists the engines that run an int8 file: ONNX Runtime and OpenVINO compute its layers otherwise.

        Returns:
            Engines as for `open_engine`; one that is not installed is left out.
        """
        others = ("openvino",) if "onnx" in self.engines and importlib.util.find_spec("openvino") else ()
        return (*self.engines[:1], *others)


EXPORTS: dict[str, ExportFormat] = {
    "onnx": ExportFormat(".onnx", write_onnx, ("onnx",)),
    "openvino": ExportFormat(
        ".xml",
        write_openvino,
        ("openvino", "openvino:precision=bf16"),
        companion_suffixes=(".bin",),
        fuses_activations=True,
    ),
    "torch": ExportFormat(".safetensors", write_weights, ("torch",), supports_compression=False),
}
"""Formats by name, as `maskfit export --format` takes them."""


@dataclass(frozen=True)
class ExportResult:
    """The exported files, and how far their predictions are from the model's.

    Attributes:
        files: The files.
        bytes: Their total size.
        engines: The engines that were compared, as for `open_engine`.
        parity: The difference of each of these engines.
        compared_on: What was compared, for people.
        speedups: How many times as fast as the same engine runs the network in f32, by engine; empty where it was not
            measured.
    """

    files: tuple[Path, ...]
    bytes: int
    engines: tuple[str, ...]
    parity: tuple[Parity, ...]
    compared_on: str
    speedups: dict[str, float] = field(default_factory=dict)


def export_model(
    model: Path,
    out: Path,
    format: str = "onnx",
    *,
    half: bool = False,
    calibrate: Sequence[Photo] | None = None,
    photos: Sequence[Photo] | None = None,
    progress: Progress | None = None,
    compare_speed: CompareSpeed | None = None,
) -> ExportResult:
    """Exports a `.safetensors` model. The file appears only after its predictions were compared with torch's.

    Args:
        model: The model.
        out: The file to write.
        format: A name of `EXPORTS`.
        half: Store weights in fp16; see `fp16_weights`.
        calibrate: Photos that calibrate an int8 network; see `quantization`. None keeps f32.
        photos: Photos to compare on. None takes every second photo of `calibrate`, which then calibrates nothing; or
            else random images.
        progress: Called with (photos compared, photos).
        compare_speed: Measures how much faster an int8 network is than the same one in f32; None leaves that out.

    Returns:
        The files and the comparison.

    Raises:
        ModelFileError: `model` is no such model, or `out` has another suffix.
        DataError: The format has no such compression, both are asked for, or there are too few photos, or none that
            can be read.
        MissingExtraError: What writes or runs the format is not installed.
        MaskfitError: The exported network predicts otherwise; an int8 network may.
    """
    export_format = EXPORTS[format]
    if out.suffix != export_format.suffix:
        raise ModelFileError(
            f"a model for {format} ends in {export_format.suffix}, not in '{out.suffix}'",
            location=out,
            hint=f"--out model{export_format.suffix}",
        )
    _check_compression(export_format, format, half, calibrate is not None)
    compress, tolerance = (convert_weights_to_fp16, FP16_TOLERANCE) if half else (None, PARITY_TOLERANCE)
    engines = export_format.available_engines()
    if calibrate is not None:
        calibrate, photos = _split_photos(calibrate, photos)
        compress = partial(quantize_static, photos=calibrate, fuses_activations=export_format.fuses_activations)
        tolerance = math.inf
        engines = export_format.int8_engines()
    metadata = read_model_metadata(model)
    with _draft(export_format, out) as draft:
        export_format.write(model, draft, compress)
        reference = TorchEngine(model)
        opened = [reference, *(open_engine(draft, engine=name) for name in engines)]
        parity, compared_on = _compare(metadata, opened, photos, progress)
        difference = parity[0].max_difference
        # Negated, since a NaN compares as False.
        if not difference < tolerance and not (
            photos is None and difference < ROUNDING_FACTOR * f32_rounding_error(reference, random_inputs(metadata))
        ):
            raise _other_network(f"probabilities differ by {difference:.2g}", out)
        of_logits = parity[0].logit_difference
        if not half and calibrate is None and not of_logits < LOGIT_TOLERANCE:
            raise _other_network(f"logits differ by {of_logits:.2g} of the largest", out)
        speedups = {}
        if compare_speed is not None and calibrate is not None:
            with TemporaryDirectory(dir=draft.parent) as folder:
                export_format.write(model, Path(folder) / draft.name, None)
                speedups = {name: compare_speed(draft, Path(folder) / draft.name, name) for name in engines}
    files = export_format.files(out)
    return ExportResult(files, sum(path.stat().st_size for path in files), engines, parity, compared_on, speedups)


def _other_network(how: str, out: Path) -> MaskfitError:
    return MaskfitError(f"the exported network's {how}", location=out, hint="report this as a bug")


def _check_compression(export_format: ExportFormat, name: str, half: bool, int8: bool) -> None:
    """Checks that a format has a compression.

    Raises:
        DataError: It does not, or two are asked for.
    """
    if half and int8:
        raise DataError("weights are stored in fp16 or in int8, not both", hint="leave out --half or --int8")
    if (half or int8) and not export_format.supports_compression:
        known = " or ".join(other for other, item in EXPORTS.items() if item.supports_compression)
        option = "half" if half else "int8"
        raise DataError(f"the format {name} has no {option}", hint=f"--format {known}, or leave it out")


def _split_photos(
    calibrate: Sequence[Photo], photos: Sequence[Photo] | None
) -> tuple[Sequence[Photo], Sequence[Photo]]:
    """Photos to calibrate on, and others to compare on.

    Raises:
        DataError: There are too few for both.
    """
    if photos is None:
        calibrate, photos = calibrate[::2], calibrate[1::2]
    if not calibrate or not photos:
        raise DataError(
            "there are too few photos to calibrate on", hint="a hundred that resemble those to be predicted are enough"
        )
    return calibrate, photos


@contextmanager
def _draft(export_format: ExportFormat, out: Path) -> Iterator[Path]:
    """A path in a temporary folder; when left without an error, its files are moved to their places."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        draft = Path(folder) / out.name
        yield draft
        # The file that the user named comes last: where it exists, its companions do.
        for written, target in reversed(list(zip(export_format.files(draft), export_format.files(out), strict=True))):
            written.replace(target)


def _compare(
    metadata: ModelMetadata, engines: Sequence[Engine], photos: Sequence[Photo] | None, progress: Progress | None
) -> tuple[tuple[Parity, ...], str]:
    """How far engines are from the first, and on what that was measured."""
    if photos is None:
        frames = random_inputs(metadata)
        return compare(engines, [frames]), f"{len(frames)} random images"
    parity = compare(engines, read_frames(metadata.preprocessing.crop_resize, photos, progress))
    return parity, format_count(parity[0].num_images, "photo")
