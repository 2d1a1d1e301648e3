"""OpenVINO: the network of the ONNX file as OpenVINO's own `.xml` and `.bin`, with the facts in the `.xml`.

Its eight bits come from the ONNX file too, whose quantised layers OpenVINO understands; so one quantiser serves both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from maskfit.data.photo import Photo
from maskfit.errors import ModelFileError
from maskfit.inference.engines import import_openvino
from maskfit.inference.export.onnx_file import to_onnx


def write_openvino(model: Path, out: Path, calibrate: Sequence[Photo] | None = None) -> None:
    """Writes a model as OpenVINO's `.xml`, its weights beside it as `.bin`.

    Raises:
        ModelFileError: `model` is no such model, or OpenVINO cannot read its network.
        DataError: No photo can be read to set ranges by.
        MissingExtraError: The exporter or OpenVINO is not installed.
    """
    openvino = import_openvino("'maskfit export --to openvino'")
    program, facts = to_onnx(model, calibrate)
    try:
        # Not convert_model(), which writes down the paths of this machine.
        network = openvino.Core().read_model(program.SerializeToString())
    except RuntimeError as error:
        raise ModelFileError(f"OpenVINO cannot read its network: {error!s:.300}", where=model) from None
    for key, text in facts.to_metadata().items():
        # In ASCII, since there are characters that XML cannot hold.
        network.set_rt_info(json.dumps(json.loads(text)), key)
    openvino.serialize(network, out, out.with_suffix(".bin"))
