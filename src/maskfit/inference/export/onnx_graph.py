"""An ONNX program as layers: convolutions with their weights as arrays, and the activation that follows each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FLOAT = 1
"""`onnx.TensorProto.FLOAT`, without importing onnx."""


@dataclass
class Layer:
    """A convolution or an addition, with the activation that follows it.

    Attributes:
        node: The ONNX node.
        activation: The Relu or Clip from 0 on that is the only consumer of its output; None where there is none.
        ceiling: Upper limit of that activation; infinite for Relu, and without one.
    """

    node: Any
    activation: Any = None
    ceiling: float = float("inf")

    @property
    def name(self) -> str:
        """Name of the node."""
        return str(self.node.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that it reads: a convolution's one, an addition's two."""
        return tuple(self.node.input[:1] if self.node.op_type == "Conv" else self.node.input)

    @property
    def output(self) -> str:
        """The tensor after its activation."""
        return str((self.activation or self.node).output[0])

    @property
    def groups(self) -> int:
        """Groups of the convolution."""
        return next((attribute.i for attribute in self.node.attribute if attribute.name == "group"), 1)


class OnnxGraph:
    """The graph of an ONNX program, its initializers as arrays.

    Every node gets a name of its own, and every convolution weights and a bias of its own, so that changing one changes
    no other.

    Args:
        program: The program (`onnx.ModelProto`); it is changed by `save`.
    """

    def __init__(self, program: Any) -> None:
        from onnx import numpy_helper

        self.program = program
        self.outputs = {item.name for item in program.graph.output}
        self.initializers: dict[str, Array] = {
            item.name: numpy_helper.to_array(item) for item in program.graph.initializer
        }
        self.nodes: list[Any] = [node for node in program.graph.node if not self._fold_cast(node)]
        for number, node in enumerate(self.nodes):
            node.name = f"{node.name or node.op_type}.{number}"
        self.producer = {output: node for node in self.nodes for output in node.output}
        self.consumers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.consumers[name].append(node)
        self.convolutions = [layer for layer in self._layers("Conv") if self._own_weights(layer)]
        self.additions = [layer for layer in self._layers("Add") if not set(layer.inputs) & set(self.initializers)]

    def weight(self, layer: Layer) -> Array:
        """Returns the weights of a convolution.

        Args:
            layer: The convolution.

        Returns:
            (output channels, input channels of a group, kernel height, kernel width).
        """
        return self.initializers[layer.node.input[1]]

    def bias(self, layer: Layer) -> Array:
        """Returns the bias of a convolution.

        Args:
            layer: The convolution.

        Returns:
            (output channels,).
        """
        return self.initializers[layer.node.input[2]]

    def set_weights(self, layer: Layer, weight: Array, bias: Array) -> None:
        """Replaces the weights of a convolution.

        Args:
            layer: The convolution.
            weight: As `weight` returns them.
            bias: As `bias` returns it.
        """
        _, weight_name, bias_name = layer.node.input
        self.initializers[weight_name], self.initializers[bias_name] = (
            np.asarray(values, dtype=np.float32) for values in (weight, bias)
        )

    def save(self, nodes: Iterable[Any] | None = None) -> Any:
        """Writes nodes and initializers back into the program; initializers that no node reads are left out.

        Args:
            nodes: The nodes in order; None keeps them.

        Returns:
            The program.
        """
        from onnx import numpy_helper

        graph = self.program.graph
        kept = self.nodes if nodes is None else list(nodes)
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(kept)
        used = {name for node in kept for name in node.input} | self.outputs
        graph.initializer.extend(
            # Not ascontiguousarray, which makes a scalar a vector.
            numpy_helper.from_array(np.asarray(values, order="C"), name)
            for name, values in self.initializers.items()
            if name in used
        )
        return self.program

    def _fold_cast(self, node: Any) -> bool:
        """Casts weights that are stored in fp16; returns whether the node is such a cast, which is then not needed."""
        stored = self.initializers.get(node.input[0]) if node.op_type == "Cast" else None
        if (
            stored is None
            or stored.dtype != np.float16
            or node.attribute[0].i != FLOAT
            or node.output[0] in self.outputs
        ):
            return False
        self.initializers[node.output[0]] = stored.astype(np.float32)
        return True

    def _layers(self, kind: str) -> Iterator[Layer]:
        for node in self.nodes:
            if node.op_type == kind:
                following = self.consumers[node.output[0]]
                ceiling = self._ceiling(following[0]) if len(following) == 1 else None
                if ceiling is None or node.output[0] in self.outputs:
                    yield Layer(node)
                else:
                    yield Layer(node, following[0], ceiling)

    def _ceiling(self, node: Any) -> float | None:
        """The upper limit of an activation that cuts at 0; None where the node is none."""
        if node.op_type == "Relu":
            return float("inf")
        limits = [self.initializers.get(name) if name else None for name in node.input[1:]]
        if node.op_type != "Clip" or not limits or limits[0] is None or limits[0].item() != 0:
            return None
        if len(limits) == 1 or not node.input[2]:
            return float("inf")
        return None if limits[1] is None else float(limits[1].item())

    def _own_weights(self, layer: Layer) -> bool:
        """Gives a convolution weights of its own; returns whether it has any that are known."""
        node = layer.node
        weight = self.initializers.get(node.input[1])
        bias = self.initializers.get(node.input[2]) if len(node.input) > 2 else np.zeros(0, np.float32)
        if weight is None or bias is None or weight.dtype != np.float32 or weight.ndim != 4:
            return False
        if not len(bias):
            bias = np.zeros(len(weight), np.float32)
        names = [f"{node.name}.weight", f"{node.name}.bias"]
        self.initializers.update(zip(names, (weight.copy(), bias.copy()), strict=True))
        del node.input[1:]
        node.input.extend(names)
        return True
