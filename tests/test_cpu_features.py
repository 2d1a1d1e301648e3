"""The restriction that the environment puts on oneDNN, against what the processor has."""

from __future__ import annotations

import pytest

from maskfit import cpu_features
from maskfit.cpu_features import (
    ISA_VARIABLES,
    IsaLimit,
    cpu_isa_level,
    find_active_isa_limit,
    find_isa_limit,
    has_vnni,
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ISA_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_no_variable_is_no_limit():
    assert find_isa_limit() is None
    assert find_active_isa_limit() is None


@pytest.mark.parametrize("variable", ISA_VARIABLES)
@pytest.mark.parametrize(
    ("value", "level", "bf16"),
    [("AVX2", "AVX2", False), (" avx512_core ", "AVX512_CORE", False), ("AVX512_CORE_BF16", "AVX512_CORE_BF16", True)],
)
def test_levels_are_read_in_any_case(monkeypatch, variable, value, level, bf16):
    monkeypatch.setenv(variable, value)
    limit = find_isa_limit()
    assert limit == IsaLimit(variable, level)
    assert limit.allows_bf16 is bf16
    assert str(limit) == f"{variable}={level}"


@pytest.mark.parametrize("value", ["ALL", "DEFAULT", "AVX3", ""])
def test_values_without_a_restriction(monkeypatch, value):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", value)
    assert find_isa_limit() is None


def test_the_newer_variable_wins(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "ALL")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    assert find_isa_limit() is None


@pytest.mark.parametrize(
    ("level", "active"),
    [("SSE41", False), ("AVX2", False), ("AVX512_CORE", True), ("AVX512_CORE_AMX", True), (None, True)],
)
def test_a_limit_counts_where_the_processor_has_more(monkeypatch, level, active):
    monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda: level)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert (find_active_isa_limit() is not None) is active


def test_this_processor_has_a_level_or_is_unknown():
    assert cpu_isa_level() is None or cpu_isa_level() in cpu_features.ISA_LEVELS


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (None, False),
        ("AVX2", False),
        ("AVX2_VNNI", True),
        ("AVX2_VNNI_2", True),
        ("AVX512_CORE", False),
        ("AVX512_CORE_VNNI", True),
        ("AVX512_CORE_AMX", True),
    ],
)
def test_avx512_alone_has_no_vnni(monkeypatch, level, expected):
    monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda: level)
    assert has_vnni() is expected
