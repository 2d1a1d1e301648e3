"""OpenVINO on the processor: the fastest engine for many photos, and the one that knows bf16 there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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

from maskfit.data.preprocessing import ImageBatch
from maskfit.errors import MissingExtraError, ModelFileError
from maskfit.inference.engines.engine_io import (
    PRECISION_TEXT,
    Logits,
    Precision,
    engine_error,
    find_input,
    first_error_line,
    prepare_input,
    check_precision,
    reject_chunk_option,
    run_in_chunks,
    static_shape,
)
from maskfit.model_file import read_model_metadata

_FIRST = Lock()
_TELEMETRY, _CONVERTER = "openvino_telemetry", "openvino.tools.ovc"


class OpenvinoEngine:
    """OpenVINO on the processor; needs no torch.

    Args:
        path: A `.xml` model with its `.bin` beside it, or a `.onnx` model.
        threads: How many threads one batch uses; OpenVINO's choice where left out.
        precision: `f32` computes as the other engines do. `bf16` is faster where the processor has it; `auto` lets
            OpenVINO choose, which takes bf16 there. `checked` is bf16 with an exact twin.
        lanes: Batches that are asked for at the same time, each on threads of its own; of several each has one thread,
            if `threads` says no other.
        at_once: Photos that the network takes at once, 1 or more: it is compiled for just so many, larger batches are
            cut and the last part is filled up. Left out, it takes any number at once, and is slower.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelFileError: The file is no such model, or its network is not what its facts say.
        ValueError: There is no such precision, or `at_once` is below 1.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".xml", ".onnx")

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        precision: Precision = "f32",
        lanes: int = 1,
        at_once: int | None = None,
    ) -> None:
        check_precision(precision)
        reject_chunk_option(at_once)
        self.path = path
        self.precision = precision
        self.description = f"OpenVINO, {PRECISION_TEXT[precision]}"
        # Also where the file is ONNX's: ONNX Runtime refuses weights in files outside of the model's folder.
        self.metadata = read_model_metadata(path)
        self._openvino = import_openvino("the engine 'openvino'")
        self._options: dict[str, Any] = {}
        if lanes > 1:
            self._options |= {"NUM_STREAMS": lanes, "INFERENCE_NUM_THREADS": lanes * (threads or 1)}
        elif threads:
            self._options["INFERENCE_NUM_THREADS"] = threads
        if self._options:
            # Else a lane that asks the exact twin may be bound to the core at which the other lane works, and so may
            # two processes be that take a core each.
            self._options["ENABLE_CPU_PINNING"] = False
        # Requests that are not running: each holds the memory of its layers, and taking that anew costs as much as
        # some layers do.
        self._idle: SimpleQueue[Any] = SimpleQueue()
        try:
            network = self._openvino.Core().read_model(path)
            inputs, outputs = (
                {item.get_any_name(): (item.element_type.to_string(), static_shape(item)) for item in items}
                for items in (network.inputs, network.outputs)
            )
            self.input = find_input(inputs, outputs, self.metadata, path)
            # Each on a core of its own: a network takes as long to compile as forty photos to answer.
            wanted: list[tuple[Precision, int | None]] = [(precision, at_once)]
            if precision == "checked":
                wanted = [("bf16", at_once), ("f32", at_once and _of_few(at_once))]
            with ThreadPoolExecutor(len(wanted)) as compiling:
                self.compiled, *twin = compiling.map(partial(self._compile, network), *zip(*wanted, strict=True))
        except RuntimeError as error:
            raise ModelFileError(
                f"this is no network that OpenVINO can run: {first_error_line(error)}",
                location=path,
                hint="the .bin must lie beside its .xml; export it anew",
            ) from None
        self.at_once = at_once
        self.f32_twin = self._twin(twin[0], wanted[1][1]) if twin else None

    def _compile(self, network: Any, precision: Precision, at_once: int | None) -> Any:
        if at_once:
            network = network.clone()
            network.reshape([at_once, *list(network.inputs[0].get_partial_shape())[1:]])
        hint = {} if precision == "auto" else {"INFERENCE_PRECISION_HINT": precision}
        return self._openvino.Core().compile_model(network, "CPU", self._options | hint)

    def _twin(self, compiled: Any, at_once: int | None) -> OpenvinoEngine:
        """This engine with its network in f32."""
        twin = copy(self)
        twin.precision, twin.description, twin.f32_twin = "f32", f"OpenVINO, {PRECISION_TEXT['f32']}", None
        twin.compiled, twin.at_once, twin._idle = compiled, at_once, SimpleQueue()
        return twin

    def logits(self, frames: ImageBatch) -> Logits:
        """Logits by head, (batch, values); see `Engine.logits`."""
        try:
            # A request each: one that is running takes no second batch, and a service has several threads.
            request = self._request()
            logits = run_in_chunks(frames, self.at_once, partial(self._ask, request), filled=True)
        except RuntimeError as error:
            raise engine_error(error, self.path) from error
        self._idle.put(request)
        return logits

    def _ask(self, request: Any, frames: ImageBatch) -> Logits:
        # Not `infer`: 1,400 photos in two lanes took 9.7 s this way, 10.5 s that way, in one run of each.
        request.start_async({self.input: prepare_input(self.input, frames, self.metadata)})
        request.wait()
        return {head: np.array(request.get_tensor(head).data, dtype=np.float32) for head in self.metadata.heads}

    def _request(self) -> Any:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self.compiled.create_infer_request()


def _of_few(at_once: int) -> int | None:
    """How many photos an exact twin takes at once: it is asked for one or two of a batch, of small photos for more."""
    return 1 if at_once <= 4 else None


def import_openvino(verb: str) -> Any:
    """The module, imported without what takes most of its time or tells its makers of it.

    Its telemetry would tell them of every import over the network. Its converter of other formats takes longer to
    import than all else, and turns the logging of the whole program upside down; it is imported when it is first used.

    Raises:
        MissingExtraError: It is not installed.
    """
    # Once it is there, other code of this process may be importing the converter at this very moment.
    left_out = () if "openvino" in sys.modules else (_TELEMETRY, _CONVERTER)
    try:
        with _absent(*left_out):
            module = import_module("openvino")
    except ImportError:
        raise MissingExtraError(verb, "openvino") from None
    if not hasattr(module, "convert_model"):
        module.convert_model = _convert_model  # type: ignore[attr-defined]
    with _FIRST:
        # Its bindings look up numpy when they first show a tensor's numbers. Two threads that are first at once wait
        # for each other for ever: one for Python's lock, the other, which holds that, for the look-up.
        _ = module.Tensor(np.zeros(1, np.float32)).data
    return module


def _convert_model(*args: Any, **options: Any) -> Any:
    """OpenVINO's own `convert_model`, for other code in this process."""
    with _absent(_TELEMETRY):
        converter = import_module(_CONVERTER)
    return converter.convert_model(*args, **options)


@contextmanager
def _absent(*names: str) -> Iterator[None]:
    """Modules are meanwhile as if not installed, which OpenVINO is prepared for; those that are there already stay."""
    blocked = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]
