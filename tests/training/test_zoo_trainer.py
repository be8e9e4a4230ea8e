"""One training: micro-batches, loss, schedule, snapshots, what stops it."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import TrainerCallback
from zoo_kit import Quiet, small_mamba, small_pythia, weights

from repflow.models.initialise import random_model
from repflow.models.quiet import quiet
from repflow.training.errors import Diverged
from repflow.training.zoo import trainer as module
from repflow.training.zoo.curriculum import Span, Stage
from repflow.training.zoo.episodes import document_episode
from repflow.training.zoo.stream import IGNORED, TextPieces, ZooStream
from repflow.training.zoo.trainer import Snapshots, StopAtNonFinite, Telling, TimeBudget, log_steps, token_loss, train

SEED = 2
CONFIGS = {"pythia": small_pythia, "mamba": small_mamba}
PLAN = [Span(0, 5, Stage("A", 1, 50, {"pairs": 1}, 4, 64, 256))]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def stream(zoo_tokenizer: Any) -> ZooStream:
    """Five batches of two rows of text and two of keys and values, of 64 tokens: their shares of labels differ."""
    return ZooStream(
        zoo_tokenizer, TextPieces(np.arange(3000, dtype=np.uint16), 0), document_episode([]), plan=PLAN, seed=0
    )


def trained(
    stream: Any,
    folder: Path,
    *,
    family: str = "pythia",
    steps: int = 5,
    micro_tokens: int = 256,
    callbacks: Sequence[TrainerCallback] = (),
) -> Any:
    """The Trainer after its training."""
    model = random_model(CONFIGS[family](), SEED)
    with quiet():
        return train(
            model, stream, folder, steps=steps, micro_tokens=micro_tokens, learning_rate=2e-3, rate=falling, seed=SEED,
            cpu=True, callbacks=callbacks, checkpoint=None,
        )  # fmt: skip


def falling(step: int) -> float:
    return 1 / (1 + step)


def logged(trainer: Any, what: str) -> list[float]:
    return [float(entry[what]) for entry in trainer.state.log_history if what in entry]


def furthest(a: Any, b: Any) -> float:
    """The largest difference between two models' weights."""
    pairs = zip(a.model.parameters(), b.model.parameters(), strict=True)
    return max(float((x - y).detach().abs().max()) for x, y in pairs)


# Micro-batches.


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("micro_tokens", [1, 128, 200])
def test_micro_batches_are_the_whole_batch(micro_tokens: int, family: str, stream: ZooStream, tmp_path: Path) -> None:
    """One row, two rows, three rows and one: the same weights and the same losses."""
    whole = trained(stream, tmp_path / "a", family=family)
    parts = trained(stream, tmp_path / "b", family=family, micro_tokens=micro_tokens)
    assert furthest(whole, parts) < 1e-5
    np.testing.assert_allclose(logged(parts, "loss"), logged(whole, "loss"), rtol=1e-5)
    np.testing.assert_allclose(logged(parts, "grad_norm"), logged(whole, "grad_norm"), rtol=1e-4)
    start = random_model(CONFIGS[family](), SEED)
    assert furthest(whole, SimpleNamespace(model=start)) > 1e-3


def test_rows_of_a_batch_are_not_alike_in_labels(stream: ZooStream) -> None:
    """Or a mean of means would do as well as the mean over tokens."""
    counts = (stream[0]["labels"] != IGNORED).sum(dim=1)
    assert counts.min() < 0.8 * counts.max()


@pytest.mark.parametrize(("micro_tokens", "shapes"), [(1, [1, 1, 1, 1]), (128, [2, 2]), (200, [3, 1]), (256, [4])])
def test_a_micro_batch_holds_as_many_whole_rows_as_fit(
    micro_tokens: int, shapes: list[int], stream: ZooStream, tmp_path: Path
) -> None:
    seen: list[int] = []

    class Spying(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            del args, state, control
            kwargs["model"].gpt_neox.register_forward_pre_hook(
                lambda _, __, named: seen.append(len(named["input_ids"])), with_kwargs=True
            )

    trained(stream, tmp_path, steps=1, micro_tokens=micro_tokens, callbacks=[Spying()])
    assert seen == shapes


def test_the_loss_is_the_mean_over_learnt_tokens() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(4, 7, generator=draw), torch.tensor([3, 6, 0, 2])
    naive = sum(-float(row.double().log_softmax(0)[token]) for row, token in zip(logits, targets, strict=True))
    assert float(token_loss(logits, targets, 4)) == pytest.approx(naive / 4, rel=1e-6)
    assert float(token_loss(logits, targets, torch.tensor(8))) == pytest.approx(naive / 8, rel=1e-6)


def test_a_step_without_labels_changes_nothing_but_by_decay(tmp_path: Path) -> None:
    class Silent(Rising):
        def __getitem__(self, step: int) -> dict[str, Tensor]:
            item = super().__getitem__(step)
            return {**item, "labels": torch.full_like(item["labels"], IGNORED)}

    ended = trained(Silent(1), tmp_path, steps=1)
    assert logged(ended, "loss") == [0.0]
    assert all(torch.isfinite(p).all() for p in ended.model.parameters())


def test_the_log_says_which_share_of_the_answers_was_right(stream: ZooStream, tmp_path: Path) -> None:
    """Of rows that ask; text, which the next token of the made-up text would be, does not count."""
    model = random_model(small_pythia(), SEED)
    batch = stream[0]
    with torch.no_grad():
        said = model(input_ids=batch["input_ids"]).logits[:, :-1].argmax(-1)
    targets = batch["labels"][:, 1:]
    counted = (targets != IGNORED) & batch["asked"][:, None]
    share = float((said == targets)[counted].float().mean())
    assert 0 < int(counted.sum()) < int((targets != IGNORED).sum())
    assert logged(trained(stream, tmp_path, steps=1), "answers") == [pytest.approx(share)]


def test_the_first_logged_loss_is_that_of_the_first_batch(stream: ZooStream, tmp_path: Path) -> None:
    model = random_model(small_pythia(), SEED)
    batch = stream[0]
    with torch.no_grad():
        chances = model(input_ids=batch["input_ids"]).logits[:, :-1].double().log_softmax(-1)
    targets = batch["labels"][:, 1:]
    losses = -chances.gather(-1, targets.clamp(min=0)[..., None])[..., 0][targets != IGNORED]
    assert logged(trained(stream, tmp_path), "loss")[0] == pytest.approx(float(losses.mean()), rel=1e-5)


class Rising:
    """Steps of one short row each."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        ids = torch.arange(step, step + 8)[None]
        return {"input_ids": ids, "labels": ids, "asked": torch.tensor([False])}


def test_the_learning_rate_is_the_highest_times_the_share_of_the_step(tmp_path: Path) -> None:
    rates = logged(trained(Rising(6), tmp_path, steps=6), "learning_rate")
    assert rates == pytest.approx([2e-3 * falling(step) for step in range(6)])


def test_the_data_come_in_order_each_once(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(Rising):
        def __getitem__(self, step: int) -> dict[str, Tensor]:
            seen.append(step)
            return super().__getitem__(step)

    trained(Watched(6), tmp_path, steps=6)
    assert seen == list(range(6))


# Snapshots and checkpoints.


@pytest.mark.parametrize("last", [1, 2, 3, 8, 9, 234, 1465])
def test_snapshots_are_log_spaced_and_end_with_the_last_step(last: int) -> None:
    steps = log_steps(last)
    assert steps[0] == 0
    assert steps[-1] == last
    assert list(steps) == sorted(set(steps))
    between = steps[1:-1]
    assert list(between) == [2**i for i in range(len(between))]
    assert last <= 2 ** len(between)


@pytest.mark.parametrize("family", CONFIGS)
def test_snapshots_hold_the_model_as_it_was(family: str, stream: ZooStream, zoo_tokenizer: Any, tmp_path: Path) -> None:
    """Step 0 is the initialisation, exactly; a later one what a training that ends there would give."""
    shots = Snapshots(tmp_path / "shots", log_steps(5), zoo_tokenizer)
    last = trained(stream, tmp_path / "a", family=family, callbacks=[shots])
    found = {path.name: weights(path) for path in (tmp_path / "shots").iterdir()}
    assert sorted(found) == [f"step-{step:06d}" for step in (0, 1, 2, 4, 5)]
    fresh = random_model(CONFIGS[family](), SEED)
    for step, model in ((0, fresh), (5, last.model)):
        held = found[f"step-{step:06d}"]
        named = {name: p for name, p in model.named_parameters() if name in held}
        assert held.keys() == named.keys()
        assert all(torch.equal(held[name], named[name]) for name in held)
    assert not any(torch.equal(a, b) for a, b in zip(*(list(found[f"step-{s:06d}"].values()) for s in (0, 5)),
                                                     strict=True))  # fmt: skip


def test_a_training_that_goes_on_takes_no_snapshot_of_its_beginning(zoo_tokenizer: Any, tmp_path: Path) -> None:
    shots = Snapshots(tmp_path, (0, 4), zoo_tokenizer)
    shots.on_train_begin(None, SimpleNamespace(global_step=3), None, model=random_model(small_pythia(), SEED))
    assert list(tmp_path.iterdir()) == []


def test_the_last_two_of_twenty_checkpoints_are_kept(tmp_path: Path) -> None:
    saved: list[int] = []

    class Watching(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            del args, control, kwargs
            saved.append(state.global_step)

    trained(Rising(45), tmp_path, steps=45, callbacks=[Watching()])
    assert saved == [*range(3, 46, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-42", "checkpoint-45"]


# What stops a training.


class Clock:
    """Time that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


def test_a_training_stops_at_a_checkpoint_when_its_time_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", Clock())
    ended = trained(Rising(45), tmp_path, steps=45, callbacks=[TimeBudget(6.5)])
    assert ended.state.global_step == 7
    assert (tmp_path / "checkpoint-7" / "trainer_state.json").is_file()


def test_a_gradient_that_is_not_finite_does_not_reach_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it saved; the step is named as the log counts steps, from 1."""

    def exploding(logits: Tensor, targets: Tensor, n: Any) -> Tensor:
        loss = token_loss(logits, targets, n)
        return loss * torch.inf if targets[0] == 5 else loss

    monkeypatch.setattr(module, "token_loss", exploding)
    with pytest.raises(Diverged, match="not finite at step 5") as raised:
        trained(Rising(9), tmp_path, steps=9, callbacks=[StopAtNonFinite()])
    assert raised.value.step == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3", "checkpoint-4"]
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / "checkpoint-4").values())


THREE = [Span(0, 2, Stage("A", 1, 0, {}, 2, 8, 8)), Span(2, 3, Stage("B", 1, 0, {}, 2, 8, 16))]


def test_progress_is_told_of_every_step_and_of_the_loss(tmp_path: Path) -> None:
    told: list[tuple[Any, ...]] = []

    class Listening(Quiet):
        def begin(self, title: str, total: int, unit: str = "example") -> None:
            told.append((title, total, unit))

        def advance(self, done: int, tokens: int) -> None:
            told.append((done, tokens))

    progress = Listening()
    trained(Rising(3), tmp_path, steps=3, callbacks=[Telling(progress, "tiny", THREE)])
    assert told == [("training tiny", 3, "step"), *3 * [(1, 0)]]
    assert [note.split(", loss")[0] for note in progress.notes] == [
        "tiny: step 1, stage A, 8 tokens",
        "tiny: step 2, stage A, 16 tokens",
        "tiny: step 3, stage B, 32 tokens",
    ]
    assert all(note.endswith("tokens/s") for note in progress.notes)
