"""tapped: states reach the sink whatever the block's calling habits, and the hooks go whatever happens."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from repflow.capture import tapped
from repflow.core import ModelProblem, Site, Tap, sites_for


class Block(nn.Module):
    """A residual block that returns its state as a tensor, a tuple or a list."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.mix = nn.Linear(4, 4)
        self.fails = False

    def forward(self, hidden_states: Tensor, mask: Tensor | None = None) -> Any:
        assert mask is None or mask.shape[0] == hidden_states.shape[0]
        if self.fails:
            raise RuntimeError("the block broke")
        out = hidden_states + self.mix(hidden_states)
        return {"tensor": out, "tuple": (out, None), "list": [out, (out, out)]}[self.kind]


class Model(nn.Module):
    """Two blocks called with positional or keyword-only inputs."""

    def __init__(self, kind: str = "tensor", keywords: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(10, 4)
        self.blocks = nn.ModuleList([Block(kind), Block(kind)])
        self.norm = nn.LayerNorm(4)
        self.keywords = keywords

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            out = block(mask=ids > 0, hidden_states=x) if self.keywords else block(x, mask=ids > 0)
            x = out if isinstance(out, Tensor) else out[0]
        return self.norm(x)


TAPS = tuple(
    Tap(site, module, where)
    for site, module, where in zip(
        sites_for(2),
        ("blocks.0", "blocks.0", "blocks.1", "norm"),
        ("input", "output", "output", "output"),
        strict=True,
    )
)
IDS = torch.tensor([[1, 2, 3], [4, 5, 0]])


def _by_hand(model: Model) -> list[Tensor]:
    """The states as the model's own arithmetic gives them."""
    x = model.embed(IDS)
    states = [x]
    for block in model.blocks:
        x = x + block.mix(x)
        states.append(x)
    return [*states, model.norm(x)]


def _hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def ignore(_site: Site, _states: Tensor) -> None:
    """A sink that takes nothing."""


def _record(model: nn.Module, taps: Sequence[Tap] = TAPS) -> list[tuple[str, Tensor]]:
    seen: list[tuple[str, Tensor]] = []
    with tapped(model, taps, lambda site, states: seen.append((site.name, states.clone()))):
        model(IDS)
    return seen


@pytest.mark.parametrize("kind", ["tensor", "tuple", "list"])
@pytest.mark.parametrize("keywords", [False, True])
def test_every_site_arrives_once_in_the_order_of_the_pass(kind: str, keywords: bool) -> None:
    model = Model(kind, keywords)
    seen = _record(model)
    assert [name for name, _ in seen] == ["embed", "block.0", "block.1", "final_norm"]
    for (_, states), expected in zip(seen, _by_hand(model), strict=True):
        assert torch.equal(states, expected)
    assert _hooks(model) == 0


def test_taps_given_in_another_order_still_arrive_in_the_order_of_the_pass() -> None:
    assert [name for name, _ in _record(Model(), TAPS[::-1])] == ["embed", "block.0", "block.1", "final_norm"]


def test_a_three_dimensional_mask_is_not_taken_for_the_states() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block("tensor")

        def forward(self, x: Tensor) -> Tensor:
            return self.block(mask=torch.zeros(2, 3, 3), hidden_states=x)

    seen: list[Tensor] = []
    x, model = torch.randn(2, 3, 4), Masked()
    with tapped(model, [Tap(sites_for(1)[0], "block", "input")], lambda _, states: seen.append(states)):
        model(x)
    assert [s.shape for s in seen] == [x.shape]


def test_the_models_output_is_bitwise_unchanged() -> None:
    model = Model()
    plain = model(IDS)
    with tapped(model, TAPS, ignore):
        assert torch.equal(model(IDS), plain)


def test_every_forward_pass_inside_is_seen_and_none_outside() -> None:
    model, seen = Model(), []
    model(IDS)
    with tapped(model, TAPS, lambda site, _: seen.append(site.name)):
        model(IDS)
        model(IDS)
    model(IDS)
    assert len(seen) == 8


def test_hooks_go_after_an_exception_inside_a_block() -> None:
    model = Model()
    model.blocks[1].fails = True
    with pytest.raises(RuntimeError, match="the block broke"), tapped(model, TAPS, ignore):
        model(IDS)
    assert _hooks(model) == 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_hooks_go_after_an_exception_inside_the_sink(error: type[BaseException]) -> None:
    def sink(site: Site, _: Tensor) -> None:
        if site.index == 2:
            raise error("the sink broke")

    model = Model()
    with pytest.raises(error, match="the sink broke"), tapped(model, TAPS, sink):
        model(IDS)
    assert _hooks(model) == 0


def test_hooks_go_after_an_exception_in_the_callers_own_code() -> None:
    model = Model()
    with pytest.raises(ZeroDivisionError), tapped(model, TAPS, ignore):
        _ = 1 / 0
    assert _hooks(model) == 0


def test_a_module_that_is_not_there_is_named_and_no_hook_stays() -> None:
    model = Model()
    wrong = Tap(sites_for(2)[2], "blocks.7", "output")
    with pytest.raises(ModelProblem, match=r"block\.1.*blocks\.7"), tapped(model, [*TAPS, wrong], ignore):
        raise AssertionError("not reached")
    assert _hooks(model) == 0


@pytest.mark.parametrize("where", ["input", "output"])
def test_a_module_without_states_is_named(where: str) -> None:
    class Ids(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, ids: Tensor) -> Tensor:
            return self.inner(ids)

    model = Ids()
    tap = Tap(sites_for(1)[0], "inner", "input" if where == "input" else "output")
    with pytest.raises(ModelProblem, match=f"embed.*{where} of 'inner'"), tapped(model, [tap], ignore):
        model(IDS)
    assert _hooks(model) == 0


def test_other_peoples_hooks_stay_and_tapping_nests() -> None:
    model, calls = Model(), []
    other = model.norm.register_forward_hook(lambda *_: calls.append("other"))
    with tapped(model, TAPS, lambda site, _: calls.append(site.name)):
        with tapped(model, TAPS[:1], lambda site, _: calls.append("inner " + site.name)):
            model(IDS)
        assert _hooks(model) == 5
    model(IDS)
    assert calls == ["embed", "inner embed", "block.0", "block.1", "other", "final_norm", "other"]
    other.remove()


def test_gradients_flow_as_without_taps() -> None:
    model = Model()
    with tapped(model, TAPS, ignore):
        model(IDS).square().sum().backward()
    tapped_grad = model.embed.weight.grad.clone()
    model.zero_grad()
    model(IDS).square().sum().backward()
    assert torch.equal(tapped_grad, model.embed.weight.grad)
