"""The bundled detector's network: YuNet's, with less work on its finest maps; no anchors.

YuNet (Wu, Peng, Yu: A Tiny Millisecond-level Face Detector, 2023) is a chain of convolutions across channels, each
followed by one across space. Changes: 32 instead of 64 channels at stride 4; the two blocks that follow there work at
stride 8; two more blocks at strides 16 and 32; and one head of 16 channels for each stride instead of four. Half of
YuNet's time is spent before stride 8, where few channels are enough.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

STRIDES = (8, 16, 32)
"""Pixels per cell of the three output maps."""

OUTPUT_NAMES = tuple(f"cells_{stride}" for stride in STRIDES)
"""Names of the output maps in the exported file."""

WIDTH, FINE_WIDTH = 64, 32
"""Channels from stride 8 on, and at stride 4."""

OUTPUTS = 16
"""Two logits whose mean is the score's, center and size of the box, and five landmarks of a cell."""

PIXEL_SCALE = 64.0
"""Pixels are divided by this, so that weights of the first layer have usual sizes."""


class Block(nn.Module):
    """A convolution across channels, one across space, and normalization.

    Args:
        source: Channels of the input.
        target: Channels of the output.
        active: Whether negative outputs become 0.
        normalized: Whether outputs are normalized.
    """

    def __init__(self, source: int, target: int, active: bool = True, normalized: bool = True) -> None:
        super().__init__()
        self.across = nn.Conv2d(source, target, 1)
        self.space = nn.Conv2d(target, target, 3, 1, 1, groups=target, bias=not normalized)
        self.norm = nn.BatchNorm2d(target, momentum=0.03) if normalized else nn.Identity()
        self.active = active

    def forward(self, features: Tensor) -> Tensor:
        """Returns features of the same height and width."""
        features = self.across(features)
        if isinstance(self.norm, nn.BatchNorm2d):
            out = _normalized(self.space, self.norm, features)
        else:
            out = self.space(features)
        return torch.relu(out) if self.active else out


class Shortcut(Block):
    """A block beside a shortcut; it starts as the shortcut alone."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, active=False)
        nn.init.zeros_(self.norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Returns features of the same shape."""
        return torch.relu(features + super().forward(features))


class FaceNetwork(nn.Module):
    """Maps RGB pixels to one output map for each stride.

    Input: (photos, height, width, 3), 0 to 255, height and width multiples of 32. Outputs: (photos, 16, height /
    stride, width / stride): two logits; the box's center relative to the cell's upper left corner in strides, and
    the logarithms of its width and height in strides; landmarks like the center.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pixel_scale = PIXEL_SCALE
        self.frozen = False
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16, momentum=0.03))
        self.second = Block(16, 16)
        self.quarter = nn.Sequential(Block(16, 16), Block(16, FINE_WIDTH))
        self.fine = nn.Sequential(Block(FINE_WIDTH, WIDTH), *(Block(WIDTH, WIDTH) for _ in range(3)))
        self.middle = nn.Sequential(Block(WIDTH, WIDTH), Block(WIDTH, WIDTH), Shortcut(WIDTH))
        self.coarse = nn.Sequential(Block(WIDTH, WIDTH), Block(WIDTH, WIDTH), Shortcut(WIDTH))
        self.joins = nn.ModuleList(Block(WIDTH, WIDTH) for _ in STRIDES)
        self.towers = nn.ModuleList(Block(WIDTH, WIDTH) for _ in STRIDES)
        self.heads = nn.ModuleList(Block(WIDTH, OUTPUTS, active=False, normalized=False) for _ in STRIDES)

    def train(self, mode: bool = True) -> FaceNetwork:
        """Changes between training and prediction; frozen normalizations keep their statistics."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d) and self.frozen:
                part.eval()
        return self

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Returns the output maps by rising stride."""
        image = pixels.permute(0, 3, 1, 2).float()
        if self.pixel_scale != 1:
            image = image / self.pixel_scale
        stem = torch.relu(_normalized(self.stem[0], self.stem[1], image))
        quarter = self.quarter(_halve(self.second(stem)))
        fine = self.fine(_halve(quarter))
        middle = self.middle(_halve(fine))
        coarse = self.coarse(_halve(middle))
        above: Tensor | None = None
        maps = []
        for level, features in reversed(list(enumerate((fine, middle, coarse)))):
            if above is not None:
                features = features + nn.functional.interpolate(above, scale_factor=2.0, mode="nearest")
            above = self.joins[level](features)
            maps.append(self.heads[level](self.towers[level](above)))
        return tuple(reversed(maps))


def _normalized(convolution: nn.Conv2d, norm: nn.BatchNorm2d, features: Tensor) -> Tensor:
    if not convolution.training or norm.training:
        out: Tensor = norm(convolution(features))
        return out
    # Statistics that do not change are part of the weights, which saves a pass over the features in each direction.
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    weight, bias = convolution.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    return nn.functional.conv2d(
        features, weight, bias, convolution.stride, convolution.padding, groups=convolution.groups
    )


def _halve(features: Tensor) -> Tensor:
    return nn.functional.max_pool2d(features, 2)


def decode(maps: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Returns logits (photos, cells), boxes (…, 4) and landmarks (…, 10) in pixels, centers (cells, 2), strides."""
    corners, strides = [], []
    for item, stride in zip(maps, STRIDES, strict=True):
        height, width = item.shape[2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        corners.append(torch.stack([x, y], -1).reshape(-1, 2).float() * stride)
        strides.append(torch.full((height * width,), float(stride)))
    corner, stride = torch.cat(corners), torch.cat(strides)
    values = torch.cat([item.float().flatten(2).transpose(1, 2) for item in maps], 1)
    center = values[..., 2:4] * stride[:, None] + corner
    half = values[..., 4:6].clamp(-4, 5).exp() * stride[:, None] / 2
    boxes = torch.cat([center - half, center + half], -1)
    marks = values[..., 6:] * stride[:, None] + corner.repeat(1, 5)
    return values[..., :2].mean(-1), boxes, marks, corner + stride[:, None] / 2, stride


def start_from(network: FaceNetwork, path: Path) -> None:
    """Copies the weights of YuNet's file, or of one that `export.py` wrote, into a new network.

    Args:
        network: The network; started from an export, its normalizations keep the statistics that `normalize` finds.
        path: The ONNX file.
    """
    network.frozen = tuple(item.name for item in onnx.load(path).graph.output) == OUTPUT_NAMES
    (start_from_export if network.frozen else start_from_yunet)(network, path)


@torch.no_grad()
def start_from_yunet(network: FaceNetwork, path: Path) -> None:
    """Copies YuNet's weights into a new network; of stride 4 the channels that the next layer weighs most.

    Args:
        network: The network.
        path: YuNet's ONNX file, whose convolutions come in the order of the network: backbone, neck from coarse to
            fine, towers by rising stride, and heads: class, box, object, landmarks, each by rising stride.
    """
    layers = _convolutions(path)
    weight, bias = layers.pop(0)
    network.stem[0].weight.copy_(weight.flip(1) * PIXEL_SCALE)
    network.stem[1].bias.copy_(bias)
    blocks = [layers[index : index + 2] for index in range(0, len(layers), 2)]
    chain, blocks = blocks[:11], blocks[11:]
    importance = chain[3][0][0].abs().sum((0, 2, 3))
    kept = importance.topk(FINE_WIDTH).indices.sort().values
    chain[2] = [[part[kept] for part in layer] for layer in chain[2]]
    chain[3][0][0] = chain[3][0][0][:, kept]
    body = [network.second, *network.quarter, *network.fine, *network.middle[:2], *network.coarse[:2]]
    body += [*reversed(network.joins), *network.towers]
    for block, (across, space) in zip(body, chain + blocks[:6], strict=True):
        _copy(block.across, *across)
        block.space.weight.copy_(space[0])
        block.norm.bias.copy_(space[1])
    heads = blocks[6:]
    for level, head in enumerate(network.heads):
        own = [heads[kind * 3 + level] for kind in (0, 2, 1, 3)]
        _copy(head.across, *(torch.cat([part[0][index] for part in own]) for index in (0, 1)))
        _copy(head.space, *(torch.cat([part[1][index] for part in own]) for index in (0, 1)))


@torch.no_grad()
def start_from_export(network: FaceNetwork, path: Path) -> None:
    """Copies the weights of an exported network of this kind into a new one.

    Args:
        network: The network.
        path: The ONNX file, whose convolutions come in the order in which the network runs them; the normalizations
            are part of them.
    """
    stem, *layers = _convolutions(path)
    network.stem[0].weight.copy_(stem[0] * PIXEL_SCALE)
    network.stem[1].bias.copy_(stem[1])
    body = [network.second, *network.quarter, *network.fine, *network.middle, *network.coarse]
    for level in reversed(range(len(STRIDES))):
        body += [network.joins[level], network.towers[level], network.heads[level]]
    for block, across, space in zip(body, layers[::2], layers[1::2], strict=True):
        _copy(block.across, *across)
        block.space.weight.copy_(space[0])
        if isinstance(block.norm, nn.BatchNorm2d):
            nn.init.ones_(block.norm.weight)
            block.norm.bias.copy_(space[1])
        else:
            block.space.bias.copy_(space[1])


@torch.no_grad()
def weigh_size(network: FaceNetwork, weight: float, shift: float) -> None:
    """Adds a multiple of the box's size to the logits, in the weights of the heads.

    Each channel of a head is a convolution across channels and one across space: a product of two vectors. The score's
    logit is the mean of two such products; with those of width and height there are four, whose sum is the best sum of
    two again, by singular values.

    Args:
        network: The network.
        weight: Logits for each unit of the logarithm of the square root of the box's area in pixels.
        shift: Logits for all boxes.
    """
    shares = torch.tensor([0.5, 0.5, weight / 2, weight / 2])
    chosen = [0, 1, 4, 5]
    for stride, head in zip(STRIDES, network.heads, strict=True):
        across = torch.cat([head.across.weight.flatten(1), head.across.bias[:, None]], 1)[chosen]
        space, bias = head.space.weight.flatten(1)[chosen], head.space.bias[chosen]
        left, values, right = torch.linalg.svd(torch.einsum("c,cp,cf->pf", shares, space, across))
        scale = (2 * values[:2]).sqrt()[:, None]
        head.space.weight[:2] = (left.T[:2] * scale).reshape(2, 1, 3, 3)
        head.across.weight[:2] = (right[:2, :-1] * scale)[..., None, None]
        head.across.bias[:2] = right[:2, -1] * scale[:, 0]
        head.space.bias[:2] = shares @ bias + weight * float(np.log(stride)) + shift


def _convolutions(path: Path) -> list[list[Tensor]]:
    """Returns weight and bias of an ONNX file's convolutions, in the file's order."""
    graph = onnx.load(path).graph
    stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    return [
        [torch.from_numpy(stored[name].copy()) for name in node.input[1:]]
        for node in graph.node
        if node.op_type == "Conv"
    ]


def _copy(layer: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    assert layer.bias is not None
    layer.bias.copy_(bias)


@torch.no_grad()
def normalize(network: FaceNetwork, pixels: Tensor) -> None:
    """Gives the normalizations the statistics of some images, and all layers usual sizes, without a change of outputs.

    Args:
        network: A network whose normalizations have changed nothing so far.
        pixels: Typical images.
    """
    network.eval()
    found: list[Callable[[], None]] = []

    def note(norm: nn.BatchNorm2d, space: nn.Conv2d) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            values = inputs[0]
            mean, variance = values.mean((0, 2, 3)), values.var((0, 2, 3))
            size = space.weight.flatten(1).norm(dim=1).clamp(1e-6)

            def apply() -> None:
                scale = norm.weight / (norm.running_var + norm.eps).sqrt()
                shift = norm.bias - norm.running_mean * scale
                space.weight.div_(size[:, None, None, None])
                norm.running_mean.copy_(mean / size)
                norm.running_var.copy_((variance / size.square()).clamp(1e-4))
                norm.weight.copy_(scale * size * (norm.running_var + norm.eps).sqrt())
                norm.bias.copy_(shift + scale * mean)

            found.append(apply)

        return hook

    pairs = [(network.stem[1], network.stem[0])]
    blocks = [part for part in network.modules() if isinstance(part, Block)]
    pairs += [(part.norm, part.space) for part in blocks if isinstance(part.norm, nn.BatchNorm2d)]
    handles = [norm.register_forward_hook(note(norm, space)) for norm, space in pairs]
    network(pixels)
    for handle in handles:
        handle.remove()
    for apply in found:
        apply()
