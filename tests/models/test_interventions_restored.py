"""Each intervention changes what the model says, and leaves no trace."""

import gc

import pytest
import torch
from intervention_tools import logits, named, trained, typical
from torch import Tensor, nn

from repflow.models import Ablation, Loaded, ablated, load, possible
from repflow.models.facts import weights_sha256
from repflow.models.families import FAMILIES


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def subject(request: pytest.FixtureRequest) -> Loaded:
    torch.set_num_threads(1)
    return trained(request.param)


def traces(model: nn.Module) -> tuple[object, ...]:
    """Everything that an intervention could leave behind besides weights."""
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._forward_hooks_with_kwargs)) for m in model.modules()
    ]
    plain = (bool, int, float, str)
    attributes = [{k: v for k, v in vars(m).items() if isinstance(v, plain)} for m in model.modules()]
    config = model.config.to_dict(), model.config._attn_implementation  # type: ignore[union-attr]
    return hooks, attributes, config, [id(p) for p in model.parameters()], torch.is_grad_enabled()


def test_each_changes_the_logits_and_restores_every_bit(subject: Loaded) -> None:
    before, digest, state = logits(subject), weights_sha256(subject.model), traces(subject.model)
    said: dict[str, Tensor] = {}
    for name in possible(subject):
        with ablated(subject, [typical(name)]) as changed:
            said[name] = logits(changed)
        assert torch.equal(logits(subject), before), name
        assert traces(subject.model) == state, name
    assert weights_sha256(subject.model) == digest
    apart = {name: float((there - before).norm() / before.norm()) for name, there in said.items()}
    assert all(distance > 1e-4 for distance in apart.values()), apart
    assert len(set(apart.values())) == len(apart), "no two do the same"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_all_at_once_and_an_exception_in_the_middle(subject: Loaded, error: type[BaseException]) -> None:
    before, digest, state = logits(subject), weights_sha256(subject.model), traces(subject.model)
    middle = subject.model.get_submodule(subject.taps[-3].module)

    def stop(*_: object) -> None:
        raise error("in the middle")

    handle = middle.register_forward_hook(stop)
    with pytest.raises(error, match="in the middle"), ablated(subject, [typical(n) for n in possible(subject)]):
        logits(subject)
    handle.remove()
    assert torch.equal(logits(subject), before)
    assert weights_sha256(subject.model) == digest
    assert traces(subject.model) == state


def test_a_refused_one_undoes_nothing_and_leaves_nothing() -> None:
    subject = load("config:llama,layers=2,width=16")
    before, state = logits(subject), traces(subject.model)
    with pytest.raises(Exception, match="ssm_no_conv"), ablated(subject, [named("norm_reset"), named("ssm_no_conv")]):
        pass
    assert torch.equal(logits(subject), before)
    assert traces(subject.model) == state


@pytest.mark.parametrize("family", ["gpt_neox", "mamba2", "bamba"])
def test_the_spec_does_the_same_for_good(family: str) -> None:
    source = f"config:{family},width=32@init=orthogonal:2"
    subject = load(source)
    names = possible(subject)
    written = "".join(f"@ablate={typical(name)}" for name in names)
    with ablated(subject, [typical(name) for name in names]) as changed:
        inside = logits(changed)
    lasting = load(source + written)
    gc.collect()
    assert torch.equal(logits(lasting), inside)
    assert lasting.spec == changed.spec
    assert lasting.facts == changed.facts
    assert lasting.facts.label == source + written
    assert lasting.facts.weights_sha256 == subject.facts.weights_sha256
    assert [line.partition(":")[0] for line in lasting.facts.interventions] == list(names)


def test_facts_say_what_was_done_where() -> None:
    subject = load("config:jamba,width=32@ablate=norm_reset:block.0-1,final")
    assert subject.facts.interventions == ("norm_reset:block.0-1,final: 5 affine norms (block.0-1, final)",)
    with ablated(subject, [named("attention_window:8"), Ablation("residual_cut", "block.2")]) as more:
        assert more.facts.interventions[1:] == (
            "attention_window:8: 2 attention modules (block.1, block.3)",
            "residual_cut:block.2: 1 block (block.2)",
        )
        assert more.facts.label == f"{subject.facts.label}@ablate=attention_window:8@ablate=residual_cut:block.2"
    assert subject.facts.label == "config:jamba,width=32@ablate=norm_reset:block.0-1,final"
