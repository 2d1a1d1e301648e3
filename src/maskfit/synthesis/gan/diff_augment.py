"""Differentiable augmentation of real and generated faces (Zhao et al. 2020, arXiv:2006.10738).

A discriminator memorizes a few thousand photos and then gives no useful gradient. Augmenting real and generated faces
alike, by differentiable operations, prevents that without the augmentations leaking into the samples.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TRANSLATION_RATIO = 1 / 8
"""Maximum translation to each side as a fraction of the side; padding is black."""

CUTOUT_RATIO = 1 / 2
"""Side of the cutout square as a fraction of the face's side."""


def diff_augment(faces: Tensor, rng: torch.Generator) -> Tensor:
    """Applies random color, translation and cutout to each face; differentiable.

    Args:
        faces: Faces in -1 to 1, shape (batch, 3, side, side); not modified.
        rng: Random generator on the CPU.

    Returns:
        Augmented faces of the same shape.
    """
    return _cutout(_translate(_jitter_color(faces, rng), rng), rng)


def _jitter_color(faces: Tensor, rng: torch.Generator) -> Tensor:
    """Changes brightness by up to 0.5, then saturation by a factor 0 to 2, then contrast by a factor 0.5 to 1.5."""
    light, color, contrast = torch.rand(3, len(faces), 1, 1, 1, generator=rng).to(faces.device)
    faces = faces + (light - 0.5)
    gray = faces.mean(dim=1, keepdim=True)
    faces = gray + (faces - gray) * 2 * color
    mean = faces.mean(dim=(1, 2, 3), keepdim=True)
    changed: Tensor = mean + (faces - mean) * (contrast + 0.5)
    return changed


def _translate(faces: Tensor, rng: torch.Generator) -> Tensor:
    count, _, side, _ = faces.shape
    max_shift = round(side * TRANSLATION_RATIO)
    down, across = torch.randint(0, 2 * max_shift + 1, (2, count, 1), generator=rng).to(faces.device)
    steps = torch.arange(side, device=faces.device)
    padded = F.pad(faces, (max_shift,) * 4)
    each = torch.arange(count, device=faces.device)[:, None, None]
    rows, columns = (down + steps)[:, :, None], (across + steps)[:, None, :]
    return padded.permute(0, 2, 3, 1)[each, rows, columns].permute(0, 3, 1, 2)


def _cutout(faces: Tensor, rng: torch.Generator) -> Tensor:
    count, _, side, _ = faces.shape
    hole = round(side * CUTOUT_RATIO)
    down, across = torch.randint(0, side + 1, (2, count, 1), generator=rng).to(faces.device) - hole // 2
    steps = torch.arange(side, device=faces.device)
    inside = [(steps >= start) & (steps < start + hole) for start in (down, across)]
    outside = ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])
    return torch.where(outside, faces, 0.0)
