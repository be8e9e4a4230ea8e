"""docs/results.md says what the shipped runs of three trainings say."""

import re

import pytest
import yaml
from zoo_results import (
    OTHERS,
    PAGE,
    PROSE,
    RETRIEVE,
    RUNS,
    TRANSFORMERS,
    flow_table,
    probe_table,
    summary,
    third,
    trainings,
)
from zoo_tables import adjacent_table, attribution_table, depth_slope, forgetting_table, path_table, value_table

from repflow.store import open_run
from repflow.studies.catalogue import study
from repflow.studies.kit.fields import flat, from_flat, named


def values(names: tuple[str, ...], part: str, variant: str = "raw") -> list[float]:
    return [third(subject, part, variant) for name in names for subject in trainings(name)]


def test_the_tables_are_the_runs() -> None:
    assert "\n".join(flow_table()) in PAGE
    assert "\n".join(probe_table()) in PAGE


def test_intervals_in_sentences_stand_in_the_tables() -> None:
    pattern = r"[-+]?\d[\d.,]* \[-?\d[\d.,]*, -?\d[\d.,]*\]"
    tables = (flow_table, probe_table, attribution_table, adjacent_table, path_table, forgetting_table, value_table)
    known = [line for made in tables for line in made()]
    known += [depth_slope(kind, "v_glob", True) for kind in ("attention", "ssm")]
    told = re.findall(pattern, PROSE)
    assert len(told) > 10
    assert not set(told) - set(re.findall(pattern, "\n".join(known)))


def test_early_likeness_sets_every_transformer_apart() -> None:
    low, high = min(values(TRANSFORMERS, "early")), max(values(OTHERS, "early"))
    assert low > high
    assert f"The lowest of the six is {low:.2f}, the highest" in PROSE
    assert f"of mamba2-tiny and hybrid-tiny {high:.2f}" in PROSE


def test_what_the_thirds_do_with_depth() -> None:
    def rises(names: tuple[str, ...], variant: str) -> list[bool]:
        return [b > a for a, b in zip(values(names, "early", variant), values(names, "late", variant), strict=True)]

    assert not any(rises(TRANSFORMERS, "raw"))
    assert not any(rises(("mamba2-tiny",), "raw"))
    assert all(rises(("hybrid-tiny",), "raw"))
    assert all(rises(RETRIEVE, "centred"))
    assert max(v for part in ("early", "middle", "late") for v in values(RETRIEVE, part, "centred")) < 0.10
    first, second, last = (f"{value:.2f}" for value in values(("pythia-tiny",), "early"))
    assert f"{first}, {second} and {last} early" in PROSE


@pytest.mark.parametrize("name", RETRIEVE)
def test_where_the_place_is_read(name: str) -> None:
    for subject in trainings(name):
        assert summary(subject, "last")["verdict"] == summary(subject, "mean")["verdict"] == "not above chance"
        assert 0.93 <= round(summary(subject, "gold")["answered"], 2) <= 0.99
        gold = summary(subject, "gold")
        assert (gold["gap_low"] > 0) == (name != "hybrid-tiny")
        assert name in OTHERS or int(gold["peak_site"].removeprefix("block.")) <= 5
        if name in OTHERS:
            assert gold["peak_site"] == {"mamba2-tiny": "block.0", "hybrid-tiny": "block.11"}[name]


def test_those_that_do_not_retrieve_answer_nothing() -> None:
    for name in ("mamba-tiny", "gpt-neo-tiny"):
        assert summary(f"zoo:{name}", "last")["answered"] == 0


def test_the_runs_are_of_the_same_weights() -> None:
    flow, probe, values = (
        {s["label"]: s["weights_sha256"] for s in open_run(RUNS / name).subjects}
        for name in ("flow", "probe", "values")
    )
    assert flow == probe == values
    assert len(flow) == 14


OF = {"flow": "flow", "probe": "probe", "values": "probe", "paths": "flow", "dynamics": "dynamics"}
"""The command behind each run."""


@pytest.mark.parametrize("name", [*OF, *(f"attribute/{model}" for model in RETRIEVE)])
def test_the_settings_on_the_page_are_the_runs(name: str) -> None:
    known, _, model = name.partition("/")
    command = OF.get(name, known)
    given = yaml.safe_load((RUNS.parent / f"zoo-{known}.yaml").read_text(encoding="utf-8"))
    assert re.search(rf"repflow {command} .*--config \.\./zoo-{known}\.yaml", PAGE)
    subjects = trainings(model) if model else given.pop("subjects")
    asked = flat(from_flat(study(command).settings(), named(subjects), given))
    kept = open_run(RUNS / name).info["settings"]
    for key in kept.keys() - {"out", "resume", "overwrite", "shard", "report"}:
        assert kept[key] == (list(asked[key]) if isinstance(asked[key], tuple) else asked[key]), key
