"""A session as the sink of a tapped pass: the numbers are those of the states the model computes."""

import pytest
import torch
from torch import Tensor, nn

from repflow.capture import tapped
from repflow.core import Tap, sites_for
from repflow.metrics.batch import Batch, Options
from repflow.metrics.registry import named
from repflow.metrics.session import Session

NAMES = ("adjacent_cosine", "update_ratio", "update_cosine", "inter_token_cosine", "norm", "path")
SITES = sites_for(3)
TAPS = (
    Tap(SITES[0], "blocks.0", "input"),
    *(Tap(SITES[i + 1], f"blocks.{i}") for i in range(3)),
    Tap(SITES[-1], "norm"),
)
OPTIONS = Options(policies=("all",), replicates=4)


class Block(nn.Module):
    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.mix, self.in_place = nn.Linear(8, 8), in_place

    def forward(self, x: Tensor) -> Tensor:
        if self.in_place:
            x += self.mix(x.clone())
            return x
        return x + self.mix(x)


class Model(nn.Module):
    def __init__(self, in_place: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 8)
        self.blocks = nn.ModuleList(Block(in_place) for _ in range(3))
        self.norm = nn.LayerNorm(8)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


IDS = torch.randint(0, 20, (3, 7), generator=torch.Generator().manual_seed(0))


def _measured(model: nn.Module) -> list[Tensor]:
    real = torch.ones_like(IDS, dtype=torch.bool)
    session = Session(named(NAMES), Batch((0, 1, 2), real, ~real, SITES, OPTIONS))
    with tapped(model, TAPS, session.see):
        model(IDS).sum().backward()
    states = session.finish()
    return [states[name].value() for name in NAMES]


def _fed_by_hand() -> list[Tensor]:
    model, real = Model(), torch.ones_like(IDS, dtype=torch.bool)
    session = Session(named(NAMES), Batch((0, 1, 2), real, ~real, SITES, OPTIONS))
    x = model.embed(IDS)
    session.see(SITES[0], x)
    for site, block in zip(SITES[1:], model.blocks, strict=False):
        x = block(x)
        session.see(site, x)
    session.see(SITES[-1], model.norm(x))
    states = session.finish()
    return [states[name].value() for name in NAMES]


@pytest.mark.parametrize("in_place", [False, True])
def test_a_tapped_pass_reads_what_the_model_computes_also_when_it_writes_in_place(in_place: bool) -> None:
    for measured, expected in zip(_measured(Model(in_place)), _fed_by_hand(), strict=True):
        torch.testing.assert_close(measured, expected, equal_nan=True)


def test_measuring_a_model_in_training_keeps_no_graph_and_no_gradient_changes() -> None:
    watched, plain = Model(), Model()
    for value in _measured(watched):
        assert not value.requires_grad
    plain(IDS).sum().backward()
    for a, b in zip(watched.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)
