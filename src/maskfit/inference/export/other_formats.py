"""OpenVINO: the network of the ONNX file as OpenVINO's own `.xml` and `.bin`, with the facts in the `.xml`.

Fewer bits come from the ONNX file too, whose quantised layers and widened weights OpenVINO understands; so what shrinks
the one shrinks the other.
"""

from __future__ import annotations

import json
from pathlib import Path

from maskfit.errors import ModelFileError
from maskfit.inference.engines.openvino import import_openvino
from maskfit.inference.export.onnx_export import Compress, to_onnx
from maskfit.model_file import load_model, save_model


def write_openvino(model: Path, out: Path, shrink: Compress | None = None) -> None:
    """Writes a model as OpenVINO's `.xml`, its weights beside it as `.bin`.

    Raises:
        ModelFileError: `model` is no such model, or OpenVINO cannot read its network.
        DataError: There is nothing to shrink it by.
        MissingExtraError: The exporter or OpenVINO is not installed.
    """
    openvino = import_openvino("'maskfit export --format openvino'")
    program, facts = to_onnx(model, shrink)
    try:
        # Not convert_model(), which writes down the paths of this machine.
        network = openvino.Core().read_model(program.SerializeToString())
    except RuntimeError as error:
        raise ModelFileError(f"OpenVINO cannot read its network: {error!s:.300}", location=model) from None
    for key, text in facts.to_metadata().items():
        # In ASCII, since there are characters that XML cannot hold.
        network.set_rt_info(json.dumps(json.loads(text)), key)
    openvino.serialize(network, out, out.with_suffix(".bin"))


def write_weights(model: Path, out: Path, shrink: Compress | None = None) -> None:
    """Writes a model's weights without its layer of years, if it has one; `shrink` is for formats that are ONNX's.

    Raises:
        ModelFileError: `model` is no such model.
        MissingExtraError: torch is not installed.
    """
    network, facts = load_model(model)
    network.age_regressor = None
    save_model(out, network.state_dict(), facts.model_copy(update={"age_regression": False}))
