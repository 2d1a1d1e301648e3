"""What `predict.py` and `ensemble.py` measure: ways from files to answers, each in a process of its own.

    python benchmarks/contenders.py WAY GIVEN.json

where the file holds `models`, `photos`, `views` and `frames`. Prints JSON: `loop`, the seconds for the photos alone,
and `answers`. The command itself is not here: it is run as users run it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH = 32
Found = tuple[float, list[int]]
"""Seconds for the photos alone, and the class of each."""


def seeds_way(models: list[str], photos: list[str], views: int, frames: str) -> Found:
    """As the public solutions: Pillow and torchvision's transforms photo by photo in a DataLoader with two workers, one
    pass through all photos for each member and view, plain torch in f32."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from maskfit.model_file import load_model

    class Photos(Dataset):
        def __init__(self, mirrored: bool, size: tuple[int, int]) -> None:
            steps = [transforms.CenterCrop(384), transforms.Resize(size), transforms.ToTensor()]
            if mirrored:
                steps.append(transforms.RandomHorizontalFlip(1.0))
            self.steps = transforms.Compose(
                [*steps, transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
            )

        def __len__(self) -> int:
            return len(photos)

        def __getitem__(self, place: int) -> Any:
            return self.steps(Image.open(photos[place]).convert("RGB"))

    networks = [load_model(Path(model)) for model in models]
    began = time.perf_counter()
    total: Any = 0
    for network, facts in networks:
        for mirrored in range(views):
            rows = []
            loader = DataLoader(Photos(bool(mirrored), facts.preprocessing.crop_resize.size), BATCH, num_workers=2)
            with torch.no_grad():
                rows = [joined(facts, network(batch)) for batch in loader]
            total = total + torch.cat(rows)
    return time.perf_counter() - began, total.argmax(1).tolist()


def timms_way(models: list[str], photos: list[str], views: int, frames: str) -> Found:
    """As timm's documentation has inference: its loader and transform, `torch.inference_mode`, channels_last."""
    import torch
    from timm.data import ImageDataset, create_loader

    from maskfit.model_file import load_model

    network, facts = load_model(Path(models[0]))
    network = network.to(memory_format=torch.channels_last)
    dataset = ImageDataset(Path(photos[0]).parent, reader=Listed(photos))
    began = time.perf_counter()
    loader = create_loader(
        dataset,
        (3, *facts.preprocessing.crop_resize.size),
        BATCH,
        use_prefetcher=False,
        num_workers=2,
        crop_pct=1.0,
        interpolation="bilinear",
        device=torch.device("cpu"),
    )
    with torch.inference_mode():
        rows = [joined(facts, network(batch.contiguous(memory_format=torch.channels_last))) for batch, _ in loader]
    return time.perf_counter() - began, torch.cat(rows).argmax(1).tolist()


class Listed:
    """The photos as timm's datasets read them."""

    def __init__(self, photos: list[str]) -> None:
        self.photos = photos

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, place: int) -> tuple[Any, int]:
        return Path(self.photos[place]).open("rb"), 0


def joined(facts: Any, logits: Any) -> Any:
    """The product of the heads' probabilities, (batch, classes)."""
    together: Any = None
    for name in facts.label_schema.names:
        shares = logits[name].softmax(1)
        together = shares if together is None else (together[:, :, None] * shares[:, None, :]).flatten(1)
    return together


def openvino_alone(options: dict[str, Any], batch: int, requests: int, *, only: bool = False) -> Callable[..., Found]:
    """The network alone, on frames that lie in memory: what no way from files can beat with this engine.

    With `only` it is compiled for batches of that size alone, which the number of photos must be a multiple of.
    """

    def run(models: list[str], photos: list[str], views: int, frames: str) -> Found:
        import numpy as np
        import openvino

        ready = np.load(frames)
        classes = np.zeros(len(ready), dtype=int)
        taken = 0.0
        for model in models:
            network = openvino.Core().read_model(Path(model).with_suffix(".onnx"))
            if only:
                network.reshape([batch, *ready.shape[1:]])
            compiled = openvino.Core().compile_model(network, "CPU", options)
            queue = openvino.AsyncInferQueue(compiled, requests)
            queue.set_callback(lambda request, place: keep(classes, place, request.get_tensor("probabilities").data))
            # The first batch of a request pays for its memory.
            for place in range(requests):
                queue.start_async({0: ready[:batch]}, place)
            queue.wait_all()
            began = time.perf_counter()
            for _ in range(views):
                for place in range(0, len(ready), batch):
                    queue.start_async({0: ready[place : place + batch]}, place)
            queue.wait_all()
            taken += time.perf_counter() - began
        return taken, classes.tolist()

    return run


def keep(classes: Any, place: int, probabilities: Any) -> None:
    found = probabilities.argmax(1)
    classes[place : place + len(found)] = found[: len(classes) - place]


def streams(precision: str) -> dict[str, Any]:
    return {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 2, "INFERENCE_NUM_THREADS": 2}


WAYS: dict[str, Callable[..., Found]] = {
    "seeds": seeds_way,
    "timm": timms_way,
    # As its documentation has it first: one request, its own precision, which is bf16 where the processor has that.
    "openvino": openvino_alone({}, BATCH, 1),
    # The strongest that were found, first with batches of any size.
    "openvino bf16, 2 streams": openvino_alone(streams("bf16"), 8, 2),
    "openvino f32, 2 streams": openvino_alone(streams("f32"), 8, 2),
    "openvino bf16, 4 at once": openvino_alone(streams("bf16"), 4, 3, only=True),
    "openvino f32, 2 at once": openvino_alone(streams("f32"), 2, 3, only=True),
}


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[2]).read_text())
    loop, answers = WAYS[sys.argv[1]](**given)
    print(json.dumps({"loop": loop, "answers": answers}))
