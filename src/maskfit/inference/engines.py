"""Engines: what runs a network. They take frames and give its logits, and know nothing of what these mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from maskfit.cookbook import parse_part
from maskfit.data.transforms import Frames
from maskfit.errors import MissingExtraError, ModelFileError, RecipeError, nearest
from maskfit.metadata import open_onnx
from maskfit.modelfile import ModelFacts, load_network, parse_facts, read_facts
from maskfit.parts import Part, build

FRAMES = "frames"
"""The input of an exported network: uint8 (batch, height, width, 3), normalised inside."""
PHOTOS = "photos"
"""The input of networks that maskfit exported before: float32 (batch, 3, height, width), normalised outside."""
PROBABILITIES = "probabilities"
"""The output beside the heads' logits that plain programs read: (batch, official classes)."""

Logits = dict[str, NDArray[np.float32]]
Precision = Literal["f32", "bf16", "auto"]


class Engine(Protocol):
    """Runs one network."""

    facts: ModelFacts

    def logits(self, frames: Frames) -> Logits:
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

    Raises:
        ModelFileError: The file is no such model, or its network is not what its facts say.
    """

    endings: ClassVar[tuple[str, ...]] = (".onnx",)

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path = path
        self.session = open_onnx(path, threads)
        self.facts = parse_facts(self.session.get_modelmeta().custom_metadata_map, path)
        inputs, outputs = (
            {item.name: (item.type.removeprefix("tensor(").removesuffix(")"), item.shape) for item in items}
            for items in (self.session.get_inputs(), self.session.get_outputs())
        )
        self.input = _find_input(inputs, outputs, self.facts, path)

    def logits(self, frames: Frames) -> Logits:
        """Logits by head, (batch, values); see `Engine.logits`."""
        heads = list(self.facts.heads)
        try:
            values = self.session.run(heads, {self.input: _fed(self.input, frames, self.facts)})
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise _cannot_run(error, self.path) from error
        return dict(zip(heads, values, strict=True))


class OpenvinoEngine:
    """OpenVINO on the processor; needs no torch.

    Args:
        path: A `.xml` model with its `.bin` beside it, or a `.onnx` model.
        threads: How many threads one batch uses; OpenVINO's choice where left out.
        precision: `f32` computes as the other engines do. `bf16` is faster where the processor has it; `auto` lets
            OpenVINO choose, which takes bf16 there.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelFileError: The file is no such model, or its network is not what its facts say.
    """

    endings: ClassVar[tuple[str, ...]] = (".xml", ".onnx")

    def __init__(self, path: Path, threads: int | None = None, precision: Precision = "f32") -> None:
        _refuse_precision(precision)
        self.path = path
        # Also where the file is ONNX's: ONNX Runtime refuses weights in files outside of the model's folder.
        self.facts = read_facts(path)
        openvino = import_openvino("the engine 'openvino'")
        options: dict[str, Any] = {} if precision == "auto" else {"INFERENCE_PRECISION_HINT": precision}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            network = openvino.Core().read_model(path)
            inputs, outputs = (
                {item.get_any_name(): (item.element_type.to_string(), _sides(item)) for item in items}
                for items in (network.inputs, network.outputs)
            )
            self.input = _find_input(inputs, outputs, self.facts, path)
            self.compiled = openvino.Core().compile_model(network, "CPU", options)
        except RuntimeError as error:
            raise ModelFileError(
                f"this is no network that OpenVINO can run: {_reason(error)}",
                where=path,
                fix="the .bin must lie beside its .xml; export it anew",
            ) from None

    def logits(self, frames: Frames) -> Logits:
        """Logits by head, (batch, values); see `Engine.logits`."""
        try:
            # A request each: one that is running takes no second batch, and a service has several threads.
            request = self.compiled.create_infer_request()
            request.infer({self.input: _fed(self.input, frames, self.facts)})
        except RuntimeError as error:
            raise _cannot_run(error, self.path) from error
        return {head: np.array(request.get_tensor(head).data, dtype=np.float32) for head in self.facts.heads}


class TorchEngine:
    """torch, on a GPU where there is one.

    Args:
        path: A `.safetensors` model.
        threads: How many threads one batch uses on a processor; torch's choice where left out.
        precision: `f32`, or `bf16` by torch's autocast; `auto` is `f32`.

    Raises:
        MissingExtraError: torch is not installed.
        ModelFileError: The file is no such model.
    """

    endings: ClassVar[tuple[str, ...]] = (".safetensors",)

    def __init__(self, path: Path, threads: int | None = None, precision: Precision = "f32") -> None:
        _refuse_precision(precision)
        # First of all, since it says more of a bad file than that torch is missing, and says that too.
        network, self.facts = load_network(path)
        import torch

        self._torch = torch
        if threads:
            torch.set_num_threads(threads)
        self.half = precision == "bf16"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device).to(memory_format=torch.channels_last)

    def logits(self, frames: Frames) -> Logits:
        """Logits by head, (batch, values); see `Engine.logits`."""
        torch = self._torch
        photos = _fed(PHOTOS, frames, self.facts)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            batch = torch.from_numpy(photos).to(self.device, memory_format=torch.channels_last)
            return {head: values.float().cpu().numpy() for head, values in self.network(batch).items()}


ENGINES: dict[str, Callable[..., Engine]] = {"torch": TorchEngine, "onnx": OnnxEngine, "openvino": OpenvinoEngine}
"""What `--engine` can name; `auto` is the first that runs the file's format."""


def open_engine(path: Path, threads: int | None = None, engine: str | Part = "auto") -> Engine:
    """The engine for a model file.

    Args:
        path: The model.
        threads: How many threads one batch uses; the engine's choice where left out.
        engine: A name of `ENGINES`, a word such as `openvino:precision=bf16`, or `auto`.

    Raises:
        ModelFileError: It is no model file, or none that this engine runs.
        MissingExtraError: It needs torch or OpenVINO, which is not installed; exported to ONNX it would not.
        RecipeError: There is no such engine, or it has no such option.
    """
    part = parse_part(engine) if isinstance(engine, str) else engine
    runs = {name: kind.endings for name, kind in ENGINES.items()}  # type: ignore[attr-defined]
    if part.name == "auto" and not part.options:
        fitting = [name for name, endings in runs.items() if path.suffix in endings]
        if not fitting:
            read_facts(path)  # says what is wrong with it
        part = Part.of(fitting[0])
    if part.name not in ENGINES:
        raise RecipeError(
            f"there is no engine '{part.name}'; {nearest(part.name, ['auto', *ENGINES])}", fix="--engine auto"
        )
    if path.suffix not in runs[part.name]:
        raise ModelFileError(
            f"the engine '{part.name}' runs {' and '.join(runs[part.name])}, not '{path.suffix}'",
            where=path,
            fix="leave out --engine, or make such a file with maskfit export",
        )
    built: Engine = build(ENGINES, part, path=path, threads=threads)
    return built


def import_openvino(verb: str) -> Any:
    """The module, imported without its telemetry, which would tell its makers of every import over the network.

    Raises:
        MissingExtraError: It is not installed.
    """
    own = "openvino_telemetry"
    blocked = own not in sys.modules
    if blocked:
        # So it is as if not installed, and OpenVINO takes its own stub in its place.
        sys.modules[own] = None  # type: ignore[assignment]
    try:
        return import_module("openvino")
    except ImportError:
        raise MissingExtraError(verb, "openvino") from None
    finally:
        if blocked:
            del sys.modules[own]


Values = Mapping[str, tuple[str, Sequence[object]]]
"""Inputs or outputs of a network: type and shape by name."""

_TYPES = {"f32": "float", "float32": "float", "u8": "uint8"}
"""OpenVINO's words for types as ONNX Runtime's."""


def _find_input(inputs: Values, outputs: Values, facts: ModelFacts, path: Path) -> str:
    """The input's name: of a network that takes frames, or of an older one that takes normalised photos.

    Raises:
        ModelFileError: The network is neither.
    """
    height, width = facts.preprocessing.framing.size
    heads: dict[str, tuple[str, Sequence[object]]] = {
        head: ("float", (None, own)) for head, own in facts.widths.items()
    }
    answers = {PROBABILITIES: ("float", (None, facts.scheme.official().classes))}
    wanted = _describe({FRAMES: ("uint8", (None, height, width, 3))}, {**heads, **answers})
    older = _describe({PHOTOS: ("float", (None, 3, height, width))}, heads)
    found = _describe(inputs, outputs)
    # Widths too: heads of (2, 3) values where (3, 2) are meant would multiply to the same number of classes.
    if found not in (wanted, older):
        raise ModelFileError(
            f"its network goes from {found:.300}, and its facts say from {wanted:.300}",
            where=path,
            fix="export it anew with maskfit export",
        )
    return FRAMES if found == wanted else PHOTOS


def _describe(inputs: Values, outputs: Values) -> str:
    """Names with types and shapes; a side that is free, as a batch must be, is `any`."""
    sides = []
    for values in (inputs, outputs):
        said = []
        for name, (kind, shape) in values.items():
            free = [str(side) if isinstance(side, int) else "any" for side in shape]
            said.append(f"{name} ({' x '.join(free)}, {_TYPES.get(kind, kind)})")
        sides.append(", ".join(said) or "nothing")
    return " to ".join(sides)


def _sides(item: Any) -> list[object]:
    """The shape of an OpenVINO input or output, None where a side is free."""
    shape = item.get_partial_shape()
    return [None if side.is_dynamic else side.get_length() for side in shape] if shape.rank.is_static else [None]


def _fed(name: str, frames: Frames, facts: ModelFacts) -> NDArray[Any]:
    """What goes into the input of that name."""
    return frames if name == FRAMES else facts.preprocessing.normalising.normalise(frames)


def _refuse_precision(precision: str) -> None:
    if precision not in get_args(Precision):
        raise ValueError(f"precision={precision} must be one of {', '.join(get_args(Precision))}")


def _cannot_run(error: Exception, path: Path) -> ModelFileError:
    return ModelFileError(f"its network cannot run: {_reason(error)}", where=path, fix="export it anew")


def _reason(error: Exception) -> str:
    """The first line of an engine's error that says something; OpenVINO's begin with its own files and lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return f"{(telling or lines or [type(error).__name__])[0]:.300}"
