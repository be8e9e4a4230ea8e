"""influence: the squared norms of rows of the Jacobian, against the Jacobian itself."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from repflow.core import Example, ModelProblem
from repflow.models import Loaded, load
from repflow.models.families import FAMILIES
from repflow.studies.dynamics.ssm import influence
from repflow.studies.dynamics.ssm.influence import Probing, influence_squares, sampled_tokens

REACH = 7


def examples(*lengths: int) -> list[Example]:
    return [Example(i, tuple(np.random.default_rng(i).integers(0, 200, n).tolist())) for i, n in enumerate(lengths)]


def jacobian(subject: Loaded, example: Example, token: int) -> Tensor:
    """[width, source tokens, width]: d h_token(last block) / d h(embed), by replacing the embedding's output."""
    model = subject.model
    embedding, last = model.get_input_embeddings(), model.get_submodule(subject.taps[-2].module)
    ids = torch.tensor([example.ids])

    def run(embed: Tensor) -> Tensor:
        kept: list[Tensor] = []
        handles = [
            embedding.register_forward_hook(lambda *_: embed[None]),
            last.register_forward_hook(lambda _m, _a, out: kept.append(out[0] if isinstance(out, tuple) else out)),
        ]
        try:
            model.base_model(input_ids=ids, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return kept[0][0, token]

    return torch.autograd.functional.jacobian(run, embedding(ids)[0].detach())


# The embedding of these is their site `embed`, up to a constant. Zamba2 hands it to later blocks as well.
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "mamba", "mamba2", "zamba2", "bamba"])
def test_the_estimate_is_the_norm_of_the_jacobian(family: str) -> None:
    subject = load(f"config:{family},layers=2,width=16")
    subject.model.double()
    (example,) = examples(12)
    (token,) = sampled_tokens(example, Probing(1, 1, REACH))
    true = jacobian(subject, example, int(token)).square().sum((0, 2)).numpy()[token - REACH : token + 1][::-1]
    draws = np.array([influence_squares(subject, [example], Probing(1, 1, REACH, seed))[0] for seed in range(80)])
    error = draws.std(0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - true) < 4 * error + 1e-12 * true).all()
    assert (error < 0.2 * true).all()


def test_all_unit_directions_together_are_the_norm_of_the_jacobian(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact, without the chance of signs: probe i is width^0.5 times the i-th unit vector."""
    subject = load("config:mamba,layers=2,width=16")
    subject.model.double()
    (example,) = examples(12)
    (token,) = sampled_tokens(example, Probing(1, 16, REACH))
    monkeypatch.setattr(influence, "_signs", lambda key, width: np.sqrt(width) * np.eye(width)[key[3]])
    found = influence_squares(subject, [example], Probing(1, 16, REACH))[0]
    true = jacobian(subject, example, int(token)).square().sum((0, 2)).numpy()[token - REACH : token + 1][::-1]
    np.testing.assert_allclose(found, true, rtol=1e-10)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_batches_padding_and_the_model_on_every_family(family: str) -> None:
    subject = load(f"config:{family},layers=2,width=32")
    mixed, probing = examples(19, 11, 19, 5), Probing(3, 1, REACH)
    before = _flags(subject.model)
    together = influence_squares(subject, mixed, probing)
    assert _flags(subject.model) == before
    alone = np.concatenate([influence_squares(subject, [example], probing) for example in mixed])
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    assert (together[:3] > 0).all(), "every token before counts"
    assert np.isfinite(together[3]).tolist() == [True] * 5 + [False] * 3, "nothing lies before the first token"


def test_tokens_have_all_distances_before_them() -> None:
    long, short = examples(40, 6)
    assert sampled_tokens(long, Probing(5, 1, 20)).min() >= 20
    assert len(sampled_tokens(long, Probing(5, 1, 20))) == 5
    assert sampled_tokens(long, Probing(50, 1, 20)).tolist() == list(range(20, 40)), "as many as there are"
    assert sampled_tokens(short, Probing(5, 1, 20)).tolist() == [3, 4, 5]


def test_tokens_and_directions_belong_to_the_example() -> None:
    subject = load("config:llama,layers=2,width=32")
    (example,) = examples(19)
    found = influence_squares(subject, [example], Probing(2, 1, REACH))
    assert np.array_equal(found, influence_squares(subject, [example], Probing(2, 1, REACH)))
    assert not np.allclose(found, influence_squares(subject, [example], Probing(2, 1, REACH, seed=1)))


def test_a_kernel_without_a_backward_is_refused_and_the_model_restored() -> None:
    subject = load("config:gpt_neox,layers=2,width=32")
    before = _flags(subject.model)
    block = subject.model.get_submodule(subject.taps[2].module)
    handle = block.register_forward_hook(lambda _m, _a, out: _through(out))
    try:
        with pytest.raises(ModelProblem, match="no gradient passes through its kernels") as caught:
            influence_squares(subject, examples(12), Probing(1, 1, REACH))
    finally:
        handle.remove()
    assert "\n" not in str(caught.value)
    assert _flags(subject.model) == before


def test_a_state_cut_from_its_graph_is_refused() -> None:
    subject = load("config:gpt_neox,layers=2,width=32")
    block = subject.model.get_submodule(subject.taps[2].module)
    handle = block.register_forward_hook(lambda _m, _a, out: out.detach())
    try:
        with pytest.raises(ModelProblem, match="hangs on no gradient"):
            influence_squares(subject, examples(12), Probing(1, 1, REACH))
    finally:
        handle.remove()


class _NoBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor) -> Tensor:
        del ctx
        return states.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise NotImplementedError("this kernel has no backward")


def _through(output: Any) -> Any:
    return _NoBackward.apply(output)


def _flags(model: Any) -> tuple[Any, ...]:
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    return (
        model.training,
        hooks,
        [(p.requires_grad, p.dtype, p.grad is None) for p in model.parameters()],
        [getattr(m, "use_mambapy", None) for m in model.modules()],
    )
