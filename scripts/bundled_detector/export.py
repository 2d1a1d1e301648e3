"""Exports the bundled detector as ONNX, with 32-bit weights; normalizations become part of the convolutions."""

from __future__ import annotations

import io
from copy import deepcopy

import onnx
import torch
from network import OUTPUT_NAMES, PIXEL_SCALE, STRIDES, FaceNetwork

NOTICE = {
    "source": "changed from the weights of YuNet, https://github.com/ShiqiYu/libfacedetection.train",
    "copyright": "2022 Shiqi Yu, 2018-2022 OpenMMLab (YuNet)",
    "license": "Apache-2.0; trained further on photos for research use",
}
"""What the file says about itself, as YuNet's license asks."""


def to_onnx(network: FaceNetwork) -> bytes:
    """Returns the network as ONNX with free photos, height and width."""
    network = deepcopy(network).eval().to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        network.stem[0].weight.div_(PIXEL_SCALE)
    network.pixel_scale = 1.0
    stream = io.BytesIO()
    names = list(OUTPUT_NAMES)
    axes = {"image": {0: "photos", 1: "height", 2: "width"}}
    for name, stride in zip(OUTPUT_NAMES, STRIDES, strict=True):
        axes[name] = {0: "photos", 2: f"height/{stride}", 3: f"width/{stride}"}
    example = (torch.zeros(1, 320, 384, 3, dtype=torch.uint8),)
    torch.onnx.export(
        network,
        example,
        stream,
        input_names=["image"],
        output_names=names,
        dynamic_axes=axes,
        dynamo=False,
    )
    model = onnx.load_from_string(stream.getvalue())
    onnx.helper.set_model_props(model, NOTICE)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
