"""When a training is measured, and what its loggers hear."""

from pathlib import Path
from typing import Any

import pytest
from callback_kit import LAST, STEPS, flow_callback, fresh, trainer
from transformers import TrainerCallback

import repflow
from repflow.core import BadSetting
from repflow.training.schedule import Schedule

NAMES = {
    "flow/inter_token_cosine_early", "flow/inter_token_cosine_middle", "flow/inter_token_cosine_late",
    "flow/v_loc_rms", "flow/adjacent_cka",
}  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "last", "steps"),
    [
        (Schedule(), 1, (0, 1)),
        (Schedule(), 8, (0, 1, 2, 4, 8)),
        (Schedule(), 9, (0, 1, 2, 4, 8, 9)),
        (Schedule(), 3000, (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3000)),
        (Schedule(every=4), 8, (0, 4, 8)),
        (Schedule(every=4), 9, (0, 4, 8, 9)),
        (Schedule(every=100), 7, (0, 7)),
        (Schedule.of(None, [7, 3, 3, 50]), 9, (3, 7)),
    ],
)
def test_schedules(schedule: Schedule, last: int, steps: tuple[int, ...]) -> None:
    assert schedule.until(last) == steps


def test_a_schedule_without_a_step_is_refused() -> None:
    with pytest.raises(BadSetting, match="ends at step 2, before the first"):
        Schedule.of(None, [3]).until(2)


class Heard(TrainerCallback):
    """A logger, such as the Trainer calls before the callbacks it is given."""

    def __init__(self) -> None:
        self.logs: list[tuple[int, dict[str, float]]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        del args, control, kwargs
        self.logs.append((state.global_step, dict(logs)))


def test_bound_to_a_trainer_its_loggers_hear_it(tmp_path: Path) -> None:
    heard = Heard()
    callback = flow_callback(tmp_path / "run")
    bench = trainer(fresh("gpt_neo"), tmp_path, [heard, callback])
    assert callback.bind(bench) is callback
    bench.train()
    flows = {step: logs.keys() - {"epoch"} for step, logs in heard.logs if "flow/v_loc_rms" in logs}
    assert flows == dict.fromkeys(STEPS, NAMES)
    losses = [step for step, logs in heard.logs if "loss" in logs]
    assert losses == list(range(1, LAST + 1)), "the training's own logs stay"
    kept = [entry for entry in bench.state.log_history if "flow/v_loc_rms" in entry]
    assert [entry["step"] for entry in kept] == STEPS


def test_without_a_trainer_the_history_has_it(tmp_path: Path) -> None:
    heard = Heard()
    bench = trainer(fresh("gpt_neo"), tmp_path, [heard, flow_callback(tmp_path / "run")])
    bench.train()
    assert not any("flow/v_loc_rms" in logs for _, logs in heard.logs)
    kept = {entry["step"]: entry for entry in bench.state.log_history if "flow/v_loc_rms" in entry}
    assert list(kept) == STEPS
    assert all(entry.keys() == NAMES | {"epoch", "step"} for entry in kept.values())
    _are_those_of_the_rows(kept, repflow.open(tmp_path / "run"))


def _are_those_of_the_rows(kept: dict[int, dict[str, float]], run: repflow.Run) -> None:
    layers = run.layers.query("metric == 'inter_token_cosine' and variant == 'raw' and tokens == 'no_sink'")
    pairs = run.pairs.query("metric == 'cka' and variant == 'token' and tokens == 'no_sink'")
    paths = run.paths.query("metric == 'v_loc' and variant == 'rms' and tokens == 'no_sink'")
    neighbours = [("embed", "block.0"), ("block.0", "block.1"), ("block.1", "block.2")]
    for step, entry in kept.items():
        cosine = layers[layers["step"] == step].set_index("site")["value"]
        for third, block in (("early", 0), ("middle", 1), ("late", 2)):
            assert entry[f"flow/inter_token_cosine_{third}"] == cosine[f"block.{block}"], "three blocks: one a third"
        assert entry["flow/v_loc_rms"] == paths[paths["step"] == step]["value"].item()
        cka = pairs[pairs["step"] == step].set_index(["site_a", "site_b"])["value"]
        assert entry["flow/adjacent_cka"] == pytest.approx(cka[neighbours].mean(), abs=1e-12)
