"""Tests of freeing declared shapes: the network stays the same, and ONNX Runtime takes other sizes."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.data.detectors.open_shapes import free_shapes
from maskfit.onnx_runtime import import_onnxruntime


@pytest.fixture
def model() -> bytes:
    """A convolution for 1 x 1 x 4 x 4 whose weights are listed as an input too, as older files do."""
    onnx = pytest.importorskip("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(np.full((2, 1, 1, 1), 3, np.float32), "weight")
    source, listed = (
        helper.make_tensor_value_info(name, number, shape)
        for name, shape in (("in", [1, 1, 4, 4]), ("weight", [2, 1, 1, 1]))
    )
    middle, result = (helper.make_tensor_value_info(name, number, [1, 2, 4, 4]) for name in ("middle", "out"))
    nodes = [helper.make_node("Conv", ["in", "weight"], ["middle"]), helper.make_node("Relu", ["middle"], ["out"])]
    graph = helper.make_graph(nodes, "g", [source, listed], [result], [weight], value_info=[middle])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def test_another_size_runs_and_the_result_is_the_network_s(model):
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    data = np.arange(2 * 6 * 5, dtype=np.float32).reshape(2, 1, 6, 5)
    with pytest.raises(Exception, match="invalid dimensions"):
        runtime.InferenceSession(model, options).run(None, {"in": data})
    session = runtime.InferenceSession(free_shapes(model, ("in",)), options)
    (out,) = session.run(None, {"in": data})
    np.testing.assert_array_equal(out, np.repeat(data * 3, 2, axis=1))
    assert [item.name for item in session.get_overridable_initializers()] == ["weight"]


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_damaged_content_raises(model, cut):
    with pytest.raises((ValueError, IndexError)):
        free_shapes(model[:-cut], ("in",))
    with pytest.raises((ValueError, IndexError)):
        free_shapes(b"\xff" * 30, ("in",))
