"""Starts training from the backbone of an exported network, such as the bundled model.

An exported ONNX network has no BatchNorm: each is folded into the convolution before it, so that its statistics are
gone. To train on, every BatchNorm is put back such that the network computes the same. Its mean and variance are
measured on training photos, and its scale and offset undo them: with batch statistics, as in training, the network
then computes nearly the same too, where BatchNorms of mean 0 and variance 1 would destroy what it has learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maskfit.config.aliases import upgrade_weight_names
from maskfit.errors import ModelFileError
from maskfit.models.backbones import Backbone

NUM_STATISTICS_PHOTOS = 512
"""Training photos on which the BatchNorm statistics are measured."""

Convolutions = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32] | None]]
"""Name of a convolution in the backbone -> weight (out, in, height, width) and bias (out,)."""


def read_convolutions(path: Path) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
    """Reads the weights of a backbone's convolutions from an exported network.

    Args:
        path: An ONNX file that maskfit exported, in 32 or 16 bits.

    Returns:
        Name in the backbone, such as "body.conv_stem", -> weight and bias in float32.

    Raises:
        ModelFileError: The file has no such convolutions: it is quantized, or of another exporter.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    arrays = {item.name.removesuffix(".half"): numpy_helper.to_array(item) for item in graph.initializer}
    found: dict[str, tuple[NDArray[np.float32], NDArray[np.float32] | None]] = {}
    for node in graph.node:
        if node.op_type != "Conv" or node.input[1] not in arrays:
            continue
        (name,) = upgrade_weight_names({node.input[1].removeprefix("network."): None})
        if not name.startswith("backbone.") or not name.endswith(".weight"):
            continue
        bias = arrays[node.input[2]].astype(np.float32) if len(node.input) > 2 and node.input[2] in arrays else None
        weight = arrays[node.input[1]].astype(np.float32)
        found[name.removeprefix("backbone.").removesuffix(".weight")] = weight, bias
    if not found:
        raise ModelFileError(
            "the exported network holds no weights of convolutions to start from",
            location=path,
            hint="use an ONNX file without quantization, or the .safetensors model",
        )
    return found


def load_exported_backbone(backbone: Backbone, path: Path, batches: Iterable[Tensor]) -> int:
    """Loads the weights of an exported network into a backbone of the same architecture.

    Args:
        backbone: The backbone, changed in place.
        path: The ONNX file.
        batches: Normalized training images (batch, 3, height, width), at least two images.

    Returns:
        Number of convolutions that were loaded.

    Raises:
        ModelFileError: The file does not fit the backbone, or the backbone has layers that cannot be put back.
    """
    convolutions = read_convolutions(path)
    modules = {name: module for name, module in backbone.named_modules() if isinstance(module, nn.Conv2d)}
    _check_fit(modules, convolutions, backbone, path)
    images = iter(batches)
    first = next(images)
    training = backbone.training
    backbone.eval()
    with torch.no_grad():
        norm_of = _find_batch_norms(backbone, modules, first)
        for name, (weight, bias) in convolutions.items():
            modules[name].weight.copy_(torch.from_numpy(weight))
            _set_bias(modules[name], norm_of.get(name), bias)
        measure_batch_norms(backbone, chain([first], images), list(norm_of.values()))
    backbone.train(training)
    return len(convolutions)


@torch.no_grad()
def measure_batch_norms(
    backbone: Backbone, batches: Iterable[Tensor], norms: Sequence[nn.BatchNorm2d] | None = None
) -> None:
    """Measures the statistics of batch normalizations, whose scale and offset change so that outputs stay the same.

    Args:
        backbone: The backbone, changed in place.
        batches: Normalized training images (batch, 3, height, width), at least two images.
        norms: The normalizations; None for all.
    """
    if norms is None:
        norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    training = backbone.training
    backbone.eval()
    for norm, (mean, variance) in zip(norms, _measure_inputs(backbone, norms, batches), strict=True):
        old_mean, old_variance = norm.running_mean, norm.running_var
        assert old_mean is not None
        assert old_variance is not None
        scale = norm.weight / (old_variance + norm.eps).sqrt()
        norm.bias.add_(scale * (mean - old_mean))
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        old_mean.copy_(mean)
        old_variance.copy_(variance)
    backbone.train(training)


def _check_fit(modules: Mapping[str, nn.Conv2d], convolutions: Convolutions, backbone: Backbone, path: Path) -> None:
    different = [name for name in modules if name not in convolutions]
    different += [name for name in convolutions if name not in modules]
    different += [
        name
        for name, (weight, _) in convolutions.items()
        if name in modules and modules[name].weight.shape != weight.shape
    ]
    if different:
        raise ModelFileError(
            f"its network does not fit this backbone: {len(different)} convolutions differ, such as {different[0]}",
            location=path,
            hint="set model.backbone to the backbone that the model was trained with, with the same options",
        )
    others = [
        name
        for name, module in backbone.named_modules()
        if not isinstance(module, nn.Conv2d | nn.BatchNorm2d) and any(True for _ in module.parameters(recurse=False))
    ]
    if others:
        raise ModelFileError(
            f"the backbone has layers that an exported network does not restore, such as {others[0]}",
            location=path,
            hint="start from the .safetensors model",
        )


def _find_batch_norms(
    backbone: Backbone, modules: Mapping[str, nn.Conv2d], images: Tensor
) -> dict[str, nn.BatchNorm2d]:
    """Returns the BatchNorm that follows each convolution, found by running the backbone once."""
    outputs: dict[int, tuple[str, Tensor]] = {}
    norm_of: dict[str, nn.BatchNorm2d] = {}

    def keep_output(name: str, output: Tensor) -> None:
        outputs[id(output)] = name, output  # the tensor is kept, so that no other one gets its id

    def find_source(norm: nn.BatchNorm2d, value: Tensor) -> None:
        name, output = outputs.get(id(value), ("", None))
        if output is value:
            norm_of[name] = norm

    handles = [
        module.register_forward_hook(lambda _, args, output, name=name: keep_output(name, output))
        for name, module in modules.items()
    ]
    handles += [
        module.register_forward_pre_hook(lambda norm, args: find_source(norm, args[0]))
        for module in backbone.modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    try:
        backbone(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    return norm_of


def _set_bias(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None, bias: NDArray[np.float32] | None) -> None:
    """Sets the folded bias; a BatchNorm becomes the identity plus this bias."""
    values = None if bias is None else torch.from_numpy(bias)
    if norm is None:
        if convolution.bias is not None and values is not None:
            convolution.bias.copy_(values)
        return
    if convolution.bias is not None:
        convolution.bias.zero_()
    norm.running_mean.zero_()  # type: ignore[union-attr]
    norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]
    norm.weight.fill_(1.0)
    norm.bias.zero_() if values is None else norm.bias.copy_(values)


def _measure_inputs(
    backbone: Backbone, norms: Sequence[nn.BatchNorm2d], batches: Iterable[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Returns mean and variance of each BatchNorm's input by channel."""
    sums: dict[nn.Module, list[Tensor]] = {
        norm: [torch.zeros(norm.num_features, dtype=torch.float64)] * 2 for norm in norms
    }
    counts: dict[nn.Module, int] = dict.fromkeys(norms, 0)

    def add(norm: nn.Module, value: Tensor) -> None:
        values = value.double()
        first_moment, second_moment = sums[norm]
        sums[norm] = [first_moment + values.sum((0, 2, 3)).cpu(), second_moment + (values**2).sum((0, 2, 3)).cpu()]
        counts[norm] += values.numel() // values.shape[1]

    handles = [norm.register_forward_pre_hook(lambda norm, args: add(norm, args[0])) for norm in norms]
    try:
        for images in batches:
            backbone(images)
    finally:
        for handle in handles:
            handle.remove()
    measured = []
    for norm in norms:
        mean, square = (total / counts[norm] for total in sums[norm])
        measured.append((mean.float(), (square - mean**2).clamp(min=0).float()))
    return measured
