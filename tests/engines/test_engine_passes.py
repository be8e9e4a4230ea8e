"""A shard's pass shows one state a token at every site, each once, or says why not."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from repflow.core import Example, ModelProblem
from repflow.engines import Reader
from repflow.engines.shard import calibrate, measure
from repflow.metrics import Options, named
from repflow.models import find_taps

EXAMPLES = [Example(id=i, ids=tuple(range(i, i + 6))) for i in range(4)]


class Net(nn.Module):
    def __init__(self, *order: int, before: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 8)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2))
        self.norm = nn.LayerNorm(8)
        self.order, self.before = order or (0, 1), before

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = torch.cat([x[:, :1].expand(-1, self.before, -1), x], 1)
        for place in self.order:
            x = self.layers[place](x)
        return self.norm(x)


def reader(model: nn.Module, **changes: Any) -> Reader:
    found = Reader("net", model, model, find_taps(model), (), torch.device("cpu"), 12)
    return replace(found, **changes)


def norms(reader: Reader) -> list[float]:
    states, _ = measure(reader, EXAMPLES, named(["norm"]), Options(replicates=4), None)
    return states["norm"].value()[..., 0].flatten().tolist()


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ((0, 0, 1), r"layers\.0 gives more than one state in a pass"),
        ((0, 1, 0, 1), r"layers\.0 gives more than one state in a pass"),
        ((0,), "reached the site final_norm where block.1 was due: blocks skipped"),
        ((1, 0), "was due"),
    ],
)
def test_blocks_called_again_skipped_or_in_another_order(order: tuple[int, ...], says: str) -> None:
    with pytest.raises(ModelProblem, match=says):
        norms(reader(Net(*order)))
    with pytest.raises(ModelProblem, match=says):
        calibrate(reader(Net(*order)), EXAMPLES, Options())


def test_states_that_stand_for_no_token_are_left_out_or_refused() -> None:
    plain, longer = Net(), Net(before=3)
    assert norms(reader(longer, virtual=3)) == norms(reader(plain))
    with pytest.raises(ModelProblem, match=r"embed holds states \[2, 9\] for token ids \[2, 6\].*repflow\.watch"):
        norms(reader(longer))
