"""Instruction sets of the processor, and the environment variables that keep oneDNN from using them.

oneDNN computes for torch and, in a copy of its own, for OpenVINO. Both obey `ONEDNN_MAX_CPU_ISA` (formerly
`DNNL_MAX_CPU_ISA`), which users set to reproduce results across machines.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ISA_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that oneDNN reads, the first one set wins."""

ISA_LEVELS = (
    "SSE41",
    "AVX",
    "AVX2",
    "AVX2_VNNI",
    "AVX2_VNNI_2",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
    "AVX512_CORE_BF16",
    "AVX512_CORE_FP16",
    "AVX512_CORE_AMX",
    "AVX512_CORE_AMX_FP16",
)
"""Values of these variables that oneDNN knows, each with more instructions than the one before."""

_CPU_FLAGS = {
    "sse4_1": "SSE41",
    "avx": "AVX",
    "avx2": "AVX2",
    "avx_vnni": "AVX2_VNNI",
    "avx_vnni_int8": "AVX2_VNNI_2",
    "avx512bw": "AVX512_CORE",
    "avx512_vnni": "AVX512_CORE_VNNI",
    "avx512_bf16": "AVX512_CORE_BF16",
    "avx512_fp16": "AVX512_CORE_FP16",
    "amx_bf16": "AVX512_CORE_AMX",
    "amx_fp16": "AVX512_CORE_AMX_FP16",
}
"""Flags of /proc/cpuinfo and the level that each stands for."""


@dataclass(frozen=True)
class IsaLimit:
    """An environment variable that restricts oneDNN's instruction set.

    Attributes:
        variable: A name of `ISA_VARIABLES`.
        value: A level of `ISA_LEVELS`.
    """

    variable: str
    value: str

    @property
    def allows_bf16(self) -> bool:
        """Whether oneDNN may use the bfloat16 instructions of a processor that has them."""
        return ISA_LEVELS.index(self.value) >= ISA_LEVELS.index("AVX512_CORE_BF16")

    def __str__(self) -> str:
        return f"{self.variable}={self.value}"


def has_vnni() -> bool:
    """Whether the processor has instructions that add products of bytes: 8-bit networks are twice as fast with them.

    Returns:
        Whether it has; False where /proc/cpuinfo does not say.
    """
    level = cpu_isa_level()
    # AVX512_CORE is above them, and has none.
    return level in ("AVX2_VNNI", "AVX2_VNNI_2") or (
        level is not None and ISA_LEVELS.index(level) >= ISA_LEVELS.index("AVX512_CORE_VNNI")
    )


def has_avx2_alone() -> bool:
    """Whether the processor has AVX2, but neither VNNI nor AVX-512.

    Returns:
        Whether it is so; False where /proc/cpuinfo does not say.
    """
    return cpu_isa_level() == "AVX2"


def find_isa_limit() -> IsaLimit | None:
    """Returns the restriction that the environment puts on oneDNN.

    Returns:
        The variable and its level; None where neither is set, or to a value without a restriction (`ALL`, `DEFAULT`,
        or one that oneDNN does not know).
    """
    for variable in ISA_VARIABLES:
        value = os.environ.get(variable, "").strip().upper()
        if value:
            return IsaLimit(variable, value) if value in ISA_LEVELS else None
    return None


def find_active_isa_limit() -> IsaLimit | None:
    """Returns the restriction where it takes away instructions that this processor has.

    Returns:
        The restriction; None where there is none, or the processor has no more than it allows. Where the processor's
        instructions are not known (outside of Linux), every restriction counts.
    """
    limit = find_isa_limit()
    level = cpu_isa_level()
    if limit is None or (level is not None and ISA_LEVELS.index(limit.value) >= ISA_LEVELS.index(level)):
        return None
    return limit


@cache
def cpu_isa_level() -> str | None:
    """Returns the highest level of `ISA_LEVELS` that this processor has.

    Returns:
        The level; None where /proc/cpuinfo does not say.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
    levels = [level for flag, level in _CPU_FLAGS.items() if flag in flags]
    return max(levels, key=ISA_LEVELS.index) if levels else None
