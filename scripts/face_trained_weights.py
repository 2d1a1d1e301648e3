"""Start weights of the bundled model: a MobileNet that was trained to recognize faces, as a file for timm.

    python scripts/face_trained_weights.py --photos third/photos.csv --out face_mobilenetv1.safetensors

These are the weights of `model.pretrained=faces` (`maskfit.models.face_weights`, which downloads them), with batch
normalization whose means and variances are those of the given photos of faces: a file that other programs take, too.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from maskfit.models.backbone_names import FACES, FACES_BACKBONE
from maskfit.models.backbones import build_backbone
from maskfit.training.exported_start import measure_batch_norms

PHOTOS = 512
"""Number of photos that means and variances are measured on."""


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
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    args = parser.parse_args()
    backbone = build_backbone(FACES_BACKBONE, FACES)
    measure_batch_norms(backbone, [read_images(args.photos, args.side)])
    save_file({name: value.contiguous() for name, value in backbone.body.state_dict().items()}, args.out)
    print(f"{args.out}: {sum(value.numel() for value in backbone.parameters()):,} weights")


if __name__ == "__main__":
    main()
