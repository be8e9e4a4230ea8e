"""watch measures the model with its adapters, and no virtual token counts."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from torch import nn
from watch_kit import LENGTHS, cosines, gpt2, padded, plain, watched

import repflow
from repflow.core import BadSetting

# peft's own doing.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set:UserWarning"),
]


def lora() -> Any:
    return get_peft_model(gpt2(), LoraConfig(target_modules=["c_attn"], init_lora_weights=False)).eval()


def test_an_adapter_is_part_of_the_model() -> None:
    model, (ids, mask) = lora(), padded(LENGTHS)

    def run() -> None:
        model(input_ids=ids, attention_mask=mask)

    inner = model.get_base_model().transformer
    where = [(row, range(n)) for row, n in enumerate(LENGTHS)]
    flow = watched(model, run)
    assert cosines(flow) == pytest.approx(plain([(run, where)], inner.h, inner.ln_f), abs=1e-5)
    with model.disable_adapter():
        assert cosines(watched(model, run))[1:] != pytest.approx(cosines(flow)[1:], abs=1e-3)


def test_an_adapter_switched_off_between_passes_makes_another_model() -> None:
    model, (ids, mask) = lora(), padded(LENGTHS)
    with repflow.watch(model, metrics=["norm"]) as flow, torch.no_grad():
        model(input_ids=ids, attention_mask=mask)
        with model.disable_adapter():
            with pytest.raises(BadSetting, match=r"weights changed between two passes.*flow\.step"):
                model(input_ids=ids, attention_mask=mask)
            flow.step(1)
            model(input_ids=ids, attention_mask=mask)
    assert flow.n_examples == 6


def prompt_tuned(kind: type, **options: Any) -> Any:
    torch.manual_seed(1)
    model = get_peft_model(gpt2(), kind(task_type="CAUSAL_LM", num_virtual_tokens=5, **options)).eval()
    for parameter in model.prompt_encoder.parameters():
        nn.init.normal_(parameter.data)
    return model


SOFT = [PromptTuningConfig, PromptEncoderConfig, PrefixTuningConfig]


@pytest.mark.filterwarnings("ignore:.*encoder_")
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("kind", SOFT)
def test_virtual_tokens_do_not_count(kind: type, masked: bool) -> None:
    model, lengths = prompt_tuned(kind), LENGTHS if masked else (9, 9, 9)
    ids, mask = padded(lengths)
    before = 0 if kind is PrefixTuningConfig else 5

    def run() -> None:
        model(input_ids=ids, **({"attention_mask": mask} if masked else {}))

    inner = model.base_model.transformer
    where = [(row, range(before, before + n)) for row, n in enumerate(lengths)]
    flow = watched(model, run)
    assert set(flow.layers["n_tokens"]) == {sum(lengths)}
    assert cosines(flow) == pytest.approx(plain([(run, where)], inner.h, inner.ln_f), abs=1e-5)
    bare = watched(model.base_model, lambda: model.base_model(input_ids=ids, attention_mask=mask))
    assert cosines(bare)[2:] != pytest.approx(cosines(flow)[2:], abs=1e-3)
