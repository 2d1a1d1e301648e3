"""Reads the metadata strings of model files without loading the network; one reader per file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.parsers import expat

from maskfit.errors import ModelFileError
from maskfit.onnx_metadata import read_metadata_props
from maskfit.onnx_runtime import import_onnxruntime

METADATA_KEY = "maskfit"
"""Metadata key that makes a network's file a maskfit model."""

MAX_FILE_BYTES = 8 * 2**30
"""Maximum size of a model file."""
MAX_XML_BYTES = 256 * 2**20
"""Maximum size of an OpenVINO network description; that of a large network has a few million bytes."""


def read_metadata(path: Path) -> Mapping[str, str]:
    """Reads a model file's metadata; weights are not read where the format allows that.

    Args:
        path: A `.safetensors`, `.onnx` or `.xml` file.

    Returns:
        Metadata key -> text.

    Raises:
        ModelFileError: The file is missing, too large, damaged, or has another suffix.
    """
    validate_model_file(path)
    if path.suffix not in METADATA_READERS:
        *first, last = METADATA_READERS
        raise ModelFileError(
            f"a model file ends in {', '.join(first)} or {last}, got '{path.suffix}'",
            location=path,
            hint="name a run folder or its best.safetensors; pickled checkpoints can run code and are never opened",
        )
    return METADATA_READERS[path.suffix](path)


def validate_model_file(path: Path) -> None:
    """Checks that a path is a file of plausible size.

    Args:
        path: Path of a model file.

    Raises:
        ModelFileError: The path is missing, is not a file, or the file is larger than `MAX_FILE_BYTES`.
    """
    if not path.exists():
        hint = "check the path"
        if path.name.lower() == "bundled":
            file = Path(__file__).parent / "weights" / "bundled.onnx"
            hint = f"without a model, predict, serve and video take the bundled one; it is an ONNX file already: {file}"
        raise ModelFileError("there is no such model", location=path, hint=hint)
    if not path.is_file():
        raise ModelFileError(
            "this is not a file", location=path, hint="name a model file, or a run folder with a recipe.yaml"
        )
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ModelFileError(
            f"the file is larger than {MAX_FILE_BYTES:,} bytes", location=path, hint="do not trust this file"
        )


def open_onnx(path: Path, threads: int | None = None, *, optimize: bool = True) -> Any:
    """Opens an ONNX Runtime session on the CPU; external weights outside of the model's folder are rejected.

    Args:
        path: The `.onnx` file.
        threads: Threads of one prediction; ONNX Runtime's choice by default.
        optimize: Whether to optimize the graph, which takes most of the time; not needed to read metadata.

    Returns:
        An `onnxruntime.InferenceSession`.

    Raises:
        ModelFileError: The file is missing or is not a valid ONNX network.
    """
    onnxruntime = import_onnxruntime()
    validate_model_file(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Otherwise idle threads spin on cores that decode the next photos.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads:
        options.intra_op_num_threads = threads
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise ModelFileError(
            f"invalid ONNX network: {str(error).splitlines()[0]:.300}", location=path, hint="export it again"
        ) from None


def _read_safetensors(path: Path) -> Mapping[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"invalid safetensors file: {error}", location=path, hint="train or export it again"
        ) from None


def _read_onnx(path: Path) -> Mapping[str, str]:
    stat = path.stat()
    return _read_onnx_cached(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _read_onnx_cached(path: Path, *_file_state: int) -> Mapping[str, str]:
    # Cached until the file changes: metadata is read about three times before the first prediction.
    try:
        properties = read_metadata_props(path)
    except OSError as error:
        raise ModelFileError(
            f"the file cannot be opened: {error.strerror}", location=path, hint="check the path"
        ) from None
    if properties is None:
        session = open_onnx(path, 1, optimize=False)
        try:
            properties = dict(session.get_modelmeta().custom_metadata_map)
        except UnicodeDecodeError:
            raise ModelFileError("the metadata is not UTF-8", location=path, hint="export it again") from None
    return MappingProxyType(properties)


def _read_openvino(path: Path) -> Mapping[str, str]:
    """Returns the runtime information of an OpenVINO description: <net><rt_info><KEY value="..."/>."""
    if path.stat().st_size > MAX_XML_BYTES:
        raise ModelFileError(
            f"the file is larger than {MAX_XML_BYTES:,} bytes", location=path, hint="do not trust this file"
        )
    properties: dict[str, str] = {}
    elements: list[str] = []

    def start_element(name: str, attributes: dict[str, str]) -> None:
        elements.append(name)
        if elements[:-1] == ["net", "rt_info"] and "value" in attributes:
            properties[name] = attributes["value"]

    def refuse_doctype(*_: object) -> None:
        # A document type may declare entities that expand without end. OpenVINO writes none.
        raise ModelFileError("the description declares a document type", location=path, hint="do not trust this file")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start_element
    parser.EndElementHandler = lambda name: elements.pop()
    parser.StartDoctypeDeclHandler = refuse_doctype
    try:
        with path.open("rb") as stream:
            parser.ParseFile(stream)
    except (expat.ExpatError, OSError) as error:
        raise ModelFileError(
            f"invalid OpenVINO network description: {error}", location=path, hint="export it again"
        ) from None
    return properties


METADATA_READERS: dict[str, Callable[[Path], Mapping[str, str]]] = {
    ".safetensors": _read_safetensors,
    ".onnx": _read_onnx,
    ".xml": _read_openvino,
}
"""Suffix of a model file -> reader of its metadata."""
