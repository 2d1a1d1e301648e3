"""Small ONNX files with the inputs and outputs of each detector, which find one face on a photo of 64 x 64 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FACE = (8.0, 16.0, 40.0, 48.0)
"""What the networks of YuNet and of the bundled detector find."""

INPUTS = {
    "bundled": ("image", [None, None, None, 3]),
    "yunet": ("input", [None, 3, None, None]),
    "ultra_light": ("input", [1, 3, 480, 640]),
    "centerface": ("input.1", [10, 3, 32, 32]),
}


def outputs(kind: str) -> dict[str, np.ndarray]:
    """What the network of a detector answers on its canvas of 64 x 64 pixels (Ultra-Light: 480 x 640)."""
    if kind == "bundled":
        maps = {f"cells_{stride}": np.full((1, 16, 64 // stride, 64 // stride), -9.0) for stride in (8, 16, 32)}
        # The cell in row 2, column 1 of stride 16 has its upper left corner at (16, 32).
        maps["cells_16"][0, :, 2, 1] = [3.0, 5.0, 0.5, 0.0, np.log(2), np.log(2), *[0.75] * 10]
        return maps
    if kind == "yunet":
        values = {
            f"{name}_{stride}": np.zeros((1, (64 // stride) ** 2, count))
            for stride in (8, 16, 32)
            for name, count in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        }
        values["cls_16"][0, 9] = values["obj_16"][0, 9] = 0.8
        values["bbox_16"][0, 9] = [0.5, 0.0, np.log(2), np.log(2)]
        return values
    if kind == "ultra_light":
        scores, boxes = np.zeros((1, 17640, 3)), np.zeros((1, 17640, 4))
        scores[0, 7], boxes[0, 7] = [0, 0.9, 0], [0.125 * 0.75, 0.25, 0.625 * 0.75, 0.75]
        return {"scores": scores, "boxes": boxes}
    score, size, offset, points = (np.zeros((1, count, 16, 16)) for count in (1, 2, 2, 10))
    # Vertical before horizontal: the cell's center is (26, 34), the face's (24, 32).
    score[0, 0, 8, 6], size[0, :, 8, 6], offset[0, :, 8, 6] = 0.9, np.log(8), -0.5
    return {"537": score, "538": size, "539": offset, "540": points}


def write_network(kind: str, path: Path) -> Path:
    """Writes the network of a detector."""
    from onnx import TensorProto, helper, numpy_helper, save

    name, shape = INPUTS[kind]
    element = TensorProto.UINT8 if kind == "bundled" else TensorProto.FLOAT
    nodes, infos = [], []
    for result, values in outputs(kind).items():
        tensor = numpy_helper.from_array(values.astype(np.float32))
        nodes.append(helper.make_node("Constant", [], [result], value=tensor))
        # CenterFace declares the shapes of a small batch.
        declared = [10, values.shape[1], 8, 8] if kind == "centerface" else list(values.shape)
        infos.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, declared))
    graph = helper.make_graph(nodes, kind, [helper.make_tensor_value_info(name, element, shape)], infos)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
