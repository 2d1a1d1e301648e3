"""Precision: what `auto` takes and why, and that a run keeps what it began with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from maskfit.config.recipe import Recipe
from maskfit.file_io import read_json, write_json
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec
from maskfit.training import builders, precision
from maskfit.training.precision import Precision, choose_precision, count_macs
from maskfit.training.run_session import load_run, prepare_run
from maskfit.training.train import train

Make = Callable[..., Recipe]
SIZES = {"mask": 3, "gender": 2, "age": 3}


@pytest.fixture
def bf16_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "supports_bf16", lambda: True)


def draft(backbone: str) -> nn.Module:
    with torch.device("meta"):
        return build_network(ComponentSpec.create(backbone), ComponentSpec.create("single_head"), SIZES)


def test_multiplications_are_what_each_written_number_is_the_sum_of() -> None:
    """By hand: a convolution of 3 x 3 over 3 channels, one of each channel alone, and a linear layer of 8."""
    network = draft("small")
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).to("meta")
    network.backbone.body, network.head = body, nn.Linear(8, 5).to("meta")
    pixels = 16 * 12
    assert count_macs(network, (16, 12)) == 8 * pixels * 27 + 8 * pixels * 9 + 5 * 8
    assert network.training


@pytest.mark.usefixtures("bf16_processor")
@pytest.mark.parametrize(
    ("backbone", "size", "kind"),
    [
        ("vit_tiny_patch16_224", 224, "bf16-mixed"),
        ("resnet18", 224, "bf16-mixed"),
        ("mobilenetv2_100", 96, "bf16-mixed"),
        ("convnext_atto", 224, "bf16-mixed"),
        ("small", 96, "bf16-mixed"),
        ("small", 16, "32-true"),
    ],
)
def test_a_processor_that_multiplies_bfloat16_does(tiny: Make, backbone: str, size: int, kind: str) -> None:
    """But for networks so small that casting takes longer."""
    chosen = choose_precision(tiny(f"data.image_size={size}"), draft(backbone))
    assert chosen.kind == kind
    assert chosen.reason


def test_a_processor_without_bfloat16_keeps_32_bits(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "supports_bf16", lambda: False)
    assert choose_precision(tiny("data.image_size=224"), draft("vit_small_patch16_224")).kind == "32-true"


@pytest.mark.parametrize(
    ("variable", "value", "held"),
    [
        ("ONEDNN_MAX_CPU_ISA", "AVX2", True),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core_vnni", True),
        ("DNNL_MAX_CPU_ISA", "AVX512_CORE", True),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", False),
        ("ONEDNN_MAX_CPU_ISA", "DEFAULT", False),
    ],
)
def test_a_limit_on_onednns_instructions_counts(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, held: bool
) -> None:
    """Whatever the processor at hand has."""
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert precision.supports_bf16()
    monkeypatch.setenv(variable, value)
    assert precision.supports_bf16() is not held


@pytest.mark.parametrize(
    ("bf16", "words", "kind"),
    [(True, [], "bf16-mixed"), (False, [], "16-mixed"), (False, ["optimizer=sam"], "32-true")],
)
def test_on_a_gpu(tiny: Make, monkeypatch: pytest.MonkeyPatch, bf16: bool, words: list[str], kind: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16 or including_emulation)
    recipe = tiny("trainer.device=auto", *words)
    assert choose_precision(recipe, draft("small")).kind == kind
    assert choose_precision(tiny("trainer.device=auto", "trainer.precision=32-true"), draft("small")).kind == "32-true"


def test_what_a_run_began_with_is_written_said_and_kept(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    build = builders.build_trainer
    monkeypatch.setattr(
        "maskfit.training.train_fold.build_trainer",
        lambda plan, kind, *rest: [seen.append(kind), build(plan, kind, *rest)][1],
    )
    monkeypatch.setattr(
        "maskfit.training.run_session.choose_precision", lambda *_: Precision("bf16-mixed", "a test wants it")
    )
    recipe = tiny("trainer.epochs=1", "trainer.full_data_epochs=1")
    run = prepare_run(recipe)
    assert read_json(run.folder.environment)["precision"] == {"kind": "bf16-mixed", "reason": "a test wants it"}
    assert "bfloat16" in str(run.precision)
    # Another machine would choose otherwise; this run goes on as it began, its last epochs too.
    monkeypatch.setattr("maskfit.training.run_session.choose_precision", lambda *_: pytest.fail("chosen twice"))
    train(recipe, resume=True)
    assert seen == ["bf16-mixed", "bf16-mixed"]


def test_a_run_of_an_earlier_maskfit_goes_on_as_auto_was_then(tiny: Make) -> None:
    run = prepare_run(tiny())
    metadata = read_json(run.folder.environment)
    del metadata["precision"]
    write_json(run.folder.environment, metadata)
    assert load_run(run.folder.path).precision.kind == ("16-mixed" if torch.cuda.is_available() else "32-true")
