"""Choosing: the engine, the lanes and the batch that answer many photos the soonest on this machine.

One photo is answered by what begins soonest. Many are answered (docs/performance.md says what of it was measured):

- on a GPU by torch, in bf16 with close answers asked again;
- on a processor by OpenVINO where it is installed, in bf16 with close answers asked again where the processor has it;
- else by ONNX Runtime; and by torch what is no ONNX file and not worth making one of.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from filelock import FileLock

from maskfit.config.loader import parse_component
from maskfit.data.preprocessing import CropResize
from maskfit.errors import MaskfitError
from maskfit.file_io import user_cache_dir
from maskfit.inference.parallel_batches import available_cpus
from maskfit.model_file import read_model_metadata
from maskfit.model_metadata import validate_model_file
from maskfit.registry import ComponentSpec

MIN_IMAGES_FOR_THROUGHPUT_MODE = 256
"""Times that a photo is looked at, from which on it pays to begin more slowly and go on faster; estimated."""

MIN_IMAGES_TO_CONVERT = 3000
"""Looks at 224 pixels from which on it pays to convert weights to ONNX first; estimated."""

REFERENCE_PIXELS = 224 * 224
"""Pixels of the photos that the numbers here were measured on; work grows with them."""

CPU_BATCH_SIZE, GPU_BATCH_SIZE = 8, 256
"""Photos of `REFERENCE` pixels in a batch. Of 1 to 32 on a processor 8 was the fastest; the GPU's was not measured."""

MAX_BATCH_SIZE = 1024

INFER_BATCH_SIZES = {"f32": 2}
"""Photos of `REFERENCE` pixels that a processor's network takes at once, by precision; 4 where none is given. What the
early layers make of more no longer fits into a core's caches."""

EXPORT_VERSION = 1
"""Goes into the names of converted networks: a change of the export must not find old ones."""

Logger = Callable[[str], None]


@dataclass(frozen=True)
class EngineChoice:
    """What a model is run by.

    Attributes:
        path: The file, which may be a conversion of the one that was named.
        engine: A part of `engines.ENGINES`.
        gpu: Whether a GPU runs it.
    """

    path: Path
    engine: ComponentSpec
    gpu: bool = False


def select_engine(path: Path, engine: str | ComponentSpec, looks: int, say: Logger) -> EngineChoice:
    """The engine for a model and so many looks at photos: photos times views.

    Args:
        path: The model.
        engine: What was asked for; anything but `auto` is taken as it is.
        looks: How often the network will be asked.
        say: Told in one line what takes its time.

    Raises:
        ModelFileError: It is no model file.
    """
    part = parse_component(engine) if isinstance(engine, str) else engine
    if (
        part.name != "auto"
        or part.options
        or looks < MIN_IMAGES_FOR_THROUGHPUT_MODE
        or path.suffix not in (".xml", ".onnx", ".safetensors")
    ):
        return EngineChoice(path, part, gpu=path.suffix == ".safetensors" and _gpu())
    validate_model_file(path)
    if path.suffix != ".safetensors":
        return EngineChoice(path, _on_processor(path))
    if _gpu():
        return EngineChoice(path, ComponentSpec.create("torch", precision="checked"), gpu=True)
    converted = _converted(path, looks, say)
    return (
        EngineChoice(path, ComponentSpec.create("torch"))
        if converted is None
        else EngineChoice(converted, _on_processor(converted))
    )


def select_num_streams(choices: Sequence[EngineChoice], looks: int) -> int:
    """How many batches the networks compute at a time: one for each core, or one where a GPU takes them or few come."""
    return available_cpus() if _in_lanes(choices, looks) else 1


def select_num_workers(choices: Sequence[EngineChoice], looks: int) -> int:
    """How many batches are in hand at a time: one more than are computed.

    While a lane votes and hands on, which leaves its core idle, there is another batch for that core.
    """
    return available_cpus() + 1 if _in_lanes(choices, looks) else 1


def _in_lanes(choices: Sequence[EngineChoice], looks: int) -> bool:
    return looks >= MIN_IMAGES_FOR_THROUGHPUT_MODE and not any(choice.gpu for choice in choices)


def select_batch_size(framings: Sequence[CropResize], gpu: bool) -> int:
    """How many photos make a batch: as many as share the time of a call, and no more than caches like.

    So memory is bounded too: by one batch of the largest framing in each lane. What a GPU has no memory for, its engine
    halves.
    """
    fitting = min(_fitting(framing, GPU_BATCH_SIZE if gpu else CPU_BATCH_SIZE) for framing in framings)
    return min(fitting, MAX_BATCH_SIZE if gpu else 8 * CPU_BATCH_SIZE)


def configure_engine(choice: EngineChoice, batch: int, looks: int) -> ComponentSpec:
    """The choice's engine, which of batches of many photos takes as many at once as it answers the fastest."""
    part = choice.engine
    if part.name not in ("onnx", "openvino") or "at_once" in part.options or looks < MIN_IMAGES_FOR_THROUGHPUT_MODE:
        return part
    most = _fitting(
        read_model_metadata(choice.path).preprocessing.crop_resize,
        INFER_BATCH_SIZES.get(part.options.get("precision", "f32"), 4),
    )
    # A part of the batch, so that none has to be filled up.
    at_once = max((size for size in range(1, min(most, batch) + 1) if batch % size == 0), default=1)
    return ComponentSpec.create(part.name, **part.options, at_once=at_once)


def _fitting(framing: CropResize, count: int) -> int:
    """As many photos of this size as do as much work as so many of `REFERENCE` pixels; 1 or more, an even number."""
    height, width = framing.size
    half = count * REFERENCE_PIXELS / (height * width) / 2
    return max(1, 2 * round(half))


def _on_processor(path: Path) -> ComponentSpec:
    """The engine for many photos of an ONNX or OpenVINO file."""
    if importlib.util.find_spec("openvino") is None or (path.suffix == ".onnx" and _is_quantised(path)):
        return ComponentSpec.create("onnx") if path.suffix == ".onnx" else ComponentSpec.create("openvino")
    return ComponentSpec.create("openvino", precision="checked" if _has_bf16() else "f32")


def _has_bf16() -> bool:
    from maskfit.inference.engines.openvino import import_openvino

    return "BF16" in import_openvino("the engine 'openvino'").Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _is_quantised(path: Path) -> bool:
    # By the name of its layers: whose eight bits ONNX Runtime set, ONNX Runtime reads as they were meant.
    if not path.stat().st_size:
        return False  # no network at all, as will be said when it is opened
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        return content.find(b"QuantizeLinear") >= 0


def _gpu() -> bool:
    """Whether torch has a GPU here. Where there is no sign of one, torch is not asked: it takes seconds to import."""
    signs = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
    if sys.platform == "linux" and not any(sign.exists() for sign in signs):
        return False
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _converted(path: Path, looks: int, say: Logger) -> Path | None:
    """The model as ONNX, from the cache or made now; None where that does not pay or cannot be."""
    if importlib.util.find_spec("openvino") is None:
        return None
    facts = read_model_metadata(path)
    height, width = facts.preprocessing.crop_resize.size
    digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    made = user_cache_dir("networks") / f"{digest}-{EXPORT_VERSION}.onnx"
    if made.is_file():
        return made
    exporter = all(importlib.util.find_spec(name) for name in ("torch", "timm", "onnx", "onnxscript"))
    if not exporter or looks * height * width < MIN_IMAGES_TO_CONVERT * REFERENCE_PIXELS:
        return None
    from maskfit.inference.export import export_model

    say(f"converting {path} to ONNX once, which pays for so many photos; kept in {made.parent}")
    made.parent.mkdir(parents=True, exist_ok=True)
    try:
        # A second process waits, and then finds it there.
        with FileLock(made.with_suffix(".lock")):
            if not made.is_file():
                export_model(path, made)
    except Exception as error:  # torch's exporter raises nearly anything on a layer that it does not know.
        reason = error.message if isinstance(error, MaskfitError) else f"{error}".strip() or type(error).__name__
        say(f"it cannot be converted, so torch answers: {reason.splitlines()[0]:.300}")
        return None
    return made
