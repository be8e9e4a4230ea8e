"""Few subjects are told one by one, many by kind; commands name what the run read, and run."""

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from repflow.drawing.source import Subject, read
from repflow.drawing.style import styles
from repflow.studies.kit.saying import Value, command, few, key, names, spread, trained


def subject(short: str, kind: str = "TBM", init: str = "trained") -> Subject:
    return Subject(f"zoo:{short}", short, kind, {"init": init, "n_blocks": 12}, styles([kind])[0])


def values(*given: tuple[str, str, float]) -> list[Value]:
    return [Value.of(subject(name, kind), x, x - 0.01, x + 0.01, f"after block.{i}") for i, (name, kind, x) in
            enumerate(given)]  # fmt: skip


def test_up_to_four_are_named_with_their_intervals() -> None:
    told, limits = spread(values(("a", "TBM", 0.5), ("b", "SSM", -0.25)))
    assert told == "a 0.500 after block.0 and b −0.250 after block.1"
    assert limits == "95% intervals: a [0.490, 0.510], b [−0.260, −0.240]"


def test_of_twenty_the_ends_of_each_kind_are_named() -> None:
    many = values(*((f"t{i}", "TBM", 0.2 + 0.02 * i) for i in range(12)), *((f"s{i}", "SSM", 0.1) for i in range(8)))
    told, limits = spread(many)
    assert told.startswith("12 Transformers from 0.200 after block.0 (t0) to 0.420 after block.11 (t11); 8 state-space")
    assert "t5" not in told + limits
    assert len(told) < 250
    assert names([each.subject for each in many], 20) == "20 of 20 models (t0, t1, t2 and 17 more)"


def test_of_many_one_of_each_kind_is_asked_of_a_trained_one_first() -> None:
    drawn = [subject(f"d{i}", init="config:0") for i in range(4)]
    asked = few([*drawn, subject("t"), subject("s", "SSM"), subject("r", "SSM", "config:0")])
    assert [each.short for each in asked] == ["t", "s"]
    assert trained(drawn) == []
    assert few(drawn) == drawn


def source_of(settings: dict[str, Any], command: str = "flow", task: str = "text", context: int = 512) -> Any:
    nothing = pd.DataFrame()
    labels = ["zoo:pythia-tiny", "my model;rm -r"]
    info = {
        "command": command,
        "settings": settings,
        "subjects": [{"label": label, "init": "trained", "n_blocks": 12} for label in labels],
        "tasks": [{"name": task, "context": context}],
    }
    run = SimpleNamespace(layers=nothing, pairs=nothing, paths=nothing, info=info, findings=[], directory=Path("run"))
    return read(run, {})  # pyright: ignore[reportArgumentType]


def test_a_command_reads_what_the_run_read() -> None:
    source = source_of({"task": ["text"], "context": [512], "examples": 64, "pack": True, "text": []})
    told = command(source, "attribute", source.subjects)
    assert shlex.split(told) == ["repflow", "attribute", "zoo:pythia-tiny", "my model;rm -r"]
    given = {"examples": 200, "text": ["a b.txt"], "pack": False, "bos": True, "items": None}
    more = shlex.split(command(source_of(given, context=64), "ablate", source.subjects[:1], "--what", "norm_reset"))
    assert more[3:] == ["--context", "64", "--text", "a b.txt", "--no-pack", "--bos", "--examples", "200", "--what",
                        "norm_reset"]  # fmt: skip
    few_examples = command(source_of({"examples": 4}), "attribute", source.subjects[:1])
    assert "--examples" not in few_examples, "a number that makes no intervals is not asked for again"
    again = command(source_of({"examples": 40}), "flow", source.subjects[:1], "--examples", "120")
    assert again.count("--examples") == 1


def test_probes_of_few_items_have_as_few_positions() -> None:
    source = source_of({"items": 4}, task="kvpr", context=300)
    told = shlex.split(command(source, "probe", source.subjects[:1]))
    assert told[3:] == ["--task", "kvpr", "--context", "300", "--items", "4", "--positions", "4"]
    assert "--positions" not in command(source, "attribute", source.subjects)


@pytest.mark.parametrize("other", ["watch", "train", "lab"])
def test_models_without_a_spec_have_no_command(other: str) -> None:
    source = source_of({}, command=other)
    assert command(source, "attribute", source.subjects) == ""


def test_keys_are_plain() -> None:
    (row,) = pd.DataFrame([{"subject": "m", "context": 64, "x": 1}]).to_dict("records")
    found = key("layers", row, ("subject", "context"))
    assert found == {"table": "layers", "subject": "m", "context": 64}
    assert type(found["context"]) is int
