"""Local features: the maps of earlier stages, averaged in the cells of a grid, beside a backbone's pooled features.

Global pooling forgets where something is. Whether a mask covers the nose shows in the rows of the face, so that heads
on a fixed backbone read a mask's state from these features, and gender and age from the pooled ones.

Sources: features of several layers of a fixed network (Hariharan et al. 2015, hypercolumns); pooling in the cells of a
grid (Lazebnik et al. 2006, spatial pyramids).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LocalFeatures:
    """Which local features a backbone computes.

    Attributes:
        stages: Indices of the stages in timm's `feature_info`, from 0, ascending.
        grid: Rows and columns of the grid.
        channels: Channels of the stages' maps together.
    """

    stages: tuple[int, ...]
    grid: tuple[int, int]
    channels: int

    @property
    def count(self) -> int:
        """Number of local features per image."""
        rows, columns = self.grid
        return rows * columns * self.channels

    def pool(self, maps: Tensor) -> Tensor:
        """Averages the maps of a stage in the cells of the grid.

        Args:
            maps: (batch, channels, height, width).

        Returns:
            (batch, rows * columns * channels), cell by cell.

        Raises:
            ValueError: The grid has more rows or columns than the maps.
        """
        height, width = maps.shape[2:]
        rows, columns = self.grid
        if rows > height or columns > width:
            raise ValueError(
                f"local_grid has {rows} x {columns} cells, and the maps of a stage of {list(self.stages)} are "
                f"{height} x {width}"
            )
        # Slices, not adaptive pooling: ONNX has no adaptive pooling where sides are no multiples of the grid's.
        cells = [
            maps[:, :, top:bottom, left:right].mean(dim=(2, 3))
            for top, bottom in _spans(height, rows)
            for left, right in _spans(width, columns)
        ]
        return torch.cat(cells, dim=1)


def find_local_features(body: Any, stages: Sequence[int], grid: Sequence[int]) -> LocalFeatures:
    """Checks that a timm model can give the maps of its stages, and finds how many channels they have.

    Args:
        body: The model.
        stages: Indices of the stages, from 0, ascending.
        grid: Rows and columns, each >= 1.

    Returns:
        The local features.

    Raises:
        ValueError: The model gives no maps, has no such stages, or the grid is none.
    """
    if len(grid) != 2 or min(grid) < 1:
        raise ValueError(f"local_grid must be [rows, columns], each >= 1, got {list(grid)}")
    known = list(getattr(body, "feature_info", None) or ())
    if not known or not hasattr(body, "forward_intermediates"):
        raise ValueError("timm gives no maps of this model's stages; leave out local_stages")
    # Ascending, because timm returns the maps in this order.
    if list(stages) != sorted(set(stages)) or not 0 <= stages[0] <= stages[-1] < len(known):
        raise ValueError(f"local_stages must be of 0 to {len(known) - 1} for this model, ascending, got {list(stages)}")
    channels = sum(int(known[stage]["num_chs"]) for stage in stages)
    return LocalFeatures(tuple(stages), (grid[0], grid[1]), channels)


def stage_module(body: nn.Module, stage: int) -> nn.Module:
    """Finds the layer whose output are the maps of a stage.

    Args:
        body: A timm model.
        stage: Index of the stage, from 0.

    Returns:
        The layer.
    """
    information: Any = body.feature_info
    return body.get_submodule(information[stage]["module"])


def _spans(length: int, parts: int) -> list[tuple[int, int]]:
    """Begin and end of each part; parts overlap by one where `length` is no multiple, as in adaptive pooling.

    No negative number is divided: in a program that is traced for ONNX its quotient is rounded towards 0, not down
    (findings/torch_onnx_ceil_division.sh).
    """
    return [(index * length // parts, ((index + 1) * length + parts - 1) // parts) for index in range(parts)]
