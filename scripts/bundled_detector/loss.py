"""Which cell answers for which face, and the loss; see `train.py`.

Each face is given to the cells near its middle that already predict it best (task-aligned assignment, Feng et al.
2021); their score is trained towards the overlap that they reach.
"""

from __future__ import annotations

import torch
from network import decode
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

CELLS_PER_FACE = 7
"""Maximum cells that answer for a face."""

BOX_WEIGHT, LANDMARK_WEIGHT = 2.0, 1.0

STRIDES_PER_FACE = (0.7, 20.0)
"""A cell answers for faces whose size is within these multiples of its stride."""


def iou(one: Tensor, other: Tensor) -> Tensor:
    """Returns intersection over union of boxes of broadcastable shape (…, 4)."""
    shared = (
        (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp(0).prod(-1)
    )
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(0).prod(-1) for boxes in (one, other)]
    return shared / (areas[0] + areas[1] - shared).clamp(1e-6)


def distance_iou(one: Tensor, other: Tensor) -> Tensor:
    """Returns IoU less the squared distance of the centers, as a fraction of the common hull's diagonal."""
    hull = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    apart = (one[..., :2] + one[..., 2:] - other[..., :2] - other[..., 2:]) / 2
    return iou(one, other) - apart.square().sum(-1) / hull.square().sum(-1).clamp(1e-6)


@torch.no_grad()
def assign(
    scores: Tensor, boxes: Tensor, faces: Tensor, certain: Tensor, centers: Tensor, strides: Tensor
) -> tuple[Tensor, Tensor]:
    """Gives each certain face to cells.

    Args:
        scores: (photos, cells).
        boxes: (photos, cells, 4).
        faces: (photos, faces, 4); unused rows are empty boxes.
        certain: (photos, faces).
        centers: (cells, 2).
        strides: (cells,).

    Returns:
        The face of each cell, (photos, cells), -1 for none; and the target of its score.
    """
    sizes = (faces[..., 2:] - faces[..., :2]).clamp(0)
    middle = (faces[..., :2] + faces[..., 2:]) / 2
    reach = torch.maximum(sizes[:, :, None] * 0.3, strides[:, None] * 0.75)
    near = ((centers - middle[:, :, None]).abs() < reach).all(-1)
    multiple = sizes.prod(-1).sqrt()[:, :, None] / strides
    near &= (multiple > STRIDES_PER_FACE[0]) & (multiple < STRIDES_PER_FACE[1]) & certain[:, :, None]
    overlap = iou(boxes[:, None], faces[:, :, None]) * near
    quality = scores.sigmoid()[:, None].sqrt() * overlap.pow(4) + 1e-9 * near
    best = quality.topk(CELLS_PER_FACE, -1)
    chosen = torch.zeros_like(near).scatter_(-1, best.indices, best.values > 0)
    # A cell that two faces want goes to the one that it overlaps more.
    quality = quality * chosen
    overlap = overlap * chosen
    owner = torch.where(chosen.any(1), (overlap + 1e-6 * chosen).argmax(1), -1)
    one = torch.zeros_like(chosen).scatter_(1, owner.clamp(0)[:, None], (owner >= 0)[:, None])
    quality, overlap = quality * one, overlap * one
    scale = overlap.amax(-1, keepdim=True) / quality.amax(-1, keepdim=True).clamp(1e-12)
    return owner, (quality * scale).amax(1)


def detection_loss(
    maps: tuple[Tensor, ...], faces: Tensor, landmarks: Tensor, certain: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Returns the loss of a batch and its parts.

    Args:
        maps: The network's output.
        faces: (photos, faces, 4); unused rows are empty boxes.
        landmarks: (photos, faces, 10); not a number where unknown.
        certain: (photos, faces); the others are places where nothing is trained.
    """
    logits, boxes, marks, centers, strides = decode(maps)
    used = max(int((faces[..., 2] > faces[..., 0]).sum(1).max()), 1)
    faces, landmarks, certain = faces[:, :used], landmarks[:, :used], certain[:, :used]
    owner, target = assign(logits, boxes, faces, certain, centers, strides)
    uncertain = ~certain & (faces[..., 2] > faces[..., 0])
    inside = ((centers >= faces[:, :, None, :2]) & (centers <= faces[:, :, None, 2:])).all(-1)
    ignored = (inside & uncertain[:, :, None]).any(1) & (owner < 0)
    # The more a cell is wrong, the louder it is told: most of the background is easy.
    weight = torch.where(owner >= 0, 1.0, 0.75 * logits.detach().sigmoid().square())
    weight = weight * ~ignored
    total = target.sum().clamp(1)
    score_loss = (binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum() / total
    photo, cell = torch.nonzero(owner >= 0, as_tuple=True)
    face = owner[photo, cell]
    share = target[photo, cell].clamp(0.05)
    box_loss = ((1 - distance_iou(boxes[photo, cell], faces[photo, face])) * share).sum() / total
    wanted = landmarks[photo, face]
    known = wanted.isfinite().all(-1)
    size = (faces[photo, face, 2:] - faces[photo, face, :2]).prod(-1).clamp(1).sqrt()[:, None]
    off = smooth_l1_loss(marks[photo, cell] / size, wanted.nan_to_num() / size, reduction="none", beta=0.05).mean(-1)
    mark_loss = (off * share * known).sum() / total
    loss = score_loss + BOX_WEIGHT * box_loss + LANDMARK_WEIGHT * mark_loss * 5
    return loss, {
        "score": score_loss.item(),
        "box": box_loss.item(),
        "landmarks": mark_loss.item(),
        "faces": total.item(),
    }
