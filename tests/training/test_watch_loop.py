"""watch inside loops of every kind: training, inference mode, half precision, compiled models."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from watch_kit import cosines, doubts, gpt2, hooks, ids_of, watched

import repflow
from repflow.core import BadSetting

NORM = ["norm"]


def _by_optimiser(model: nn.Module) -> None:
    torch.optim.SGD(model.parameters(), lr=0.1).step()


def _by_hand(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data -= 0.1 * parameter.grad


def _by_state(model: nn.Module) -> None:
    model.load_state_dict({name: value + 1.0 for name, value in model.state_dict().items()})


def _averaged(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data = 0.9 * parameter.data


CHANGES = [_by_optimiser, _by_hand, _by_state, _averaged]


@pytest.mark.parametrize("change", CHANGES)
def test_steps_are_kept_apart_or_refused(change: Callable[[nn.Module], None]) -> None:
    model, ids = gpt2().train(), ids_of()
    with repflow.watch(model, metrics=NORM) as flow:
        for step in (0, 5):
            flow.step(step)
            for _ in range(2):
                model(input_ids=ids, labels=ids).loss.backward()
            change(model)
        with pytest.raises(BadSetting, match=r"weights changed between two passes.*flow\.step\(n\) after every"):
            model(input_ids=ids)
    assert flow.n_examples == 8
    assert repr(flow).startswith(f"Watch({len(flow.sites)} sites, 8 examples, steps 0 to 5, ")
    assert flow.layers["step"].unique().tolist() == [0, 5]
    assert set(flow.layers["n_examples"]) == {4}
    assert set(flow.paths["step"]) | set(flow.pairs["step"]) <= {0, 5}


def test_every_step_is_the_model_of_that_step() -> None:
    model, ids = gpt2(), ids_of()
    alone = []
    with repflow.watch(model, metrics=["inter_token_cosine"]) as flow:
        for step in range(2):
            flow.step(step)
            alone.append(cosines(watched(model, lambda: model(ids))))
            model(ids)
            model.load_state_dict({name: value.flip(0) for name, value in model.state_dict().items()})
    rows = flow.layers.query("metric == 'inter_token_cosine' and variant == 'raw' and tokens == 'all'")
    for step in range(2):
        found = rows[rows["step"] == step].sort_values("site_index")["value"].tolist()
        assert found == pytest.approx(alone[step], abs=1e-9)
    assert alone[0] != pytest.approx(alone[1], abs=1e-3)


@pytest.mark.parametrize("number", [-1, 1.5, "1", True, None])
def test_a_step_is_a_number(number: Any) -> None:
    model = gpt2()
    with repflow.watch(model, metrics=NORM) as flow, pytest.raises(BadSetting, match=r"flow\.step takes the number"):
        flow.step(number)


def test_training_and_evaluation_put_together_are_said() -> None:
    model, ids = gpt2(), ids_of()
    with repflow.watch(model, metrics=NORM) as flow, torch.no_grad():
        model(ids)
        assert doubts(flow) == ()
        model.train()(ids)
    assert "training and in evaluation mode are put together" in flow.warnings[0]


MODES = {
    "inference": torch.inference_mode,
    "no gradients": torch.no_grad,
    "gradients": torch.enable_grad,
}


@pytest.mark.parametrize("first", MODES)
@pytest.mark.parametrize("second", MODES)
def test_passes_with_and_without_gradients_in_any_order(first: str, second: str) -> None:
    model, ids = gpt2(), ids_of()
    flows = {}
    for name, modes in {"mixed": (first, second, first), "plain": ("no gradients",) * 3}.items():
        with repflow.watch(model) as flow:
            for seed, mode in enumerate(modes):
                with MODES[mode]():
                    said = model(ids_of(seed=seed), labels=ids)
                if mode == "gradients":
                    said.loss.backward()
        flows[name] = flow
    assert flows["mixed"].n_examples == 6
    assert cosines(flows["mixed"]) == pytest.approx(cosines(flows["plain"]), abs=1e-9)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_measured_in_float32(kind: torch.dtype) -> None:
    model, ids = gpt2(), ids_of()
    wide = cosines(watched(model, lambda: model(ids)))
    narrow = cosines(watched(model.to(kind), lambda: model(ids)))
    assert narrow == pytest.approx(wide, abs=3e-2)


def test_autocasting_is_the_models_own_affair() -> None:
    model, ids = gpt2(), ids_of()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        flow = watched(model, lambda: model(ids))
        said = model(ids).logits.dtype
    assert said == torch.bfloat16
    assert cosines(flow) == pytest.approx(cosines(watched(model, lambda: model(ids))), abs=3e-2)


class Counting:
    """A compiler's backend that runs graphs as they are and counts what it was given."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: Any, inputs: Any) -> Any:
        del inputs
        self.graphs += 1
        return graph.forward


def _compiled(how: str, model: Any, backend: Any) -> tuple[Any, Callable[[Tensor], Any]]:
    if how == "function":
        return model, torch.compile(lambda ids: model(ids), backend=backend)
    if how == "in place":
        model.compile(backend=backend)
        return model, model
    if how == "blocks":
        for i, block in enumerate(model.transformer.h):
            model.transformer.h[i] = torch.compile(block, backend=backend)
        return model, model
    wrapped = torch.compile(model, backend=backend)
    return wrapped, wrapped


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("how", ["wrapped", "in place", "function", "blocks"])
def test_a_compiled_model_is_measured_and_the_sink_never_compiled(how: str, warm: bool) -> None:
    torch.compiler.reset()
    ids, backend = ids_of(), Counting()
    expected = cosines(watched(plain := gpt2(), lambda: plain(ids)))
    before = hooks(plain)
    model = gpt2()
    given, call = _compiled(how, model, backend)
    with torch.no_grad():
        if warm:
            call(ids)
        graphs = backend.graphs
        flow = watched(given, lambda: call(ids))
        assert backend.graphs == graphs
        assert cosines(flow) == pytest.approx(expected, abs=1e-6)
        call(ids)
    assert backend.graphs > 0, "afterwards it is compiled as before"
    assert flow.n_examples == 2
    assert hooks(model) == before


def test_whole_graphs_stay_possible() -> None:
    torch.compiler.reset()
    model, ids = gpt2(), ids_of()
    call = torch.compile(
        lambda x: model.transformer.ln_f(model.transformer.h[0].mlp(x)), fullgraph=True, backend="eager"
    )
    with repflow.watch(model, metrics=NORM) as flow, torch.no_grad():
        call(torch.randn(2, 4, 16))
        model(ids)
    assert flow.n_examples == 2


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_afterwards_compiling_works_whatever_happened(error: type[BaseException]) -> None:
    torch.compiler.reset()
    backend = Counting()
    call = torch.compile(lambda x: x + 1, backend=backend)
    with contextlib.suppress(error), repflow.watch(gpt2(), metrics=NORM):
        call(torch.ones(2))
        raise error
    assert backend.graphs == 0
    call(torch.ones(2))
    assert backend.graphs == 1
