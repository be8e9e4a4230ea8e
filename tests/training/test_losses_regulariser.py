"""FlowRegulariser: its weight climbs by dual ascent, holds the quantity at its target, and outlives a kill."""

from pathlib import Path
from typing import Any

import pytest
import torch
from losses_kit import VOCAB, tiny, token_batch
from torch import Tensor
from transformers import TrainingArguments

from repflow.core import BadSetting, CallerError, UnknownName
from repflow.training import FlowRegulariser
from repflow.training.losses import FlowLossTrainer, TokenDiversity, flow_losses


def test_the_weight_climbs_by_how_far_the_quantity_is_past() -> None:
    held = FlowRegulariser(target=0.2, rate=0.5, most=0.3)
    held.seen(torch.tensor(0.6))
    assert float(held.weight) == pytest.approx(0.2)
    held.seen(torch.tensor(0.9))
    assert float(held.weight) == pytest.approx(0.3)
    held.seen(torch.tensor(-0.6))
    assert float(held.weight) == 0.0


def test_above_turns_the_sign() -> None:
    held = FlowRegulariser(target=0.5, of="v_glob", keep="above", rate=1.0)
    held.seen(torch.tensor(0.2))
    assert float(held.weight) == pytest.approx(-0.3)
    held.seen(torch.tensor(0.9))
    assert float(held.weight) == 0.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_leaves_the_weight(value: float) -> None:
    held = FlowRegulariser(target=0.0, rate=1.0)
    held.seen(torch.tensor(0.25))
    held.seen(torch.tensor(value))
    assert float(held.weight) == 0.25


@pytest.mark.parametrize("family", ["pythia", "mamba"])
def test_a_plain_loop_holds_the_target(family: str) -> None:
    free = _seen(family, None)
    held = _seen(family, FlowRegulariser(target=-0.1, sites="0.5-1", rate=0.3, most=50.0))
    # Training alone does not come there; the regulariser does, and does not push on without end.
    assert min(free) > -0.08
    assert min(held) < -0.1
    assert held[-1] > min(held) + 0.005


def _seen(family: str, held: FlowRegulariser | None) -> list[float]:
    """The cosine at each step of a training, with the regulariser or only looking."""
    model, batch = tiny(family), token_batch()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    watching = TokenDiversity(0.0, margin=-1.0, sites="0.5-1")
    found: list[float] = []
    with flow_losses(model, [watching] if held is None else [watching, held]) as extra:
        for _ in range(200):
            loss = model(**batch).loss + extra.loss()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            found.append(float(extra.values["token_diversity"]) - 1.0)
    return found


def test_the_quantity_is_the_mean_cosine_that_is_measured() -> None:
    model, batch = tiny("pythia"), token_batch((9, 9))
    held = FlowRegulariser(target=0.5, sites="block.2")
    with torch.no_grad(), flow_losses(model, [held]) as extra:
        states = model(**batch, output_hidden_states=True)
        extra.loss()
    # The last hidden state of the family is behind the final norm; the one before is behind block 1.
    with torch.no_grad(), flow_losses(model, [FlowRegulariser(target=0.5, sites="block.1")]) as middle:
        model(**batch)
        middle.loss()
    unit = torch.nn.functional.normalize(states.hidden_states[2], dim=-1)
    cosines = unit @ unit.transpose(1, 2)
    pairs = ~torch.eye(9, dtype=torch.bool)
    expected = torch.stack([each[pairs].mean() for each in cosines]).mean()
    assert float(middle.values["held_inter_token_cosine"]) == pytest.approx(float(expected), abs=1e-5)


def test_state_is_kept_and_belongs_to_its_regulariser() -> None:
    held = FlowRegulariser(target=0.2, rate=0.5)
    held.seen(torch.tensor(0.6))
    again = FlowRegulariser(target=0.2, rate=0.5)
    again.load_state_dict(held.state_dict())
    assert torch.equal(again.weight, held.weight)
    with pytest.raises(BadSetting, match="saved state"):
        FlowRegulariser(target=0.3).load_state_dict(held.state_dict())


def _rows(n: int) -> list[dict[str, Tensor]]:
    ids = torch.randint(1, VOCAB, (n, 8), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "attention_mask": torch.ones_like(row), "labels": row} for row in ids]


def _trainer(folder: Path, steps: int, held: FlowRegulariser) -> FlowLossTrainer:
    arguments = TrainingArguments(
        output_dir=str(folder), report_to=[], disable_tqdm=True, use_cpu=True, max_steps=steps, save_steps=2, seed=1,
        per_device_train_batch_size=2, lr_scheduler_type="constant",
    )  # fmt: skip
    return FlowLossTrainer(tiny("pythia"), arguments, train_dataset=_rows(20), flow_losses=[held])


def test_a_resumed_training_goes_on_with_the_weight(tmp_path: Path) -> None:
    whole = FlowRegulariser(target=-0.5, rate=0.1)
    _trainer(tmp_path / "whole", 6, whole).train()
    first = FlowRegulariser(target=-0.5, rate=0.1)
    _trainer(tmp_path / "parts", 4, first).train()
    second = FlowRegulariser(target=-0.5, rate=0.1)
    _trainer(tmp_path / "parts", 6, second).train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-4"))
    assert float(whole.weight) > float(first.weight) > 0
    assert float(second.weight) == pytest.approx(float(whole.weight), abs=1e-5)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"target": 2.0}, BadSetting),
        ({"target": float("nan")}, BadSetting),
        ({"target": True}, BadSetting),
        ({"target": 0.1, "rate": 0}, BadSetting),
        ({"target": 0.1, "most": -1}, BadSetting),
        ({"target": 0.1, "of": "cosine"}, UnknownName),
        ({"target": 0.1, "keep": "near"}, UnknownName),
        ({"target": -0.1, "of": "v_glob"}, BadSetting),
    ],
)
def test_bad_settings_are_refused(given: dict[str, Any], kind: type[CallerError]) -> None:
    with pytest.raises(kind):
        FlowRegulariser(**given)
