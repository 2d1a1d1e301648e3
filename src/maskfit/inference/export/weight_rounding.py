"""Weights in 8 bits whose sums are exact on every x86 processor.

Without VNNI instructions an engine multiplies bytes with `vpmaddubsw`, which adds two neighboring products, of an
activation of 0 to 255 and a weight, in 16 bits: above 32,767 it saturates, and the network predicts otherwise than on
a processor with VNNI. The usual remedy, weights of 7 bits, doubles their rounding error. It is enough that two
neighboring weights of one sign add up to at most 128 (255 x 128 = 32,640), which few pairs of an output channel reach.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_WEIGHT = 127
"""Largest rounded weight, and largest sum of two neighbors of one sign before each is rounded by at most a half."""


def round_weights(weight: NDArray[np.float32], groups: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rounds a convolution's weights, with a scale for each output channel.

    Args:
        weight: (output channels, input channels of a group, kernel height, kernel width).
        groups: Groups of the convolution.

    Returns:
        The rounded weights, and the scale of each output channel.
    """
    sizes = np.abs(weight).max((1, 2, 3))
    if groups == 1 or weight.shape[1] > 1:
        # Depthwise convolutions have kernels of their own, which add in 32 bits.
        sizes = np.maximum(sizes, largest_neighbor_sum(weight))
    scales = np.maximum(sizes / MAX_WEIGHT, np.finfo(np.float32).tiny * 2**24).astype(np.float32)
    rounded = np.round(weight / scales[:, None, None, None])
    return np.clip(rounded, -MAX_WEIGHT, MAX_WEIGHT).astype(np.int8), scales


def largest_neighbor_sum(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest sum of two neighboring weights of one sign, as engines pair them.

    They store the input channels of a kernel position together, four by four, and pair the first two and the last two.
    An odd number of channels is continued with the next position by ONNX Runtime and padded by oneDNN; both are
    considered.

    Args:
        weight: (output channels, input channels, kernel height, kernel width).

    Returns:
        (output channels,), 0 or more.
    """
    by_position = weight.transpose(0, 2, 3, 1)
    layouts = [by_position.reshape(len(weight), -1)]
    if weight.shape[1] % 2:
        layouts.append(np.pad(by_position, ((0, 0), (0, 0), (0, 0), (0, 1))).reshape(len(weight), -1))
    largest = np.zeros(len(weight), weight.dtype)
    for layout in layouts:
        pairs = np.pad(layout, ((0, 0), (0, layout.shape[1] % 2))).reshape(len(weight), -1, 2)
        for sign in (1, -1):
            largest = np.maximum(largest, np.maximum(sign * pairs, 0).sum(2).max(1))
    return largest


def bias_shift(
    weight: NDArray[np.float32],
    rounded: NDArray[np.int8],
    scales: NDArray[np.float32],
    means: NDArray[np.float64],
    groups: int,
) -> NDArray[np.float64]:
    """What rounding the weights adds to each output channel on average, for the bias to take away.

    Args:
        weight: The weights, as for `round_weights`.
        rounded: The rounded weights.
        scales: Their scales.
        means: Mean of each input channel on the calibration photos.
        groups: Groups of the convolution.

    Returns:
        (output channels,).
    """
    error = (rounded * scales[:, None, None, None].astype(np.float64) - weight).sum((2, 3))
    by_group = means.reshape(groups, -1).repeat(len(weight) // groups, 0)
    return np.asarray((error * by_group).sum(1))
