"""Ensemble prediction from image files to CSV, five folds and two views, against baselines.

    uv run python benchmarks/ensemble.py [--images DIR] [--model A.safetensors B.safetensors ...] [--rounds N]

As `predict.py`, with five members that each predict an image and its mirror image. The public solutions decode every
image ten times for that.
"""

from __future__ import annotations

from predict import main

if __name__ == "__main__":
    main(__doc__ or "", 5, 2, ["openvino bf16, 2 streams", "public-solutions"])
