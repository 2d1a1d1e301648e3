#!/usr/bin/env bash
# OpenVINO 2026.4.1 chooses bf16 by the processor, not by what its oneDNN may use. On a processor with AVX512-BF16 and
# ONEDNN_MAX_CPU_ISA=AVX2 (oneDNN's documented switch, which OpenVINO's own oneDNN obeys) the default precision is still bf16, for which
# no kernel is left: one convolution with average pooling cannot be run ("... node ... is not initialized"; in larger networks
# "Supported primitive descriptors list is empty"). INFERENCE_PRECISION_HINT=f32 runs under the same variable.
#
# Seen: openvino 2026.4.1 from PyPI, Python 3.11, Linux x86-64, a processor with avx512_bf16. torch in the same environment falls back to
# kernels without bf16 and runs.
# Exits 0 while that holds (or where the processor has no bf16, so that nothing can be seen), 1 when it changes.
set -euo pipefail
grep -qw avx512_bf16 /proc/cpuinfo || { echo "no AVX512-BF16 here: nothing to see"; exit 0; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet openvino==2026.4.1 numpy==2.4.6
cat > "$work/net.py" <<'PY'
import sys
import numpy as np
import openvino as ov
from openvino import opset13 as op

images = op.parameter([-1, 8, 16, 16], np.float32)
conv = op.convolution(images, np.ones((16, 8, 3, 3), np.float32), [1, 1], [1, 1], [1, 1], [1, 1])
pooled = op.avg_pool(conv, [2, 2], [0, 0], [0, 0], [2, 2], True)
hint = {"INFERENCE_PRECISION_HINT": sys.argv[1]} if len(sys.argv) > 1 else {}
compiled = ov.Core().compile_model(ov.Model([pooled], [images], "net"), "CPU", hint)
result = compiled(np.ones((1, 8, 16, 16), np.float32))[0]
print(result.shape, compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
PY
run() { "$work/venv/bin/python" "$work/net.py" "$@"; }
echo "default:                            $(run)"
echo "ONEDNN_MAX_CPU_ISA=AVX2, f32 hint:  $(ONEDNN_MAX_CPU_ISA=AVX2 run f32)"
if ONEDNN_MAX_CPU_ISA=AVX2 run > "$work/out" 2>&1; then
  cat "$work/out"; echo "changed: it runs now"; exit 1
fi
echo "ONEDNN_MAX_CPU_ISA=AVX2, default:   $(grep -o "is not initialized\|descriptors list is empty" "$work/out" | head -1)"
grep -q "is not initialized\|descriptors list is empty" "$work/out" || { echo "changed: another error"; exit 1; }
