"""Saliency networks: the salient object of a photo as a map of 0 to 1 per pixel.

The networks are those that rembg publishes as ONNX files, preprocessed as by their authors. They run in ONNX Runtime,
which the base install has. rembg itself is not used: it would add scikit-image, SciPy, pymatting with numba and pooch
for what is here a resize and a normalization.
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
from maskfit.errors import DataError, RecipeError, did_you_mean
from maskfit.onnx_runtime import open_session, run_session
from maskfit.pretrained_weights import SALIENCY_CACHE, WeightsFile, add_to_cache, find_weights

MASK_THRESHOLD = 0.5
"""Minimum of the highest saliency on a photo; below it, min-max normalization would turn noise into an object."""

MAX_CACHED_PHOTOS = 64
"""Maximum photos whose maps a `SaliencyNetwork` keeps in memory, so that a crop and a background removal share one."""

RANGE_TOLERANCE = 1e-3
"""How far rounding may bring an output beyond 0 to 1."""

IMAGENET_MEAN_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
REMBG_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
WEIGHTS_HINT = "give the ONNX file of a network that the option 'net' names"


def _published(name: str, sha256: str) -> WeightsFile:
    return WeightsFile(f"{name}.onnx", sha256, f"{REMBG_RELEASE}/{name}.onnx", SALIENCY_CACHE)


class SaliencyInputSpec(NamedTuple):
    """Input preprocessing and weights of a network.

    Attributes:
        input_side: Side of the square input in pixels; not used for a file whose input has a fixed size.
        mean: Means of red, green and blue.
        std: Standard deviations of red, green and blue.
        white_level: Which level is scaled to 1 before that: `photo` the photo's own maximum, `full` 255.
        published: The published weights; None where there are none in ONNX.
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
        320,
        *IMAGENET_MEAN_STD,
        "photo",
        _published("u2net", "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491"),
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
    # Lee et al.: TRACER (AAAI 2022), used by project cv-08 at 352 x 352. Published for PyTorch only.
    "tracer": SaliencyInputSpec(352, *IMAGENET_MEAN_STD, "full", None),
}
"""Saliency networks by their name in recipes (option `net`)."""


@dataclass(frozen=True)
class SaliencyBased:
    """Base of the crop and the background removal that use a saliency network.

    Args:
        net: A name of `NETWORKS`: input preprocessing and default weights.
        weights: Its ONNX file; by default the published weights from the cache, downloaded once.
        sha256: SHA-256 of the weights, as model files store it; `weights` is then only their file name.

    Raises:
        ValueError: The network is unknown.
    """

    net: str = "u2netp"
    weights: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.net not in NETWORKS:
            raise ValueError(f"net '{self.net}' is unknown; {did_you_mean(self.net, NETWORKS)}")

    @cached_property
    def _network(self) -> SaliencyNetwork:
        return load_network(self.net, pin_network_weights(self.net, self.weights, self.sha256))

    def pinned(self) -> dict[str, Any]:
        """Returns the options that name the weights by their SHA-256 instead of a local path.

        Returns:
            `weights` (file name) and `sha256`.

        Raises:
            DataError: The weights are missing and cannot be downloaded, or are not a saliency network.
            RecipeError: The network has no published weights and no file is given.
        """
        weights = pin_network_weights(self.net, self.weights, self.sha256)
        # Loaded, not only located: a network that cannot run must fail before thousands of photos are decoded.
        load_network(self.net, weights)
        return {"weights": weights.name, "sha256": weights.sha256}

    def saliency_map(self, photo: Pixels) -> ForegroundMap | None:
        """Computes the saliency of each pixel.

        Args:
            photo: Image of shape (height, width, 3).

        Returns:
            Saliency in 0 to 255 at the network's resolution, uint8; None where nothing is salient.
        """
        return self._network.predict(photo)


def pin_network_weights(net: str, path: str | None, sha256: str | None) -> WeightsFile:
    """Returns the weights of a network, named by their SHA-256.

    Args:
        net: A name of `NETWORKS`.
        path: Local ONNX file, which is copied into the cache; with `sha256` only the file's name.
        sha256: SHA-256 of the weights, if it is already known.

    Returns:
        The weights.

    Raises:
        DataError: The file is missing.
        RecipeError: The network has no published weights and no file is given.
    """
    published = NETWORKS[net].published
    if sha256 is not None:
        same = published is not None and sha256 == published.sha256
        return published if published and same else WeightsFile(Path(path or net).name, sha256, cache=SALIENCY_CACHE)
    if path is not None:
        return add_to_cache(Path(path), SALIENCY_CACHE)
    if published is None:
        raise RecipeError(
            f"the network '{net}' is published for PyTorch only",
            hint=f"export it to ONNX and give the file: {{net: {net}, weights: {net}.onnx}}",
        )
    return published


class SaliencyNetwork:
    """A saliency network with an in-memory cache of its results.

    Args:
        spec: Input preprocessing.
        path: The ONNX file.

    Raises:
        DataError: The file is not an ONNX network, or does not output a saliency map.
    """

    def __init__(self, spec: SaliencyInputSpec, path: Path) -> None:
        self._spec = spec
        self._path = path
        self._session = open_session(path, WEIGHTS_HINT)
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] not in (3, "3", None) or inputs[0].type != "tensor(float)":
            raise self._invalid(f"its input is {', '.join(f'{item.type} {item.shape}' for item in inputs)}")
        self._size = tuple(side if isinstance(side, int) else spec.input_side for side in shape[2:])
        self._cache: OrderedDict[bytes, ForegroundMap | None] = OrderedDict()
        self._lock = threading.Lock()
        # A dry run, so that a network of another kind is rejected here and not on the first photo.
        self._run(np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 64, 3)))

    def predict(self, photo: Pixels) -> ForegroundMap | None:
        """Computes the saliency of each pixel, from the cache if the same pixels were seen before; thread-safe.

        Args:
            photo: Image of shape (height, width, 3).

        Returns:
            Saliency stretched to 0 to 255 at the network's resolution, uint8; None where nothing is salient.
        """
        content = np.ascontiguousarray(photo).data.cast("B")
        key = hashlib.blake2b(content, digest_size=16, salt=b"%d %d" % photo.shape[:2]).digest()
        with self._lock:
            if key in self._cache:
                return self._cache[key]
        output = self._run(photo)
        low, high = float(output.min()), float(output.max())
        saliency = None
        if high >= MASK_THRESHOLD and high > low:
            # Min-max normalization, as by the authors of U²-Net.
            saliency = np.rint((output - low) * (255 / (high - low))).astype(np.uint8)
        with self._lock:
            self._cache[key] = saliency
            if len(self._cache) > MAX_CACHED_PHOTOS:
                self._cache.popitem(last=False)
        return saliency

    def _run(self, photo: Pixels) -> Any:
        """The network's output, float32 (height, width), 0 to 1."""
        height, width = self._size
        resized = np.asarray(
            Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32
        )
        white = 255.0 if self._spec.white_level == "full" else max(float(resized.max()), 1.0)
        normalized = (resized / white - np.array(self._spec.mean)) / np.array(self._spec.std)
        blob = np.ascontiguousarray(normalized.transpose(2, 0, 1)[None], dtype=np.float32)
        outputs = run_session(self._session, blob, self._path, "the saliency network", WEIGHTS_HINT)
        # The networks output the maps of all depths; the first is the fused one.
        first = np.asarray(next(iter(outputs.values())))
        if first.dtype != np.float32 or first.ndim < 2 or first.size != first.shape[-1] * first.shape[-2]:
            raise self._invalid(f"its first output is {first.dtype} {first.shape}")
        if not np.isfinite(first).all() or first.min() < -RANGE_TOLERANCE or first.max() > 1 + RANGE_TOLERANCE:
            raise self._invalid("its outputs are not in 0 to 1; export it with its sigmoid")
        return np.clip(first.reshape(first.shape[-2:]), 0, 1)

    def _invalid(self, reason: str) -> DataError:
        return DataError(f"the file is not a saliency network: {reason}", location=self._path, hint=WEIGHTS_HINT)


def load_network(net: str, weights: WeightsFile) -> SaliencyNetwork:
    """Loads a network; repeated calls return the same object.

    Args:
        net: A name of `NETWORKS`.
        weights: Result of `pin_network_weights`.

    Returns:
        The network with its cache.

    Raises:
        DataError: The weights cannot be found, or are not a saliency network.
    """
    with _LOADING:
        return _load(net, weights)


_LOADING = threading.Lock()
"""`lru_cache` alone would let two threads load the same network at once."""


@lru_cache(maxsize=4)
def _load(net: str, weights: WeightsFile) -> SaliencyNetwork:
    return SaliencyNetwork(NETWORKS[net], find_weights(weights))
