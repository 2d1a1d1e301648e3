"""What spares memory or time changes nothing of what is learned, and is refused where it cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import Block
from torch import nn

from maskfit.config.recipe import Recipe
from maskfit.errors import RecipeError
from maskfit.model_file import load_model
from maskfit.training import network_setup
from maskfit.training.train import train

Make = Callable[..., Recipe]


def test_checkpointing_computes_stages_twice_and_learns_the_same(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without BatchNorm: its statistics see each batch twice then, as timm's documentation of it says too.
    words = [
        "model.backbone=vit_tiny_patch16_224",
        "model.backbone.img_size=[24,24]",
        "model.backbone.patch_size=8",
        "model.backbone.embed_dim=24",
        "model.backbone.depth=2",
        "model.backbone.num_heads=2",
        "trainer.epochs=1",
    ]
    passes = {False: 0, True: 0}
    forward = Block.forward
    for checkpointing in (False, True):

        def counted(self: Block, *given: torch.Tensor, on: bool = checkpointing, **more: object) -> torch.Tensor:
            passes[on] += 1
            return forward(self, *given, **more)

        with monkeypatch.context() as patch:
            patch.setattr(Block, "forward", counted)
            train(
                tiny(
                    *words,
                    f"output_dir={tmp_path / str(checkpointing)}",
                    f"trainer.gradient_checkpointing={checkpointing}",
                )
            )
    assert passes[True] > passes[False]
    kept, spared = ((tmp_path / str(on) / "fold0" / "train_loss.csv").read_text() for on in (False, True))
    assert kept == spared


@pytest.mark.parametrize("backbone", ["small", "three_conv", "vgg11"])
def test_a_network_without_stages_is_refused_before_anything_is_written(tiny: Make, backbone: str) -> None:
    recipe = tiny(f"model.backbone={backbone}", "trainer.gradient_checkpointing=true", "data.image_size=32")
    with pytest.raises(RecipeError, match="does not support gradient checkpointing") as raised:
        train(recipe)
    assert raised.value.location == "trainer.gradient_checkpointing"
    assert not Path(str(recipe.output_dir)).exists()


def test_a_compiled_network_learns_the_same_and_its_weights_keep_their_names(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the compiler's first half, which follows the network's code; the second would take a minute."""
    compiled: list[nn.Module] = []
    real = nn.Module.compile

    def by_half(self: nn.Module, **options: object) -> None:
        compiled.append(self)
        real(self, backend="eager", **options)

    monkeypatch.setattr(nn.Module, "compile", by_half)
    words = ["trainer.epochs=1", "weight_averaging=ema", "trainer.full_data_epochs=1"]
    plain, _ = train(tiny(*words, f"output_dir={tmp_path / 'plain'}"))
    assert compiled == []
    other, _ = train(tiny(*words, f"output_dir={tmp_path / 'compiled'}", "trainer.compile=true"))
    assert len(compiled) == 2
    assert other.fold(0).train_loss.read_text() == plain.fold(0).train_loss.read_text()
    for file in ("best.safetensors", "full_data.safetensors"):
        assert set(load_file(other.fold(0).path / file)) == set(load_file(plain.fold(0).path / file))
        load_model(other.fold(0).path / file)


@pytest.mark.slow
def test_compiled_in_earnest_it_learns_nearly_the_same(tiny: Make, tmp_path: Path) -> None:
    words = ["trainer.epochs=1", "weight_averaging=none"]
    losses = []
    for on in ("false", "true"):
        folder, _ = train(tiny(*words, f"output_dir={tmp_path / on}", f"trainer.compile={on}"))
        losses.append([float(line.split(",")[1]) for line in folder.fold(0).train_loss.read_text().splitlines()[1:]])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_without_a_compiler_it_is_refused(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(network_setup.shutil, "which", lambda name: None)
    with pytest.raises(RecipeError, match="C\\+\\+") as raised:
        train(tiny("trainer.compile=true"))
    assert "g++" in str(raised.value)
