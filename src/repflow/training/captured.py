"""Steps of a training on a GPU, replayed as CUDA graphs: what bounds a small model there is launching its kernels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

Inputs = Mapping[str, Tensor]
Step = Callable[[Inputs], Tensor]
"""From inputs on the GPU to a tensor. It may change parameters; it must not wait for the GPU."""

WARM = 3
"""Steps of each shape that run as they are, before one is captured."""


@dataclass
class Captured:
    """Runs `step`, from the fourth call of each shape of inputs on as a replay of one CUDA graph.

    Every call counts: no step is run for warming up alone. With `parameters` each has after a call the gradient that
    this call gave; they must have none before it. The returned tensor is overwritten by the next call.
    """

    step: Step
    parameters: Sequence[Tensor] = ()
    _calls: dict[tuple[object, ...], int] = field(default_factory=dict[tuple[object, ...], int])
    _graphs: dict[tuple[object, ...], "_Graph"] = field(default_factory=dict[tuple[object, ...], "_Graph"])

    def __call__(self, inputs: Inputs) -> Tensor:
        shape = tuple((name, tensor.shape) for name, tensor in inputs.items())
        calls = self._calls[shape] = self._calls.get(shape, 0) + 1
        if calls <= WARM:
            return _aside(lambda: self.step(inputs))
        if shape not in self._graphs:
            self._graphs[shape] = _captured(self.step, inputs, self.parameters)
        return self._graphs[shape].replay(inputs)


@dataclass(frozen=True)
class _Graph:
    graph: torch.cuda.CUDAGraph
    inputs: dict[str, Tensor]
    output: Tensor
    gradients: list[tuple[Tensor, Tensor | None]]

    def replay(self, inputs: Inputs) -> Tensor:
        for name, tensor in inputs.items():
            self.inputs[name].copy_(tensor)
        self.graph.replay()
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        return self.output


def _captured(step: Step, inputs: Inputs, parameters: Sequence[Tensor]) -> _Graph:
    held = {name: tensor.clone() for name, tensor in inputs.items()}
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        output = step(held)
    return _Graph(graph, held, output, [(parameter, parameter.grad) for parameter in parameters])


def _aside(run: Callable[[], Tensor]) -> Tensor:
    """On a stream of its own, as a graph is captured: what the step leaves behind must not belong to the main one."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        output = run()
    torch.cuda.current_stream().wait_stream(stream)
    return output
