"""Salient objects: a network says of each pixel how much it belongs to what a photo is of.

The networks are those that rembg publishes as ONNX files, read as their authors read them. They run in ONNX Runtime,
which the base install has. rembg itself is not needed for that: it would bring scikit-image, SciPy, pymatting with
numba and pooch, for what is here a resize, a mean and a deviation.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from maskfit.data.image_decoding import Pixels
from maskfit.data.mask_regions import ForegroundMap
from maskfit.data.onnx_session import open_session, run_session
from maskfit.data.pretrained_weights import SALIENCY_CACHE, WeightsFile, add_to_cache, find_weights
from maskfit.errors import DataError, RecipeError, did_you_mean

MASK_THRESHOLD = 0.5
"""Where no pixel is believed this much, nothing was found. Below, stretching would make an object of noise."""

MAX_CACHED_PHOTOS = 64
"""Photos whose objects are remembered, so that a crop and a background look once."""

RANGE_TOLERANCE = 1e-3
"""How far beyond 0 to 1 rounding may bring an answer."""

IMAGENET_MEAN_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
REMBG_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
WEIGHTS_HINT = "name an ONNX file of one of the networks that 'net' knows"


def _published(name: str, sha256: str) -> WeightsFile:
    return WeightsFile(f"{name}.onnx", sha256, f"{REMBG_RELEASE}/{name}.onnx", SALIENCY_CACHE)


class SaliencyInputSpec(NamedTuple):
    """How a network wants to see photos.

    Attributes:
        side: Pixels, of a square; a file whose input has a fixed size says it itself.
        mean, std: Of red, green and blue.
        white: What is 1 before that: `photo` its own brightest level, `full` 255.
        published: Its weights; None where there are none as ONNX.
    """

    input_side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    white_level: Literal["photo", "full"]
    published: WeightsFile | None


NETWORKS: dict[str, SaliencyInputSpec] = {
    # Qin et al.: U²-Net (Pattern Recognition, 2020), Apache-2.0: small (5 MB), compressed by rembg's author (44 MB),
    # full (176 MB), and full trained on people (176 MB).
    "u2netp": SaliencyInputSpec(
        320,
        *IMAGENET_MEAN_STD,
        "photo",
        _published("u2netp", "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"),
    ),
    "silueta": SaliencyInputSpec(
        320,
        *IMAGENET_MEAN_STD,
        "photo",
        _published("silueta", "75da6c8d2f8096ec743d071951be73b4a8bc7b3e51d9a6625d63644f90ffeedb"),
    ),
    "u2net": SaliencyInputSpec(
        320, *IMAGENET_MEAN_STD, "photo", _published("u2net", "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491")
    ),
    "u2net_human_seg": SaliencyInputSpec(
        320,
        *IMAGENET_MEAN_STD,
        "photo",
        _published("u2net_human_seg", "01eb6a29a5c4d8edb30b56adad9bb3a2a0535338e480724a213e0acfd2d1c73c"),
    ),
    # Qin et al.: Highly Accurate Dichotomous Image Segmentation (ECCV 2022), code Apache-2.0 (179 MB).
    "isnet": SaliencyInputSpec(
        1024,
        (0.5, 0.5, 0.5),
        (1.0, 1.0, 1.0),
        "full",
        _published("isnet-general-use", "60920e99c45464f2ba57bee2ad08c919a52bbf852739e96947fbb4358c0d964a"),
    ),
    # Lee et al.: TRACER (AAAI 2022), seed s4's, there at 352 x 352. Published for torch only.
    "tracer": SaliencyInputSpec(352, *IMAGENET_MEAN_STD, "full", None),
}


@dataclass(frozen=True)
class SaliencyBased:
    """What a crop and a background that look for the salient object have in common.

    Args:
        net: A name of `NETS`: how the network wants to see photos, and which weights it has.
        weights: Its ONNX file; left out, the published one from the cache, or fetched once.
        sha256: Of the weights, as model files say it; `weights` is then only their name.
    """

    net: str = "u2netp"
    weights: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.net not in NETWORKS:
            raise ValueError(f"net '{self.net}' is unknown; {did_you_mean(self.net, NETWORKS)}")

    @cached_property
    def _network(self) -> SaliencyNetwork:
        return open_network(self.net, pin_network_weights(self.net, self.weights, self.sha256))

    def pinned(self) -> dict[str, Any]:
        """The options that say by content which weights are meant, and no place on this machine.

        Raises:
            DataError: The weights are not here and cannot be fetched, or are no saliency network.
        """
        weights = pin_network_weights(self.net, self.weights, self.sha256)
        # Opened, not only looked for: before thousands of photos are decoded it should be known that it can be.
        open_network(self.net, weights)
        return {"weights": weights.name, "sha256": weights.sha256}

    def saliency_map(self, photo: Pixels) -> ForegroundMap | None:
        """How much of each pixel is the salient object, at the network's resolution; None where it sees none."""
        return self._network.predict(photo)


def pin_network_weights(net: str, path: str | None, sha256: str | None) -> WeightsFile:
    """Which weights a network is to have, by their content.

    Raises:
        DataError: The file is missing.
        RecipeError: A file must be named, for none is published.
    """
    published = NETWORKS[net].published
    if sha256 is not None:
        same = published is not None and sha256 == published.sha256
        return published if published and same else WeightsFile(Path(path or net).name, sha256, cache=SALIENCY_CACHE)
    if path is not None:
        return add_to_cache(Path(path), SALIENCY_CACHE)
    if published is None:
        raise RecipeError(
            f"the network '{net}' is published for torch only",
            hint=f"export it to ONNX and name the file: {{net: {net}, weights: {net}.onnx}}",
        )
    return published


class SaliencyNetwork:
    """A network and what it said of the last photos.

    Args:
        reading: How it wants to see photos.
        path: Its ONNX file.

    Raises:
        DataError: The file is no network, or none that gives a saliency map.
    """

    def __init__(self, reading: SaliencyInputSpec, path: Path) -> None:
        self._reading = reading
        self._path = path
        self._session = open_session(path, WEIGHTS_HINT)
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] not in (3, "3", None) or inputs[0].type != "tensor(float)":
            raise self._refused(f"its input is {', '.join(f'{item.type} {item.shape}' for item in inputs)}")
        self._size = tuple(side if isinstance(side, int) else reading.input_side for side in shape[2:])
        self._known: OrderedDict[bytes, ForegroundMap | None] = OrderedDict()
        self._lock = threading.Lock()
        # A network of another kind is refused here, and not at the first photo.
        self._map(np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 64, 3)))

    def predict(self, photo: Pixels) -> ForegroundMap | None:
        """As `Looking.shares`."""
        content = np.ascontiguousarray(photo).data.cast("B")
        key = hashlib.blake2b(content, digest_size=16, salt=b"%d %d" % photo.shape[:2]).digest()
        with self._lock:
            if key in self._known:
                return self._known[key]
        found = self._map(photo)
        least, most = float(found.min()), float(found.max())
        shares = None
        if most >= MASK_THRESHOLD and most > least:
            # Stretched, as the authors of U²-Net do it.
            shares = np.rint((found - least) * (255 / (most - least))).astype(np.uint8)
        with self._lock:
            self._known[key] = shares
            if len(self._known) > MAX_CACHED_PHOTOS:
                self._known.popitem(last=False)
        return shares

    def _map(self, photo: Pixels) -> Any:
        """What the network says, float32 (height, width), 0 to 1."""
        height, width = self._size
        seen = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
        white = 255.0 if self._reading.white_level == "full" else max(float(seen.max()), 1.0)
        planes = (seen / white - np.array(self._reading.mean)) / np.array(self._reading.std)
        blob = np.ascontiguousarray(planes.transpose(2, 0, 1)[None], dtype=np.float32)
        answers = run_session(self._session, blob, self._path, "this network", WEIGHTS_HINT)
        # The networks give their maps of every depth; the first is the one they are judged by.
        first = np.asarray(next(iter(answers.values())))
        if first.dtype != np.float32 or first.ndim < 2 or first.size != first.shape[-1] * first.shape[-2]:
            raise self._refused(f"its first output is {first.dtype} {first.shape}")
        if not np.isfinite(first).all() or first.min() < -RANGE_TOLERANCE or first.max() > 1 + RANGE_TOLERANCE:
            raise self._refused("its answers do not lie in 0 to 1; export it with its sigmoid")
        return np.clip(first.reshape(first.shape[-2:]), 0, 1)

    def _refused(self, why: str) -> DataError:
        return DataError(f"this is no saliency network: {why}", location=self._path, hint=WEIGHTS_HINT)


def open_network(net: str, weights: WeightsFile) -> SaliencyNetwork:
    """The network with these weights; asked for again, the same one.

    Raises:
        DataError: The weights cannot be found, or are no saliency network.
    """
    with _OPENING:
        return _open(net, weights)


_OPENING = threading.Lock()
"""Else two threads that ask at once would both open it."""


@lru_cache(maxsize=4)
def _open(net: str, weights: WeightsFile) -> SaliencyNetwork:
    return SaliencyNetwork(NETWORKS[net], find_weights(weights))
