"""Networks on torch's meta device, which have shapes and no memory; no weights are drawn for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DRAWS = {
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.erfinv_,
    Tensor.clamp_,
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.kaiming_uniform_,
}
"""In-place operations that initialize weights at random; those of nn.init where they can be overridden themselves.

The last two are a truncated normal distribution's.
"""


class _WithoutDraws(TorchFunctionMode):
    """Leaves out random draws into meta tensors, which have no values: torch imports SymPy for the first of them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


@contextmanager
def meta_device() -> Iterator[None]:
    """Creates new tensors on the meta device; weights are not initialized.

    Yields:
        Nothing.
    """
    with torch.device("meta"), _WithoutDraws():
        yield
