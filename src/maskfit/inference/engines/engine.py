"""Inference engines: the interface, input and output checks that all share, and the engines of ONNX Runtime and torch.

An engine runs one network: uint8 frames in, logits by head out. What the logits mean is not its concern.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from maskfit.data.preprocessing import ImageBatch
from maskfit.errors import ModelFileError
from maskfit.inference.engines.int8_files import damaged_conversion, read_int8_error, require_int8
from maskfit.inference.precision_error import PrecisionErrorEstimate
from maskfit.model_file import ModelMetadata, load_model, parse_model_metadata
from maskfit.model_metadata import open_onnx

FRAMES = "frames"
"""Input of an exported network: uint8 (batch, height, width, 3), normalized inside."""

LEGACY_INPUT = "photos"
"""Input of networks that earlier versions exported: float32 (batch, 3, height, width), normalized outside."""

PROBABILITIES = "probabilities"
"""Output next to the heads' logits for programs without maskfit: (batch, scored classes)."""

Logits = dict[str, NDArray[np.float32]]
"""Logits by head, (batch, values)."""

Precision = Literal["f32", "bf16", "auto", "checked"]
"""Precision that an engine computes in. `checked` is bf16 with an f32 twin that recomputes close predictions."""

OnnxPrecision = Literal["f32", "int8"]
"""`Precision` of an engine that has no bf16 and runs int8 conversions, with an f32 twin as `checked` has it."""

CpuPrecision = Literal["f32", "bf16", "auto", "checked", "int8"]
"""`Precision` of an engine that also runs int8 conversions."""

PRECISION_TEXT = {
    "f32": "f32",
    "bf16": "bf16",
    "auto": "auto precision",
    "checked": "f32 for the first images, then bf16 where that is safe",
    "int8": "f32 for the first images, then int8 where that is safe",
}
"""Precisions as `description` names them; a stream of few images, or of many close predictions, is all f32."""

PixelTolerance = Literal["none", "single_pass", "any"]
"""Images whose pixels may be off by a level in low precision: any in int8; in bf16 those that pass one network once,
since for more passes downscaling is a small part of the work (docs/performance.md)."""

TensorSpecs = Mapping[str, tuple[str, Sequence[object]]]
"""Element type and shape of a network's inputs or outputs, by name; a free side is no int."""

_ONNX_TYPES = {"f32": "float", "float32": "float", "u8": "uint8"}
"""OpenVINO's element types under ONNX Runtime's names."""


class Engine(Protocol):
    """Runs one network.

    Attributes:
        metadata: Metadata of the model file.
        f32_twin: The network in f32, where `logits` computes in bf16 or int8 and close predictions are to be recomputed
            (`inference.precision_cascade`); None where there is nothing to recompute.
        description: The engine and its precision, for log lines.
        on_gpu: Whether a GPU runs the network.
        pixel_tolerance: Which images may have approximate pixels in `logits`, for predictions that `f32_twin` checks.
        low_precision_error: How `logits` changes probabilities against `f32_twin`, where that was measured before; None
            where it was not.
    """

    metadata: ModelMetadata
    description: str
    on_gpu: bool
    pixel_tolerance: PixelTolerance
    low_precision_error: PrecisionErrorEstimate | None

    @property
    def f32_twin(self) -> Engine | None:
        """The same network in f32, or None."""

    def logits(self, frames: ImageBatch) -> Logits:
        """Runs the network. May be called from several threads at once.

        Args:
            frames: uint8 (batch, height, width, 3), as the metadata's `crop_resize` gives them.

        Returns:
            Logits by head, (batch, values).

        Raises:
            ModelFileError: The network cannot run.
        """
        ...


class OnnxEngine:
    """ONNX Runtime on the CPU; needs no torch.

    Args:
        path: A `.onnx` model.
        threads: Threads for one batch; None leaves the choice to ONNX Runtime.
        precision: `f32`, or `int8`: an int8 conversion of the model with an f32 twin.
        num_streams: Batches that are submitted at the same time. With more than one, each gets one thread unless
            `threads` is given.
        infer_batch_size: Images per call of the network, >= 1; larger batches are split. None passes a whole batch.

    Raises:
        ModelFileError: The file is no such model, its network does not match its metadata, or there is no int8
            conversion of it.
        ValueError: There is no such precision, or `infer_batch_size` is below 1.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)
    on_gpu = False

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        precision: OnnxPrecision = "f32",
        num_streams: int = 1,
        infer_batch_size: int | None = None,
    ) -> None:
        check_precision(precision, OnnxPrecision)
        check_infer_batch_size(infer_batch_size)
        self.path = path
        self.infer_batch_size = infer_batch_size
        threads = threads or (1 if num_streams > 1 else None)
        self.session = open_onnx(path, threads)
        self.metadata = parse_model_metadata(self.session.get_modelmeta().custom_metadata_map, path)
        inputs, outputs = (
            {item.name: (item.type.removeprefix("tensor(").removesuffix(")"), item.shape) for item in items}
            for items in (self.session.get_inputs(), self.session.get_outputs())
        )
        self.input = find_input(inputs, outputs, self.metadata, path)
        self.description = f"ONNX Runtime, {PRECISION_TEXT[precision]}"
        self.pixel_tolerance: PixelTolerance = "any" if precision == "int8" else "none"
        self.f32_twin: OnnxEngine | None = None
        self.low_precision_error: PrecisionErrorEstimate | None = None
        if precision == "int8":
            self.f32_twin = copy(self)
            self.f32_twin.description = f"ONNX Runtime, {PRECISION_TEXT['f32']}"
            self.f32_twin.pixel_tolerance = "none"
            conversion = require_int8(path, "onnx")
            try:
                self.session = open_onnx(conversion, threads)
            except ModelFileError as error:
                raise damaged_conversion(conversion, error.message) from None
            self.low_precision_error = read_int8_error(conversion, self.metadata.label_schema.scored_schema())

    def logits(self, frames: ImageBatch) -> Logits:
        """Runs the network; see `Engine.logits`.

        Args:
            frames: uint8 (batch, height, width, 3).

        Returns:
            Logits by head, (batch, values).

        Raises:
            ModelFileError: The network cannot run.
        """
        return run_in_chunks(frames, self.infer_batch_size, self._run)

    def _run(self, frames: ImageBatch) -> Logits:
        heads = list(self.metadata.heads)
        try:
            values = self.session.run(heads, {self.input: prepare_input(self.input, frames, self.metadata)})
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise engine_error(error, self.path) from error
        return dict(zip(heads, values, strict=True))


class TorchEngine:
    """torch, on a GPU where there is one.

    Args:
        path: A `.safetensors` model.
        threads: CPU threads for one batch; None leaves the choice to torch.
        precision: `f32`, or `bf16` by torch's autocast; `auto` is `f32`; `checked` is bf16 with an f32 twin.
        num_streams: Batches that are submitted at the same time. With more than one, each gets one CPU thread unless
            `threads` is given.

    Raises:
        MissingExtraError: torch is not installed.
        ModelFileError: The file is no such model.
        ValueError: There is no such precision.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)
    pixel_tolerance: PixelTolerance = "none"
    low_precision_error: PrecisionErrorEstimate | None = None

    def __init__(
        self, path: Path, threads: int | None = None, precision: Precision = "f32", num_streams: int = 1
    ) -> None:
        check_precision(precision)
        # Before torch is imported: it reports what is wrong with a file, and that torch is missing, in our own errors.
        network, self.metadata = load_model(path)
        import torch

        self._torch = torch
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.on_gpu = self.device.type == "cuda"
        if threads or num_streams > 1:
            torch.set_num_threads(threads or 1)
        self.autocast = precision in ("bf16", "checked")
        self.description = f"torch on {self.device.type}, {PRECISION_TEXT.get(precision, 'f32')}"
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.f32_twin = self._make_f32_twin() if precision == "checked" else None

    def _make_f32_twin(self) -> TorchEngine:
        twin = copy(self)
        twin.autocast, twin.f32_twin = False, None
        twin.description = f"torch on {self.device.type}, {PRECISION_TEXT['f32']}"
        return twin

    def logits(self, frames: ImageBatch) -> Logits:
        """Runs the network; see `Engine.logits`. A batch that does not fit into GPU memory is halved.

        Args:
            frames: uint8 (batch, height, width, 3).

        Returns:
            Logits by head, (batch, values).
        """
        torch = self._torch
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
                outputs = self.network(self._to_tensor(frames))
                return {name: values.float().cpu().numpy() for name, values in outputs.items()}
        except torch.OutOfMemoryError:
            if len(frames) == 1:
                raise
        torch.cuda.empty_cache()
        middle = len(frames) // 2
        parts = [self.logits(frames[:middle]), self.logits(frames[middle:])]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def logits_f64(self, frames: ImageBatch) -> dict[str, NDArray[np.float64]]:
        """Runs the network in float64, to measure how far float32 rounds. Slow.

        Args:
            frames: uint8 (batch, height, width, 3).

        Returns:
            Logits by head, (batch, values).
        """
        torch = self._torch
        with torch.inference_mode():
            values = deepcopy(self.network).double()(self._to_tensor(frames).double())
        return {name: own.cpu().numpy() for name, own in values.items()}

    def _to_tensor(self, frames: ImageBatch) -> Any:
        """Normalized images (batch, 3, height, width) on the device; uint8 is transferred, a quarter of float32."""
        torch = self._torch
        if self.metadata.preprocessing.normalization.mode == "per_image":
            return torch.from_numpy(prepare_input(LEGACY_INPUT, frames, self.metadata)).to(
                self.device, memory_format=torch.channels_last
            )
        scale, shift = (
            torch.from_numpy(numbers).to(self.device)[:, None, None]
            for numbers in self.metadata.preprocessing.normalization.scale_and_shift()
        )
        # (batch, height, width, 3) viewed as (batch, 3, height, width) is channels_last already.
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2)
        return pixels.float().mul_(scale).add_(shift)


def find_input(inputs: TensorSpecs, outputs: TensorSpecs, metadata: ModelMetadata, path: Path) -> str:
    """Checks a network's inputs and outputs against its metadata.

    Args:
        inputs: The network's inputs.
        outputs: Its outputs.
        metadata: Metadata of the model file.
        path: The file, for errors.

    Returns:
        The input's name: `FRAMES`, or `LEGACY_INPUT` for a network that an earlier version exported.

    Raises:
        ModelFileError: The network is neither.
    """
    height, width = metadata.preprocessing.crop_resize.size
    heads: dict[str, tuple[str, Sequence[object]]] = {
        head: ("float", (None, size)) for head, size in metadata.head_sizes.items()
    }
    scored = {PROBABILITIES: ("float", (None, metadata.label_schema.scored_schema().num_classes))}
    expected = _describe({FRAMES: ("uint8", (None, height, width, 3))}, {**heads, **scored})
    legacy = _describe({LEGACY_INPUT: ("float", (None, 3, height, width))}, heads)
    found = _describe(inputs, outputs)
    # Widths too: heads of (2, 3) values where (3, 2) are meant would multiply to the same number of classes.
    if found not in (expected, legacy):
        raise ModelFileError(
            f"the network goes from {found:.300}, but its metadata says from {expected:.300}",
            location=path,
            hint="export it again with maskfit export",
        )
    return FRAMES if found == expected else LEGACY_INPUT


def _describe(inputs: TensorSpecs, outputs: TensorSpecs) -> str:
    """Names with types and shapes; a side that is free, as the batch must be, is `any`."""
    sides = []
    for specs in (inputs, outputs):
        texts = []
        for name, (kind, shape) in specs.items():
            lengths = [str(side) if isinstance(side, int) else "any" for side in shape]
            texts.append(f"{name} ({' x '.join(lengths)}, {_ONNX_TYPES.get(kind, kind)})")
        sides.append(", ".join(texts) or "nothing")
    return " to ".join(sides)


def prepare_input(name: str, frames: ImageBatch, metadata: ModelMetadata) -> NDArray[Any]:
    """Returns the array that a network's input takes.

    Args:
        name: The input, as `find_input` returns it.
        frames: uint8 (batch, height, width, 3).
        metadata: Metadata of the model file.

    Returns:
        The frames themselves, or float32 (batch, 3, height, width), normalized, for `LEGACY_INPUT`.
    """
    return frames if name == FRAMES else metadata.preprocessing.normalization(frames)


def run_in_chunks(
    frames: ImageBatch, size: int | None, run: Callable[[ImageBatch], Logits], *, pad_last: bool = False
) -> Logits:
    """Runs a network on a batch, chunk by chunk.

    Args:
        frames: uint8 (batch, height, width, 3).
        size: Images per chunk; None runs the whole batch at once.
        run: Runs the network on one chunk.
        pad_last: Fill the last chunk up to `size` with black frames, for networks with a fixed batch size.

    Returns:
        Logits by head, (batch, values).
    """
    count = len(frames)
    if size is None or (count <= size and not pad_last):
        return run(frames)
    if pad_last and (rest := -count % size):
        frames = np.concatenate([frames, np.zeros((rest, *frames.shape[1:]), np.uint8)])
    parts = [run(frames[start : start + size]) for start in range(0, count, size)]
    return {head: np.concatenate([part[head] for part in parts])[:count] for head in parts[0]}


def check_infer_batch_size(size: int | None) -> None:
    """Checks the option `infer_batch_size`.

    Args:
        size: Its value.

    Raises:
        ValueError: It is below 1.
    """
    if size is not None and size < 1:
        raise ValueError(f"infer_batch_size must be >= 1, got {size}")


def check_precision(precision: str, known: Any = Precision) -> None:
    """Checks the option `precision`.

    Args:
        precision: Its value.
        known: `Precision`, or the engine's own in its place.

    Raises:
        ValueError: It is none of those.
    """
    if precision not in get_args(known):
        raise ValueError(f"precision must be one of {', '.join(get_args(known))}, got {precision}")


def measured_description(description: str) -> str:
    """Describes an engine in int8 whose error was measured before, so that no image is computed both ways.

    Args:
        description: What the engine says of itself.

    Returns:
        The description.
    """
    return description.replace(PRECISION_TEXT["int8"], "int8 where that is safe, else f32")


def engine_error(error: Exception, path: Path) -> ModelFileError:
    """Makes the error for a network that fails while it runs.

    Args:
        error: The engine's exception.
        path: The model file.

    Returns:
        The error to raise.
    """
    return ModelFileError(
        f"the network cannot run: {first_error_line(error)}", location=path, hint="export it again with maskfit export"
    )


def first_error_line(error: Exception) -> str:
    """Returns the first informative line of an engine's error.

    Args:
        error: An exception; OpenVINO's begin with its own source files and lines, which are skipped.

    Returns:
        At most 300 characters.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    informative = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return f"{(informative or lines or [type(error).__name__])[0]:.300}"
