"""The page of `maskfit inspect`: self-contained, escaped, with every layer and every graph."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np

from maskfit.explain.gradient_check import LayerGradient
from maskfit.explain.inspect_model import GradCamResult, ModelInspection
from maskfit.explain.page import write_inspection_page

EVIL = "<script>alert(1)</script>"


def test_hostile_names_are_escaped(tmp_path, parsed):
    drawing = tmp_path / "graph<b>.svg"
    drawing.write_text('<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg viewBox="0 0 1 1"><title>modules</title></svg>')
    pixels = np.zeros((8, 6, 3), np.uint8)
    inspection = ModelInspection(
        metadata=SimpleNamespace(description=EVIL, backbone=SimpleNamespace(name="resnet18")),
        layers=(
            LayerGradient(EVIL, "Conv2d", 1200, 1.5, 0.25, "fine"),
            LayerGradient("head", EVIL, 10, math.nan, math.nan, "none"),
        ),
        num_photos=6,
        num_labeled=4,
        graphs={"modules": drawing, "backward": EVIL},
        grad_cams=(GradCamResult(EVIL, pixels, {EVIL: f"{EVIL} 90%"}, {EVIL: pixels}),),
        unreadable={},
    )
    text = write_inspection_page(tmp_path / "page.html", inspection, EVIL).read_text(encoding="utf-8")
    page = parsed(text)
    assert "<script" not in text
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in page.tags)
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.named("img"))
    assert page.named("img")[0]["alt"] == EVIL
    # Heading, subtitle, chart, table, Grad-CAM captions and the reason of the missing graph.
    assert page.text.count(EVIL) >= 8
    for part in ("1,200", "the labels of 4 of them", "no gradient: the loss does not depend on it", "graph<b>.svg"):
        assert part in page.text, part
    assert "<?xml" not in text
    assert [attrs for attrs in page.named("svg") if attrs.get("viewbox") == "0 0 1 1"]
