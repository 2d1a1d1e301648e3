"""Optimizers by name, all from torch or timm except SAM, which neither has; timm is imported by those that use it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from maskfit.deferred_packages import import_timm

ParameterGroups = list[dict[str, Any]]


def parameter_groups(network: nn.Module, weight_decay: float) -> ParameterGroups:
    """Groups parameters into those with weight decay and those without: biases and normalization layers.

    Args:
        network: The modules to train.
        weight_decay: Weight decay of the first group, >= 0.

    Returns:
        Two parameter groups for a torch optimizer.

    Raises:
        ValueError: `weight_decay` is out of range.
    """
    # torch checks the weight decay of an optimizer, but not that of its groups.
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay must be >= 0, got {weight_decay}")
    with_decay: list[nn.Parameter] = []
    without: list[nn.Parameter] = []
    # Frozen weights are included: they get no gradient, and a later epoch may unfreeze them.
    for parameter in network.parameters():
        (with_decay if parameter.ndim > 1 else without).append(parameter)
    return [{"params": with_decay, "weight_decay": weight_decay}, {"params": without, "weight_decay": 0.0}]


def adam(network: nn.Module, lr: float = 1e-3, weight_decay: float = 0.0, amsgrad: bool = False) -> Optimizer:
    """Builds Adam (Kingma and Ba 2015, arXiv:1412.6980).

    Args:
        network: The modules to train.
        lr: Learning rate, >= 0.
        weight_decay: Weight decay of weight matrices, >= 0.
        amsgrad: Whether to use AMSGrad, as cv-08 does.

    Returns:
        The optimizer.
    """
    return torch.optim.Adam(parameter_groups(network, weight_decay), lr=lr, amsgrad=amsgrad)


def adamw(
    network: nn.Module, lr: float = 1e-3, weight_decay: float = 0.01, betas: tuple[float, float] = (0.9, 0.999)
) -> Optimizer:
    """Builds AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Args:
        network: The modules to train.
        lr: Learning rate, >= 0.
        weight_decay: Weight decay of weight matrices, >= 0.
        betas: Decay rates of the two moments, in [0, 1).

    Returns:
        The optimizer.
    """
    return torch.optim.AdamW(parameter_groups(network, weight_decay), lr=lr, betas=(betas[0], betas[1]))


def adamp(network: nn.Module, lr: float = 1e-3, weight_decay: float = 0.0) -> Optimizer:
    """Builds AdamP, which slows down the growth of weight norms (Heo et al. 2021, arXiv:2006.08217; iloveslowfood).

    Args:
        network: The modules to train.
        lr: Learning rate, >= 0.
        weight_decay: Weight decay of weight matrices, >= 0.

    Returns:
        The optimizer.

    Raises:
        ValueError: An option is out of range.
    """
    if not lr >= 0:  # timm does not check it.
        raise ValueError(f"lr must be >= 0, got {lr}")
    import_timm()
    from timm.optim.adamp import AdamP

    return AdamP(parameter_groups(network, weight_decay), lr=lr)


def sgd(
    network: nn.Module, lr: float = 0.01, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
) -> Optimizer:
    """Builds stochastic gradient descent (boostup; iloveslowfood).

    Args:
        network: The modules to train.
        lr: Learning rate, >= 0.
        momentum: Momentum, >= 0.
        nesterov: Whether to use Nesterov momentum.
        weight_decay: Weight decay of weight matrices, >= 0.

    Returns:
        The optimizer.
    """
    return torch.optim.SGD(parameter_groups(network, weight_decay), lr=lr, momentum=momentum, nesterov=nesterov)


def radam(network: nn.Module, lr: float = 1e-3, weight_decay: float = 0.0) -> Optimizer:
    """Builds RAdam, which includes its own warmup (Liu et al. 2020, arXiv:1908.03265).

    Args:
        network: The modules to train.
        lr: Learning rate, >= 0.
        weight_decay: Weight decay of weight matrices, >= 0.

    Returns:
        The optimizer.
    """
    return torch.optim.RAdam(parameter_groups(network, weight_decay), lr=lr)


def madgrad(network: nn.Module, lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0) -> Optimizer:
    """Builds MADGRAD (Defazio and Jelassi 2021, arXiv:2101.11075; used by one of the best teams).

    Args:
        network: The modules to train.
        lr: Learning rate, >= 0.
        momentum: Momentum, in [0, 1).
        weight_decay: Weight decay of weight matrices, >= 0.

    Returns:
        The optimizer.
    """
    import_timm()
    from timm.optim.madgrad import MADGRAD

    return MADGRAD(parameter_groups(network, weight_decay), lr=lr, momentum=momentum)


def lion(network: nn.Module, lr: float = 1e-4, weight_decay: float = 0.0) -> Optimizer:
    """Builds Lion (Chen et al. 2023, arXiv:2302.06675).

    Args:
        network: The modules to train.
        lr: Learning rate, >= 0; about a tenth of AdamW's.
        weight_decay: Weight decay of weight matrices, >= 0.

    Returns:
        The optimizer.
    """
    import_timm()
    from timm.optim.lion import Lion

    return Lion(parameter_groups(network, weight_decay), lr=lr)


class SAM(Optimizer):
    """Sharpness-aware minimization: steps with the gradient at the worst nearby point (arXiv:2010.01412).

    Each step computes the loss twice: at the current weights, and `rho` along the gradient from there. Source: Foret et
    al. 2021.

    Args:
        base: The optimizer that makes the step.
        rho: Distance of the nearby point, > 0.

    Raises:
        ValueError: `rho` is out of range.
    """

    def __init__(self, base: Optimizer, rho: float = 0.05) -> None:
        if rho <= 0:
            raise ValueError(f"rho must be > 0, got {rho}")
        self.base = base
        self.rho = rho
        super().__init__(base.param_groups, {})
        # Both share one list of groups, so that a scheduler which sets a rate here sets it there.
        self.param_groups = base.param_groups
        self.state = base.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes a step.

        Args:
            closure: Clears the gradients, computes the loss and its gradients, and returns the loss.

        Returns:
            The loss at the weights before the step.

        Raises:
            ValueError: There is no closure.
        """
        if closure is None:
            raise ValueError("SAM computes the loss twice, so step() needs a closure")
        with torch.enable_grad():
            loss = closure()
        offsets = self._ascend()
        with torch.enable_grad():
            closure()
        with torch.no_grad():
            for parameter, offset in offsets:
                parameter.sub_(offset)
        self.base.step()
        return loss

    @torch.no_grad()
    def _ascend(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Moves every weight along its gradient; returns the offsets, to undo them."""
        parameters = [item for group in self.param_groups for item in group["params"] if item.grad is not None]
        norm = torch.stack([item.grad.norm() for item in parameters]).norm()
        offsets = []
        for parameter in parameters:
            offset = parameter.grad * (self.rho / (norm + 1e-12))
            parameter.add_(offset)
            offsets.append((parameter, offset))
        return offsets

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of the base optimizer."""
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state of the base optimizer.

        Args:
            state_dict: As returned by `state_dict()`.
        """
        self.base.load_state_dict(state_dict)
        self.param_groups = self.base.param_groups
        self.state = self.base.state


def sam(network: nn.Module, lr: float = 1e-3, rho: float = 0.05, weight_decay: float = 0.01) -> Optimizer:
    """Builds SAM over AdamW (Foret et al. 2021, arXiv:2010.01412).

    It needs `trainer.accumulate_grad_batches=1` and no float16.

    Args:
        network: The modules to train.
        lr: Learning rate, >= 0.
        rho: Distance of the nearby point, > 0.
        weight_decay: Weight decay of weight matrices, >= 0.

    Returns:
        The optimizer.
    """
    return SAM(adamw(network, lr, weight_decay), rho)
