"""Model files: weights in safetensors, networks in ONNX, OpenVINO's descriptions; opened, and asked for logits."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz.containers import PROTOBUF
from fuzz.engine import Sample
from fuzz.mutations import mutate_bytes, mutate_value
from maskfit.data.preprocessing import CropResize, Preprocessing
from maskfit.errors import MaskfitError
from maskfit.inference.engines import open_engine
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS
from maskfit.model_file import ModelMetadata, read_model_metadata, save_model
from maskfit.model_metadata import METADATA_KEY
from maskfit.registry import ComponentSpec

HEIGHT, WIDTH = 16, 12
BYTES_SHARE = 0.1
"""Share of inputs that are mutated as plain bytes."""


class ModelReader:
    """`open_engine` with torch and ONNX Runtime, and the metadata of OpenVINO's descriptions."""

    name = "models"
    refusals = (MaskfitError,)
    checks = (
        "maskfit.model_metadata:read_metadata()",
        "maskfit.models.network:build_network|maskfit.inference.engines.engine:find_input",
    )

    def samples(self, folder: Path) -> Sequence[Sample]:
        """Makes small networks with a shared head and with one per attribute, and exports one of each kind."""
        import torch

        from maskfit.inference.export import export_model
        from maskfit.models.network import build_network

        torch.set_num_threads(1)
        self.folder = folder
        schema = LABEL_SCHEMAS["mask-gender"]
        samples = []
        for head, heads in (("multi_head", schema.names), ("single_head", (JOINT_HEAD,))):
            metadata = ModelMetadata(
                label_schema=schema,
                preprocessing=Preprocessing(crop_resize=CropResize(size=(HEIGHT, WIDTH))),
                backbone=ComponentSpec.create("small", width=2),
                head=ComponentSpec.create(head),
                heads=heads,
            )
            network = build_network(metadata.backbone, metadata.head, schema.sizes)
            path = save_model(folder / f"{head}.safetensors", network.state_dict(), metadata)
            samples.append(Sample("m.safetensors", path.read_bytes()))
            export_model(path, folder / f"{head}.onnx")
            samples.append(Sample("m.onnx", (folder / f"{head}.onnx").read_bytes()))
        return [*samples, Sample("m.xml", _describe(metadata))]

    def mutate(self, rng: Random, sample: Sample) -> bytes:
        """Mutates metadata, header or graph; sometimes plain bytes."""
        if rng.random() < BYTES_SHARE:
            return mutate_bytes(rng, sample.data)
        if sample.kind == "m.safetensors":
            return _mutate_safetensors(rng, sample.data)
        if sample.kind == "m.onnx":
            return PROTOBUF.mutate(rng, sample.data)
        text: str = sample.data.decode()
        before, value, after = (
            text.partition("{")[0],
            text[text.index("{") : text.rindex("}") + 1],
            text[text.rindex("}") + 1 :],
        )
        changed = json.dumps(mutate_value(rng, json.loads(value.replace("&quot;", '"'))))
        return (before + changed.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;") + after).encode()

    def write(self, sample: Sample) -> bytes:
        """Returns the file."""
        return bytes(sample.data)

    def read(self, kind: str, data: bytes) -> None:
        """Opens it and asks for the logits of one image."""
        path = self.folder / kind
        # A new file, so that nothing is known about it from the one before.
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        metadata = read_model_metadata(path)
        size = metadata.preprocessing.crop_resize.size
        if kind == "m.xml" or size[0] * size[1] > 64 * 64:
            return
        open_engine(path, threads=1).logits(np.zeros((1, *size, 3), np.uint8))


def _describe(metadata: ModelMetadata) -> bytes:
    text = metadata.to_metadata()[METADATA_KEY].replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    info = f'<rt_info><maskfit value="{text}" /></rt_info>'
    return f'<?xml version="1.0"?>\n<net name="n" version="11">{info}</net>'.encode()


def _mutate_safetensors(rng: Random, data: bytes) -> bytes:
    (length,) = struct.unpack_from("<Q", data)
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    weights = data[8 + length :]
    kind = rng.randrange(4)
    if kind < 2:
        metadata = json.loads(header["__metadata__"][METADATA_KEY])
        header["__metadata__"][METADATA_KEY] = json.dumps(mutate_value(rng, metadata))
    elif kind == 2:
        header = mutate_value(rng, header)
    else:
        weights = mutate_bytes(rng, weights)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + weights
