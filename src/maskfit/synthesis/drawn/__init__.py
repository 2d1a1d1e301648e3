"""Procedurally drawn faces: parametric persons with and without masks, and complete ground truth.

They replace real faces in tests, demos and benchmarks, and need no download and nobody's consent::

    from maskfit.synthesis.drawn import render_photo, sample_person, write_train_set

    render_photo(sample_person(0, 1, gender="female", age=34), "mask1").image.show()
    write_train_set(Path("faces"), 100)

Everything is deterministic: the same seed, person number and photo name give the same pixels.
"""

from maskfit.synthesis.drawn.contact_sheet import contact_sheet
from maskfit.synthesis.drawn.person import Person, sample_person
from maskfit.synthesis.drawn.render import DrawnLandmarks, RenderedPhoto, render_photo
from maskfit.synthesis.drawn.scene import PHOTO_NAMES
from maskfit.synthesis.drawn.write_dataset import write_eval_set, write_train_set

__all__ = [
    "PHOTO_NAMES",
    "DrawnLandmarks",
    "Person",
    "RenderedPhoto",
    "contact_sheet",
    "render_photo",
    "sample_person",
    "write_eval_set",
    "write_train_set",
]
