"""Weights drawn anew in place: what a fresh load would give, and every bit back afterwards."""

import pytest
import torch

from repflow.core import BadSpec
from repflow.models import Init, Loaded, load, reinitialised
from repflow.models.facts import weights_sha256
from repflow.models.initialise import RECURRENCE, trained_buffers

TINY = {
    "gpt_neox": "config:gpt_neox,layers=2,width=32",
    "gpt2": "config:gpt2,layers=2,width=32",
    "mamba": "config:mamba,layers=2,width=32",
    "mamba2": "config:mamba2,layers=2,width=32",
}


def values(subject: Loaded) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in subject.model.named_parameters()}


@pytest.mark.parametrize("family", ["gpt_neox", "mamba2"])
@pytest.mark.parametrize("scheme", ["config", "kaiming", "normal", "orthogonal", "permuted", "xavier"])
def test_in_place_is_a_fresh_load(family: str, scheme: str) -> None:
    init = Init(scheme, 3)
    subject, fresh = load(TINY[family]), load(f"{TINY[family]}@init={init}")
    with reinitialised(subject, init) as drawn:
        found, wanted = values(drawn), values(fresh)
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
        assert drawn.spec == fresh.spec
        assert drawn.facts.weights_sha256 == fresh.facts.weights_sha256
        assert (drawn.facts.label, drawn.facts.init) == (fresh.facts.label, fresh.facts.init)
        assert drawn.facts.reinitialised


@pytest.mark.parametrize("family", sorted(TINY))
def test_every_bit_is_back(family: str) -> None:
    subject = load(TINY[family])
    before = values(subject)
    with reinitialised(subject, Init("normal", 1)) as drawn:
        assert weights_sha256(subject.model) == drawn.facts.weights_sha256 != subject.facts.weights_sha256
    with pytest.raises(KeyboardInterrupt), reinitialised(subject, Init("xavier", 1)):
        raise KeyboardInterrupt
    assert weights_sha256(subject.model) == subject.facts.weights_sha256
    assert all(torch.equal(tensor, before[name]) for name, tensor in subject.model.named_parameters())


def test_an_error_while_drawing_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = load(TINY["gpt_neox"])

    def broken(tensor: torch.Tensor, **_: object) -> torch.Tensor:
        if tensor.shape[0] > 32:
            raise RuntimeError("no memory")
        return tensor.fill_(1.0)

    monkeypatch.setattr(torch.nn.init, "orthogonal_", broken)
    with pytest.raises(RuntimeError, match="no memory"), reinitialised(subject, Init("orthogonal")):
        pytest.fail("nothing was drawn")
    assert weights_sha256(subject.model) == subject.facts.weights_sha256


def test_permuted_starts_from_the_subjects_own_values_each_time() -> None:
    subject = load(TINY["mamba2"])
    before = values(subject)
    with reinitialised(subject, Init("normal", 1)):
        pass
    with reinitialised(subject, Init("permuted", 1)) as drawn:
        for name, tensor in drawn.model.named_parameters():
            assert torch.equal(tensor.flatten().sort().values, before[name].flatten().sort().values)


def test_tied_weights_stay_tied() -> None:
    subject = load(TINY["gpt2"])
    with reinitialised(subject, Init("normal", 1)) as drawn:
        inputs, outputs = drawn.model.get_input_embeddings().weight, drawn.model.get_output_embeddings().weight
        assert inputs.data_ptr() == outputs.data_ptr()
    assert subject.model.get_input_embeddings().weight.data_ptr() == inputs.data_ptr()


@pytest.mark.parametrize("family", ["mamba", "mamba2"])
def test_the_recurrence_is_kept_only_when_asked(family: str) -> None:
    """Its parameters off their initial values: drawn as the family does, or shuffled; asked to, they stay."""
    subject = load(TINY[family])
    special = [name for name, _ in subject.model.named_parameters() if name.rpartition(".")[2] in RECURRENCE]
    assert special
    with torch.no_grad():
        for name in special:
            tensor = subject.model.get_parameter(name)
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape) / 100 + 0.1)
    before = values(subject)
    with reinitialised(subject, Init("config", 1)) as drawn:
        own = {name: drawn.model.get_parameter(name).clone() for name in special}
    with reinitialised(subject, Init("normal", 1, keep=True)) as drawn:
        assert all(torch.equal(drawn.model.get_parameter(name), before[name]) for name in special)
        assert set(special) <= set(drawn.facts.kept)
        assert "as trained" in drawn.facts.warnings[0]
    with reinitialised(subject, Init("normal", 1)) as drawn:
        assert all(torch.equal(drawn.model.get_parameter(name), own[name]) for name in special)
        assert set(special) <= set(drawn.facts.reinitialised)
    with reinitialised(subject, Init("permuted", 1)) as drawn:
        for name in special:
            found = drawn.model.get_parameter(name)
            assert not torch.equal(found, before[name])
            assert torch.equal(found.flatten().sort().values, before[name].flatten().sort().values)


def test_trained_buffers_are_drawn_and_come_back() -> None:
    subject = load("config:nemotron_h,layers=2,width=32,layers_block_type=[\"linear_attention\",\"moe\"],"
                   "n_routed_experts=4,num_experts_per_tok=2,moe_intermediate_size=8,"
                   "moe_shared_expert_intermediate_size=8")  # fmt: skip
    ((name, bias),) = trained_buffers(subject.model)
    bias.fill_(0.7)
    for scheme in ("config", "normal"):
        with reinitialised(subject, Init(scheme, 3)) as drawn:
            assert (bias == 0).all()
            assert name in drawn.facts.reinitialised
        assert (bias == 0.7).all()


def test_a_changed_subject_is_refused() -> None:
    subject = load(f"{TINY['gpt_neox']}@init=normal:0")
    with pytest.raises(BadSpec, match="without @init"), reinitialised(subject, Init("normal", 1)):
        pytest.fail("drawn twice")
