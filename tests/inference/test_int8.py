"""Int8 networks: what equalization, rounding and levels do to a network, and that no processor's sums differ."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from maskfit import cpu_features
from maskfit.errors import ModelFileError
from maskfit.inference.engines.int8_origin import (
    INT8_KEY,
    Int8Origin,
    describe_instructions,
    foreign_processor_warning,
    read_int8_origin,
)
from maskfit.inference.export.activation_statistics import measure_activations
from maskfit.inference.export.equalization import equalize
from maskfit.inference.export.onnx_graph import OnnxGraph
from maskfit.inference.export.quantization import quantize_program
from maskfit.inference.export.weight_rounding import bias_shift, largest_neighbor_sum, round_weights


def _program(activation="Clip", spread=8.0):
    """An inverted residual as MobileNets have it, its channels of very different ranges."""
    chance = np.random.default_rng(0)
    initializers = {"zero": np.float32(0), "six": np.float32(6)}
    nodes = [
        helper.make_node("Transpose", ["frames"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["floats"], to=TensorProto.FLOAT),
    ]

    def convolve(name, source, outputs, inputs, size=1, groups=1, scale=1.0, act=True):
        weight = chance.normal(size=(outputs, inputs // groups, size, size)) / np.sqrt(inputs / groups * size * size)
        weight *= scale * chance.uniform(1 / spread, 1, (outputs, 1, 1, 1))
        initializers[f"{name}.w"] = weight.astype(np.float32)
        initializers[f"{name}.b"] = chance.normal(size=outputs).astype(np.float32) / 4
        node = helper.make_node(
            "Conv", [source, f"{name}.w", f"{name}.b"], [f"{name}.out" if act else name], group=groups,
            pads=[size // 2] * 4,
        )  # fmt: skip
        nodes.append(node)
        if act:
            limits = ["zero", "six"] if activation == "Clip" else []
            nodes.append(helper.make_node(activation, [f"{name}.out", *limits], [name]))
        return name

    stem = convolve("stem", "floats", 8, 3, 3, scale=0.02)
    narrow = convolve("narrow", stem, 6, 8, act=False)
    wide = convolve("deep", convolve("wide", narrow, 16, 6, scale=4), 16, 16, 3, groups=16, scale=3)
    back = convolve("back", wide, 6, 16, act=False)
    nodes.append(helper.make_node("Add", [narrow, back], ["sum"]))
    last = convolve("last", "sum", 12, 6, scale=2)
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", 16, 12, 3])],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["batch", 12, 1, 1])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


FRAMES = np.random.default_rng(1).integers(0, 256, (24, 16, 12, 3), dtype=np.uint8)


def _run(program, frames=FRAMES, exact=False, output="pooled"):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1" if exact else "0")
    session = onnxruntime.InferenceSession(program.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run([output], {"frames": frames})[0]


def _copy(program):
    copy = onnx.ModelProto()
    copy.CopyFrom(program)
    return copy


@pytest.mark.parametrize("activation", ["Clip", "Relu"])
def test_equalized_channels_compute_the_same(activation):
    program = _program(activation)
    expected = _run(program)
    graph = OnnxGraph(_copy(program))
    tensors = ["stem", "narrow", "wide", "deep", "back", "sum", "last"]
    statistics = measure_activations(graph.save(), [FRAMES], tensors)
    before = {name: statistics[name].high.copy() for name in tensors}
    equalize(graph, graph.convolutions, statistics)
    equalized = graph.save()
    assert np.abs(_run(equalized) - expected).max() < 1e-5 * np.abs(expected).max() + 1e-5
    # The statistics are those of the equalized network.
    measured = measure_activations(equalized, [FRAMES], tensors)
    for name in tensors:
        assert measured[name].high == pytest.approx(statistics[name].high, rel=1e-3, abs=1e-4)
        assert measured[name].mean == pytest.approx(statistics[name].mean, rel=1e-3, abs=1e-4)
    for name in ("wide", "deep"):
        alive = before[name] > 0.01
        first, after = (np.ptp(np.log(values[alive])) for values in (before[name], statistics[name].high))
        assert after < 0.8 * first


@pytest.mark.parametrize("activation", ["Clip", "Relu"])
def test_int8_is_near_f32_and_nearer_than_without_equalization(activation, monkeypatch):
    program = _program(activation)
    expected = _run(program)
    quantized = quantize_program(_copy(program), iter([FRAMES[:8], FRAMES[8:]]))
    onnx.checker.check_model(quantized)
    error = np.abs(_run(quantized) - expected).mean()
    assert error < 0.02 * np.abs(expected).mean()
    monkeypatch.setattr("maskfit.inference.export.quantization.equalize", lambda *rest: None)
    plain = quantize_program(_copy(program), iter([FRAMES]))
    assert error < np.abs(_run(plain) - expected).mean()


def test_every_convolution_but_the_first_two_computes_in_integers(tmp_path):
    quantized = quantize_program(_program(), iter([FRAMES]))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(quantized.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 4
    assert kinds.count("QLinearAdd") == 1
    assert sum("Conv" in kind for kind in kinds) == 6
    assert "Clip" not in kinds


def test_nothing_is_rounded_before_an_activation_that_is_computed_with_its_convolution():
    program = _program("Sigmoid")
    expected = _run(program)
    outputs = [node.output[0] for node in program.graph.node if node.op_type == "Conv"]
    errors = []
    for fuses in (False, True):
        quantized = quantize_program(_copy(program), iter([FRAMES]), fuses)
        rounded = {node.input[0] for node in quantized.graph.node if node.op_type == "QuantizeLinear"}
        smooth = {name for name in outputs[1:] if name.endswith(".out")}
        assert smooth & rounded == (set() if fuses else smooth)
        assert {"narrow", "sum", "wide"} <= rounded
        errors.append(np.abs(_run(quantized) - expected).mean())
    assert errors[1] < errors[0]


def test_sums_are_those_of_a_processor_with_vnni():
    """ONNX Runtime's setting for exact sums changes nothing: without VNNI and with eight bits it would."""
    program = _program()
    graph = OnnxGraph(program)
    for layer in graph.convolutions[1:]:
        # Nearly all weights are large and of one sign, the worst there is.
        weight = np.abs(graph.weight(layer)) ** 0.05
        graph.set_weights(layer, weight / weight.sum((1, 2, 3), keepdims=True), graph.bias(layer) + 1)
    quantized = quantize_program(graph.save(), iter([FRAMES]))
    assert np.array_equal(_run(quantized), _run(quantized, exact=True))
    assert np.ptp(_run(quantized)) > 0


@pytest.mark.parametrize("shape", [(7, 16, 1, 1), (5, 9, 1, 1), (4, 3, 3, 3), (6, 8, 3, 3), (3, 1, 1, 1), (2, 2, 5, 5)])
def test_neighboring_weights_add_up_to_128_at_most(shape):
    weight = np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
    weight[0] = 1
    rounded, scales = round_weights(weight, 1)
    assert np.abs(rounded * scales[:, None, None, None] - weight).max() <= scales.max() * 0.5001
    for row, own in zip(rounded.astype(int), largest_neighbor_sum(weight), strict=True):
        by_position = [[int(row[channel, y, x]) for channel in range(shape[1])] for y in range(shape[2])
                       for x in range(shape[3])]  # fmt: skip
        padded = [position + [0] * (len(position) % 2) for position in by_position]
        for values in (sum(by_position, []), sum(padded, [])):  # noqa: RUF017 (short lists)
            for first, second in zip(values[::2], values[1::2], strict=False):
                assert -128 <= first + second <= 128 or first * second < 0
        assert own > 0
    # Between the seven bits that the worst pair needs and eight.
    assert ((scales >= np.abs(weight).max((1, 2, 3)) / 127.01) & (scales <= np.abs(weight).max((1, 2, 3)) / 63.4)).all()


def test_depthwise_weights_keep_eight_bits():
    weight = np.ones((4, 1, 3, 3), np.float32)
    assert (round_weights(weight, 4)[0] == 127).all()
    assert (round_weights(weight.repeat(2, 1), 4)[0] <= 64).all()


def test_an_output_channel_of_zeros_stays_zero():
    rounded, scales = round_weights(np.zeros((2, 4, 1, 1), np.float32), 1)
    assert not rounded.any()
    assert (scales > 0).all()


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_what_rounding_adds_on_average(groups):
    """Against a convolution of a constant image, channel by channel."""
    chance = np.random.default_rng(groups)
    weight = chance.normal(size=(6, 6 // groups, 3, 3)).astype(np.float32)
    means = chance.uniform(0, 5, 6)
    rounded, scales = round_weights(weight, groups)
    found = bias_shift(weight, rounded, scales, means, groups)
    for output in range(6):
        first = output // (6 // groups) * (6 // groups)
        error = 0.0
        for channel in range(6 // groups):
            for y in range(3):
                for x in range(3):
                    own = float(rounded[output, channel, y, x]) * float(scales[output]) - float(
                        weight[output, channel, y, x]
                    )
                    error += own * means[first + channel]
        assert found[output] == pytest.approx(error, rel=1e-6, abs=1e-9)


def test_a_shared_weight_is_changed_for_one_convolution_only():
    program = _program()
    for node in program.graph.node:
        if node.op_type == "Conv" and node.output[0] == "back":
            node.input[2] = "narrow.b"
    expected = _run(program)
    graph = OnnxGraph(program)
    tensors = [layer.output for layer in graph.convolutions] + ["sum"]
    equalize(graph, graph.convolutions, measure_activations(graph.save(), [FRAMES], tensors))
    assert _run(graph.save()) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def _write(path, **properties):
    program = _program()
    for key, value in properties.items():
        program.metadata_props.add(key=key.replace("_", "."), value=value)
    onnx.save(program, path)
    return path


def test_a_file_from_another_kind_of_processor_is_said_to_be(tmp_path, monkeypatch):
    path = _write(tmp_path / "a.onnx", maskfit_int8=Int8Origin(describe_instructions(), 9).to_json())
    assert read_int8_origin(path) == Int8Origin(describe_instructions(), 9)
    assert foreign_processor_warning(path) is None
    other = "AVX2" if "AMX" in describe_instructions() else "AVX512_CORE_AMX"
    monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda: other)
    line = foreign_processor_warning(path)
    assert f"this one has {other}" in line
    assert str(path) in line
    assert foreign_processor_warning(_write(tmp_path / "b.onnx")) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"instructions": 1}', "[" * 5000, '{"instructions": "", "photos": 1e999}']
)
def test_a_damaged_origin_is_one_error(tmp_path, text):
    with pytest.raises(ModelFileError, match=INT8_KEY):
        read_int8_origin(_write(tmp_path / "a.onnx", maskfit_int8=text))
