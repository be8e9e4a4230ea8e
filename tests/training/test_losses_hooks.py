"""flow_losses: which tokens and passes count, wrapped models, hooks that go, and what a mistake is told."""

from pathlib import Path
from typing import Any

import pytest
import torch
from losses_kit import FAMILIES, VOCAB, hooks_of, states_of, tiny, token_batch
from torch import Tensor, nn

from repflow.core import BadSetting, ModelProblem, NotEnoughData, Tap, UnknownName, sites_for
from repflow.training.losses import TokenDiversity, VLoc, contrastive_tokens, flow_losses, token_diversity, v_loc

BOTH = [TokenDiversity(1.0, margin=-1.0), VLoc(1.0)]
EVERY = {"token_diversity": 1.0, "contrastive_tokens": 1.0, "v_loc": 1.0, "v_glob": 1.0}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_total_is_the_weighted_sum_of_what_the_functions_give(family: str) -> None:
    model, batch = tiny(family), token_batch()
    embed, *blocks, _ = states_of(model, batch)
    real = batch["attention_mask"] != 0
    apart = [contrastive_tokens(a, b, real) for a, b in zip([embed, *blocks], blocks, strict=False)]
    alike = [token_diversity(states, real, margin=-1.0) for states in blocks]
    with flow_losses(model, {"contrastive_tokens": 0.3, "v_loc": 2.0}) as extra:
        model(**batch)
        total = extra.loss()
    expected = 0.3 * torch.stack(apart).mean() + 2.0 * v_loc([embed, *blocks], real)
    torch.testing.assert_close(total.detach(), expected)
    with flow_losses(model, BOTH[:1]) as extra:
        model(**batch)
        torch.testing.assert_close(extra.loss().detach(), torch.stack(alike).mean())


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_never_counts_whether_the_mask_is_given_by_name_or_place(family: str) -> None:
    model, batch = tiny(family), token_batch((8, 5))
    values = []
    with flow_losses(model, BOTH) as extra:
        for row, length in enumerate((8, 5)):
            model(input_ids=batch["input_ids"][row : row + 1, :length])
            values.append(extra.loss().detach())
        expected = torch.stack(values).mean()
        model(**batch)
        torch.testing.assert_close(extra.loss().detach(), expected)
        if family == "pythia":
            model(batch["input_ids"], batch["attention_mask"])
            torch.testing.assert_close(extra.loss().detach(), expected)
        model(input_ids=batch["input_ids"])
        assert not torch.isclose(extra.loss().detach(), expected, rtol=1e-3)


def test_special_tokens_count_unless_they_are_named() -> None:
    model, ids = tiny("pythia"), torch.randint(2, VOCAB, (2, 8), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[1, 3] = 1, 0
    mask = ids > 1
    with flow_losses(model, BOTH, special_ids=[0, 1]) as extra:
        model(input_ids=ids)
        found = extra.loss().detach()
    embed, *blocks, _ = states_of(model, {"input_ids": ids})
    alike = torch.stack([token_diversity(states, mask, margin=-1.0) for states in blocks]).mean()
    torch.testing.assert_close(found, alike + v_loc([embed, *blocks], mask))
    with flow_losses(model, BOTH, special_ids=[1]) as extra:
        model(inputs_embeds=torch.randn(1, 4, 16))
        with pytest.raises(BadSetting, match=r"input_ids.*got None"):
            extra.loss()


def test_a_decoding_step_reads_the_mask_of_its_own_tokens() -> None:
    model, batch = tiny("pythia"), token_batch((6, 5))
    ids, mask = batch["input_ids"], batch["attention_mask"]
    path = [states[:, 4:] for states in states_of(model, {"input_ids": ids, "attention_mask": mask})[:-1]]
    with torch.no_grad(), flow_losses(model, BOTH[1:]) as extra:
        cache = model(input_ids=ids[:, :4], use_cache=True).past_key_values
        model(input_ids=ids[:, 4:], attention_mask=mask, past_key_values=cache)
        torch.testing.assert_close(extra.loss(), v_loc(path, mask[:, 4:] != 0))


def test_a_mask_of_another_shape_is_refused() -> None:
    model, ids = tiny("pythia"), torch.ones(2, 4, dtype=torch.int64)
    with flow_losses(model, BOTH) as extra:
        model(input_ids=ids, attention_mask=torch.zeros(2, 1, 4, 4))
        with pytest.raises(BadSetting, match=r"attention_mask of shape \[2, 4\]"):
            extra.loss()


def test_the_latest_pass_counts_once() -> None:
    model, first, second = tiny("pythia"), token_batch(seed=1), token_batch(seed=2)
    with flow_losses(model, BOTH) as extra:
        with pytest.raises(NotEnoughData, match="call the model inside"):
            extra.loss()
        model(**second)
        expected = extra.loss().detach()
        model(**first)
        model(**second)
        assert torch.equal(extra.loss().detach(), expected)
        with pytest.raises(NotEnoughData, match="once a pass"):
            extra.loss()
        model(**first)
        assert not torch.equal(extra.loss().detach(), expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_values_are_the_same(mode: Any) -> None:
    model, batch = tiny("mamba"), token_batch()
    with flow_losses(model, EVERY) as extra:
        model(**batch)
        expected = extra.loss()
        with mode():
            model(**batch)
            value = extra.loss()
    assert expected.requires_grad
    assert not value.requires_grad
    torch.testing.assert_close(value, expected.detach())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_models_own_output_and_gradients_are_untouched(family: str) -> None:
    watched, plain, batch = tiny(family), tiny(family), token_batch()
    with flow_losses(watched, EVERY):
        loss = watched(**batch).loss
    loss.backward()
    plain(**batch).loss.backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(watched.parameters(), plain.parameters(), strict=True))


def test_hooks_go_after_the_block_an_error_in_it_and_an_error_in_the_settings() -> None:
    model = tiny("pythia")
    before = hooks_of(model)
    with flow_losses(model, EVERY):
        assert hooks_of(model) > before
    assert hooks_of(model) == before
    with pytest.raises(KeyboardInterrupt), flow_losses(model, EVERY):
        raise KeyboardInterrupt
    assert hooks_of(model) == before
    taps = (Tap(sites_for(1)[0], "gpt_neox", "input"), Tap(sites_for(1)[1], "no.such"))
    with pytest.raises(ModelProblem, match=r"no\.such"), flow_losses(model, [VLoc(1.0)], taps=taps):
        raise AssertionError("not reached")
    assert hooks_of(model) == before


@pytest.mark.parametrize(
    ("losses", "error", "says"),
    [
        ({"token_diversty": 0.1}, UnknownName, "unknown flow loss 'token_diversty'; did you mean token_diversity"),
        ({"v_loc": -1.0}, BadSetting, "weight of v_loc"),
        ({}, BadSetting, "at least one flow loss"),
        ([VLoc(0.1), VLoc(0.2, variant="unit")], BadSetting, "each name once, got v_loc, v_loc"),
        (["v_loc"], BadSetting, "weights by name.*got 'v_loc'"),
    ],
)
def test_wrong_losses_are_refused(losses: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says), flow_losses(tiny("pythia"), losses):
        raise AssertionError("not reached")


class Stack(nn.Module):
    """Two blocks on vectors; the first is called as often as said, and its output may be written to afterwards."""

    def __init__(self, calls: int = 1, in_place: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(2))
        self.norm = nn.LayerNorm(4)
        self.calls, self.in_place = calls, in_place

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.calls):
            x = self.layers[0](x)
        if self.in_place:
            x += 1.0
        return self.norm(self.layers[1](x))


STACK_TAPS = tuple(Tap(site, f"layers.{i}") for i, site in enumerate(sites_for(2)[1:3]))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Stack(calls=0), r"without reaching the site block\.0; give taps"),
        (Stack(calls=2), r"reached the site block\.0 twice"),
        (Stack(in_place=True), r"changed the states at the site block\.0 in place"),
    ],
)
def test_a_site_never_reached_reached_twice_or_overwritten_is_an_error(model: Stack, says: str) -> None:
    with pytest.raises(ModelProblem, match=says):
        _stack_loss(model, torch.randn(2, 3, 4))


def _stack_loss(model: Stack, x: Tensor) -> Tensor:
    with flow_losses(model, {"v_loc": 1.0}, taps=STACK_TAPS) as extra:
        model(x)
        return extra.loss()


def test_sites_named_by_hand_serve_any_module() -> None:
    model, x = Stack(), torch.randn(2, 3, 4)
    found = _stack_loss(model, x)
    first = model.layers[0](x)
    torch.testing.assert_close(found, v_loc([first, model.layers[1](first)]))


def _gradients(called: nn.Module, inner: nn.Module, batches: int = 2) -> list[Tensor]:
    inner.zero_grad()
    with flow_losses(called, EVERY) as extra:
        for seed in range(batches):
            (called(**token_batch(seed=seed)).loss + extra.loss()).backward()
    return [parameter.grad.clone() for parameter in inner.parameters()]


def test_data_parallel_on_one_device_is_tapped_inside() -> None:
    model = tiny("pythia")
    expected = _gradients(model, model)
    for a, b in zip(_gradients(nn.DataParallel(model), model), expected, strict=True):
        assert torch.equal(a, b)


def test_distributed_data_parallel_is_tapped_inside(tmp_path: Path) -> None:
    model = tiny("pythia")
    expected = _gradients(model, model)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        found = _gradients(nn.parallel.DistributedDataParallel(model), model)
    finally:
        torch.distributed.destroy_process_group()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_data_parallel_on_several_devices_is_refused() -> None:
    model = nn.DataParallel(tiny("pythia"))
    model.device_ids = [0, 1]
    with pytest.raises(ModelProblem, match=r"DataParallel on 2 devices.*torchrun"), flow_losses(model, EVERY):
        raise AssertionError("not reached")


# torch warns of its own tracing, depending on what was compiled before in the process.
TRACING = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")


@pytest.mark.slow
@TRACING
def test_a_compiled_model_gives_the_same_gradients() -> None:
    model = tiny("pythia")
    expected = _gradients(model, model)
    torch.compiler.reset()
    found = _gradients(torch.compile(model, backend="aot_eager"), model)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@TRACING
def test_a_model_compiled_and_run_before_is_told_to_come_earlier() -> None:
    model = tiny("pythia")
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager")
    compiled(**token_batch())
    with flow_losses(compiled, EVERY) as extra:
        compiled(**token_batch())
        with pytest.raises(ModelProblem, match="before a compiled model is first called"):
            extra.loss()
