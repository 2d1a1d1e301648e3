"""Progressive resizing: training begins on small images, which cost little, and ends on those of the network's size."""

from __future__ import annotations

from collections.abc import Callable

Size = tuple[int, int]
"""(height, width) in pixels."""

SizeSchedule = Callable[[int], Size]
"""Maps the number of a training batch, from 0, to the size that its images are downscaled to."""

MIN_SIDE = 8
"""Smallest height and width of a training image, that of `data.image_size`."""


def none(size: Size, num_batches: int) -> None:
    """Builds no schedule: all training images have the network's input size.

    Args:
        size: Not used.
        num_batches: Not used.
    """
    return


def linear(
    size: Size,
    num_batches: int,
    initial_scale: float = 0.5,
    delay_fraction: float = 0.5,
    finetune_fraction: float = 0.2,
    size_increment: int = 16,
) -> SizeSchedule:
    """Builds a schedule that keeps images small at first, then lets them grow evenly, and ends at the full size.

    Augmented and mixed images are downscaled with an antialiasing filter, where the network computes. Validation,
    prediction and `trainer.full_data_epochs` always have the full size. As in MosaicML's Composer (its
    `ProgressiveResizing`, `mode=resize`), whose increment is 4: fewer sizes let kernels that are prepared for one be
    used longer. The idea is fastai's; EfficientNetV2 also strengthens the augmentation (Tan and Le 2021,
    arXiv:2104.00298), which is not done here.

    Args:
        size: (height, width) of the network's input in pixels.
        num_batches: Training batches of all epochs.
        initial_scale: Size at the beginning relative to the full size, in (0, 1].
        delay_fraction: Fraction of the training before images begin to grow, in [0, 1).
        finetune_fraction: Fraction of the training, at its end, with the full size, in [0, 1]; the two fractions are at
            most 1 together.
        size_increment: Height and width are multiples of so many pixels, or those of the full size, >= 1.

    Returns:
        The schedule.

    Raises:
        ValueError: An option is out of range, or the two fractions are more than 1 together.
    """
    if not 0 < initial_scale <= 1 or not 0 <= delay_fraction < 1 or not 0 <= finetune_fraction <= 1:
        raise ValueError(
            "initial_scale must be in (0, 1], delay_fraction in [0, 1) and finetune_fraction in [0, 1], "
            f"got {initial_scale}, {delay_fraction} and {finetune_fraction}"
        )
    if size_increment < 1:
        raise ValueError(f"size_increment must be >= 1, got {size_increment}")
    growing = 1 - delay_fraction - finetune_fraction
    # Not below 0 by rounding alone, as of 0.7 and 0.3.
    if growing < -1e-9:
        raise ValueError(
            f"delay_fraction and finetune_fraction are more than the whole training: {delay_fraction} and "
            f"{finetune_fraction}"
        )

    def scaled(scale: float) -> Size:
        height, width = (
            min(side, max(round(side * scale / size_increment) * size_increment, min(MIN_SIDE, side))) for side in size
        )
        return size if scale >= 1 else (height, width)

    def schedule(batch: int) -> Size:
        elapsed = batch / num_batches
        if elapsed >= 1 - finetune_fraction - 1e-9:
            return size
        grown = max(elapsed - delay_fraction, 0) / growing if growing > 1e-9 else 0.0
        return scaled(initial_scale + (1 - initial_scale) * grown)

    return schedule


def list_sizes(schedule: SizeSchedule, num_batches: int) -> dict[Size, float]:
    """Lists the sizes of a training.

    Args:
        schedule: The schedule.
        num_batches: Training batches of all epochs, as it was built with.

    Returns:
        Each size with the fraction of the batches that have it, in the order of the training.
    """
    counts: dict[Size, int] = {}
    for batch in range(num_batches):
        counts[schedule(batch)] = counts.get(schedule(batch), 0) + 1
    return {size: count / num_batches for size, count in counts.items()}
