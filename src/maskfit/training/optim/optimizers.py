"""Optimisers by name, all of them torch's or timm's own; only SAM's second look, which neither has, stands here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from timm.optim.adamp import AdamP
from timm.optim.lion import Lion
from timm.optim.madgrad import MADGRAD
from torch import Tensor, nn
from torch.optim import Optimizer

Groups = list[dict[str, Any]]


def parameter_groups(network: nn.Module, weight_decay: float) -> Groups:
    """Weights with decay, and biases and norms without: decay there only shrinks what has no scale to fight."""
    # torch checks the decay that an optimiser is given, but not that of its groups.
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay={weight_decay} must be 0 or more")
    with_decay: list[nn.Parameter] = []
    without: list[nn.Parameter] = []
    # Frozen weights are in their group too: they get no gradient, and a later epoch may thaw them.
    for parameter in network.parameters():
        (with_decay if parameter.ndim > 1 else without).append(parameter)
    return [{"params": with_decay, "weight_decay": weight_decay}, {"params": without, "weight_decay": 0.0}]


def adam(network: nn.Module, lr: float = 1e-3, weight_decay: float = 0.0, amsgrad: bool = False) -> Optimizer:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980); seed s4 sets `amsgrad`."""
    return torch.optim.Adam(parameter_groups(network, weight_decay), lr=lr, amsgrad=amsgrad)


def adamw(
    network: nn.Module, lr: float = 1e-3, weight_decay: float = 0.01, betas: tuple[float, float] = (0.9, 0.999)
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""
    return torch.optim.AdamW(parameter_groups(network, weight_decay), lr=lr, betas=(betas[0], betas[1]))


def adamp(network: nn.Module, lr: float = 1e-3, weight_decay: float = 0.0) -> Optimizer:
    """AdamP, which takes the growth of norms out of the step (Heo et al. 2021, arXiv:2006.08217; seed s1)."""
    if not lr >= 0:  # timm does not look.
        raise ValueError(f"lr={lr} must be 0 or more")
    return AdamP(parameter_groups(network, weight_decay), lr=lr)  # type: ignore[no-untyped-call]


def sgd(
    network: nn.Module, lr: float = 0.01, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
) -> Optimizer:
    """Stochastic gradient descent, with momentum or Nesterov's (seeds s0, s1)."""
    return torch.optim.SGD(parameter_groups(network, weight_decay), lr=lr, momentum=momentum, nesterov=nesterov)


def radam(network: nn.Module, lr: float = 1e-3, weight_decay: float = 0.0) -> Optimizer:
    """RAdam, which warms itself up (Liu et al. 2020, arXiv:1908.03265)."""
    return torch.optim.RAdam(parameter_groups(network, weight_decay), lr=lr)


def madgrad(network: nn.Module, lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0) -> Optimizer:
    """MADGRAD (Defazio and Jelassi 2021, arXiv:2101.11075; a best team)."""
    return MADGRAD(parameter_groups(network, weight_decay), lr=lr, momentum=momentum)


def lion(network: nn.Module, lr: float = 1e-4, weight_decay: float = 0.0) -> Optimizer:
    """Lion (Chen et al. 2023, arXiv:2302.06675); wants about a tenth of AdamW's learning rate."""
    return Lion(parameter_groups(network, weight_decay), lr=lr)


class SAM(Optimizer):
    """SAM: steps with the gradient at the worst point nearby (Foret et al. 2021, arXiv:2010.01412).

    Each step computes the loss twice: where the weights are, and `rho` along the gradient from there.

    Args:
        base: The optimiser that makes the step.
        rho: How far nearby is, above 0.
    """

    def __init__(self, base: Optimizer, rho: float = 0.05) -> None:
        if rho <= 0:
            raise ValueError(f"rho={rho} must be above 0")
        self.base = base
        self.rho = rho
        super().__init__(base.param_groups, {})
        # One list of groups for both: a schedule that sets a rate here sets it there.
        self.param_groups = base.param_groups
        self.state = base.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes a step; `closure` clears the gradients, computes the loss and its gradients, and returns it."""
        if closure is None:
            raise ValueError("SAM computes the loss twice, so its step needs a closure")
        with torch.enable_grad():
            loss = closure()
        moved = self._climb()
        with torch.enable_grad():
            closure()
        with torch.no_grad():
            for parameter, way in moved:
                parameter.sub_(way)
        self.base.step()
        return loss

    @torch.no_grad()
    def _climb(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Moves every weight up its gradient; returns by how much, to go back."""
        parameters = [item for group in self.param_groups for item in group["params"] if item.grad is not None]
        norm = torch.stack([item.grad.norm() for item in parameters]).norm()
        moved = []
        for parameter in parameters:
            way = parameter.grad * (self.rho / (norm + 1e-12))
            parameter.add_(way)
            moved.append((parameter, way))
        return moved

    def state_dict(self) -> dict[str, Any]:
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.base.load_state_dict(state_dict)
        self.param_groups = self.base.param_groups
        self.state = self.base.state


def sam(network: nn.Module, lr: float = 1e-3, rho: float = 0.05, weight_decay: float = 0.01) -> Optimizer:
    """SAM over AdamW; see `SharpnessAware`. Needs `trainer.accumulate_grad_batches=1` and full precision."""
    return SAM(adamw(network, lr, weight_decay), rho)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": adam,
    "adamw": adamw,
    "adamp": adamp,
    "sgd": sgd,
    "radam": radam,
    "madgrad": madgrad,
    "lion": lion,
    "sam": sam,
}
