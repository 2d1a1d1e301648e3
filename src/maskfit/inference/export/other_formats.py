"""Export to OpenVINO's `.xml` and `.bin`, with the metadata in the `.xml`, and to bare weights.

The OpenVINO network is converted from the ONNX program, whose fp16 weights and int8 layers OpenVINO understands; so
what compresses the one compresses the other.
"""

from __future__ import annotations

import json
from pathlib import Path

from maskfit.errors import ModelFileError
from maskfit.inference.engines.openvino import import_openvino
from maskfit.inference.export.onnx_export import Compress, to_onnx
from maskfit.model_file import load_model, save_model


def write_openvino(model: Path, out: Path, compress: Compress | None = None) -> None:
    """Writes a model as OpenVINO's `.xml`, its weights in a `.bin` of the same name.

    Args:
        model: A `.safetensors` model.
        out: The `.xml` to write.
        compress: Makes the network smaller; None leaves it in fp32.

    Raises:
        ModelFileError: `model` is no such model, or OpenVINO cannot read its network.
        DataError: There are no photos to quantize with.
        MissingExtraError: The exporter or OpenVINO is not installed.
    """
    openvino = import_openvino("'maskfit export --format openvino'")
    program, metadata = to_onnx(model, compress)
    try:
        # Not convert_model(), which records paths of this machine.
        network = openvino.Core().read_model(program.SerializeToString())
    except RuntimeError as error:
        raise ModelFileError(f"OpenVINO cannot read its network: {error!s:.300}", location=model) from None
    for key, text in {**{item.key: item.value for item in program.metadata_props}, **metadata.to_metadata()}.items():
        # In ASCII, since there are characters that XML cannot hold.
        network.set_rt_info(json.dumps(json.loads(text)), key)
    openvino.serialize(network, out, out.with_suffix(".bin"))


def write_weights(model: Path, out: Path, compress: Compress | None = None) -> None:
    """Writes a model's weights without its age regression layer, if it has one.

    Args:
        model: A `.safetensors` model.
        out: The `.safetensors` to write.
        compress: Not used.

    Raises:
        ModelFileError: `model` is no such model.
        MissingExtraError: torch is not installed.
    """
    network, metadata = load_model(model)
    network.age_regressor = None
    save_model(out, network.state_dict(), metadata.model_copy(update={"age_regression": False}))
