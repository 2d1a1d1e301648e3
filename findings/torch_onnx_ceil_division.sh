#!/usr/bin/env bash
# torch's older ONNX exporter rounds `-(-n // k)` of a side down, where torch and its own trace round it up.
#
# torch 2.15.0, `torch.onnx.export(..., dynamo=False)`: the length of a dimension is a tensor in the trace, and `//` of a negative one,
# aten::floor_divide, becomes ONNX's integer Div, which rounds towards zero. A slice up to a quarter of 14 rounded up (4) is
# one up to 3 in the exported program, with a fixed length and with a dynamic axis, without a warning of it; onnx 1.23.2's full check
# finds nothing, and ONNX Runtime 1.31.1 computes another mean. `torch.jit.trace` and the newer exporter (dynamo=True) are right,
# and so is the older one for `(n + k - 1) // k`.
# Exits 0 while that holds, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.15.0" "onnx==1.23.2" "onnxruntime==1.31.1" "onnxscript==0.7.2" "numpy>=2"
cat > "$folder/quarter.py" <<'PYTHON'
import io
import warnings

import onnx
import onnxruntime
import torch

warnings.simplefilter("ignore")  # the older exporter is deprecated


class FirstQuarter(torch.nn.Module):
    """Mean of the first quarter of the values, rounded up; `twice_negated` says how."""

    def __init__(self, twice_negated):
        super().__init__()
        self.twice_negated = twice_negated

    def forward(self, values):
        length = values.shape[1]
        end = -(-length // 4) if self.twice_negated else (length + 3) // 4
        return values[:, :end].mean(1)


def run(module, values, **options):
    stream = io.BytesIO()
    torch.onnx.export(module, (values,), stream, input_names=["x"], verbose=False, **options)
    program = onnx.load_from_string(stream.getvalue())
    onnx.checker.check_model(program, full_check=True)
    session = onnxruntime.InferenceSession(program.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": values.numpy()})[0].item()


values = torch.arange(14.0)[None]
twice, once = FirstQuarter(True), FirstQuarter(False)
found = {
    "torch": twice(values).item(),
    "torch.jit.trace": torch.jit.trace(twice, values)(values).item(),
    "dynamo=True": run(twice, values, dynamo=True),
    "dynamo=False": run(twice, values, dynamo=False),
    "dynamo=False, dynamic axis": run(twice, values, dynamo=False, dynamic_axes={"x": {1: "n"}}),
    "dynamo=False, (n + 3) // 4": run(once, values, dynamo=False),
}
for name, mean in found.items():
    print(f"{name}: {mean}")
assert list(found.values()) == [1.5, 1.5, 1.5, 1.0, 1.0, 1.5]
PYTHON
"$folder/venv/bin/python" "$folder/quarter.py"
