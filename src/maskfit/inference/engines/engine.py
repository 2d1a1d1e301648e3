"""Engines: what runs a network. They take frames and give its logits, and know nothing of what these mean."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from maskfit.config.loader import parse_component
from maskfit.data.preprocessing import ImageBatch
from maskfit.errors import ModelFileError, RecipeError, did_you_mean
from maskfit.inference.engines.engine_io import (
    BATCH_AXIS,
    FRAMES,
    PROBABILITIES,
    PRECISION_TEXT,
    Logits,
    Precision,
    engine_error,
    find_input,
    prepare_input,
    check_precision,
    reject_chunk_option,
    run_in_chunks,
)
from maskfit.inference.engines.openvino import OpenvinoEngine, import_openvino
from maskfit.model_file import ModelMetadata, load_model, parse_model_metadata, read_model_metadata
from maskfit.model_metadata import open_onnx
from maskfit.registry import ComponentSpec, instantiate

__all__ = [
    "BATCH_AXIS",
    "ENGINES",
    "FRAMES",
    "PROBABILITIES",
    "Engine",
    "Logits",
    "OnnxEngine",
    "OpenvinoEngine",
    "Precision",
    "TorchEngine",
    "import_openvino",
    "open_engine",
]


class Engine(Protocol):
    """Runs one network.

    Attributes:
        facts: What its file says of it.
        f32_twin: The same network in f32, where `logits` computes with fewer bits and close answers are to be asked again
            (`inference.doubt`); None where there is nothing to ask again.
        description: What it is, for people.
    """

    metadata: ModelMetadata
    description: str

    @property
    def f32_twin(self) -> Engine | None: ...

    def logits(self, frames: ImageBatch) -> Logits:
        """Logits by head, (batch, values), of frames uint8 (batch, height, width, 3) as the facts' framing gives them.

        May be called from several threads at once.

        Raises:
            ModelFileError: The network cannot run.
        """
        ...


class OnnxEngine:
    """ONNX Runtime on the processor; needs no torch.

    Args:
        path: A `.onnx` model.
        threads: How many threads one batch uses; ONNX Runtime's choice where left out.
        lanes: Batches that are asked for at the same time; of several each has one thread, if `threads` says no other.
        at_once: Photos that the network takes at once, 1 or more: larger batches are cut. Left out, it takes a batch.

    Raises:
        ModelFileError: The file is no such model, or its network is not what its facts say.
        ValueError: `at_once` is below 1.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)
    description = "ONNX Runtime, f32"
    f32_twin = None

    def __init__(self, path: Path, threads: int | None = None, lanes: int = 1, at_once: int | None = None) -> None:
        reject_chunk_option(at_once)
        self.path = path
        self.at_once = at_once
        self.session = open_onnx(path, threads or (1 if lanes > 1 else None))
        self.metadata = parse_model_metadata(self.session.get_modelmeta().custom_metadata_map, path)
        inputs, outputs = (
            {item.name: (item.type.removeprefix("tensor(").removesuffix(")"), item.shape) for item in items}
            for items in (self.session.get_inputs(), self.session.get_outputs())
        )
        self.input = find_input(inputs, outputs, self.metadata, path)

    def logits(self, frames: ImageBatch) -> Logits:
        """Logits by head, (batch, values); see `Engine.logits`."""
        return run_in_chunks(frames, self.at_once, self._ask)

    def _ask(self, frames: ImageBatch) -> Logits:
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
        threads: How many threads one batch uses on a processor; torch's choice where left out.
        precision: `f32`, or `bf16` by torch's autocast; `auto` is `f32`; `checked` is bf16 with an exact twin.
        lanes: Batches that are asked for at the same time; of several each has one thread of a processor, if `threads`
            says no other.

    Raises:
        MissingExtraError: torch is not installed.
        ModelFileError: The file is no such model.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)

    def __init__(self, path: Path, threads: int | None = None, precision: Precision = "f32", lanes: int = 1) -> None:
        check_precision(precision)
        # First of all, since it says more of a bad file than that torch is missing, and says that too.
        network, self.metadata = load_model(path)
        import torch

        self._torch = torch
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if threads or lanes > 1:
            torch.set_num_threads(threads or 1)
        self.half = precision in ("bf16", "checked")
        self.description = f"torch on {self.device.type}, {PRECISION_TEXT.get(precision, 'f32')}"
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.f32_twin = self._unhalved() if precision == "checked" else None

    def _unhalved(self) -> TorchEngine:
        twin = copy(self)
        twin.half, twin.description, twin.f32_twin = False, f"torch on {self.device.type}, {PRECISION_TEXT['f32']}", None
        return twin

    def logits(self, frames: ImageBatch) -> Logits:
        """Logits by head, (batch, values); see `Engine.logits`. What a GPU has no memory for is halved."""
        torch = self._torch
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                return {name: values.float().cpu().numpy() for name, values in self.network(self._fed(frames)).items()}
        except torch.OutOfMemoryError:
            if len(frames) == 1:
                raise
        torch.cuda.empty_cache()
        middle = len(frames) // 2
        parts = [self.logits(frames[:middle]), self.logits(frames[middle:])]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def logits_f64(self, frames: ImageBatch) -> dict[str, NDArray[np.float64]]:
        """Logits by head in 64 bits, (batch, values): what those in 32 bits are rounded from. Slow."""
        torch = self._torch
        with torch.inference_mode():
            values = deepcopy(self.network).double()(self._fed(frames).double())
        return {name: own.cpu().numpy() for name, own in values.items()}

    def _fed(self, frames: ImageBatch) -> Any:
        """Normalised photos (batch, 3, height, width) on the device, where pixels go as they are: a quarter as much."""
        torch = self._torch
        if self.metadata.preprocessing.normalization.mode == "per_image":
            return torch.from_numpy(prepare_input(BATCH_AXIS, frames, self.metadata)).to(
                self.device, memory_format=torch.channels_last
            )
        scale, shift = (
            torch.from_numpy(numbers).to(self.device)[:, None, None]
            for numbers in self.metadata.preprocessing.normalization.scale_and_shift()
        )
        # (batch, height, width, 3) seen as (batch, 3, height, width) is channels_last already.
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2)
        return pixels.float().mul_(scale).add_(shift)


ENGINES: dict[str, Callable[..., Engine]] = {"torch": TorchEngine, "onnx": OnnxEngine, "openvino": OpenvinoEngine}
"""What `--engine` can name; `auto` is the first that runs the file's format."""


def open_engine(path: Path, threads: int | None = None, engine: str | ComponentSpec = "auto", lanes: int = 1) -> Engine:
    """The engine for a model file.

    Args:
        path: The model.
        threads: How many threads one batch uses; the engine's choice where left out.
        engine: A name of `ENGINES`, a word such as `openvino:precision=bf16`, or `auto`: the one that begins soonest;
            which is the fastest for many photos, `choosing.choose` says.
        lanes: Batches that will be asked for at the same time, 1 or more.

    Raises:
        ModelFileError: It is no model file, or none that this engine runs.
        MissingExtraError: It needs torch or OpenVINO, which is not installed; exported to ONNX it would not.
        RecipeError: There is no such engine, or it has no such option.
    """
    part = parse_component(engine) if isinstance(engine, str) else engine
    runs = {name: kind.endings for name, kind in ENGINES.items()}  # type: ignore[attr-defined]
    if part.name == "auto" and not part.options:
        fitting = [name for name, endings in runs.items() if path.suffix in endings]
        if not fitting:
            read_model_metadata(path)  # says what is wrong with it
        part = ComponentSpec.create(fitting[0])
    if part.name not in ENGINES:
        raise RecipeError(
            f"there is no engine '{part.name}'; {did_you_mean(part.name, ['auto', *ENGINES])}", hint="--engine auto"
        )
    if path.suffix not in runs[part.name]:
        raise ModelFileError(
            f"the engine '{part.name}' runs {' and '.join(runs[part.name])}, not '{path.suffix}'",
            location=path,
            hint="leave out --engine, or make such a file with maskfit export",
        )
    built: Engine = instantiate(ENGINES, part, path=path, threads=threads, lanes=lanes)
    return built
