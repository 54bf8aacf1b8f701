"""One layer of a TorchScript network: what it gives, and the rest of the network after it.

Hooks do not work on TorchScript modules: a whole network runs as one program in which Python has
no say. So the program is cut at the layer's call: once into what leads to it, once into what
follows. For a layer inside a block the block's own program is cut in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

Program = Any
"""A `torch._C.Graph`. Torch gives no public way to cut one; these few calls exist since 1.10."""


@dataclass(frozen=True)
class Cut:
    """A method of a module, cut at one of its calls."""

    module: Any
    head: Any
    """Inputs of the method → inputs of the call."""
    tail: Any
    """Inputs of the method and what the call gave → output of the method."""


class ScriptedLayer:
    """A layer of a TorchScript network, by its path ('layer4.1').

    Torch's optimising executor is left off: it compiles a cut program anew for minutes where a
    network runs in milliseconds.

    Raises `LookupError` with the reason if the network has no such layer, or calls it in a loop,
    in a branch or not at all.
    """

    def __init__(self, network: Any, path: str) -> None:
        self._cuts: list[Cut] = []
        if path not in {name for name, _ in network.named_modules() if name}:
            raise LookupError("there is none of that name")
        layer = self._descend(network, "forward", path.split("."))
        if layer is None:
            raise LookupError("the TorchScript program does not call it in plain sequence")
        self._module, self._method = layer

    def before(self, pixels: Any) -> tuple[Any, list[Sequence[Any]]]:
        """What the layer gives for `pixels`, and what `after` needs to go on."""
        import torch

        values: Sequence[Any] = (pixels,)
        passed = []
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            for cut in self._cuts:
                passed.append(values)
                values = cut.head(cut.module._c, *values)
                values = values if isinstance(values, tuple) else (values,)
            return getattr(self._module, self._method)(*values), passed

    def after(self, output: Any, passed: list[Sequence[Any]]) -> Any:
        """What the network gives if the layer gives `given`."""
        import torch

        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            for cut, values in zip(reversed(self._cuts), reversed(passed), strict=True):
                output = cut.tail(cut.module._c, *values, output)
        return output

    def _descend(self, module: Any, method: str, path: list[str]) -> tuple[Any, str] | None:
        """Cut along the path; the layer's module and method, or None if there is no way."""
        graph = module._c._get_method(method).graph
        # A layer that is called several times counts with its last call.
        for place, node in reversed(list(enumerate(graph.nodes()))):
            if node.kind() != "prim::CallMethod":
                continue
            owner = _attributes(node.inputsAt(0))
            if owner is None or owner != path[: len(owner)]:
                continue
            called, left = reduce(getattr, owner, module), path[len(owner) :]
            self._cuts.append(Cut(module, _head(graph, place), _tail(graph, place)))
            here = (called, node.s("name"))
            layer = self._descend(*here, left) if left else here
            if layer is not None:
                return layer
            self._cuts.pop()
        return None


def _attributes(value: Any) -> list[str] | None:
    """The path of a module value below the method's own module ([] is that module), or None."""
    path: list[str] = []
    node = value.node()
    while node.kind() == "prim::GetAttr":
        path.insert(0, node.s("name"))
        node = node.inputsAt(0).node()
    return path if node.kind() == "prim::Param" else None


def _head(graph: Program, place: int) -> Any:
    """(inputs) → the inputs of the call at `place`: one value, or a tuple of several."""
    import torch

    head = graph.copy()
    call = list(head.nodes())[place]
    for _ in list(head.outputs()):
        head.eraseOutput(0)
    values = list(call.inputs())[1:]
    if len(values) != 1:  # a program has one output
        node = head.create("prim::TupleConstruct", values, 1)
        node.output().setType(torch.TupleType([v.type() for v in values]))
        values = [head.appendNode(node).output()]
    head.registerOutput(values[0])
    return _function(head)


def _tail(graph: Program, place: int) -> Any:
    """(inputs, what the call at `place` gave) → the outputs."""
    tail = graph.copy()
    call = list(tail.nodes())[place]
    given = tail.addInput("given")
    given.setType(call.outputsAt(0).type())
    call.outputsAt(0).replaceAllUsesWith(given)
    return _function(tail)


def _function(graph: Program) -> Any:
    """A function that runs the graph without what no output needs.

    Torch's own dead-code pass keeps every call, for it might have an effect. Here a call counts for
    what it returns; only operations in place (named so by their last '_') are kept.
    """
    import torch

    for node in reversed(list(graph.nodes())):
        unused = not any(value.uses() for value in node.outputs())
        if unused and not node.kind().endswith("_"):
            node.destroy()
    return torch._C._create_function_from_graph("part", graph)
