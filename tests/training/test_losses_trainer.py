"""The losses inside transformers' Trainer: scaled right, logged, absent from evaluation, effective."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from losses_kit import FAMILIES, VOCAB, hooks_of, measured, states_of, tiny, token_batch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from repflow.core import UnknownName
from repflow.training.losses import FlowLossMixin, FlowLossTrainer, TokenDiversity, flow_losses

LOSSES = {"contrastive_tokens": 0.5, "v_loc": 2.0}


def rows(n: int, length: int = 8, seed: int = 0) -> list[dict[str, Tensor]]:
    """Examples of equal length, as a Trainer's data set."""
    ids = torch.randint(1, VOCAB, (n, length), generator=torch.Generator().manual_seed(seed))
    return [{"input_ids": row, "attention_mask": torch.ones_like(row), "labels": row} for row in ids]


def settings(folder: Path, **given: Any) -> TrainingArguments:
    quiet = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "use_cpu": True, "logging_steps": 1}
    plain = {
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        "learning_rate": 0.1,
        "max_grad_norm": 0.0,
        "max_steps": 1,
    }
    return TrainingArguments(output_dir=str(folder), **{**quiet, **plain, **given})


def trained(folder: Path, model: nn.Module, n: int, losses: Any = LOSSES, **given: Any) -> FlowLossTrainer:
    keywords = {key: given.pop(key) for key in ("compute_loss_func", "callbacks") if key in given}
    trainer = FlowLossTrainer(model, settings(folder, **given), train_dataset=rows(n), flow_losses=losses, **keywords)
    trainer.train()
    return trainer


def _summed(outputs: Any, labels: Tensor, num_items_in_batch: Tensor) -> Tensor:
    loss = nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    return loss / num_items_in_batch


WAYS = {
    "the model's own loss": {},
    "label smoothing": {"label_smoothing_factor": 0.1},
    "compute_loss_func": {"compute_loss_func": _summed},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_accumulating_gradients_equals_one_big_batch(tmp_path: Path, family: str, way: str) -> None:
    found = []
    for size, steps in ((6, 1), (2, 3)):
        model = tiny(family)
        trained(tmp_path, model, 6, per_device_train_batch_size=size, gradient_accumulation_steps=steps, **WAYS[way])
        found.append([parameter.detach() for parameter in model.parameters()])
    for big, accumulated in zip(*found, strict=True):
        torch.testing.assert_close(big, accumulated, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", ["the model's own loss", "compute_loss_func"])
def test_a_model_that_takes_no_item_count_is_scaled_once_too(tmp_path: Path, way: str) -> None:
    found = []
    for size, steps in ((6, 1), (2, 3)):
        model = tiny("pythia")
        model.accepts_loss_kwargs = False
        trained(tmp_path, model, 6, per_device_train_batch_size=size, gradient_accumulation_steps=steps, **WAYS[way])
        found.append([parameter.detach() for parameter in model.parameters()])
    for big, accumulated in zip(*found, strict=True):
        torch.testing.assert_close(big, accumulated, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_the_trainer_is_a_step_of_the_plain_loop(tmp_path: Path, family: str) -> None:
    by_hand, by_trainer = tiny(family), tiny(family)
    batch = {key: torch.stack([row[key] for row in rows(4)]) for key in rows(1)[0]}
    optimiser = torch.optim.SGD(by_hand.parameters(), lr=0.1)
    with flow_losses(by_hand, LOSSES) as extra:
        loss = by_hand(**batch).loss + extra.loss()
    loss.backward()
    optimiser.step()
    trainer = trained(tmp_path, by_trainer, 4, per_device_train_batch_size=4)
    for a, b in zip(by_hand.parameters(), by_trainer.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    logged = trainer.state.log_history[0]
    assert logged["loss"] == pytest.approx(float(loss.detach()), abs=1e-4)
    assert {name: logged[name] for name in LOSSES} == pytest.approx(
        {k: float(v) for k, v in extra.values.items()}, rel=1e-5
    )


def test_the_log_holds_each_losss_mean_since_the_last_entry(tmp_path: Path) -> None:
    model = tiny("mamba")
    expected = []
    with flow_losses(model, LOSSES) as extra:
        for row in rows(8):
            model(**{key: value[None] for key, value in row.items()})
            extra.loss()
            expected.append(float(extra.values["v_loc"]))
    still = {"learning_rate": 0.0, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    trainer = trained(tmp_path, model, 8, max_steps=4, logging_steps=2, train_sampling_strategy="sequential", **still)
    entries = [entry["v_loc"] for entry in trainer.state.log_history if "loss" in entry]
    assert entries == pytest.approx([sum(expected[:4]) / 4, sum(expected[4:]) / 4], rel=1e-5)


def test_evaluation_and_prediction_are_as_without(tmp_path: Path) -> None:
    model, data = tiny("pythia"), rows(4)
    plain = Trainer(model, settings(tmp_path), eval_dataset=data).evaluate()["eval_loss"]
    ours = FlowLossTrainer(model, settings(tmp_path), eval_dataset=data, flow_losses=LOSSES)
    assert ours.evaluate()["eval_loss"] == pytest.approx(plain)
    found = trained(tmp_path, model, 4, learning_rate=0.0)
    found.eval_dataset = data
    assert found.evaluate()["eval_loss"] == pytest.approx(plain)


class Stop(TrainerCallback):
    """Breaks the training, or looks at the model's hooks while it runs."""

    def __init__(self, act: Callable[[nn.Module], None]) -> None:
        self.act = act

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        del args, state, control
        self.act(model)


def test_hooks_are_on_the_model_only_while_it_trains(tmp_path: Path) -> None:
    model, during = tiny("pythia"), []
    before = hooks_of(model)
    trained(tmp_path, model, 2, callbacks=[Stop(lambda m: during.append(hooks_of(m)))])
    assert during[0] > before == hooks_of(model)

    def fail(_: nn.Module) -> None:
        raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        trained(tmp_path, model, 2, callbacks=[Stop(fail)])
    assert hooks_of(model) == before


def test_wrong_losses_are_refused_when_the_trainer_is_made(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown flow loss 'v_local'.*v_loc"):
        FlowLossTrainer(tiny("pythia"), settings(tmp_path), flow_losses={"v_local": 1.0})
    with pytest.raises(UnknownName, match=r"unknown site 'block\.9'"):
        FlowLossTrainer(tiny("pythia"), settings(tmp_path), flow_losses=[TokenDiversity(1.0, sites="block.9")])


def test_another_trainer_class_gains_the_losses(tmp_path: Path) -> None:
    class Doubling(Trainer):
        def compute_loss(self, model: nn.Module, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
            loss, outputs = super().compute_loss(model, inputs, True, **kwargs)
            return (2 * loss, outputs) if return_outputs else 2 * loss

    class Both(FlowLossMixin, Doubling):
        pass

    trainer = Both(tiny("pythia"), settings(tmp_path), train_dataset=rows(2), flow_losses={"v_loc": 3.0})
    plain = Trainer(tiny("pythia"), settings(tmp_path), train_dataset=rows(2))
    trainer.train()
    plain.train()
    both, alone = trainer.state.log_history[0], plain.state.log_history[0]
    assert both["loss"] == pytest.approx(2 * alone["loss"] + 3.0 * both["v_loc"], abs=1e-4)


@pytest.mark.parametrize("options", [{"activation_checkpointing": True}, {"bf16": True}])
def test_checkpointing_and_mixed_precision_train_alike(tmp_path: Path, options: dict[str, Any]) -> None:
    logs = []
    for given in ({}, options):
        trainer = trained(tmp_path, tiny("mamba"), 4, max_steps=2, **given)
        logs.append([[entry[name] for name in LOSSES] for entry in trainer.state.log_history if "loss" in entry])
    assert torch.tensor(logs[1]).flatten().tolist() == pytest.approx(torch.tensor(logs[0]).flatten().tolist(), rel=2e-2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("loss", ["token_diversity", "contrastive_tokens"])
def test_training_with_the_loss_keeps_tokens_further_apart(tmp_path: Path, family: str, loss: str) -> None:
    losses = [TokenDiversity(10.0, margin=0.0)] if loss == "token_diversity" else {loss: 10.0}
    cosines = []
    for chosen in (None, losses):
        model = tiny(family)
        with torch.no_grad():  # tokens that start alike, as in a homogenised model
            model.get_input_embeddings().weight.add_(0.5 * torch.randn(16, generator=torch.Generator().manual_seed(0)))
        options = {"max_steps": 30, "learning_rate": 1e-2, "optim": "adamw_torch", "logging_steps": 30}
        if chosen is None:
            Trainer(model, settings(tmp_path, **options), train_dataset=rows(16)).train()
        else:
            trained(tmp_path, model, 16, chosen, **options)
        batch = {"input_ids": token_batch((8, 8, 8), seed=3)["input_ids"]}
        states = states_of(model, batch)[:-1]
        cosines.append(measured(states, torch.ones(3, 8, dtype=torch.bool))["inter_token_cosine"][1:].mean())
    without, with_loss = cosines
    assert with_loss < 0.5 * without
