"""Engines by name, opening a model file with one, and the batch size for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

from maskfit.config.aliases import upgrade_component, warn_once
from maskfit.config.loader import parse_component
from maskfit.data.preprocessing import CropResize
from maskfit.errors import ModelFileError, RecipeError, did_you_mean
from maskfit.inference.engines.engine import Engine, OnnxEngine, TorchEngine
from maskfit.inference.engines.onnx_conversion import find_converted
from maskfit.inference.engines.openvino import OpenvinoEngine
from maskfit.model_file import read_model_metadata
from maskfit.registry import ComponentSpec, instantiate, validate_spec

ENGINES: dict[str, Callable[..., Engine]] = {"torch": TorchEngine, "onnx": OnnxEngine, "openvino": OpenvinoEngine}
"""Engines by name, as `--engine` takes them; `auto` is the first that runs the file's format."""

AUTO = "auto"
"""Name that leaves the choice of the engine to this module."""

REFERENCE_PIXELS = 224 * 224
"""Pixels of the images that the numbers here were measured on; work grows with them."""

CPU_BATCH_SIZE, GPU_BATCH_SIZE = 8, 256
"""Images of `REFERENCE_PIXELS` in a batch. Of 1 to 32, 8 was the fastest on a CPU; the GPU's was not measured."""

MAX_BATCH_SIZE = 1024
"""Images in a GPU batch at most, however small they are."""


Logger = Callable[[str], None]
"""Takes one line for the user."""


def parse_engine(engine: str | ComponentSpec) -> ComponentSpec:
    """Parses an engine as a user names it.

    Args:
        engine: A name of `ENGINES` or `auto`, with options as in `openvino:precision=bf16`.

    Returns:
        The engine with its options, old option names replaced.

    Raises:
        RecipeError: The text is no name with options.
    """
    if isinstance(engine, ComponentSpec):
        return upgrade_component("engine", engine, warn_once)
    if engine in (AUTO, *ENGINES):
        return ComponentSpec.create(engine)
    return parse_component(engine, "engine")


def check_engine(engine: str | ComponentSpec) -> ComponentSpec:
    """Checks an engine as a user names it, before a model is opened.

    Args:
        engine: As for `parse_engine`.

    Returns:
        The engine with its options.

    Raises:
        RecipeError: There is no such engine, or it has no such option.
    """
    spec = parse_engine(engine)
    if spec.name == AUTO and not spec.options:
        return spec
    if spec.name not in ENGINES:
        raise _unknown_engine(spec.name)
    problems = validate_spec(ENGINES, spec, injected=("path", "threads", "num_streams"))
    if problems:
        raise RecipeError(problems[0], location="--engine", hint="correct the option, or --engine auto")
    return spec


_ENGINE_OF_PRECISION = {
    "int8": "onnx:precision=int8",
    "bf16": "openvino:precision=bf16",
    "f32": "onnx",
    "fp32": "onnx",
    "checked": "openvino:precision=checked",
}
"""What runs a precision that is named as an engine."""


def _unknown_engine(name: str) -> RecipeError:
    """The error of a name that is no engine; people know ONNX Runtime by its own names, and name precisions."""
    meant = "onnx" if name.lower().replace("_", "") in ("onnxruntime", "ort") else name
    likely = _ENGINE_OF_PRECISION.get(name.lower()) or (*get_close_matches(meant, ENGINES, 1), AUTO)[0]
    message = f"there is no engine '{name}'; {did_you_mean(name, [AUTO, *ENGINES])}"
    return RecipeError(message, hint=f"--engine {likely}")


def open_engine(
    path: Path, threads: int | None = None, engine: str | ComponentSpec = AUTO, num_streams: int = 1
) -> Engine:
    """Opens a model file with an engine.

    Args:
        path: The model.
        threads: Threads for one batch; None leaves the choice to the engine.
        engine: A name of `ENGINES`, with options as in `openvino:precision=bf16`, or `auto`: the engine that starts
            soonest, which for weights is ONNX Runtime with their conversion, if the cache has it. For many images
            `select_engine` chooses the fastest.
        num_streams: Batches that will be submitted at the same time, >= 1.

    Returns:
        The engine.

    Raises:
        ModelFileError: It is no model file, or none that this engine runs.
        MissingExtraError: The engine needs torch or OpenVINO, which is not installed.
        RecipeError: There is no such engine, or it has no such option.
    """
    spec = parse_engine(engine)
    suffixes = {name: kind.suffixes for name, kind in ENGINES.items()}  # type: ignore[attr-defined]
    if path.suffix == ".safetensors" and (spec == ComponentSpec.create(AUTO) or spec.name in ("onnx", "openvino")):
        path = find_converted(path)
    if spec.name == AUTO and not spec.options:
        fitting = [name for name, own in suffixes.items() if path.suffix in own]
        if not fitting:
            read_model_metadata(path)  # raises what is wrong with it
        spec = ComponentSpec.create(fitting[0])
    if spec.name not in ENGINES:
        raise _unknown_engine(spec.name)
    if path.suffix not in suffixes[spec.name]:
        raise ModelFileError(
            f"the engine '{spec.name}' runs {' and '.join(suffixes[spec.name])}, not '{path.suffix}'",
            location=path,
            hint="leave out --engine, or make such a file with maskfit export",
        )
    opened: Engine = instantiate(ENGINES, spec, path=path, threads=threads, num_streams=num_streams)
    return opened


def select_batch_size(crop_resizes: Sequence[CropResize], gpu: bool) -> int:
    """Selects the batch size: large enough to share the overhead of a call, small enough for the caches.

    It bounds memory too: one batch of the largest inputs for each worker. A batch that does not fit into GPU memory is
    halved by its engine.

    Args:
        crop_resizes: How the members crop and resize.
        gpu: Whether a GPU runs one of them.

    Returns:
        Images in a batch, 1 or more.
    """
    fitting = min(scale_image_count(GPU_BATCH_SIZE if gpu else CPU_BATCH_SIZE, item) for item in crop_resizes)
    return min(fitting, MAX_BATCH_SIZE if gpu else 8 * CPU_BATCH_SIZE)


def scale_image_count(count: int, crop_resize: CropResize) -> int:
    """Converts a number of images of `REFERENCE_PIXELS` to that of network inputs that cost as much.

    Args:
        count: Images of `REFERENCE_PIXELS`.
        crop_resize: Says how large the network's inputs are.

    Returns:
        1, or an even number.
    """
    height, width = crop_resize.size
    half = count * REFERENCE_PIXELS / (height * width) / 2
    return max(1, 2 * round(half))
