"""ONNX export: frames in, normalized inside, each head's logits and the probabilities out, any batch size, one file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskfit.data.preprocessing import MIN_STD
from maskfit.errors import MaskfitError, MissingExtraError, ModelFileError
from maskfit.inference.engines.engine import FRAMES, PROBABILITIES
from maskfit.inference.engines.int8_origin import INT8_KEY
from maskfit.model_file import ModelMetadata, load_model

if TYPE_CHECKING:
    from maskfit.models.export_module import ExportModule
    from maskfit.models.network import Network

OPSET = 20
"""Version of ONNX's operators, as torch's newer exporter writes."""

BATCH = "batch"
"""Name of the first dimension of every input and output."""

Compress = Callable[[Any, ModelMetadata], Any]
"""Makes an ONNX program (`onnx.ModelProto`) smaller: `convert_weights_to_fp16`, or `quantize_static` with photos."""


def write_onnx(model: Path, out: Path, compress: Compress | None = None) -> None:
    """Writes a model as ONNX.

    Args:
        model: A `.safetensors` model.
        out: The file to write.
        compress: Makes the program smaller; None leaves it in fp32.

    Raises:
        ModelFileError: `model` is no such model, or an attribute has the name of an input or output.
        DataError: There are no photos to quantize with.
        MissingExtraError: The exporter is not installed.
    """
    program, metadata = to_onnx(model, compress)
    for key, value in metadata.to_metadata().items():
        program.metadata_props.add(key=key, value=value)
    out.write_bytes(program.SerializeToString())


def to_onnx(model: Path, compress: Compress | None = None) -> tuple[Any, ModelMetadata]:
    """Converts a model to an ONNX program without metadata.

    Args:
        model: A `.safetensors` model.
        compress: Makes the program smaller; None leaves it in fp32.

    Returns:
        The program (`onnx.ModelProto`) and the model's metadata.

    Raises:
        ModelFileError: `model` is no such model, or an attribute has the name of an input or output.
        DataError: There are no photos to quantize with.
        MissingExtraError: The exporter is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter fails late and unclearly without it)
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("'maskfit export'", "train") from None
    network, metadata = load_model(model)
    taken = {FRAMES, PROBABILITIES} & set(metadata.heads)
    if taken:
        raise ModelFileError(
            f"an attribute called '{taken.pop()}' cannot be exported: an input or output has that name", location=model
        )
    module = _make_export_module(network, metadata)
    size, outputs = metadata.preprocessing.crop_resize.size, [*metadata.heads, PROBABILITIES]
    program = _trace(module, size, outputs) or _export(module, size, outputs, model)
    proto = program if compress is None else compress(program, metadata)
    _strip_debug_info(proto)
    onnx.checker.check_model(proto)
    return proto, metadata


def _trace(module: ExportModule, size: tuple[int, int], outputs: Sequence[str]) -> Any | None:
    """Converts a network by tracing calls, with torch's older exporter: a tenth of the newer one's time.

    A trace fixes every size. So two numbers of images are traced: where the programs are equal but for the first
    dimension of inputs and outputs, the program holds for any number.

    Returns:
        The program (`onnx.ModelProto`); None where this exporter is missing, cannot convert a layer, or fixed the
            number of images.
    """
    import onnx
    import torch

    from maskfit.models.fixed_padding import fix_same_padding

    own = deepcopy(module)
    try:
        fix_same_padding(own, torch.zeros((1, *size, 3), dtype=torch.uint8))
        with warnings.catch_warnings(), _without_dumps():
            # It is deprecated, and warns of Python code that depends on sizes.
            warnings.simplefilter("ignore")
            program, other = (_trace_once(own, number, size, outputs) for number in (2, 3))
        if program != other:
            return None
        onnx.checker.check_model(program, full_check=True)
        return program
    except Exception:  # it raises nearly anything for a layer that it does not know
        return None


@contextmanager
def _without_dumps() -> Iterator[None]:
    """Keeps the older exporter from printing, on standard output, the whole graph that it cannot convert."""
    import torch

    native: Any = torch._C
    before = getattr(native, "_jit_onnx_log", None)
    native._jit_onnx_log = lambda *words: None
    try:
        yield
    finally:
        native._jit_onnx_log = before


def _trace_once(module: ExportModule, number: int, size: tuple[int, int], outputs: Sequence[str]) -> Any:
    """Traces a call with a number of images; the program has any number, and no shapes but those of the outputs."""
    import onnx
    import torch

    stream = BytesIO()
    torch.onnx.export(
        module,
        (torch.zeros((number, *size, 3), dtype=torch.uint8),),
        stream,  # type: ignore[arg-type]  # what the older exporter takes is not annotated
        dynamo=False,
        opset_version=OPSET,
        input_names=[FRAMES],
        output_names=list(outputs),
    )
    program = onnx.load_from_string(stream.getvalue())
    graph = program.graph
    del graph.value_info[:]
    for item in (*graph.input, *graph.output):
        item.type.tensor_type.shape.dim[0].dim_param = BATCH
    _collect_constants(graph)
    _name_folded_weights(graph, module)
    return program


def _collect_constants(graph: Any) -> None:
    """Makes constants initializers, each read under one name: so the newer exporter writes and quantization reads them.

    Equal weights, such as new biases, are stored once by the older exporter, the others being nodes that repeat them.
    """
    kept, name_of = [], {item.name: item.name for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constant = graph.initializer.add()
            constant.CopyFrom(node.attribute[0].t)
            constant.name = name_of[node.output[0]] = node.output[0]
        elif node.op_type == "Identity" and node.input[0] in name_of:
            name_of[node.output[0]] = name_of[node.input[0]]
        else:
            kept.append(node)
    for node in kept:
        node.input[:] = [name_of.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)


def _name_folded_weights(graph: Any, module: ExportModule) -> None:
    """Gives the weights of convolutions with a folded batch normalization their names in the network.

    The older exporter numbers them. By their names a training from the exported file puts them back.
    """
    layers = dict(module.named_modules())
    taken = {item.name for item in graph.initializer}
    new_name: dict[str, str] = {}
    for node in graph.node:
        layer = _find_layer(node.name)
        if layer not in layers:
            # With local features the body's layers run without a call of the body itself.
            layer = layer.replace("network.backbone.", "network.backbone.body.", 1)
        if node.op_type != "Conv" or not hasattr(layers.get(layer), "weight"):
            continue
        for old, name in zip(node.input[1:], (f"{layer}.weight", f"{layer}.bias"), strict=False):
            # A layer that is called twice may be folded with two normalizations.
            if old in taken and old not in new_name and name not in taken:
                new_name[old] = name
                taken.add(name)
    for item in graph.initializer:
        item.name = new_name.get(item.name, item.name)
    for node in graph.node:
        node.input[:] = [new_name.get(name, name) for name in node.input]


def _find_layer(node: str) -> str:
    """The layer of a node, which is named by its calls: "/body/blocks/blocks.0/conv/Conv" is of body.blocks.0.conv.

    A child of a list or sequence has the list's name too.
    """
    parts: list[str] = []
    before = ""
    for part in node.split("/")[1:-1]:
        parts.append(part.removeprefix(f"{before}.") if before else part)
        before = part
    return ".".join(parts)


def _export(module: ExportModule, size: tuple[int, int], outputs: Sequence[str], model: Path) -> Any:
    """Converts a network with torch's newer exporter.

    Raises:
        MaskfitError: It returned nothing.
    """
    import torch

    program = torch.onnx.export(
        module,
        # Two images: with one, the exporter would fix the batch size to 1.
        (torch.zeros((2, *size, 3), dtype=torch.uint8),),
        input_names=[FRAMES],
        output_names=list(outputs),
        dynamic_shapes=({0: torch.export.Dim(BATCH, min=1, max=65536)},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise MaskfitError("torch returned no ONNX program", location=model, hint="try another version of torch")
    return program.model_proto


def _strip_debug_info(program: Any) -> None:
    """Removes what torch's exporter records of every layer: its place in the code, with paths of this machine."""
    graph = program.graph
    kept = [(item.key, item.value) for item in program.metadata_props if item.key == INT8_KEY]
    for item in (program, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    for key, value in kept:
        program.metadata_props.add(key=key, value=value)


def _make_export_module(network: Network, metadata: ModelMetadata) -> ExportModule:
    from maskfit.models.export_module import DatasetNormalize, ExportModule, InstanceNormalize

    normalization = metadata.preprocessing.normalization
    scale, shift = (np.asarray(numbers).tolist() for numbers in normalization.scale_and_shift())
    normalize = InstanceNormalize(MIN_STD) if normalization.mode == "per_image" else DatasetNormalize(scale, shift)
    to_scored: Mapping[str, list[int]] = {
        attribute.name: attribute.to_scored_index().tolist()
        for attribute in metadata.label_schema.attributes
        if attribute.parent_of
    }
    sizes, temperatures = metadata.label_schema.sizes, metadata.calibration.temperatures
    return ExportModule(network, normalize, sizes, to_scored, temperatures).eval()
