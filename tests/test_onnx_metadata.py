"""Properties read from an ONNX file's outermost layer are those that onnx itself reads; broken files say nothing."""

from __future__ import annotations

import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from maskfit.onnx_metadata import read_metadata_props

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=300).filter(lambda text: "location" not in text)


def make(properties: dict[str, str]) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("photos", "mask")]
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [3], bytes(range(12)), raw=True)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["photos", "weights"], ["mask"])], "g", values[:1], values[1:], initializer=[weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="x" * 200)
    helper.set_model_props(model, properties)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@given(st.dictionaries(TEXT, TEXT, max_size=5))
def test_the_properties_are_what_onnx_reads(folder, properties):
    path = folder / "a.onnx"
    path.write_bytes(make(properties).SerializeToString())
    assert read_metadata_props(path) == properties
    assert {item.key: item.value for item in onnx.load(path).metadata_props} == properties


@given(st.data())
def test_of_a_broken_file_either_nothing_is_read_or_what_onnx_reads(folder, data):
    whole = make({"maskfit": '{"a": 1}', "b": "é" * 70}).SerializeToString()
    if data.draw(st.booleans()):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        place = data.draw(st.integers(0, len(whole) - 1))
        broken = whole[:place] + bytes([data.draw(st.integers(0, 255))]) + whole[place + 1 :]
    path = folder / "b.onnx"
    path.write_bytes(broken)
    found = read_metadata_props(path)
    if found is None:
        return
    try:
        model = onnx.load_model_from_string(broken)
    except DecodeError:
        return  # broken inside of the network, which is stepped over: that is found when it is opened
    assert found == {item.key: item.value for item in model.metadata_props}


@given(st.binary(max_size=200))
def test_what_is_no_onnx_file_is_left_to_who_can_say_so(folder, content):
    path = folder / "c.onnx"
    path.write_bytes(content)
    found = read_metadata_props(path)
    assert found is None or isinstance(found, dict)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, world",
        b"\xff" * 30,  # a number that does not end
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a network of exabytes
        b"\x3a\x00\x3a\x00",  # two networks
        b"\x72\x03\x0a\x01k",  # properties and no network
        b"\x3a\x00\x72\x03\x0a\x05k",  # a key that is longer than its pair
        b"\x3a\x00\x72\x03\x0a\x01\xff",  # no text
        b"\x3b\x00",  # a group, which ONNX has none of
        b"\x3a\x00\x02\x00",  # a field without a number
    ],
)
def test_broken_files_say_nothing(tmp_path, content):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    assert read_metadata_props(path) is None


def test_a_network_whose_weights_may_lie_elsewhere_is_left_to_onnx_runtime(tmp_path):
    model = make({"maskfit": "{}"})
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="beside.bin")
    path = tmp_path / "a.onnx"
    path.write_bytes(model.SerializeToString())
    assert read_metadata_props(path) is None


def test_metadata_that_is_no_text_is_one_line(tmp_path):
    pytest.importorskip("onnxruntime")
    from maskfit.errors import ModelFileError
    from maskfit.model_metadata import read_metadata

    path = tmp_path / "net.onnx"
    path.write_bytes(make({"key": "zzzz"}).SerializeToString().replace(b"zzzz", b"\xff\xfe\xfd\xfc"))
    with pytest.raises(ModelFileError, match="the metadata is not UTF-8"):
        read_metadata(path)
