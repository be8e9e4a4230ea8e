"""How many units a run rests on: counted, told, and too few of them without an interval."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import repflow
from repflow.core import Example, interval
from repflow.engines.local import Forgetful
from repflow.metrics import Course
from repflow.models import load
from repflow.store import compare
from repflow.studies.flow.measure import measure, reader_of
from repflow.studies.kit.progress import Silent
from repflow.studies.kit.record import Reading, Record
from repflow.studies.kit.settings import FlowSettings, MeasureSettings, TaskSettings
from repflow.studies.kit.tasks import Assignment
from repflow.studies.kit.units import Units, autocorrelation, units_of
from repflow.training.evaluation import ReadyTask

TINY = "config:pythia,layers=2,width=32"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _examples(units: list[int | None], tokens: int = 12) -> tuple[Example, ...]:
    draw = np.random.default_rng(0)
    return tuple(
        Example(id=i, ids=tuple(draw.integers(5, 200, tokens).tolist()), group=i, unit=unit)
        for i, unit in enumerate(units)
    )


def _record(examples: tuple[Example, ...], metrics: tuple[str, ...] = ()) -> Record:
    settings = FlowSettings(
        (TINY,),
        TaskSettings(examples=len(examples)),
        MeasureSettings(calibration=0, permutations=0, replicates=40, metrics=metrics),
    )
    subject = load(TINY)
    record = Record()
    reading = Reading(Assignment(ReadyTask(()), 12), examples, ())
    record.tasks.append(reading.assignment.facts(subject.facts.label, examples))
    measure("", reader_of(subject, settings), subject.facts, reading, settings, Forgetful(), Silent(), record)
    return record


def test_copies_of_an_example_in_its_unit_change_neither_value_nor_interval() -> None:
    """Resampled as if independent, three copies of everything would make the interval narrower by a factor of 1.7."""
    alone = _examples([None] * 10)
    copies = tuple(replace(e, id=10 * k + e.id, unit=e.id) for k in range(3) for e in alone)
    one, three = _record(alone), _record(copies)
    for name in ("layers", "paths"):
        left, right = (pd.DataFrame(getattr(record.tables, name)) for record in (one, three))
        numbers = ["value", "ci_low", "ci_high"]
        np.testing.assert_allclose(left[numbers].astype(float), right[numbers].astype(float), rtol=1e-4, atol=1e-5)
        assert set(left["n_units"]) == set(right["n_units"]) == {10}
        assert set(right["n_examples"]) == {30}


def test_fewer_than_eight_units_give_no_interval_however_many_examples() -> None:
    record = _record(
        _examples([i % 7 for i in range(28)]), metrics=("inter_token_cosine", "dropped_share", "path", "cka")
    )
    for name in ("layers", "paths", "pairs"):
        frame = pd.DataFrame(getattr(record.tables, name))
        assert len(frame)
        assert frame["value"].notna().any()
        assert frame["ci_low"].isna().all(), name
        assert set(frame["n_units"]) == {7}


def test_a_unit_with_most_of_the_examples_is_not_many() -> None:
    units = Units.of_sizes([50, *[1] * 20])
    assert (units.n, units.examples) == (21, 70)
    assert units.effective == pytest.approx(70**2 / (2500 + 20))
    assert units.behind(21) == 0
    told: list[str] = []
    units.warn(told.append, "text at 12 tokens")
    (line,) = told
    assert line.startswith(
        "text at 12 tokens: 70 examples of 21 units, worth 1.9 independent ones; fewer than 8 give no"
    )


def test_enough_units_are_not_warned_of() -> None:
    told: list[str] = []
    Units.of_sizes([2] * 30).warn(told.append, "text")
    assert told == []
    Units.of_sizes([1] * 29).warn(told.append, "text")
    assert told == ["text: 29 examples; they make rough intervals, 30 or more make good ones"]


def _autoregressive(n: int, rho: float) -> np.ndarray:
    draw = np.random.default_rng(3)
    series = draw.normal(size=n)
    for place in range(1, n):
        series[place] = rho * series[place - 1] + (1 - rho**2) ** 0.5 * series[place]
    return series


def test_the_autocorrelation_of_a_series_is_found_source_by_source() -> None:
    series = _autoregressive(4000, 0.6)
    assert autocorrelation([("a", x) for x in series])[0] == pytest.approx(0.6, abs=0.04)
    # Sources that differ in level are no autocorrelation.
    shuffled = np.random.default_rng(0).permutation(series)
    steps = [(f"{i // 1000}", x + 100 * (i // 1000)) for i, x in enumerate(shuffled)]
    found, pairs = autocorrelation(steps)
    assert abs(found) < 0.05
    assert pairs == 3996


def _followed(series: np.ndarray) -> tuple[tuple[Example, ...], Course]:
    examples = tuple(Example(i, (1,)) for i in range(len(series)))
    return examples, Course(torch.arange(len(series)), torch.from_numpy(series))


def test_intervals_of_correlated_units_are_wider_by_what_the_correlation_asks_for() -> None:
    units = units_of(*_followed(_autoregressive(1000, 0.6)))
    assert units.stretch == pytest.approx(2.0, abs=0.2), "sqrt(1.6 / 0.4)"
    assert units.effective == pytest.approx(1000 / units.stretch**2)
    assert units.behind(100) == int(100 / units.stretch**2)
    replicates = np.random.default_rng(0).normal(size=200)
    cells = np.concatenate([[0.5], 0.5 + 0.1 * replicates])
    (low, high), (near, far) = interval(cells[1:], 100), interval(units.stretched(cells)[1:], 100)
    assert (far - 0.5, 0.5 - near) == pytest.approx((units.stretch * (high - 0.5), units.stretch * (0.5 - low)))


def test_units_that_do_not_correlate_are_not_stretched() -> None:
    series = np.random.default_rng(0).normal(size=(50, 60))
    stretched = [units_of(*_followed(one)).stretch > 1 for one in series]
    assert 0 < sum(stretched) <= 6, "one in 20 by chance"


def test_intervals_of_an_autoregressive_series_hold_its_mean() -> None:
    """Each example taken for a unit: three of ten intervals that are not stretched miss it."""
    draw, held = np.random.default_rng(1), np.zeros(2)
    for _ in range(100):
        series = draw.normal(size=300)
        for place in range(1, 300):
            series[place] += 0.6 * series[place - 1]
        examples, course = _followed(series[100:])
        units = units_of(examples, course)
        weights = draw.poisson(1.0, (200, 200))
        cells = np.concatenate([[series[100:].mean()], weights @ series[100:] / weights.sum(1)])
        for i, (values, n) in enumerate(((cells, 200), (units.stretched(cells), units.behind(200)))):
            low, high = interval(values[1:], n)
            held[i] += low <= 0 <= high
    assert held[0] < 80
    assert held[1] >= 90


def test_short_series_of_independent_numbers_are_not_autocorrelated_on_average() -> None:
    draw = np.random.default_rng(0)
    found = [autocorrelation([("", x) for x in draw.normal(size=10)])[0] for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("alike", [[0.3] * 9, [0.3], []])
def test_numbers_without_spread_have_no_autocorrelation(alike: list[float]) -> None:
    found, pairs = autocorrelation([("", x) for x in alike])
    assert np.isnan(found)
    assert pairs == 0


def _course(values: np.ndarray) -> Course:
    return Course(torch.arange(len(values)), torch.from_numpy(values))


def test_units_that_still_correlate_are_worth_less() -> None:
    values = _autoregressive(200, 0.6)
    own = units_of(_examples([None] * 200, tokens=1), _course(values), "a number")
    assert own.autocorrelation == own.between == pytest.approx(0.6, abs=0.12)
    assert own.effective == pytest.approx(200 * (1 - own.between) / (1 + own.between))
    blocks = units_of(_examples([i // 20 for i in range(200)], tokens=1), _course(values), "a number")
    assert blocks.autocorrelation == pytest.approx(own.autocorrelation)
    assert blocks.effective == blocks.n == 10
    facts = blocks.facts()
    assert facts["n_units"] == 10
    assert facts["headline"] == "a number"
    assert json.loads(json.dumps(facts)) == facts


def test_neighbours_are_those_of_the_source_not_of_the_drawing() -> None:
    values = _autoregressive(300, 0.8)
    order = np.random.default_rng(1).permutation(300)
    examples = _examples([int(unit) for unit in order], tokens=1)
    assert units_of(examples, _course(values[order])).autocorrelation == pytest.approx(0.8, abs=0.1)


def test_a_run_tells_its_units(tmp_path: Path) -> None:
    text = tmp_path / "rows.jsonl"
    draw = np.random.default_rng(0)
    rows = [" ".join(draw.choice(["one", "two", "three", "four", "five"], 30)) for _ in range(12)]
    text.write_text("\n".join(json.dumps({"text": row}) for row in rows), encoding="utf-8")
    options = {"text": str(text), "pack": False, "context": 40, "examples": 9, "calibration": 2, "replicates": 40}
    run = repflow.flow(TINY, **options, out=tmp_path / "run")
    (line,) = run.units.to_dict("records")
    assert (line["n_examples"], line["n_units"]) == (9, 9)
    assert 0 < line["effective_n"] <= 9
    assert abs(line["autocorrelation"]) <= 1
    assert run.info["tasks"][0]["units"]["headline"].startswith("inter_token_cosine raw no_sink at block.")
    assert "rough intervals" in " ".join(run.info["warnings"])
    assert set(run.layers["n_units"]) == {9}
    joined = compare(run, run)
    assert joined[["n_units_a", "n_units_b"]].eq(9).all(axis=None)


def test_a_share_that_is_the_same_in_every_unit_has_a_width() -> None:
    record = _record(_examples([None] * 12), metrics=("dropped_share",))
    frame = pd.DataFrame(record.tables.layers)
    assert set(frame["tokens"]) == {"no_sink"}, "under `all` nothing can be dropped"
    assert (frame["ci_low"] < frame["ci_high"]).all()
    assert ((frame["ci_low"] <= frame["value"]) & (frame["value"] <= frame["ci_high"])).all()
