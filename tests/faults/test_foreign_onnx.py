"""Tests that ONNX files of other programs are refused in a line, as models and as detectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT


def network(kind: str) -> onnx.ModelProto:
    """A network that another program may have written."""
    side: object = {"huge": 2**31 - 1, "free": "height"}.get(kind, 16)
    inputs = [helper.make_tensor_value_info("photos", FLOAT, ["batch", 3, side, side])]
    outputs = [helper.make_tensor_value_info("out", FLOAT, ["batch", 3, side, side])]
    weights = []
    node = helper.make_node("Relu", ["photos"], ["out"])
    imports = [helper.make_opsetid("", 17)]
    if kind == "custom operator":
        node = helper.make_node("Unheard", ["photos"], ["out"], domain="com.example")
        imports.append(helper.make_opsetid("com.example", 1))
    elif kind == "later opset":
        imports = [helper.make_opsetid("", 99)]
    elif kind.startswith("external"):
        tensor = onnx.numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "w")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        place = "absent.bin" if kind == "external absent" else "../../../../etc/hostname"
        tensor.external_data.add(key="location", value=place)
        weights = [tensor]
        node = helper.make_node("Mul", ["photos", "w"], ["out"])
    elif kind == "expands":
        # 2^60 numbers out of a file of a few hundred bytes.
        shape = onnx.numpy_helper.from_array(np.array([2**20, 2**20, 2**20], np.int64), "shape")
        weights = [shape]
        node = helper.make_node("ConstantOfShape", ["shape"], ["out"])
        outputs = [helper.make_tensor_value_info("out", FLOAT, None)]
    graph = helper.make_graph([node], "g", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


KINDS = (
    "plain",
    "huge",
    "free",
    "custom operator",
    "later opset",
    "external absent",
    "external outside",
    "expands",
)


@pytest.mark.parametrize("own", [False, True], ids=["foreign", "with our metadata"])
@pytest.mark.parametrize("kind", KINDS)
def test_as_a_model(command, model, evaluation, kind, own):
    from maskfit.model_file import read_model_metadata

    program = network(kind)
    if own:
        helper.set_model_props(program, read_model_metadata(model).to_metadata())
    Path("net.onnx").write_bytes(program.SerializeToString())
    for verb in (("predict", "net.onnx", "--images", evaluation / "images"), ("model-card", "net.onnx")):
        result = command(*verb, "--out", "out.txt")
        if own and verb[0] == "model-card":
            # It reads the metadata, which is whole.
            assert result.code in (0, 2)
        else:
            assert result.code == 2
            assert "  next: " in result.err
            assert not Path("out.txt").exists()
        Path("out.txt").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", KINDS)
def test_as_a_detector(command, bundled_model, evaluation, kind):
    Path("net.onnx").write_bytes(network(kind).SerializeToString())
    result = command("predict", evaluation / "images" / "3.jpg", "--detector", "net.onnx")
    assert result.code == 2
    assert "  next: " in result.err
