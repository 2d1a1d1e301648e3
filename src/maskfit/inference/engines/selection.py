"""Throughput mode: selection of the engine, its streams and its batch sizes for many images.

Few images run on the engine that starts soonest (`open_engine`). For many (docs/performance.md has the measurements):

- on a GPU: torch in bf16, close predictions recomputed in f32;
- on a CPU: OpenVINO where it is installed, with close predictions recomputed in f32: in int8 where the processor has
  VNNI, or AVX2 and nothing newer, and the network suits it; in bf16 where the processor has that;
- otherwise ONNX Runtime, and torch for a file that is no ONNX and cannot be converted or is not worth it.
"""

from __future__ import annotations

import glob
import importlib.util
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from maskfit.cpu_features import find_active_isa_limit, has_avx2_alone, has_vnni
from maskfit.data.fast_downscale import import_resizer
from maskfit.errors import MaskfitError
from maskfit.file_locks import acquire_lock
from maskfit.inference.engines import AUTO, REFERENCE_PIXELS, Logger, parse_engine, scale_image_count
from maskfit.inference.engines.int8_conversion import PhotoCollection, can_convert, convert_to_int8, suits_int8
from maskfit.inference.engines.int8_files import (
    add_checksum,
    find_damage,
    find_int8,
    find_measured_int8,
    is_intact,
    mark_used,
)
from maskfit.inference.engines.int8_origin import foreign_processor_warning
from maskfit.inference.engines.onnx_conversion import converted_path, has_gpu
from maskfit.inference.engines.openvino import has_bf16
from maskfit.inference.image_loading import available_cpus
from maskfit.model_file import read_model_metadata
from maskfit.model_metadata import validate_model_file
from maskfit.models.backbone_names import has_added_backbones
from maskfit.registry import ComponentSpec

MIN_IMAGES_FOR_THROUGHPUT_MODE = 256
"""Forward passes (images times TTA views) from which on a slower start pays for a higher throughput; estimated."""

MIN_IMAGES_TO_CONVERT = 256
"""Forward passes at 224 x 224 pixels from which on converting weights to ONNX first pays: for 300 photos converting
takes as long as torch does, and later predictions find the conversion (docs/performance.md)."""

EXPORT_VERSION = 2
"""Incremented when networks are exported otherwise: what could not be converted is tried again. 2: local features."""

FAILED_SUFFIX = ".failed"
"""End of the name of a file in place of a conversion that failed; it has the versions of the packages."""

ANY_NUMBER = 2**40
"""Stands for a number of forward passes for which every conversion pays."""

MIN_IMAGES_TO_QUANTIZE, MIN_IMAGES_TO_QUANTIZE_PLAIN = 1200, 4000
"""Forward passes at 224 x 224 pixels from which on calibrating an int8 conversion first pays, and where it only
replaces bf16 and the extra `fast` is missing. A calibration takes a CPU second, a photo saves 1.5 to 3.6 ms: so that
is after 300 to 700, and later photos find it. Without approximate pixels that was after 400 for one model, after about
4,000 for another (docs/performance.md)."""

MIN_IMAGES_FOR_INT8_AVX2 = 500
"""Forward passes from which on int8 from the cache pays with AVX2 alone: five networks with two views took 1.07 times
f32's time for 280, 0.92 for 700 (docs/performance.md)."""

INFER_BATCH_SIZES = {"f32": 2}
"""Images of `REFERENCE_PIXELS` per call of the network on a CPU, by precision; 4 where none is given. The activations
of the early layers for more of them do not fit into a core's caches."""


@dataclass(frozen=True)
class EngineChoice:
    """What runs a model.

    Attributes:
        path: The file, which may be a conversion of the one that was named.
        engine: Engine with options, from `ENGINES` or `auto`.
        gpu: Whether a GPU runs it.
    """

    path: Path
    engine: ComponentSpec
    gpu: bool = False


def select_engine(
    path: Path, engine: str | ComponentSpec, num_passes: int, log: Logger, photos: PhotoCollection | None = None
) -> EngineChoice:
    """Selects the engine for a model and a number of forward passes.

    Args:
        path: The model.
        engine: What the user asked for; anything but `auto` is taken as it is.
        num_passes: How often the network will run: images times TTA views; 0 where that is not known.
        log: Receives a line about what takes time or was not chosen.
        photos: The photos that will be predicted, which may calibrate an int8 conversion; without them `auto` takes
            none.

    Returns:
        The engine and the file that it runs.

    Raises:
        ModelFileError: It is no model file.
        RecipeError: `engine` is no name with options.
    """
    spec = parse_engine(engine)
    if (
        spec.name != AUTO
        or spec.options
        or num_passes < MIN_IMAGES_FOR_THROUGHPUT_MODE
        or path.suffix not in (".xml", ".onnx", ".safetensors")
    ):
        return EngineChoice(path, spec, gpu=path.suffix == ".safetensors" and has_gpu())
    validate_model_file(path)
    if path.suffix != ".safetensors":
        if _is_quantized(path) and (warning := foreign_processor_warning(path)):
            log(warning)
        return EngineChoice(path, _select_cpu_engine(path, num_passes, log, photos))
    if has_gpu():
        return EngineChoice(path, ComponentSpec.create("torch", precision="checked"), gpu=True)
    converted = _convert_to_onnx(path, num_passes, log)
    return (
        EngineChoice(path, ComponentSpec.create("torch"))
        if converted is None
        else EngineChoice(converted, _select_cpu_engine(converted, num_passes, log, photos))
    )


def convert_where_asked(
    paths: Sequence[Path], engine: str | ComponentSpec, photos: PhotoCollection | None, log: Logger
) -> None:
    """Makes the conversions that the user's engine asks for and that are not in the cache.

    These are int8 ones, and the ONNX ones of weights that an engine other than torch is to run. `auto` converts weights
    too where torch would have to be imported: that takes longer than to convert, and next time neither is needed.

    Args:
        paths: The models.
        engine: What the user asked for.
        photos: The photos that will be predicted; without them nothing is converted to int8.
        log: Receives a line about what takes time.

    Raises:
        MissingExtraError: The package that writes conversions is not installed.
        ModelFileError: A model cannot be quantized.
        DataError: There are too few photos, or none of those that calibrate can be read.
        RecipeError: `engine` is no name with options.
    """
    spec = parse_engine(engine)
    if (spec.name == AUTO and not spec.options and not _is_torch_imported()) or spec.name in ("onnx", "openvino"):
        _convert_weights(paths, log)
    if not photos or spec.name not in ("onnx", "openvino") or spec.options.get("precision") != "int8":
        return
    for path in paths:
        if path.suffix == ".onnx":
            validate_model_file(path)
            convert_to_int8(path, photos, log)


def select_continuous_engine(
    paths: Sequence[Path], engine: str | ComponentSpec, log: Logger = lambda line: None
) -> ComponentSpec:
    """Selects the engine for what runs on and on, such as a service or a camera, photo by photo.

    Weights are converted to ONNX first, without a GPU: `find_converted` then finds the conversion.

    `auto` takes a measured int8 conversion where the processor gains from it: nothing is estimated on the first photos
    then, so a photo's prediction does not depend on when it comes.

    Args:
        paths: The models. An ensemble runs in f32: how rounding changes its votes was not measured.
        engine: What the user asked for; anything but `auto` is taken as it is.
        log: Receives a line about what takes time.

    Returns:
        The engine with its options.

    Raises:
        ModelFileError: There is no such model.
        RecipeError: `engine` is no name with options.
    """
    spec = parse_engine(engine)
    if spec.name == AUTO and not spec.options:
        _convert_weights(paths, log)
    if spec.name != AUTO or spec.options or len(paths) != 1 or paths[0].suffix != ".onnx":
        return spec
    validate_model_file(paths[0])
    if gains_from_int8() and find_measured_int8(paths[0]) is not None:
        return ComponentSpec.create("onnx", precision="int8")
    return spec


def gains_from_int8() -> bool:
    """Whether int8 was measured to be faster than f32 on processors such as this one, and nothing restricts it.

    Returns:
        Whether it was.
    """
    return (has_vnni() or has_avx2_alone()) and find_active_isa_limit() is None


def select_num_streams(choices: Sequence[EngineChoice], num_passes: int) -> int:
    """Selects how many batches the networks compute at the same time.

    Args:
        choices: The engine of each member.
        num_passes: How often each network will run.

    Returns:
        One for each core; 1 on a GPU or for few images.
    """
    return available_cpus() if _uses_streams(choices, num_passes) else 1


def select_num_workers(choices: Sequence[EngineChoice], num_passes: int) -> int:
    """Selects how many batches are in flight: one more than are computed.

    While one worker combines and hands on its predictions, which leaves its core idle, there is another batch for it.

    Args:
        choices: The engine of each member.
        num_passes: How often each network will run.

    Returns:
        1 or more.
    """
    return available_cpus() + 1 if _uses_streams(choices, num_passes) else 1


def _uses_streams(choices: Sequence[EngineChoice], num_passes: int) -> bool:
    return num_passes >= MIN_IMAGES_FOR_THROUGHPUT_MODE and not any(choice.gpu for choice in choices)


def configure_engine(choice: EngineChoice, batch_size: int, num_passes: int) -> ComponentSpec:
    """Adds the fastest `infer_batch_size` to a CPU engine that runs many images.

    Args:
        choice: The model's engine.
        batch_size: Images in a batch.
        num_passes: How often the network will run.

    Returns:
        The engine with its options; unchanged for few images, another engine, or where the option is given.
    """
    spec = choice.engine
    if (
        spec.name not in ("onnx", "openvino")
        or "infer_batch_size" in spec.options
        or num_passes < MIN_IMAGES_FOR_THROUGHPUT_MODE
    ):
        return spec
    limit = scale_image_count(
        INFER_BATCH_SIZES.get(spec.options.get("precision", "f32"), 4),
        read_model_metadata(choice.path).preprocessing.crop_resize,
    )
    # A divisor of the batch size, so that no chunk has to be padded.
    size = max((size for size in range(1, min(limit, batch_size) + 1) if batch_size % size == 0), default=1)
    return ComponentSpec.create(spec.name, **spec.options, infer_batch_size=size)


def _select_cpu_engine(
    path: Path, num_passes: int = 0, log: Logger = lambda line: None, photos: PhotoCollection | None = None
) -> ComponentSpec:
    """The engine for many images of an ONNX or OpenVINO file."""
    if path.suffix != ".onnx":
        return ComponentSpec.create("openvino", **_openvino_options())
    if importlib.util.find_spec("openvino") is None or _is_quantized(path):
        return ComponentSpec.create("onnx")
    if photos and gains_from_int8() and _has_int8(path, num_passes, log, photos):
        return ComponentSpec.create("openvino", precision="int8")
    return ComponentSpec.create("openvino", **_openvino_options())


def _has_int8(path: Path, num_passes: int, log: Logger, photos: PhotoCollection) -> bool:
    """Whether a network that int8 suits has a conversion, from the cache or calibrated now where that pays."""
    if not suits_int8(path):
        return False
    if has_avx2_alone() and num_passes < MIN_IMAGES_FOR_INT8_AVX2:
        return False
    if (found := find_int8(path)) is not None and find_damage(found, path) is None:
        return True
    height, width = read_model_metadata(path).preprocessing.crop_resize.size
    replaces_f32 = has_avx2_alone()
    enough = MIN_IMAGES_TO_QUANTIZE if replaces_f32 or import_resizer() else MIN_IMAGES_TO_QUANTIZE_PLAIN
    if not can_convert() or num_passes * height * width < enough * REFERENCE_PIXELS:
        return False
    try:
        convert_to_int8(path, photos, log)
    except Exception as error:  # What another program exported may have any layer.
        log(f"it could not be quantized, so it is not run in int8: {_first_line(error)}")
        return False
    return True


def _openvino_options() -> dict[str, str]:
    if importlib.util.find_spec("openvino") is None:
        return {}
    return {"precision": "checked" if has_bf16() and find_active_isa_limit() is None else "f32"}


def _is_quantized(path: Path) -> bool:
    # By the names of its layers: ONNX Runtime executes the int8 layers that its own quantizer made as calibrated.
    if not path.stat().st_size:
        return False  # no network at all, which is reported when it is opened
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        return content.find(b"QuantizeLinear") >= 0


def _is_torch_imported() -> bool:
    return "torch" in sys.modules


def _convert_weights(paths: Sequence[Path], log: Logger) -> None:
    """Converts those models that are weights to ONNX, for however few photos, unless there is a GPU."""
    for path in paths:
        if path.suffix == ".safetensors" and not has_gpu():
            validate_model_file(path)
            _convert_to_onnx(path, ANY_NUMBER, log)


def _convert_to_onnx(path: Path, num_passes: int, log: Logger) -> Path | None:
    """The model as ONNX, from the cache or converted now; None where that does not pay or fails."""
    converted = converted_path(path)
    if converted is None:
        return None
    if is_intact(converted):
        mark_used(converted)
        return converted
    height, width = read_model_metadata(path).preprocessing.crop_resize.size
    exporter = all(importlib.util.find_spec(name) for name in ("torch", "timm", "onnx", "onnxscript"))
    if not exporter or num_passes * height * width < MIN_IMAGES_TO_CONVERT * REFERENCE_PIXELS:
        return None
    failed = converted.with_suffix(FAILED_SUFFIX)
    if failed.is_file() and failed.read_text(encoding="utf-8") == _describe_exporter():
        return None
    try:
        converted.parent.mkdir(parents=True, exist_ok=True)
        # A second process waits here and then finds the file.
        lock = FileLock(converted.with_suffix(".lock"))
        with acquire_lock(
            lock,
            "set XDG_CACHE_HOME to a folder on a local disk",
            on_wait=lambda: log(f"another process is converting {path} to ONNX; waiting until it is done"),
        ):
            if not is_intact(converted):
                log(
                    f"converting {path} to ONNX once, so that it runs faster and starts without torch; cached in "
                    f"{converted.parent}"
                )
                converted.unlink(missing_ok=True)
                # Of a process that was killed: with the lock, no other one writes here.
                for draft in converted.parent.glob(f".{glob.escape(converted.name)}.*"):
                    shutil.rmtree(draft, ignore_errors=True)
                with TemporaryDirectory(dir=converted.parent, prefix=f".{converted.name}.") as folder:
                    draft = Path(folder) / converted.name
                    _export(path, draft)
                    draft.write_bytes(add_checksum(draft.read_bytes()))
                    draft.replace(converted)
    except Exception as error:  # torch's exporter raises nearly anything for a layer that it does not know.
        log(f"the conversion failed, so torch runs the model: {_first_line(error)}")
        # Not to be tried again each time, for minutes; a full disk may have room the next time.
        if not isinstance(error, OSError | MemoryError):
            with suppress(OSError):
                failed.write_text(_describe_exporter(), encoding="utf-8")
        return None
    return converted


def _export(path: Path, out: Path) -> None:
    """Exports in a process of its own, unless torch takes its memory here anyway, or that process could not do it.

    It does not know the backbones that this program added.
    A program with Python inside, such as uWSGI, or a frozen one, is its own `sys.executable`, and would start again.
    """
    is_python = not hasattr(sys, "frozen") and "py" in Path(sys.executable or "").name.casefold()
    if _is_torch_imported() or not is_python or has_added_backbones():
        from maskfit.inference.export import export_model

        export_model(path, out)
    else:
        from maskfit.inference.export.export_process import export_in_process

        export_in_process(path, out)


def _describe_exporter() -> str:
    """The versions on which it depends whether a network can be converted, maskfit's own export among them."""
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "onnx", "onnxruntime")]
    return " ".join([*versions, f"export {EXPORT_VERSION}"])


def _first_line(error: Exception) -> str:
    reason = error.message if isinstance(error, MaskfitError) else f"{error}".strip() or type(error).__name__
    return f"{reason.splitlines()[0]:.300}"
