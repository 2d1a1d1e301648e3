"""Masks put on bare faces: drawn in space, turned as the head is turned, lit and grained as the photo is.

From any set of bare faces with gender and age this makes one in the competition's layout::

    from maskfit.synthesis.masks import choose_faces, open_detector, write_masked

    chosen = choose_faces(Path("faces.csv"), open_detector("yunet"), persons=500)
    write_masked(chosen, Path("masked"))

What a face wears follows from the seed and its photo's name alone: not from the order, the number of processes, or the
other faces.
"""

from maskfit.synthesis.landmarks import Landmarks
from maskfit.synthesis.masks.compositing import MaskedPhoto, PreparedFace
from maskfit.synthesis.masks.face_selection import BareFace, FaceSelection, select_faces
from maskfit.synthesis.masks.landmark_sources import landmark_detector, read_landmarks
from maskfit.synthesis.masks.mask_sampling import MaskInstance, sample_mask, sample_masks
from maskfit.synthesis.masks.mask_types import MASK_TYPES, WEARING_STYLES
from maskfit.synthesis.masks.write_dataset import MaskDatasetResult, write_masked_dataset

__all__ = [
    "MASK_TYPES",
    "WEARING_STYLES",
    "BareFace",
    "FaceSelection",
    "Landmarks",
    "MaskDatasetResult",
    "MaskInstance",
    "MaskedPhoto",
    "PreparedFace",
    "landmark_detector",
    "read_landmarks",
    "sample_mask",
    "sample_masks",
    "select_faces",
    "write_masked_dataset",
]
