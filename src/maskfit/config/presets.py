"""Augmentations of the source projects that also fix size and crop: one name stands for several recipe keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

JITTER_SIZES: Mapping[str, tuple[int, int]] = {
    "b0": (256, 224),
    "b1": (272, 240),
    "b2": (292, 260),
    "b3": (332, 300),
    "b4": (412, 380),
}
"""nlp09's transforms for EfficientNet-B0 to B4: side after resizing, and of the center crop that the network gets."""


def find_preset(augmentation: Any) -> str | None:
    """Returns the preset that a recipe names.

    Args:
        augmentation: Value of the key `augmentation`.

    Returns:
        A name in `JITTER_SIZES`, or None.
    """
    name = augmentation.get("name") if isinstance(augmentation, Mapping) else augmentation
    return name if isinstance(name, str) and name in JITTER_SIZES else None


def expand_presets(values: Mapping[str, Any], warn: Callable[[str], None]) -> dict[str, Any]:
    """Replaces `augmentation: b0` to `b4` by the keys that they stand for; keys that are set beside them win.

    The center crop is the same in training, validation and prediction, so it is not part of the augmentation.

    Args:
        values: Nested mapping of a recipe file or an override.
        warn: Called with one line that says what the name stands for.

    Returns:
        The mapping with the keys written out.
    """
    chosen = values.get("augmentation")
    name = find_preset(chosen)
    if name is None:
        return dict(values)
    resized, size = JITTER_SIZES[name]
    scale = round(size / resized, 4)
    options = {key: item for key, item in chosen.items() if key != "name"} if isinstance(chosen, Mapping) else {}
    warn(
        f"augmentation={name} is color_jitter with data.image_size={size}, data.crop=center and data.crop.scale={scale}"
    )
    data = {"image_size": size, "crop": {"name": "center", "scale": scale}, **values.get("data", {})}
    return {**values, "augmentation": {"name": "color_jitter", **options}, "data": data}
