"""The losses count the tokens of the model's users, however they call it."""

from typing import Any

import pytest
import torch
from losses_kit import tiny, token_batch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model
from torch import Tensor, nn

from repflow.core import BadSetting
from repflow.training.losses import TokenDiversity, flow_losses

TERMS = [TokenDiversity(1.0, margin=-1.0)]

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def found(model: Any, run: Any, **options: Any) -> float:
    with flow_losses(model, TERMS, **options) as extra, torch.no_grad():
        run()
        return float(extra.loss())


class ByPosition(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, tokens: Tensor, keep: Tensor) -> Any:
        return self.inner(input_ids=tokens, attention_mask=keep)


def test_padding_does_not_count_by_whatever_mask() -> None:
    model, batch = tiny("pythia"), token_batch((6, 4))
    ids, mask = batch["input_ids"], batch["attention_mask"]
    expected = found(model, lambda: model(input_ids=ids, attention_mask=mask))
    outer = ByPosition(model)
    assert found(outer, lambda: outer(ids, mask)) == pytest.approx(expected, abs=1e-6)
    t = ids.shape[1]
    square = torch.ones(t, t, dtype=torch.bool).tril() & mask[:, None, None].bool()
    assert found(model, lambda: model(input_ids=ids, attention_mask=square)) == pytest.approx(expected, abs=1e-6)
    assert found(model, lambda: model.gpt_neox(ids, mask)) == pytest.approx(expected, abs=1e-6)
    assert found(model, lambda: model(input_ids=ids)) != pytest.approx(expected, abs=1e-4)


def test_packed_rows_are_taken_apart_and_carry_gradients() -> None:
    model, ids = tiny("pythia"), token_batch((9,))["input_ids"]
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]])
    block = torch.block_diag(torch.ones(4, 4).tril(), torch.ones(5, 5).tril()).bool()[None, None]
    with flow_losses(model, TERMS) as extra:
        model(input_ids=ids, position_ids=positions, attention_mask=block)
        packed = extra.loss()
    alone = [found(model, lambda part=part: model(input_ids=part)) for part in (ids[:, :4], ids[:, 4:])]
    assert float(packed.detach()) == pytest.approx(sum(alone) / 2, abs=1e-5)
    packed.backward()
    assert float(model.get_input_embeddings().weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("kind", [PromptTuningConfig, PrefixTuningConfig])
def test_virtual_tokens_do_not_count(kind: type) -> None:
    torch.manual_seed(0)
    model = get_peft_model(tiny("pythia"), kind(task_type="CAUSAL_LM", num_virtual_tokens=5))
    ids, soft = token_batch((6, 6))["input_ids"], kind is PromptTuningConfig
    states: list[Tensor] = []
    blocks = model.base_model.gpt_neox.layers
    handles = [
        block.register_forward_hook(lambda _, __, out: states.append(out[0] if isinstance(out, tuple) else out))
        for block in blocks
    ]
    value = found(model, lambda: model(input_ids=ids))
    for handle in handles:
        handle.remove()
    units = [nn.functional.normalize(each[:, 5 if soft else 0 :].double(), dim=-1) for each in states]
    cosines = [(each.sum(1).square().sum(-1) - 6) / 30 for each in units]
    assert units[0].shape[1] == 6
    assert value == pytest.approx(float(torch.stack(cosines).mean()) + 1.0, abs=1e-5)


def test_what_cannot_be_told_is_said() -> None:
    model, batch = tiny("pythia"), token_batch((6, 4))
    ids = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, model.config.eos_token_id)
    with flow_losses(model, TERMS) as extra, torch.no_grad():
        for options in ({"attention_mask": batch["attention_mask"]}, {}, {}):
            model(input_ids=ids, **options)
            extra.loss()
            assert len(extra.warnings) == (options == {})
    assert "which may be padding, and no attention_mask says" in extra.warnings[0]


def test_sites_by_name_and_masks_by_name() -> None:
    model, batch = tiny("pythia"), token_batch((6, 4))
    names = {"blocks": "gpt_neox.layers", "final_norm": "none"}
    expected = found(model, lambda: model(**batch))
    assert found(model, lambda: model(**batch), **names) == expected
    everything = found(model, lambda: model(input_ids=batch["input_ids"]))
    assert found(model, lambda: model(**batch), mask=None) == pytest.approx(everything, abs=1e-2)
    with pytest.raises(BadSetting, match="flow_losses needs a torch module, got the string"):
        found("zoo:pythia-tiny", lambda: None)


def test_hooks_that_compiled_code_keeps_hear_nothing_afterwards() -> None:
    model = tiny("pythia")
    with flow_losses(model, TERMS) as extra:
        kept = [hook for module in model.modules() for hook in module._forward_hooks.values()]
        model(**token_batch())
        extra.loss()
    states = torch.zeros(1, 2, model.config.hidden_size)
    for hook in kept:
        try:
            hook(model, (), {}, states)
        except TypeError:
            hook(model, (), states)
    assert extra._pass is None
