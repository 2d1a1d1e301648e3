"""Packages that Lightning and torch import without need are there when they are used, and not before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEFER = "from maskfit.deferred_packages import DeferredPackage, defer_unused_packages\n"
STEP = """
import torch
from torch.utils.data import DataLoader
from maskfit.training.lightning_api import LightningModule, Trainer
from maskfit.training.optim.optimizers import adamw
class Task(LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = torch.nn.Linear(4, 2)
    def training_step(self, batch, number):
        return self.network(batch).square().mean()
    def configure_optimizers(self):
        return adamw(self.network, lr=0.1)
task = Task()
quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
Trainer(max_epochs=2, accelerator="cpu", **quiet).fit(task, DataLoader([torch.ones(3, 4), torch.eye(4)], None))
weights = [value.hex() for value in task.network.weight.flatten().tolist()]
"""


def run(script: str, folder: Path | None = None) -> str:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


HEAVY = (
    "'torch._dynamo.utils', 'sympy', 'torchmetrics.functional', 'torchvision', 'timm', 'scipy.signal', 'matplotlib', "
    "'triton', 'wandb'"
)

USES = [
    "from torch.optim import Optimizer; assert '__dynamo_disable' in vars(Optimizer.add_param_group.__wrapped__)",
    "compiled = torch.compile(Task(), backend='eager'); compiled.network(torch.ones(1, 4))",
    "from lightning.pytorch.utilities.compile import from_compiled; from_compiled(compiled)",
    "from torch.optim import Optimizer; assert '__dynamo_disable' not in vars(Optimizer.add_param_group.__wrapped__)",
    "torch.optim.SGD(compiled.parameters(), 0.1).zero_grad(); assert torch._dynamo.config.verbose is False",
    "import torchmetrics; assert issubclass(torchmetrics.SumMetric, torchmetrics.Metric)",
    "assert torchmetrics.Accuracy(task='binary') is not None and torchmetrics.metric.Metric is torchmetrics.Metric",
    "from torch.utils.flop_counter import FlopCounterMode as Counter",
    "with Counter(display=False) as counter: task.network(torch.ones(3, 4))",
    "assert counter.get_total_flops() == 2 * 3 * 4 * 2",
    "assert isinstance(counter, torch.utils.flop_counter.FlopCounterMode)",
]
"""Lines that need what was deferred, in this order in one process."""


def test_training_defers_what_it_does_not_need_and_it_works_afterwards() -> None:
    lines = "\n".join(USES)
    assert run(f"import sys{STEP}\nprint([name for name in ({HEAVY}) if name in sys.modules])\n{lines}") == "[]"


TIMM = """
import sys, torch
from maskfit.deferred_packages import defer_unused_packages, import_timm
defer_unused_packages()
from maskfit.models.backbones import build_backbone
from maskfit.registry import ComponentSpec
torch.manual_seed(0)
network = build_backbone(ComponentSpec.create("test_efficientnet")).eval()
print(network(torch.ones(1, 3, 32, 32)).sum().item().hex(), network.mean, network.std, network.filter)
"""

TIMM_USES = [
    "import timm; from timm.layers.norm_act import freeze_batch_norm_2d, unfreeze_batch_norm_2d",
    "frozen = freeze_batch_norm_2d(torch.nn.Sequential(torch.nn.BatchNorm2d(2)))",
    "from torchvision.ops import FrozenBatchNorm2d; assert type(frozen[0]) is FrozenBatchNorm2d",
    "assert type(unfreeze_batch_norm_2d(frozen)[0]) is torch.nn.BatchNorm2d",
    "assert len(timm.list_models()) > 500",
    "assert timm.data.IMAGENET_DEFAULT_MEAN == (0.485, 0.456, 0.406) == timm.data.constants.IMAGENET_DEFAULT_MEAN",
    "assert timm.data.create_transform(32).transforms and timm.data.Mixup.__module__ == 'timm.data.mixup'",
    "from timm.data.transforms_factory import create_transform; assert create_transform is timm.data.create_transform",
    "from timm.layers import get_graph_node_names; assert get_graph_node_names(network.body)[0][-1]",
    "from torchvision.models.feature_extraction import NodePathTracer; import torchvision.ops.misc",
    "from timm.utils import ModelEmaV3; ModelEmaV3(network)",
]
"""Lines that need what timm brings, in this order in one process."""


def test_timm_comes_without_its_data_loaders_and_they_work_afterwards() -> None:
    pytest.importorskip("timm")
    heavy = "'torch._dynamo.utils', 'sympy', 'torchvision', 'timm.data.loader', 'timm.utils', 'wandb'"
    lines = "\n".join(TIMM_USES)
    plain = "import timm, timm.data, timm.utils"
    with_everything, without = (run(start + TIMM) for start in (plain, ""))
    assert with_everything == without
    assert run(f"{TIMM}print([name for name in ({heavy}) if name in sys.modules])\n{lines}") == f"{without}\n[]"


@pytest.mark.slow
@pytest.mark.parametrize("use", TIMM_USES[4:-1])
def test_each_part_of_timm_can_be_the_first_that_is_used(use: str) -> None:
    pytest.importorskip("timm")
    run(f"{TIMM}import timm\n{use}")


def test_timm_that_is_imported_already_stays_as_it_is() -> None:
    pytest.importorskip("timm")
    lines = "before = timm.data\nassert import_timm() is timm and timm.data is before is sys.modules['timm.data']"
    run(f"import sys, timm\nfrom maskfit.deferred_packages import import_timm\n{lines}\nassert before.create_loader")


@pytest.mark.slow
def test_training_computes_the_same_with_everything_imported() -> None:
    assert run(f"{STEP}\nprint(weights)") == run(f"import torch._dynamo, torchmetrics{STEP}\nprint(weights)")


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        "from torch._dynamo.utils import is_compile_supported",
        "import torchvision.ops",
        "import timm",
        "from torchmetrics import functional; functional.accuracy",
        "from torchmetrics.wrappers import Running",
        "import torchmetrics.classification; torchmetrics.classification.BinaryAccuracy()",
        "from lightning.pytorch.callbacks import SpikeDetection",
    ],
)
def test_deferred_packages_can_be_used_after_a_training(use: str) -> None:
    run(f"{STEP}\n{use}\nimport torchmetrics\nassert issubclass(torchmetrics.SumMetric, torchmetrics.Metric)")


@pytest.mark.slow
def test_packages_that_are_imported_already_stay_as_they_are() -> None:
    lines = "before = torch._dynamo\ndefer_unused_packages()\nassert torch._dynamo is before and before.graph_break"
    run(f"import torch._dynamo\n{DEFER}{lines}")


def write_package(folder: Path) -> None:
    package = folder / "slow"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import os\nfrom slow.part import value\nprint('runs')\nother = 2\nname = 'real'\n"
    )
    (package / "part.py").write_text("print('part')\nvalue = 1\n")
    (package / "ready.py").write_text("value = 3\n")


@pytest.mark.parametrize(
    ("use", "printed"),
    [
        ("import slow; print(slow.name)", "known"),
        ("from slow import name; print(name)", "known"),
        ("from slow.ready import value; print(value)", "3"),
        ("import slow; print(slow.other, slow.name)", "part runs 2 real"),
        ("from slow import other; print(other)", "part runs 2"),
        ("import slow.part; print(slow.part.value, slow.part.__spec__.name)", "part runs 1 slow.part"),
        ("from slow.part import value; print(value)", "part runs 1"),
        ("import slow; print(hasattr(slow, 'absent'))", "part runs False"),
        ("import slow; print(hasattr(slow, '__absent__'))", "False"),
    ],
)
def test_the_code_of_a_deferred_package_runs_once_and_when_needed(tmp_path: Path, use: str, printed: str) -> None:
    write_package(tmp_path)
    script = (
        f"import sys\nsys.path.insert(0, '.')\n{DEFER}DeferredPackage('slow', {{'name': 'known'}}, ('ready',))\n{use}"
    )
    assert run(script, tmp_path).split() == printed.split()


def test_a_deferred_package_that_fails_is_tried_again(tmp_path: Path) -> None:
    write_package(tmp_path)
    (tmp_path / "slow" / "part.py").write_text("raise ImportError('broken')\n")
    script = f"""import sys
sys.path.insert(0, '.')
{DEFER}DeferredPackage('slow', {{}})
import slow
for _ in range(2):
    try:
        import slow
        slow.other
    except ImportError as error:
        print(error)
"""
    assert run(script, tmp_path).split() == ["broken", "broken"]
