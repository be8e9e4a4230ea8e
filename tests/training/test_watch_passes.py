"""What counts as a pass, and what does not; the user's loop is never the worse for being watched."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from watch_kit import cosines, doubts, gpt2, hooks, ids_of, mamba, watched

import repflow
from repflow.core import BadSetting, ModelProblem, NotEnoughData, Tap, sites_for


class Stack(nn.Module):
    """Blocks on vectors, called as often and in the order said."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(3))
        self.norm = nn.LayerNorm(8)
        self.order = order or (0, 1, 2)
        self.fails = 0

    def forward(self, x: Tensor) -> Tensor:
        for place in self.order:
            x = self.layers[place](x)
            if self.fails:
                self.fails -= 1
                raise RuntimeError("halfway")
        return self.norm(x)


class Outer(nn.Module):
    """Calls its trunk as said."""

    def __init__(self, how: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.trunk = Stack()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self.trunk, x)


X = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (
            (0, 0, 1, 2),
            r"layers\.0 gives more than one state in a pass: the pass came to the site block\.0 a second time",
        ),
        ((0, 1, 2, 0, 1, 2), r"layers\.0 gives more than one state in a pass.*unroll it into a list of blocks"),
        ((0, 2), r"reached the site block\.2 where block\.1 was due: blocks skipped"),
        ((0, 1), r"reached the site final_norm where block\.2 was due"),
        ((1, 0, 2), r"reached the site block\.1 where block\.0 was due"),
    ],
)
def test_blocks_called_again_left_out_or_in_another_order(order: tuple[int, ...], says: str) -> None:
    model = Stack(*order)
    # The input of block 0 is a site of its own, reached each time block 0 is.
    taps = tuple(Tap(site, f"layers.{i}") for i, site in enumerate(sites_for(3)[1:4]))
    norm = Tap(sites_for(3)[-1], "norm")
    with pytest.raises(ModelProblem, match=says):
        watched(model, lambda: model(X), sites=(*taps, norm))
    assert hooks(model) == 0
    with pytest.raises(ModelProblem, match=r"gives more than one state|was due"):
        watched(model, lambda: model(X))


def test_a_trunk_called_twice_in_one_call_is_two_passes_only_where_it_is_watched() -> None:
    model = Outer(lambda trunk, x: trunk(x) + trunk(-x))
    with pytest.raises(ModelProblem, match=r"call of Outer goes through Stack 2 times.*give watch the Stack inside"):
        watched(model, lambda: model(X))
    assert watched(model.trunk, lambda: model(X)).n_examples == 4


def test_blocks_that_do_not_hand_on_the_stream_are_refused() -> None:
    class Skewed(Stack):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x) + 1.0
            return self.norm(x)

    model = Skewed().eval()
    with pytest.raises(ModelProblem, match=r"the input of layers\.1 is not the output of layers\.0.*blocks="):
        watched(model, lambda: model(X))
    taps = tuple(Tap(site, f"layers.{i}") for i, site in enumerate(sites_for(3)[1:4]))
    assert watched(model, lambda: model(X), sites=taps).n_examples == 2


def test_a_head_that_reads_something_else_is_said() -> None:
    class Elsewhere(Stack):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(8, 3)

        def get_output_embeddings(self) -> nn.Module:
            return self.head

        def forward(self, x: Tensor) -> Tensor:
            return self.head(super().forward(x))

    model = Elsewhere().eval()
    assert doubts(watched(model, lambda: model(X))) == ()
    swapped = Elsewhere().eval()
    swapped.forward = lambda x: (Stack.forward(swapped, x), swapped.head(x.flip(-1)))[1]
    assert "does not read the final norm's output" in watched(swapped, lambda: swapped(X)).warnings[0]


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_checkpointed_modules_count_once(whole: bool, reentrant: bool) -> None:
    run = partial(checkpoint, use_reentrant=reentrant)

    def by_block(trunk: nn.Module, x: Tensor) -> Tensor:
        for layer in trunk.layers:
            x = run(layer, x)
        return trunk.norm(x)

    outer, x = Outer(by_block), X.clone().requires_grad_()
    stack = outer.trunk if whole else outer
    with repflow.watch(stack, metrics=["norm"]) as flow:
        for _ in range(2):
            (run(stack, x) if whole else stack(x)).sum().backward()
    assert flow.n_examples == 4
    assert doubts(flow) == ()


def test_a_model_checkpointed_by_transformers_trains_as_without() -> None:
    def gradients(watching: bool) -> list[Tensor]:
        model, ids = gpt2().train(), ids_of()
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        if watching:
            with repflow.watch(model) as flow:
                model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
            assert flow.n_examples == 2
        else:
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        return [parameter.grad for parameter in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(gradients(True), gradients(False), strict=True))


def test_a_pass_that_fails_does_not_count_and_the_next_does() -> None:
    model = Stack()
    with repflow.watch(model, metrics=["norm"]) as flow:
        for fails in (1, 0, 1, 0):
            model.fails = fails
            if fails:
                with pytest.raises(RuntimeError, match="halfway"):
                    model(X)
            else:
                model(X)
    assert flow.n_examples == 4
    assert doubts(flow) == ()


def test_a_model_that_mends_its_own_failure_is_measured_once() -> None:
    def again(trunk: nn.Module, x: Tensor) -> Tensor:
        try:
            return trunk(x)
        except RuntimeError:
            return trunk(x)

    model = Outer(again)
    model.trunk.fails = 1
    flow = watched(model, lambda: model(X))
    assert flow.n_examples == 2
    assert cosines(flow) == cosines(watched(model, lambda: model(X)))


def test_an_interruption_leaves_no_pass_half_open() -> None:
    def interrupted(trunk: nn.Module, x: Tensor) -> Tensor:
        trunk.layers[0](x)
        raise KeyboardInterrupt

    model = Outer(interrupted)
    with repflow.watch(model, metrics=["norm"]) as flow:
        with pytest.raises(KeyboardInterrupt):
            model(X)
        model.how = lambda trunk, x: trunk(x)
        model(X)
    assert flow.n_examples == 2
    assert hooks(model) == 0


def test_within_an_except_block_passes_count() -> None:
    model = Stack()
    with repflow.watch(model, metrics=["norm"]) as flow:
        try:
            raise ValueError
        except ValueError:
            model(X)
    assert flow.n_examples == 2


def test_a_sink_that_fails_leaves_no_hooks() -> None:
    model, x = Stack(), X.double()
    with pytest.raises(BadSetting), repflow.watch(model, special_ids=[1]):
        model(X)
    assert hooks(model) == 0
    assert model(X).shape == x.shape


def test_one_thread() -> None:
    model, said = Stack(), []

    def call() -> None:
        try:
            model(X)
        except ModelProblem as error:
            said.append(str(error))

    with repflow.watch(model, metrics=["norm"]) as flow:
        other = threading.Thread(target=call)
        other.start()
        other.join()
        model(X)
    assert flow.n_examples == 2
    assert "watch follows one thread, the one that entered its block" in said[0]


def test_nested_watches_do_not_know_of_each_other() -> None:
    model = gpt2()
    with repflow.watch(model, metrics=["norm"]) as outer, torch.no_grad():
        model(ids_of())
        with repflow.watch(model.transformer, metrics=["norm"]) as inner:
            model(ids_of())
        model(ids_of())
    assert (outer.n_examples, inner.n_examples) == (6, 2)
    first, second = repflow.watch(model, metrics=["norm"]), repflow.watch(model, metrics=["norm"])
    first.__enter__()
    flow = second.__enter__()
    first.__exit__(None, None, None)
    model(ids_of())
    second.__exit__(None, None, None)
    assert flow.n_examples == 2


def test_blocks_called_by_themselves_are_not_measured_and_that_is_said() -> None:
    model = Stack()
    with repflow.watch(model, metrics=["norm"]) as flow:
        model.layers[0](X)
        with pytest.raises(NotEnoughData, match=r"call the very module.*block\.0 was reached outside a call of Stack"):
            _ = flow.layers


@pytest.mark.parametrize("make", [gpt2, mamba])
@pytest.mark.parametrize("cached", [True, False])
def test_generation_measures_the_prompt_alone(make: Callable[[], Any], cached: bool) -> None:
    model, ids = make(), ids_of()
    options = {"attention_mask": torch.ones_like(ids), "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    flow = watched(model, lambda: model.generate(ids, max_new_tokens=4, use_cache=cached, **options))
    assert flow.n_examples == 2
    assert set(flow.layers["n_tokens"]) == {18}
    assert "as generation does token by token, were not measured" in flow.warnings[0]
    assert cosines(flow) == pytest.approx(cosines(watched(model, lambda: model(ids))), abs=1e-5)


def test_a_cache_handed_on_by_hand_is_no_new_text() -> None:
    model, ids = gpt2(), ids_of(2, 12)

    def run() -> None:
        said = model(ids[:, :8], use_cache=True)
        model(ids[:, 8:], past_key_values=said.past_key_values, attention_mask=torch.ones_like(ids))

    flow = watched(model, run)
    assert flow.n_examples == 2
    assert len(doubts(flow)) == 1


def test_transforms_are_refused_and_functional_calls_are_passes() -> None:
    model = Stack()
    with pytest.raises(ModelProblem, match=r"watch cannot see into torch\.func's grad, vmap"):
        watched(model, lambda: torch.func.vmap(lambda x: model(x[None]))(X))
    assert hooks(model) == 0
    flow = watched(model, lambda: torch.func.functional_call(model, dict(model.named_parameters()), (X,)))
    assert flow.n_examples == 2
