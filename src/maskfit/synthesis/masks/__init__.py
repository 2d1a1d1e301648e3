"""Masks composited onto bare faces: a 3D mesh posed like the head, lit and with the noise and blur of the photo.

Turns any set of bare faces with known gender and age into a dataset in the competition's layout::

    from maskfit.synthesis.masks import landmark_detector, select_faces, write_masked_dataset

    selection = select_faces(Path("faces.csv"), landmark_detector(), persons=500)
    write_masked_dataset(selection, Path("masked"))

The mask on a face depends on the seed and the photo's name only: not on the order of faces, the number of processes or
the other faces.
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
