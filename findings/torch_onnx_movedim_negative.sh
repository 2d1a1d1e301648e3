#!/usr/bin/env bash
# torch's older ONNX exporter writes an invalid Transpose for `movedim(-1, 1)`, and ONNX's checker accepts it.
#
# torch 2.15.0, `torch.onnx.export(..., dynamo=False)`: a negative source dimension of `Tensor.movedim` comes into the attribute `perm`
# as it is, so that a tensor of four dimensions is to be permuted by (0, -1, 1, 2). A negative destination, `movedim(1, -1)`, is
# counted from the end as it should be, and so are both by the newer exporter. `onnx.checker.check_model` of onnx 1.23.2 finds nothing
# unless `full_check=True` infers the shapes, and ONNX Runtime 1.31.1 refuses to load the file.
# Exits 0 while that holds, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.15.0" "onnx==1.23.2" "onnxruntime==1.31.1" "numpy>=2"
cat > "$folder/move.py" <<'PYTHON'
import io
import warnings

import numpy as np
import onnx
import onnxruntime
import torch

warnings.simplefilter("ignore")  # the exporter is deprecated


class Move(torch.nn.Module):
    def __init__(self, source, destination):
        super().__init__()
        self.source, self.destination = source, destination

    def forward(self, values):
        return values.movedim(self.source, self.destination)


def export(source, destination):
    values, stream = torch.arange(120.0).reshape(2, 3, 4, 5), io.BytesIO()
    module = Move(source, destination)
    torch.onnx.export(module, (values,), stream, dynamo=False, input_names=["x"], output_names=["y"])
    program = onnx.load_from_string(stream.getvalue())
    (node,) = (node for node in program.graph.node if node.op_type == "Transpose")
    perm = list(node.attribute[0].ints)
    print(f"movedim({source}, {destination}): perm {perm}")
    onnx.checker.check_model(program)
    return program, perm, values.numpy(), module(values).numpy()


for source, destination in ((3, 1), (1, -1)):
    program, perm, values, expected = export(source, destination)
    assert min(perm) == 0
    session = onnxruntime.InferenceSession(program.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"x": values})[0], expected)

program, perm, _, _ = export(-1, 1)
assert perm == [0, -1, 1, 2]
for name, load in (
    ("onnx.checker, full_check=True", lambda: onnx.checker.check_model(program, full_check=True)),
    ("ONNX Runtime", lambda: onnxruntime.InferenceSession(program.SerializeToString())),
):
    try:
        load()
    except Exception as error:
        print(f"{name}: {type(error).__name__}")
    else:
        raise SystemExit(f"{name} accepts it")
PYTHON
"$folder/venv/bin/python" "$folder/move.py"
