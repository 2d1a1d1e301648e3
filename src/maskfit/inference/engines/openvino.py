"""OpenVINO on the CPU: the fastest engine for many images, and the only one that computes in bf16 there."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from functools import partial
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from maskfit.cpu_features import find_active_isa_limit
from maskfit.data.preprocessing import ImageBatch
from maskfit.errors import MissingExtraError, ModelFileError
from maskfit.inference.engines.engine import (
    PRECISION_TEXT,
    CpuPrecision,
    Logits,
    PixelTolerance,
    check_infer_batch_size,
    check_precision,
    engine_error,
    find_input,
    first_error_line,
    prepare_input,
    run_in_chunks,
)
from maskfit.inference.engines.int8_files import (
    compiled_folder,
    damaged_conversion,
    read_int8_error,
    require_int8,
)
from maskfit.model_file import read_model_metadata

PIXEL_TOLERANCES: Mapping[str, PixelTolerance] = {"int8": "any", "checked": "single_pass"}
"""By precision; without an entry all pixels are exact."""

_FIRST_TENSOR = Lock()
_TELEMETRY, _CONVERTER = "openvino_telemetry", "openvino.tools.ovc"


class OpenvinoEngine:
    """OpenVINO on the CPU; needs no torch.

    Args:
        path: A `.xml` model with its `.bin` in the same folder, or a `.onnx` model.
        threads: Threads for one batch; None leaves the choice to OpenVINO.
        precision: `f32` computes as the other engines do. `bf16` is faster where the processor has it; `auto` lets
            OpenVINO choose, which takes bf16 there. `checked` is bf16 with an f32 twin, `int8` an int8 conversion of a
            `.onnx` model with an f32 twin; `maskfit predict` calibrates it on the first photos.
        num_streams: Batches that are submitted at the same time, each on threads of its own. With more than one, each
            gets one thread unless `threads` is given.
        infer_batch_size: Images per call of the network, >= 1. The network is compiled for exactly this many: larger
            batches are split and the last chunk is padded. None takes any number at once, and is slower.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelFileError: The file is no such model, its network does not match its metadata, or an environment variable
            restricts oneDNN to fewer instructions than OpenVINO compiles for.
        ValueError: There is no such precision, or `infer_batch_size` is below 1.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".xml", ".onnx")
    on_gpu = False

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        precision: CpuPrecision = "f32",
        num_streams: int = 1,
        infer_batch_size: int | None = None,
    ) -> None:
        check_precision(precision, CpuPrecision)
        check_infer_batch_size(infer_batch_size)
        self.path = path
        self.precision = precision
        self.pixel_tolerance: PixelTolerance = PIXEL_TOLERANCES.get(precision, "none")
        self.description = f"OpenVINO, {PRECISION_TEXT[precision]}"
        # Also for an ONNX file: ONNX Runtime refuses external weights outside of the model's folder.
        self.metadata = read_model_metadata(path)
        self._openvino = import_openvino("the engine 'openvino'")
        self._options: dict[str, Any] = {}
        if num_streams > 1:
            self._options |= {"NUM_STREAMS": num_streams, "INFERENCE_NUM_THREADS": num_streams * (threads or 1)}
        elif threads:
            self._options["INFERENCE_NUM_THREADS"] = threads
        if self._options:
            # With pinning, a stream that runs the f32 twin may share a core with another stream, and so may two
            # processes that use one core each.
            self._options["ENABLE_CPU_PINNING"] = False
        # Requests that are not running. Each holds the memory of its layers; allocating that again costs as much as
        # some of the layers.
        self._idle: SimpleQueue[Any] = SimpleQueue()
        try:
            network = fast = self._openvino.Core().read_model(path)
            inputs, outputs = (
                {item.get_any_name(): (item.element_type.to_string(), static_shape(item)) for item in items}
                for items in (network.inputs, network.outputs)
            )
            self.input = find_input(inputs, outputs, self.metadata, path)
            # Each on a core of its own: compiling a network takes as long as forty images.
            variants: list[tuple[Any, CpuPrecision, int | None, Path | None]] = [
                (fast, precision, infer_batch_size, None)
            ]
            if precision in ("checked", "int8"):
                compiled = None
                if precision == "int8":
                    fast, compiled = self._read_int8(path)
                variants = [
                    # Outside of its int8 layers a conversion computes in f32: in bf16 it loses what it gains.
                    (fast, "bf16" if precision == "checked" else "f32", infer_batch_size, compiled),
                    (network, "f32", infer_batch_size and _twin_batch_size(infer_batch_size), None),
                ]
            with ThreadPoolExecutor(len(variants)) as pool:
                self.compiled, *twin = pool.map(self._compile, *zip(*variants, strict=True))
        except RuntimeError as error:
            raise _compile_error(error, path) from None
        self.infer_batch_size = infer_batch_size
        self.f32_twin = self._make_f32_twin(twin[0], variants[1][2]) if twin else None
        self.low_precision_error = (
            read_int8_error(require_int8(path, "openvino"), self.metadata.label_schema.scored_schema())
            if precision == "int8"
            else None
        )

    def _read_int8(self, path: Path) -> tuple[Any, Path | None]:
        """The int8 conversion of the model, and the folder for what OpenVINO makes of it."""
        found = require_int8(path, "openvino")
        try:
            return self._openvino.Core().read_model(found), compiled_folder(found)
        except RuntimeError as error:
            raise damaged_conversion(found, first_error_line(error)) from None

    def _compile(self, network: Any, precision: CpuPrecision, infer_batch_size: int | None, folder: Path | None) -> Any:
        if infer_batch_size:
            network = network.clone()
            network.reshape([infer_batch_size, *list(network.inputs[0].get_partial_shape())[1:]])
        limit = find_active_isa_limit()
        if limit is not None and not limit.allows_bf16:
            # OpenVINO chooses bf16 by the processor, but its oneDNN then has no kernel for it and cannot compile; on a
            # processor without bf16 it computes in f32, as here.
            precision = "f32"
        hint = {} if precision == "auto" else {"INFERENCE_PRECISION_HINT": precision}
        # Compiling an int8 network takes three times as long as one in f32, and five times as long as from the cache.
        cached = {} if folder is None else {"CACHE_DIR": str(folder)}
        return self._openvino.Core().compile_model(network, "CPU", self._options | hint | cached)

    def _make_f32_twin(self, compiled: Any, infer_batch_size: int | None) -> OpenvinoEngine:
        twin = copy(self)
        twin.precision, twin.description, twin.f32_twin = "f32", f"OpenVINO, {PRECISION_TEXT['f32']}", None
        twin.compiled, twin.infer_batch_size, twin._idle = compiled, infer_batch_size, SimpleQueue()
        return twin

    def logits(self, frames: ImageBatch) -> Logits:
        """Runs the network; see `Engine.logits`.

        Args:
            frames: uint8 (batch, height, width, 3).

        Returns:
            Logits by head, (batch, values).

        Raises:
            ModelFileError: The network cannot run.
        """
        try:
            # One request per call: a running request takes no second batch, and a service has several threads.
            request = self._request()
            logits = run_in_chunks(frames, self.infer_batch_size, partial(self._run, request), pad_last=True)
        except RuntimeError as error:
            raise engine_error(error, self.path) from error
        self._idle.put(request)
        return logits

    def _run(self, request: Any, frames: ImageBatch) -> Logits:
        # Not `infer`: 1,400 images in two streams took 9.7 s this way and 10.5 s that way, one run each.
        request.start_async({self.input: prepare_input(self.input, frames, self.metadata)})
        request.wait()
        return {head: np.array(request.get_tensor(head).data, dtype=np.float32) for head in self.metadata.heads}

    def _request(self) -> Any:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self.compiled.create_infer_request()


def _compile_error(error: RuntimeError, path: Path) -> ModelFileError:
    """The error for a network that OpenVINO cannot compile."""
    limit = find_active_isa_limit()
    if limit is not None and ("primitive" in str(error) or "not initialized" in str(error)):
        # OpenVINO chooses memory layouts by the processor, its copy of oneDNN kernels by the variable.
        return ModelFileError(
            f"OpenVINO cannot compile this network while {limit} restricts its instruction set: "
            f"{first_error_line(error)}",
            location=path,
            hint=f"unset {limit.variable}, or choose --engine onnx",
        )
    return ModelFileError(
        f"this is no network that OpenVINO can run: {first_error_line(error)}",
        location=path,
        hint="put the .bin into the folder of its .xml, or export it again with maskfit export",
    )


def _twin_batch_size(infer_batch_size: int) -> int | None:
    """Images per call of an f32 twin: one or two of a batch are recomputed, more where images are small."""
    return 1 if infer_batch_size <= 4 else None


def static_shape(item: Any) -> list[object]:
    """Returns the shape of an OpenVINO input or output.

    Args:
        item: The input or output.

    Returns:
        Its sides, None where one is dynamic; a single None where even their number is.
    """
    shape = item.get_partial_shape()
    return [None if side.is_dynamic else side.get_length() for side in shape] if shape.rank.is_static else [None]


def has_bf16() -> bool:
    """Whether OpenVINO can multiply in bfloat16 on this processor.

    Returns:
        Whether it can.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    return "BF16" in import_openvino("the engine 'openvino'").Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def import_openvino(feature: str) -> Any:
    """Imports OpenVINO without its telemetry and without its model converter.

    The telemetry reports every import over the network. The converter takes longer to import than everything else and
    reconfigures the logging of the whole program; it is imported on first use.

    Args:
        feature: What needs it, for the error.

    Returns:
        The module.

    Raises:
        MissingExtraError: It is not installed.
    """
    # Once it is there, other code of this process may be importing the converter at this very moment.
    left_out = () if "openvino" in sys.modules else (_TELEMETRY, _CONVERTER)
    try:
        with _hidden_modules(*left_out):
            module = import_module("openvino")
    except ImportError:
        raise MissingExtraError(feature, "openvino") from None
    if not hasattr(module, "convert_model"):
        module.convert_model = _convert_model  # type: ignore[attr-defined]
    with _FIRST_TENSOR:
        # Its bindings import numpy when a tensor's numbers are first read. Two threads that do so first deadlock: one
        # waits for Python's import lock, the other holds that and waits for the bindings'.
        _ = module.Tensor(np.zeros(1, np.float32)).data
    return module


def _convert_model(*args: Any, **options: Any) -> Any:
    """OpenVINO's own `convert_model`, for other code in this process."""
    with _hidden_modules(_TELEMETRY):
        converter = import_module(_CONVERTER)
    return converter.convert_model(*args, **options)


@contextmanager
def _hidden_modules(*names: str) -> Iterator[None]:
    """Makes modules look uninstalled, which OpenVINO is prepared for; those already imported stay."""
    blocked = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]
