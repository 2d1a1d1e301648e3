"""Faces of photos behind LitServe, for `serve_litserve.py`: what `maskfit serve` answers, with the same functions.

uv run --with litserve python benchmarks/litserve_faces.py MODEL WORKERS:BATCH:WAIT --port PORT
"""

import argparse
import os
from pathlib import Path
from typing import Any

import litserve  # type: ignore[import-not-found, unused-ignore]
from fastapi import UploadFile

from maskfit.data.image_decoding import decode
from maskfit.inference.engines.selection import select_continuous_engine
from maskfit.inference.face_prediction import DetectedFaces, PhotoPrediction
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor


# LitServe evaluates the annotations, so there are no postponed ones.
class Faces(litserve.LitAPI):  # type: ignore[misc, unused-ignore]
    """The models of one worker process.

    Args:
        model: Model file.
        threads: Threads for one batch.
        options: Options of LitServe.
    """

    def __init__(self, model: Path, threads: int, **options: Any) -> None:
        super().__init__(**options)
        self.model = model
        self.threads = threads

    def setup(self, device: str) -> None:
        """Loads the models; faces in a batch of the network and at most on a photo as in `maskfit serve`."""
        engine = select_continuous_engine([self.model], "auto")
        predictor = Predictor.load(self.model, batch_size=8, threads=self.threads, engine=engine)
        self.faces = FacePredictor(predictor, predict_whole_image=False, max_faces=32)

    def decode_request(self, request: UploadFile) -> DetectedFaces:
        """Decodes a photo and detects its faces."""
        return self.faces.preprocess(decode(request.file.read()))

    def batch(self, inputs: list[DetectedFaces]) -> list[DetectedFaces]:
        """Collects photos."""
        return inputs

    def predict(self, x: Any) -> Any:
        """Predicts a batch of photos, or a photo where there are no batches."""
        return self.faces.predict_batch(x) if isinstance(x, list) else self.faces.predict_batch([x])[0]

    def unbatch(self, output: list[PhotoPrediction]) -> list[PhotoPrediction]:
        """Takes a batch apart."""
        return output

    def encode_response(self, output: PhotoPrediction) -> Any:
        """Converts to JSON types."""
        return output.to_dict()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("setting", metavar="WORKERS:BATCH:WAIT")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    workers, batch, wait = args.setting.split(":")
    threads = max(1, len(os.sched_getaffinity(0)) // int(workers))
    path = "/v1/predict"
    api = Faces(args.model, threads, max_batch_size=int(batch), batch_timeout=float(wait), api_path=path)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(workers), timeout=120)
    server.run(host="127.0.0.1", port=args.port, log_level="warning", generate_client_file=False)
