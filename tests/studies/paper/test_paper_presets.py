"""What a paper run is going to measure, from its settings alone."""

from typing import Any

import pytest

from repflow.core import BadSetting, CallerError
from repflow.studies.kit.fields import from_flat
from repflow.studies.kit.settings import ZOO
from repflow.studies.paper.presets import ORIGINAL, PRESETS, parts_of, subjects_of
from repflow.studies.paper.settings import PARTS, PaperSettings
from repflow.studies.paper.whole import Whole
from repflow.studies.paper.work import passes, tokens


def settings(*subjects: str, **values: Any) -> PaperSettings:
    return from_flat(PaperSettings, subjects or ZOO, values)


def test_a_preset_has_every_part_of_the_study() -> None:
    for preset in PRESETS:
        parts = parts_of(settings(preset=preset))
        assert tuple(part.name for part in parts) == PARTS
        assert {part.study for part in parts} == {"flow", "probe", "attribute", "ablate", "dynamics"}


def test_the_original_study_is_of_the_papers_five_unless_models_are_named() -> None:
    assert subjects_of(settings(preset="original")) == ORIGINAL
    assert subjects_of(settings("gpt2", preset="original")) == ("gpt2",)
    assert subjects_of(settings()) == ZOO
    (kvpr,) = parts_of(settings(preset="original", parts="probe-kvpr"))
    assert kvpr.settings.task.context == (300, 1000, 2000)
    assert kvpr.settings.task.keys == "uuid"


def test_what_is_asked_for_takes_the_place_of_the_presets() -> None:
    asked = settings(
        "gpt2", "rwkv", context=100, examples=9, kvpr_contexts=[50, 60], mdqa_contexts=900, sets=11, keys="hex8",
        seed=3, text="a.txt",
    )  # fmt: skip
    parts = {part.name: part.settings for part in parts_of(asked)}
    for name in ("flow", "flow-hf", "attribute", "ablate", "dynamics"):
        assert parts[name].task.context == (100,)
        assert parts[name].task.text == ("a.txt",)
        assert parts[name].task.examples == 9
    assert parts["probe-kvpr"].task.context == (50, 60)
    assert parts["probe-kvpr"].task.keys == "hex8"
    assert parts["probe-mdqa"].task.context == (900,)
    assert parts["probe-mdqa"].task.items is None, "as many documents as the context holds"
    assert {part.task.examples for name, part in parts.items() if name.startswith("probe")} == {11}
    assert {part.subjects for part in parts.values()} == {("gpt2", "rwkv")}
    assert parts["flow-hf"].measure.sites == "hf"
    assert parts["attribute"].attribution.seed == parts["dynamics"].measure.seed == parts["flow"].measure.seed == 3


@pytest.mark.parametrize(
    ("subjects", "values", "says"),
    [
        ((), {"parts": "prob-kvpr"}, "probe-kvpr"),
        ((), {"parts": ["flow", "flow"]}, "flow twice"),
        ((), {"parts": []}, "at least one"),
        ((), {"preset": "quik"}, "quick"),
        ((), {"examples": 0}, "--examples must be at least 1"),
        ((), {"kvpr_contexts": [2]}, "--context must be at least 4"),
        (("gpt2", "gpt2"), {}, "named twice: gpt2"),
        (("gpt2@init=normal:0",), {}, "without @init"),
    ],
)
def test_nonsense_is_refused_in_one_line(subjects: tuple[str, ...], values: dict[str, Any], says: str) -> None:
    with pytest.raises(CallerError, match=says) as caught:
        parts_of(settings(*subjects, **values))
    assert "\n" not in str(caught.value)


def test_no_subject_is_refused() -> None:
    with pytest.raises(BadSetting, match="at least one subject"):
        PaperSettings(())


def test_work_counts_every_pass_over_every_prompt() -> None:
    parts = {part.name: part for part in parts_of(settings("gpt2", context=100, examples=10, sets=10))}
    quick = PRESETS["quick"]
    assert tokens(parts["flow"]) == 100 * 10
    assert tokens(parts["probe-kvpr"]) == 10 * quick.positions * sum(quick.kvpr_contexts)
    assert passes(parts["attribute"]) == 1 + quick.draws
    assert passes(parts["ablate"]) == 1 + len(parts["ablate"].settings.changes.named)


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.begun: list[tuple[str, int]] = []
        self.done = 0

    def note(self, line: str) -> None:
        self.lines.append(line)

    def begin(self, title: str, total: int, unit: str = "example") -> None:
        del unit
        self.begun.append((title, total))

    def advance(self, done: int, tokens: int) -> None:
        del tokens
        self.done += done


def test_several_runs_have_one_course() -> None:
    told = Told()
    whole = Whole(told, {"flow": 300.0, "probe": 100.0})
    whole.start("flow")
    whole.begin("a job", 7)
    whole.advance(1, 150)
    assert told.done == 37
    whole.advance(1, 10_000)
    assert told.done == 75, "a run that reads more than was guessed is not ahead of itself"
    whole.start("probe")
    whole.finish()
    assert told.begun == [("paper", 100)]
    assert told.done == 100
    assert told.lines[0] == "1 of 2: flow"
    assert told.lines[1].startswith("2 of 2: probe, about ")
