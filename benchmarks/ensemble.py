"""Five folds and two views from files to CSV, against the network alone and the seeds' way: ratios of one run.

    uv run python benchmarks/ensemble.py [--photos DIR] [--model A.safetensors B.safetensors ...] [--rounds N]

As `predict.py`, with five members that each see a photo and its mirror. The seeds open every photo ten times for that.
"""

from __future__ import annotations

from predict import main

if __name__ == "__main__":
    main(__doc__ or "", 5, 2, ["openvino bf16, 2 streams", "seeds"])
