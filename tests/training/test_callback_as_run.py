"""FlowCallback measures the model that is trained: its adapters, its virtual tokens, its own forward."""

from pathlib import Path
from typing import Any

import pytest
import torch
from callback_kit import trainer
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

import repflow
from repflow.core import ModelProblem
from repflow.studies.kit.settings import MeasureSettings, ModelSettings
from repflow.training import FlowCallback

# peft's own doing.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set:UserWarning"),
    # torch's own, of its tracing.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]

EXAMPLES = torch.randint(0, 250, (6, 12), generator=torch.Generator().manual_seed(3))
SOFT = {"num_virtual_tokens": 8, "task_type": "CAUSAL_LM"}


class Louder(GPT2LMHeadModel):
    """Trained with a forward of its own."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Any:
        embeds = 2 * self.transformer.wte(input_ids)
        return super().forward(inputs_embeds=embeds, attention_mask=attention_mask, **options)


class Behind(GPT2LMHeadModel):
    """Virtual tokens behind the others."""

    def forward(self, input_ids: Tensor, **options: Any) -> Any:
        del options
        embeds = self.transformer.wte(input_ids)
        return super().forward(inputs_embeds=torch.cat([embeds, embeds[:, :3]], 1))


def tiny(kind: type = GPT2LMHeadModel) -> Any:
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": 256, "bos_token_id": 0, "eos_token_id": 0}
    return kind(GPT2Config(**sizes, initializer_range=0.3, n_positions=40))


def tuned(config: Any) -> Any:
    model = get_peft_model(tiny(), config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter.data)
    return model


MODELS = {
    "plain": tiny,
    "lora": lambda: tuned(LoraConfig(target_modules=["c_attn"])),
    "prompt": lambda: tuned(PromptTuningConfig(**SOFT)),
    "prefix": lambda: tuned(PrefixTuningConfig(**SOFT)),
    "own forward": lambda: tiny(Louder),
    "compiled": lambda: torch.compile(tiny(), backend="eager"),
}


def measured(called: Any, folder: Path, **changes: Any) -> repflow.Run:
    """The run of a training of one step, with the measurement at its beginning."""
    measure = MeasureSettings(metrics=("inter_token_cosine", "norm"), calibration=0, replicates=40)
    flow = FlowCallback(folder / "run", EXAMPLES.tolist(), measure, steps=[0], **changes)
    trainer(called, folder / "t", [flow], max_steps=1, remove_unused_columns=False).train()
    return repflow.open(folder / "run")


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_those_of_an_ordinary_call(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    model.eval()
    with repflow.watch(model, metrics=["inter_token_cosine", "norm"], replicates=40) as flow, torch.no_grad():
        model(input_ids=EXAMPLES, attention_mask=torch.ones_like(EXAMPLES))
    run = measured(model, tmp_path)
    columns = ["site", "metric", "variant", "tokens"]
    keep = "variant not in ('centred', 'standardised')"
    mine = run.layers.query(keep).set_index(columns)["value"].sort_index()
    theirs = flow.layers.query(keep).set_index(columns)["value"].sort_index()
    assert list(mine.index) == list(theirs.index)
    assert mine.tolist() == pytest.approx(theirs.tolist(), rel=1e-4, abs=1e-5)
    said = [line for line in run.info["warnings"] if "virtual tokens stand before every example" in line]
    assert len(said) == (name == "prompt")


def test_virtual_tokens_take_up_positions(tmp_path: Path) -> None:
    long = torch.randint(0, 250, (3, 38)).tolist()
    flow = FlowCallback(tmp_path / "run", long, MeasureSettings(calibration=0, metrics=("norm",)), steps=[0])
    with pytest.raises(repflow.core.ContextTooLong, match="32 positions, the longest example has 38"):
        trainer(MODELS["prompt"](), tmp_path / "t", [flow], max_steps=1).train()


def test_virtual_tokens_behind_the_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelProblem, match=r"not causal|not the first 3 are virtual"):
        measured(tiny(Behind), tmp_path)


def test_a_model_without_a_final_norm(tmp_path: Path) -> None:
    run = measured(tiny(), tmp_path, model=ModelSettings(blocks="transformer.h", final_norm="none"))
    assert sorted(run.layers["site"].unique()) == ["block.0", "block.1", "embed"]
    assert [subject["n_blocks"] for subject in run.subjects] == [2]
