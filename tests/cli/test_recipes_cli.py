"""`maskfit recipes` and `maskfit check` as a user types them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from maskfit.config import aliases
from maskfit.config.loader import read_recipe
from maskfit.config.recipe_files import read_recipe_text, recipe_names
from maskfit.errors import OldNameWarning
from maskfit.models.backbone_names import BACKBONES, find_timm_modules


def test_recipes_are_listed(command):
    result = command("recipes")
    assert result.code == 0
    for name in recipe_names():
        assert f"\n{name} " in result.out
        assert read_recipe(name).description.split()[0] in result.out


@pytest.mark.parametrize("name", recipe_names())
def test_recipe_is_printed_as_its_file(command, tmp_path, name):
    result = command("recipes", name)
    assert result.code == 0
    assert result.out == read_recipe_text(name)
    (tmp_path / "mine.yaml").write_text(result.out)
    assert read_recipe(tmp_path / "mine.yaml") == read_recipe(name)


def test_an_unknown_recipe_is_an_error(command):
    result = command("recipes", "[basline]")
    assert result.code == 2
    assert "there is no recipe '[basline]'; did you mean 'baseline'?" in result.err


def test_valid_recipe_is_printed_with_defaults(command, tmp_path):
    result = command("check", "baseline", "trainer.epochs=12", "loss.smoothing=0.1", "name=a")
    assert result.code == 0
    assert result.err == "the weights of efficientnet_b0 are for 224 x 224 px, crop_pct 0.875\nrecipe 'a' is valid\n"
    (tmp_path / "whole.yaml").write_text(result.out)
    assert read_recipe(tmp_path / "whole.yaml") == read_recipe(
        "baseline", ["trainer.epochs=12", "loss.smoothing=0.1", "name=a"]
    )


def test_all_errors_of_a_recipe_are_listed(command):
    result = command(
        "check", "baseline", "trainer.epoch=12", "loss=focl", "optimizer.lrr=1", "data.image_size=[a]", "[x]=1"
    )
    assert result.code == 2
    assert result.out == ""
    for line in (
        "trainer.epoch",
        "'epochs'",
        "loss: 'focl' is unknown",
        "optimizer",
        "'lrr'",
        "data.image_size",
        "[x]",
    ):
        assert line in result.err


@pytest.mark.parametrize("args", [("fast", "epochs"), ("absent.yaml",), ("fast", "a: [b=1")])
def test_other_errors_exit_with_2(command, args):
    result = command("check", *args)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert "next: " in result.err


@pytest.fixture
def new_timm_names():
    """Names of timm's models are read again, also after the test: they are kept for the process."""

    def forget():
        find_timm_modules.cache_clear()
        vars(BACKBONES).pop("_timm", None)

    forget()
    yield
    forget()


def test_without_timm_only_the_name_of_its_model_is_not_checked(command, new_timm_names, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "timm" else real(name, *rest))
    result = command("check", "baseline", "model.backbone=resnet43")
    assert result.code == 0
    assert "not checked: model.backbone=resnet43" in result.err
    assert "pip install 'maskfit[train]'" in result.err
    assert command("check", "fast").err == "recipe 'fast' is valid\n"
    for wrong in ("loss=focl", "los=focal", "model.head=multi_heed", "optimizer.lr=-1"):
        assert command("check", "baseline", wrong).code == 2


@pytest.mark.parametrize("words", [("champion",), ("baseline", "model.backbone=resnet43", "loss.smooth=1", "los=1")])
def test_a_recipe_is_checked_without_importing_what_it_names(words):
    """Valid or not, with everything installed: the imports of torch and timm took ten times as long as the check."""
    script = (
        "import sys\nfrom maskfit.cli import main\nsys.argv = ['maskfit', 'check', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    code = end.code\n"
        # Not `ru_maxrss`, which a child takes over from the process that started it.
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "heavy = {'torch', 'torchvision', 'timm', 'lightning', 'scipy', 'onnxruntime', 'cv2'} & set(sys.modules)\n"
        "print(code, sorted(heavy), int(peak.split()[1]) // 1024, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=60)
    code, heavy, megabytes = done.stderr.splitlines()[-1].split()
    assert (code, heavy) == ("0" if words == ("champion",) else "2", "[]")
    assert int(megabytes) < 150
    if code == "2":
        for line in ("did you mean 'resnet34'", "has no option 'smooth'; did you mean 'smoothing'", "los: there is no"):
            assert line in done.stderr


def test_names_are_read_as_people_write_them(command, tmp_path, monkeypatch):
    words = ("optimizer=AdamW", "loss=CrossEntropyLoss", "loss.label_smoothing=0.1", "lr_scheduler=ReduceLROnPlateau")
    monkeypatch.setattr(aliases, "_warned", set())
    with pytest.warns(OldNameWarning) as caught:
        result = command("check", "baseline", *words, "model.backbone=EfficientNet-B0", "data.crop=Center")
    assert result.code == 0
    assert [str(line.message) for line in caught] == [
        "recipe: loss=CrossEntropyLoss is read as cross_entropy",
        "recipe: loss.label_smoothing is read as loss.smoothing",
        "recipe: lr_scheduler=ReduceLROnPlateau is read as reduce_on_plateau",
    ]
    (tmp_path / "a.yaml").write_text(result.out)
    recipe = read_recipe(tmp_path / "a.yaml")
    assert recipe.optimizer.name == "adamw"
    assert recipe.loss.model_dump() == {"name": "cross_entropy", "smoothing": 0.1}
    assert (recipe.lr_scheduler.name, recipe.model.backbone.name) == ("reduce_on_plateau", "efficientnet_b0")
    assert recipe.data.crop.name == "center"


def test_values_out_of_their_range_are_errors(command):
    words = ("optimizer.lr=-1", "loss.smoothing=1", "lr_scheduler.warmup=long", "batch_mixing=mixup")
    result = command(
        "check", "baseline", *words, "batch_mixing.prob=1.5", "data.crop=face", "data.crop.detector=yunett"
    )
    assert result.code == 2
    for line in (
        "optimizer: 'adamw': lr must be >= 0, got -1",
        "loss: 'cross_entropy': smoothing must be in [0, 1), got 1",
        "lr_scheduler: 'cosine': warmup must be a number, got 'long'",
        "batch_mixing: 'mixup': prob must be in 0 to 1, got 1.5",
        "data.crop.detector: 'yunett' is unknown; did you mean 'yunet'?",
    ):
        assert line in result.err


def test_the_image_size_is_settled_or_refused(command):
    vit = command("check", "baseline", "model.backbone=vit_tiny_patch16_224", "data.image_size=96")
    assert vit.code == 0
    assert "for 224 x 224 px, crop_pct 0.9; the network is built for 96 x 96 px" in vit.err
    auto = command("check", "baseline", "model.backbone=efficientnet_b2_pruned", "data.image_size=auto")
    assert "  image_size:\n  - 260\n  - 260\n" in auto.out
    refused = command("check", "baseline", "model.backbone=efficientformer_l1", "data.image_size=96")
    assert refused.code == 2
    assert "does not take images of 96 x 96 px" in refused.err
    assert "data.image_size=auto takes that of its weights, 224 x 224 px" in refused.err


FILE_KEYS = (
    "data.path",
    "data.extra_train",
    "data.label_corrections",
    "data.soft_labels",
    "data.crop.weights",
    "data.background_removal.weights",
    "model.pretrained",
    "model.init_from",
    "cv.split_file",
)


def test_files_that_do_not_exist_are_named_all_at_once(command):
    components = ("data.crop={name: face, detector: yunet}", "data.background_removal=saliency")
    words = ("baseline", *components, *(f"{key}=absent/{key}" for key in FILE_KEYS))
    result = command("check", *words)
    assert result.code == 2
    assert result.out == ""
    for key in FILE_KEYS:
        kind = "folder or file" if key in ("data.path", "data.extra_train") else "file"
        assert f"- {key}: there is no such {kind}: absent/{key}\n" in result.err
    assert "next: check the path, which counts from" in result.err
    assert "maskfit check baseline --no-files" in result.err
    elsewhere = command("check", *words, "--no-files")
    assert elsewhere.code == 0
    assert "is valid" in elsewhere.err


@pytest.mark.parametrize("verb", ["train", "run", "tune"])
def test_commands_that_train_name_missing_files_before_they_start(command, verb):
    further = {"run": ("--images", ".", "--out", "answers"), "tune": ("--space", "space.yaml")}
    result = command(verb, "fast", "data.path=absent", "cv.split_file=folds.csv", *further.get(verb, ()))
    assert result.code == 2
    assert "- data.path: there is no such folder or file: absent\n- cv.split_file: there is no such file" in result.err


def test_files_that_exist_are_no_mistake(command, tmp_path):
    (tmp_path / "folds.csv").write_text("person,fold\na,0\n")
    (tmp_path / "photos.csv").write_text("path,mask,gender,age\na.png,wear,male,20\n")
    files = (f"data.path={tmp_path}/photos.csv", f"cv.split_file={tmp_path}/folds.csv")
    assert command("check", "transfer", *files).code == 0  # It starts from `bundled`, which is no path.
    # A run's recipe names weights by their checksum; where they were is not kept.
    crop = "data.crop={name: face, weights: a.onnx, sha256: " + "a" * 64 + "}"
    assert command("check", "fast", crop).code == 0
    folder = command("check", "fast", *files, f"data.soft_labels={tmp_path}")
    assert folder.code == 2
    assert folder.err.startswith(f"error: this is a folder, not a file\n  at: data.soft_labels={tmp_path}\n  next: ")


def test_weights_of_a_backbone_that_has_none_are_a_mistake(command):
    for words in (("check", "fast"), ("train", "fast", "data.path=absent")):
        result = command(*words, "model.pretrained=timm")
        assert result.code == 2
        assert "the backbone 'small' has no published weights" in result.err
    assert command("check", "fast", "model.pretrained=none").code == 0
