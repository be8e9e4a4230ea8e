"""A training is bit-identical with and without the callback."""

import random
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from callback_kit import flow_callback, fresh, steps_of, trainer

import repflow
from repflow.models.kernels import parallel_scan
from repflow.training.losses import FlowLossTrainer
from repflow.training.undisturbed import undisturbed


def trained(family: str, folder: Path, watched: bool, **options: Any) -> tuple[Any, list[dict[str, float]]]:
    model = fresh(family)
    callbacks = [flow_callback(folder / "run", every=2)] if watched else []
    bench = trainer(model, folder, callbacks, **options)
    if watched:
        callbacks[0].bind(bench)
    with parallel_scan(model):
        bench.train()
    return model, [entry for entry in bench.state.log_history if "loss" in entry]


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("gpt_neo", {}),
        ("gpt_neo", {"activation_checkpointing": True, "bf16": True}),
        ("mamba", {}),
    ],
)
def test_weights_and_losses_are_the_same(family: str, options: dict[str, Any], tmp_path: Path) -> None:
    bare, losses = trained(family, tmp_path / "bare", False, **options)
    watched, losses_watched = trained(family, tmp_path / "watched", True, **options)
    assert len(repflow.open(tmp_path / "watched" / "run").subjects[0]["steps"]) == 6
    assert len(losses) == 10
    assert losses == losses_watched
    a, b = bare.state_dict(), watched.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(fresh(family).get_input_embeddings().weight, bare.get_input_embeddings().weight)


def test_dropout_and_order_would_show() -> None:
    """The comparison above can fail: one number drawn more, and the losses are others."""
    torch.manual_seed(0)
    model, ids = fresh("gpt_neo").train(), torch.arange(20)[None]
    one = model(ids).logits
    torch.manual_seed(0)
    torch.rand(1)
    assert not torch.equal(one, model(ids).logits)


def state_of(model: Any) -> dict[str, Any]:
    return {name: {**vars(module), "_buffers": dict(module._buffers)} for name, module in model.named_modules()}


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(fails: bool) -> None:
    model = fresh("gpt_neo").train()
    model.activation_checkpointing_enable()
    model.transformer.h[1].eval()
    model.transformer.h[0].requires_grad_(False)
    model(torch.arange(9)[None], labels=torch.arange(9)[None]).loss.backward()
    before = state_of(model)
    parameters = {name: (p, p.detach().clone(), p.requires_grad, p.grad) for name, p in model.named_parameters()}
    drawn = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())

    class Break(Exception):
        pass

    with pytest.raises(Break) if fails else nullcontext(), undisturbed(model):
        assert not any(module.training for module in model.modules())
        model.transformer.some_cache = torch.ones(2)
        model.transformer.h[0].attn.attention.register_buffer("bias", torch.ones(3), persistent=False)
        torch.rand(3), np.random.rand(3), random.random()
        if fails:
            raise Break

    after = state_of(model)
    assert after.keys() == before.keys()
    for name, attributes in before.items():
        assert attributes.keys() == after[name].keys(), name
        assert all(after[name][key] is value for key, value in attributes.items() if key != "_buffers"), name
        assert all(after[name]["_buffers"][key] is value for key, value in attributes["_buffers"].items()), name
    for name, p in model.named_parameters():
        same, values, wanted, grad = parameters[name]
        assert p is same
        assert p.requires_grad is wanted
        assert p.grad is grad
        assert torch.equal(p, values)
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert (np.random.get_state()[1] == drawn[1]).all()
    assert random.getstate() == drawn[2]


def test_scans_are_switched_back() -> None:
    model = fresh("mamba")
    with parallel_scan(model) as switched:
        assert switched == 3
        with undisturbed(model):
            assert not any(getattr(module, "use_mambapy", False) for module in model.modules())
        assert sum(getattr(module, "use_mambapy", False) for module in model.modules()) == 3


def test_no_hook_stays(tmp_path: Path) -> None:
    model = fresh("gpt_neo")
    counts = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    trainer(model, tmp_path, [flow_callback(tmp_path / "run")], max_steps=2).train()
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()] == counts


def test_beside_flow_losses(tmp_path: Path) -> None:
    """Losses watch the training's passes only, and the measurement leaves them alone."""
    weights, losses = [], []
    for watched in (False, True):
        callback = flow_callback(tmp_path / "run", every=2)
        bare = trainer(fresh("gpt_neo"), tmp_path / str(watched))
        bench = FlowLossTrainer(
            bare.model,
            bare.args,
            train_dataset=bare.train_dataset,
            callbacks=[callback] if watched else [],
            flow_losses={"contrastive_tokens": 0.5, "v_loc": 0.1},
        )
        bench.train()
        weights.append(bare.model.state_dict())
        losses.append([entry for entry in bench.state.log_history if "loss" in entry])
    assert losses[0] == losses[1]
    assert "v_loc" in losses[0][0]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert steps_of(repflow.open(tmp_path / "run")) == [0, 2, 4, 6, 8, 10]
