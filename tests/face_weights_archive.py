"""Archives in the layout of the package that `model.pretrained=faces` downloads, with random weights."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from maskfit.models import face_weights
from maskfit.models.backbone_names import FACES_BACKBONE
from maskfit.models.backbones import build_backbone


def write_archive(path: Path, nodes: list[dict[str, object]], arrays: dict[str, np.ndarray]) -> Path:
    """Writes an archive as the package's: kernels in 16 bits, as its file has them, and everything else in 32."""
    entries: list[dict[str, object]] = []
    for name, array in arrays.items():
        entry: dict[str, object] = {"name": name, "shape": list(array.shape), "dtype": "float32"}
        entries.append(entry | ({"quantization": {"dtype": "float16"}} if array.dtype == np.float16 else {}))
    model = {"modelTopology": {"node": nodes}, "weightsManifest": [{"weights": entries}]}
    contents = {"json": json.dumps(model).encode(), "bin": b"".join(array.tobytes() for array in arrays.values())}
    with tarfile.open(path, "w:gz") as files:
        for suffix, content in contents.items():
            member = tarfile.TarInfo(f"package/models/faceres.{suffix}")
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    return path


def write_mobilenet(path: Path) -> Path:
    """Writes an archive with random weights of the whole network; every second layer has a scale."""
    rng = np.random.default_rng(0)
    body = build_backbone(FACES_BACKBONE).body
    nodes: list[dict[str, object]] = []
    arrays: dict[str, np.ndarray] = {}
    for number, module in enumerate(item for item in body.modules() if isinstance(item, nn.Conv2d)):
        shape, deep = module.weight.shape, module.groups > 1
        kernel = rng.normal(size=shape) * (2 / module.weight[0].numel()) ** 0.5 / (100 if number == 0 else 1)
        arrays[f"kernel{number}"] = kernel.transpose((2, 3, 0, 1) if deep else (2, 3, 1, 0)).astype(np.float16)
        op = "DepthwiseConv2dNative" if deep else "Conv2D"
        nodes.append({"name": f"conv{number}", "op": op, "input": ["x", f"kernel{number}"]})
        last = f"conv{number}"
        if number % 2:
            arrays[f"scale{number}"] = (0.8 + 0.4 * rng.random(shape[0])).astype(np.float32)
            nodes.append({"name": f"mul{number}", "op": "Mul", "input": [last, f"scale{number}"]})
            last = f"mul{number}"
        arrays[f"offset{number}"] = (rng.random(shape[0]) * 0.3).astype(np.float32)
        nodes.append({"name": f"add{number}", "op": "Add", "input": [last, f"offset{number}"]})
    return write_archive(path, nodes, arrays)


def use_as_package(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes an archive the one that is expected; it is found as a user without a network would give it."""
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(face_weights, "FACE_WEIGHTS", face_weights.FACE_WEIGHTS._replace(sha256=sha256, url=""))
    monkeypatch.setenv("MASKFIT_START_WEIGHTS", str(archive))
