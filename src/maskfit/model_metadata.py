"""The text that model files carry beside their network, read without running anything; one reader for each ending."""

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
"""The metadata key that makes a network's file a maskfit model."""

MAX_FILE_BYTES = 8 * 2**30
"""Bytes that a model file may have."""
MAX_XML_BYTES = 256 * 2**20
"""Bytes that the description of an OpenVINO network may have; that of a large one has a few million."""


def read_metadata(path: Path) -> Mapping[str, str]:
    """What a model file's metadata say; its weights are not read where its format allows that.

    Raises:
        ModelFileError: The file is missing, too large, no file of its format, or of no format of a model.
    """
    validate_model_file(path)
    if path.suffix not in READERS:
        *first, last = READERS
        raise ModelFileError(
            f"a model file ends in {', '.join(first)} or {last}, not in '{path.suffix}'",
            location=path,
            hint="name a run folder or its best.safetensors; pickled checkpoints can run code and are never opened",
        )
    return READERS[path.suffix](path)


def validate_model_file(path: Path) -> None:
    """Stops at what is no file, or one too large to be a model.

    Raises:
        ModelFileError: It is.
    """
    if not path.exists():
        raise ModelFileError("there is no such model", location=path, hint="check the path")
    if not path.is_file():
        raise ModelFileError(
            "this is no file", location=path, hint="name a model file, or a run folder with a recipe.yaml"
        )
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ModelFileError(
            f"the file is larger than {MAX_FILE_BYTES:,} bytes", location=path, hint="do not trust this file"
        )


def open_onnx(path: Path, threads: int | None = None, *, as_is: bool = False) -> Any:
    """An ONNX Runtime session on the processor. Weights in files outside of the model's folder are not read.

    Args:
        path: The `.onnx` file.
        threads: How many threads one prediction uses; ONNX Runtime's choice where left out.
        as_is: Do not make the network faster, which takes longest: for who only wants to know what the file says.

    Raises:
        ModelFileError: The file is missing or is no ONNX network.
    """
    onnxruntime = import_onnxruntime()
    validate_model_file(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Its threads would else turn idly while they wait for work, on cores that decode the next photos.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads:
        options.intra_op_num_threads = threads
    if as_is:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise ModelFileError(
            f"this is no ONNX network that can run: {str(error).splitlines()[0]:.300}",
            location=path,
            hint="export it anew",
        ) from None


def _of_safetensors(path: Path) -> Mapping[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"this is no safetensors file: {error}", location=path, hint="make the file anew"
        ) from None


def _of_onnx(path: Path) -> Mapping[str, str]:
    now = path.stat()
    return _of_onnx_once(path, now.st_ino, now.st_mtime_ns, now.st_size)


@lru_cache(maxsize=64)
def _of_onnx_once(path: Path, *_unchanged: int) -> Mapping[str, str]:
    # Kept while the file is what it was: a model is asked about three times before its first photo.
    try:
        said = read_metadata_props(path)
    except OSError as error:
        raise ModelFileError(
            f"the file cannot be opened: {error.strerror}", location=path, hint="check the path"
        ) from None
    if said is None:
        said = dict(open_onnx(path, 1, as_is=True).get_modelmeta().custom_metadata_map)
    return MappingProxyType(said)


def _of_openvino(path: Path) -> Mapping[str, str]:
    """The run-time information of an OpenVINO description, which stands in it as <net><rt_info><KEY value="..."/>."""
    if path.stat().st_size > MAX_XML_BYTES:
        raise ModelFileError(
            f"the file is larger than {MAX_XML_BYTES:,} bytes", location=path, hint="do not trust this file"
        )
    found: dict[str, str] = {}
    way: list[str] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        way.append(name)
        if way[:-1] == ["net", "rt_info"] and "value" in attributes:
            found[name] = attributes["value"]

    def refuse(*_: object) -> None:
        # A document type may declare entities, which grow without end. OpenVINO writes none.
        raise ModelFileError("its description declares a document type", location=path, hint="do not trust this file")

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda name: way.pop()
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as stream:
            parser.ParseFile(stream)
    except (expat.ExpatError, OSError) as error:
        raise ModelFileError(
            f"this is no description of an OpenVINO network: {error}", location=path, hint="export it anew"
        ) from None
    return found


READERS: dict[str, Callable[[Path], Mapping[str, str]]] = {
    ".safetensors": _of_safetensors,
    ".onnx": _of_onnx,
    ".xml": _of_openvino,
}
"""Every format of a model, by its ending."""
