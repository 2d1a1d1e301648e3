"""Baselines of `predict.py` and `ensemble.py`: ways from image files to class indices, each run in its own process.

    python benchmarks/baselines.py NAME ARGUMENTS.json

The JSON file holds `models`, `images`, `num_views` and `frames`. Prints JSON: `loop`, the seconds without the start of
the process, and `predictions`. `maskfit predict` is not in this file: it is run as users run it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH_SIZE = 32

Result = tuple[float, list[int]]
"""Seconds without the start of the process, and the class index of each image."""


def run_public_solutions(models: list[str], images: list[str], num_views: int, frames: str) -> Result:
    """Predicts as the public solutions of the competition do.

    Pillow and torchvision transforms per image in a DataLoader with two workers, one pass over all images for each
    member and view, plain torch in f32.

    Args:
        models: Paths of `.safetensors` model files.
        images: Paths of the images.
        num_views: 1, or 2 for the image and its mirror image.
        frames: Unused.

    Returns:
        Seconds and class indices.
    """
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from maskfit.model_file import load_model

    class ImageFiles(Dataset[Any]):
        def __init__(self, mirrored: bool, size: tuple[int, int]) -> None:
            steps = [transforms.CenterCrop(384), transforms.Resize(size), transforms.ToTensor()]
            if mirrored:
                steps.append(transforms.RandomHorizontalFlip(1.0))
            self.transform = transforms.Compose(
                [*steps, transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
            )

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int) -> Any:
            return self.transform(Image.open(images[index]).convert("RGB"))

    networks = [load_model(Path(model)) for model in models]
    began = time.perf_counter()
    total: Any = 0
    for network, metadata in networks:
        for mirrored in range(num_views):
            dataset = ImageFiles(bool(mirrored), metadata.preprocessing.crop_resize.size)
            loader = DataLoader(dataset, BATCH_SIZE, num_workers=2)
            with torch.no_grad():
                rows = [joint_probabilities(metadata, network(batch)) for batch in loader]
            total = total + torch.cat(rows)
    return time.perf_counter() - began, total.argmax(1).tolist()


def run_timm(models: list[str], images: list[str], num_views: int, frames: str) -> Result:
    """Predicts as timm's documentation shows: its loader and transform, `torch.inference_mode`, channels_last.

    Args:
        models: Paths of `.safetensors` model files; the first is used.
        images: Paths of the images.
        num_views: Unused.
        frames: Unused.

    Returns:
        Seconds and class indices.
    """
    import torch
    from timm.data import ImageDataset, create_loader

    from maskfit.model_file import load_model

    network, metadata = load_model(Path(models[0]))
    network = network.to(memory_format=torch.channels_last)
    dataset = ImageDataset(Path(images[0]).parent, reader=TimmReader(images))
    began = time.perf_counter()
    loader = create_loader(
        dataset,
        (3, *metadata.preprocessing.crop_resize.size),
        BATCH_SIZE,
        use_prefetcher=False,
        num_workers=2,
        crop_pct=1.0,
        interpolation="bilinear",
        device=torch.device("cpu"),
    )
    with torch.inference_mode():
        rows = [
            joint_probabilities(metadata, network(batch.contiguous(memory_format=torch.channels_last)))
            for batch, _ in loader
        ]
    return time.perf_counter() - began, torch.cat(rows).argmax(1).tolist()


class TimmReader:
    """List of image files as timm's datasets read it.

    Args:
        images: Paths of the images.
    """

    def __init__(self, images: list[str]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return Path(self.images[index]).open("rb"), 0


def joint_probabilities(metadata: Any, logits: Any) -> Any:
    """Returns the product of the heads' probabilities.

    Args:
        metadata: The model file's metadata.
        logits: Head -> (batch, values) logits.

    Returns:
        Probabilities, (batch, classes).
    """
    joint: Any = None
    for name in metadata.label_schema.names:
        probabilities = logits[name].softmax(1)
        joint = probabilities if joint is None else (joint[:, :, None] * probabilities[:, None, :]).flatten(1)
    return joint


def openvino_only(
    options: dict[str, Any], batch_size: int, requests: int, *, static_batch: bool = False
) -> Callable[..., Result]:
    """Returns a baseline that runs only the network, on preprocessed frames in memory: the limit for this engine.

    Args:
        options: OpenVINO compile options.
        batch_size: Frames per request.
        requests: Number of asynchronous requests.
        static_batch: Whether the network is compiled for this batch size only, of which the number of frames must be a
            multiple.

    Returns:
        The baseline.
    """

    def run(models: list[str], images: list[str], num_views: int, frames: str) -> Result:
        import numpy as np
        import openvino

        inputs = np.load(frames)
        classes = np.zeros(len(inputs), dtype=int)
        seconds = 0.0
        for model in models:
            network = openvino.Core().read_model(Path(model).with_suffix(".onnx"))
            if static_batch:
                network.reshape([batch_size, *inputs.shape[1:]])
            compiled = openvino.Core().compile_model(network, "CPU", options)
            queue = openvino.AsyncInferQueue(compiled, requests)
            queue.set_callback(lambda request, start: store(classes, start, request.get_tensor("probabilities").data))
            # Warm-up: the first batch of a request allocates its memory.
            for start in range(requests):
                queue.start_async({0: inputs[:batch_size]}, start)
            queue.wait_all()
            began = time.perf_counter()
            for _ in range(num_views):
                for start in range(0, len(inputs), batch_size):
                    queue.start_async({0: inputs[start : start + batch_size]}, start)
            queue.wait_all()
            seconds += time.perf_counter() - began
        return seconds, classes.tolist()

    return run


def store(classes: Any, start: int, probabilities: Any) -> None:
    """Writes the class indices of a batch, from `start` on."""
    found = probabilities.argmax(1)
    classes[start : start + len(found)] = found[: len(classes) - start]


def two_streams(precision: str) -> dict[str, Any]:
    """Returns OpenVINO options for two streams on two threads in a precision."""
    return {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 2, "INFERENCE_NUM_THREADS": 2}


BASELINES: dict[str, Callable[..., Result]] = {
    "public-solutions": run_public_solutions,
    "timm": run_timm,
    # OpenVINO's documented default: one request, its own precision, which is bf16 where the processor supports it.
    "openvino": openvino_only({}, BATCH_SIZE, 1),
    # The fastest settings that were found, with a dynamic batch size and with a static one.
    "openvino bf16, 2 streams": openvino_only(two_streams("bf16"), 8, 2),
    "openvino f32, 2 streams": openvino_only(two_streams("f32"), 8, 2),
    "openvino bf16, batch 4": openvino_only(two_streams("bf16"), 4, 3, static_batch=True),
    "openvino f32, batch 2": openvino_only(two_streams("f32"), 2, 3, static_batch=True),
}


if __name__ == "__main__":
    arguments = json.loads(Path(sys.argv[2]).read_text())
    loop, predictions = BASELINES[sys.argv[1]](**arguments)
    print(json.dumps({"loop": loop, "predictions": predictions}))
