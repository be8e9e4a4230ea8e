"""A probe run: its features and answers are those of the prompts by themselves, its rows what its probes say."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import repflow
from repflow.capture import tapped
from repflow.core import BadSetting, ModelProblem
from repflow.engines import features as reading
from repflow.models import Loaded, load
from repflow.models.generation import greedy
from repflow.store import Run
from repflow.studies.kit import answering
from repflow.studies.kit.fields import from_flat
from repflow.studies.probe import reading as probe_reading
from repflow.studies.probe.linear import fit_probes, summarise, summarise_depth
from repflow.studies.probe.rows import ProbeRow, TellingRow
from repflow.studies.probe.verdicts import ABOVE, LEVEL
from repflow.tasks import make_task

SUBJECT = "config:gpt2,layers=2,width=32"
GROUPS, POSITIONS, SEEDS = 16, 3, 5
SETTINGS: dict[str, Any] = {
    "task": "kvpr",
    "target": "position",
    "context": 300,
    "examples": GROUPS,
    "positions": POSITIONS,
    "items": 4,
    "keys": "hex4",
    "places": ["last", "gold", "mean"],
    "seeds": SEEDS,
    "new_tokens": 6,
}
UNASKED = {name: value for name, value in SETTINGS.items() if name != "new_tokens"} | {"generate": False}
SITES = ["embed", "block.0", "block.1", "final_norm"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("probe") / "run"
    return repflow.probe(SUBJECT, out=out, keep_features=True, **SETTINGS)


@pytest.fixture(scope="module")
def examples() -> list[Any]:
    task = make_task("kvpr", positions=POSITIONS, items=4, keys="hex4", crossed=True)
    return task.build(load(SUBJECT).tokenizer, n=GROUPS * POSITIONS, context=300, seed=0)


@pytest.fixture(scope="module")
def states(examples: list[Any]) -> np.ndarray:
    """[places, sites, examples, width], each prompt by itself."""
    subject, found = load(SUBJECT), []
    for example in examples:
        kept: list[np.ndarray] = []
        with torch.no_grad(), tapped(subject.model, subject.taps, lambda _, s, kept=kept: kept.append(s[0].numpy())):
            subject.forward(torch.tensor([example.ids]))
        found.append([[s[-1] for s in kept], [s[example.gold_span[1] - 1] for s in kept], [s.mean(0) for s in kept]])
    return np.array(found).transpose(1, 2, 0, 3)


def test_the_feature_file_holds_the_states_of_each_prompt(run: Run, states: np.ndarray, examples: list[Any]) -> None:
    path = run.directory / "features" / "00-kvpr-300.npy"
    assert np.allclose(np.load(path), states, atol=1e-6)
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert told["places"] == ["last", "gold", "mean"]
    assert told["sites"] == SITES
    assert told["labels"] == [example.gold_class for example in examples]
    assert told["weights_sha256"] == run.subjects[0]["weights_sha256"]


def test_rows_are_what_the_probes_on_these_features_say(run: Run, examples: list[Any]) -> None:
    kept = np.load(run.directory / "features" / "00-kvpr-300.npy")
    labels, groups = (np.array([getattr(e, name) for e in examples]) for name in ("gold_class", "group"))
    assert len(run.probes) == 3 * len(SITES)
    for place, name in enumerate(("last", "gold", "mean")):
        predictions = fit_probes(kept[place], labels, groups, classes=POSITIONS, seeds=SEEDS)
        found, depth = summarise(predictions), summarise_depth(predictions, sites())
        rows = run.probes.query(f"position == {name!r}")
        assert rows["site"].tolist() == SITES
        for column, scores in (
            ("accuracy", found.accuracy),
            ("control", found.control),
            ("selectivity", found.selectivity),
            ("abs_error", found.abs_error),
            ("capacity", found.capacity),
        ):
            assert scores is not None
            low, high = ("ci_low", "ci_high") if column == "accuracy" else (f"{column}_low", f"{column}_high")
            assert np.array_equal(rows[column], scores.value)
            assert np.array_equal(rows[low], scores.ci_low, equal_nan=True)
            assert np.array_equal(rows[high], scores.ci_high, equal_nan=True)
        classes = run.table("probe_classes").query(f"position == {name!r}")
        assert np.array_equal(classes["accuracy"], found.by_class.value.ravel())
        assert classes["gold_class"].tolist() == list(range(POSITIONS)) * len(SITES)
        summary = run.table("probe_summary").query(f"position == {name!r}").iloc[0]
        assert summary["verdict"] == depth.verdict
        assert (summary["highest"], summary["highest_low"]) == (depth.highest.value, depth.highest.ci_low)
        assert summary["highest"] == rows["accuracy"][:-1].max()
        assert (summary["n_sites"], summary["n_units"]) == (3, found.n_groups)
        assert run.info["tasks"][0]["units"]["n_units"] == found.n_groups, "groups that some split holds out"
        assert run.info["tasks"][0]["units"]["headline"] == f"share right, last token at {SITES[-1]}"
        if depth.peak is None:
            assert summary[PEAK].isna().all()
        else:
            at_peak = rows[rows["site"] == depth.peak.site.name].iloc[0]
            assert summary["peak_site"] == depth.peak.site.name
            assert summary["peak"] == summary["highest"] == at_peak["accuracy"]
            assert summary["capacity"] == at_peak["capacity"]
            assert depth.last.points is not None
            assert (summary["gap"], summary["gap_low"]) == (depth.last.points.value, depth.last.points.ci_low)
            assert summary["gap"] == pytest.approx(summary["peak"] - summary["last"])
            assert summary["norm_gap"] == pytest.approx(summary["peak"] - summary["final_norm"])
            assert summary["relative_gap"] == pytest.approx(summary["gap"] / summary["peak"])
        assert summary["last"] == rows["accuracy"].iloc[-2]
        assert summary["embed"] == rows["accuracy"].iloc[0]


PEAK = [
    "peak_site", "peak_site_index", "peak_depth", "peak_from", "peak_to", "peak", "peak_low", "peak_high", "gap",
    "relative_gap", "norm_gap", "relative_norm_gap", "capacity",
]  # fmt: skip


def sites() -> list[Any]:
    return [tap.site for tap in load(SUBJECT).taps]


def test_a_position_is_found_where_the_model_has_it(run: Run) -> None:
    """GPT-2 adds a vector for each position: at the end of the gold it gives the place away, at the last token nothing
    does, as all prompts end alike and are of one length."""
    accuracy = run.probes.pivot(index="site", columns="position", values="accuracy")
    assert accuracy.loc["embed", "gold"] == 1.0
    assert accuracy.loc["embed", "last"] == pytest.approx(1 / POSITIONS)
    summary = run.table("probe_summary").set_index("position")
    assert summary.loc["gold", "peak"] == 1.0
    assert (summary["chance"] == 1 / POSITIONS).all()
    assert (summary["majority"] == 1 / POSITIONS).all()
    assert summary["length"].tolist() == [pytest.approx(1 / POSITIONS)] * 3
    assert summary["verdict"].to_dict() == {"last": LEVEL, "gold": ABOVE, "mean": LEVEL}
    assert summary.loc[["last", "mean"], PEAK].isna().all(axis=None)
    assert summary.loc["gold", ["gap", "norm_gap"]].tolist() == [0.0, 0.0]
    assert run.probes.query("position == 'gold'")["control"].max() < 0.8


def test_rows_say_where_they_come_from(run: Run) -> None:
    rows = run.probes
    assert list(rows) == list(ProbeRow.__dataclass_fields__)
    assert rows["subject"].unique().tolist() == [SUBJECT]
    assert (rows["n_train"] + rows["n_test"]).min() >= GROUPS * POSITIONS
    assert set(rows["solver"]) == {"adam"}
    assert rows["strength"].isna().all()
    assert rows["baseline_of"].isna().all()
    assert rows.query("position == 'last'")["share"].unique().tolist() == [1.0]
    assert rows.query("position == 'mean'")["share"].isna().all()
    assert run.info["tasks"][0]["n_examples"] == GROUPS * POSITIONS
    assert run.info["timings"][SUBJECT].keys() == {"load_s", "forward_s", "answering_s", "probing_s", "tokens_per_s"}


def test_answers_are_the_models_and_scored_as_the_task_says(run: Run, examples: list[Any]) -> None:
    rows = run.table("answers")
    said = greedy(load(SUBJECT), [example.ids for example in examples], new_tokens=6, stop="no such text")
    assert rows["answer"].tolist() == said
    assert rows["example"].tolist() == [example.id for example in examples]
    assert rows["gold_position"].tolist() == [example.gold_position for example in examples]
    assert rows["n_items"].unique().tolist() == [4]
    assert not rows["correct"].any()
    assert (run.table("probe_summary")["answered"] == 0).all()
    assert (run.table("probe_summary")["answered_high"] > 0.1).all(), "16 sets of pairs, none right"


def test_no_interval_is_without_width(run: Run) -> None:
    for name in ("probes", "probe_classes", "probe_summary", "telling"):
        frame = run.table(name)
        lows = [column for column in frame if column.endswith("_low") and not column.startswith("peak_depth")]
        assert lows
        for low in lows:
            known = frame[low].notna()
            assert (frame[low] < frame[low.removesuffix("_low") + "_high"])[known].all(), (name, low)


def test_findings_say_what_they_rest_on(run: Run) -> None:
    places = {(f["id"], f["position"]): f for f in run.findings}
    summary = run.table("probe_summary").set_index("position")
    units = int(summary.loc["last", "n_units"])
    assert set(places) == {
        *(("probe_depth", p) for p in ("last", "gold", "mean")), ("readable_not_said", "gold")
    }, "what is at chance is not set beside the answers"  # fmt: skip
    for (kind, place), finding in places.items():
        row = summary.loc[place]
        assert finding["units"] == units
        assert finding["corrected_for"][0] == "choosing among 3 sites"
        assert f"{units} sets of pairs" in finding["claim"]
        assert "corrected for choosing among 3 sites" in finding["claim"]
        if kind == "probe_depth":
            assert finding["verdict"] == row["verdict"]
            assert finding["interval"] == [row["highest_low"], row["highest_high"]]
            assert f"[{100 * row['highest_low']:.1f}, {100 * row['highest_high']:.1f}]" in finding["claim"]
            assert "chance 33.3%" in finding["claim"]
            assert ("no site is above chance" in finding["claim"]) == (place != "gold")
    told = places["readable_not_said", "gold"]
    row = run.table("telling").query("at == 'peak' and gold_class.isna()", engine="python").iloc[0]
    assert told["verdict"] == "readable, not said"
    read = f"100.0% [{100 * row['probe_above_low']:.1f}, 100.0] of prompts beyond guessing (chance 33.3%)"
    assert read in told["claim"]
    assert f"right in 0.0% [0.0, {100 * row['answered_high']:.1f}] (chance 0%)" in told["claim"]
    assert told["interval"] == [row["difference_low"], row["difference_high"]]


def test_what_is_known_stands_against_what_is_told(run: Run) -> None:
    rows = run.table("telling")
    assert list(rows) == list(TellingRow.__dataclass_fields__)
    assert len(rows) == (3 + 1) * (1 + POSITIONS), "a peak at the end of the gold only"
    assert rows["gold_class"].dtype == pd.Int64Dtype()
    everything = rows[rows["gold_class"].isna()].set_index(["position", "at"])
    summary = run.table("probe_summary").set_index("position")
    for place in ("last", "gold", "mean"):
        last = everything.loc[(place, "last")]
        assert last["probe"] == summary.loc[place, "last"]
        assert last["probe_above"] == pytest.approx((last["probe"] - 1 / POSITIONS) / (1 - 1 / POSITIONS))
        assert last["difference"] == last["probe_above"], "nothing is answered"
    assert everything.loc[("gold", "peak"), "probe"] == summary.loc["gold", "peak"]
    assert everything.loc[("gold", "peak"), "difference"] == 1.0


def test_right_answers_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that says the value when the gold stands first, and then goes on."""

    def continued(subject: Loaded, ids: torch.Tensor, **_: Any) -> list[str]:
        subject.forward(ids)
        texts = [bytes(row).decode() for row in ids.tolist()]
        return [answer_if_first(text) for text in texts]

    monkeypatch.setattr(answering, "continued", continued)
    run = repflow.probe(SUBJECT, out=tmp_path / "run", **SETTINGS | {"places": "last", "examples": 8})
    assert run.table("answers").groupby("gold_class")["correct"].mean().tolist() == [1.0, 0.0, 0.0]
    summary = run.table("probe_summary").iloc[0]
    assert summary["answered"] == pytest.approx(1 / 3)
    told = run.table("telling").query("at == 'last' and gold_class.notna()", engine="python")
    assert told["answered"].tolist() == [1.0, 0.0, 0.0]
    assert not (run.directory / "features").exists(), "removed at the end"


def answer_if_first(prompt: str) -> str:
    pairs = json.loads(prompt[prompt.index("{") : prompt.index("}") + 1])
    key = prompt.rsplit('Key: "', 1)[1].split('"', 1)[0]
    return f' "{pairs[key].upper()}", and more' if next(iter(pairs)) == key else ' "nothing"'


def test_without_answers(tmp_path: Path) -> None:
    run = repflow.probe(
        SUBJECT,
        out=tmp_path / "run",
        **UNASKED | {"control": False, "examples": 8, "places": "last"},
    )
    assert run.table("answers").empty
    assert run.table("telling").empty
    assert run.table("probe_summary")["answered"].isna().all()
    assert run.probes["control"].isna().all()
    assert run.probes[["selectivity", "capacity"]].isna().all(axis=None)
    assert run.info["timings"][SUBJECT]["answering_s"] == 0


def test_the_solver_is_passed_on(tmp_path: Path) -> None:
    run = repflow.probe(
        "config:gpt2,layers=1,width=16",
        out=tmp_path / "run",
        solver="lbfgs",
        **UNASKED | {"examples": 8, "places": "gold", "seeds": 1},
    )
    assert set(run.probes["solver"]) == {"lbfgs"}
    assert (run.probes["strength"] > 0).all()
    assert run.probes["accuracy"].iloc[0] == 1.0


def test_examples_with_states_that_are_not_finite_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, {40})
    options = UNASKED | {"places": "gold", "seeds": 1, "examples": 36}
    run = repflow.probe("config:gpt2,layers=1,width=16", out=tmp_path / "run", **options)
    assert any("example 40 left out, non-finite at block.0" in line for line in run.info["warnings"])
    assert run.table("probe_summary")["n_examples"].tolist() == [36 * 3 - 1]
    spoil(monkeypatch, {40, 41})
    with pytest.raises(ModelProblem, match=r"non-finite states in 2 of 108 examples, first in example 40 at block\.0"):
        repflow.probe("config:gpt2,layers=1,width=16", out=tmp_path / "other", **options)
    assert not (tmp_path / "other").exists()


def test_a_model_that_fails_on_its_first_prompts_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = UNASKED | {"places": "gold", "seeds": 1, "examples": 8, "shard": 6}
    options |= {"out": tmp_path / "run", "keep_features": True}
    repflow.probe("config:gpt2,layers=1,width=16", **options)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    spoil(monkeypatch, {0, 1})
    with pytest.raises(ModelProblem, match="non-finite"):
        repflow.probe("config:gpt2,layers=1,width=16", overwrite=True, **options)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    spoil(monkeypatch, {8, 9})
    with pytest.raises(ModelProblem, match="non-finite"):
        repflow.probe("config:gpt2,layers=1,width=16", overwrite=True, **options)
    monkeypatch.undo()
    run = repflow.probe("config:gpt2,layers=1,width=16", resume=True, **options)
    assert run.probes["accuracy"].iloc[0] == 1.0, "the second shard failed: the first is kept, the run goes on"


def spoil(monkeypatch: pytest.MonkeyPatch, ids: set[int]) -> None:
    """The states of these examples at block.0 are NaN."""

    def read(*arguments: Any) -> Any:
        found = reading.read_states(*arguments)
        bad = [row for row, example in enumerate(arguments[1]) if example.id in ids]
        found.states[:, 1, bad, 3] = math.nan
        found.broken.extend((arguments[1][row].id, 1) for row in bad)
        return found

    monkeypatch.setattr(probe_reading, "read_states", read)


def test_each_trained_subject_gets_its_random_baseline(tmp_path: Path) -> None:
    subject = load(SUBJECT)
    subject.model.save_pretrained(tmp_path / "model")
    subject.tokenizer.save_pretrained(tmp_path / "model")
    source = str(tmp_path / "model")
    options = SETTINGS | {"examples": 8, "places": "last", "seeds": 1, "baseline": "init", "seed": 3}
    run = repflow.probe([source, SUBJECT], out=tmp_path / "run", **options)
    drawn = f"{source}@init=config:3"
    assert [facts["label"] for facts in run.subjects] == [source, drawn, SUBJECT]
    assert [facts["baseline_of"] for facts in run.subjects] == [None, source, None]
    of = run.probes.groupby("subject", sort=False)["baseline_of"].first()
    assert of[drawn] == source
    assert pd.isna(of[source])
    assert set(run.table("answers")["subject"]) == {source, SUBJECT}, "a random model is not asked"
    assert any(SUBJECT in line and "random already" in line for line in run.info["warnings"])


def test_a_baseline_that_is_named_is_not_there_twice() -> None:
    from repflow.models import SubjectSpec
    from repflow.studies.probe.record import ProbeRecord
    from repflow.studies.probe.run import planned
    from repflow.studies.probe.settings import ProbeSettings

    settings = from_flat(ProbeSettings, ("a/b", "a/b@init=config:0"), {"baseline": "init"})
    plan = planned([SubjectSpec.parse(s) for s in settings.subjects], settings, ProbeRecord())
    assert [(each.spec.label, each.baseline_of) for each in plan] == [("a/b", None), ("a/b@init=config:0", "a/b")]


def test_answers_end_with_the_trained_positions(tmp_path: Path, examples: list[Any]) -> None:
    longest = max(len(example.ids) for example in examples)
    subject = f"config:gpt2,layers=1,width=16,positions={longest + 3}"
    options = SETTINGS | {"places": "last", "seeds": 1, "new_tokens": 30}
    run = repflow.probe(subject, out=tmp_path / "run", **options)
    assert any("answers have 4 tokens at most, 30 would go beyond" in line for line in run.info["warnings"])
    assert run.table("answers")["answer"].str.len().max() <= 4


def test_a_run_says_beforehand_how_long_it_will_take(tmp_path: Path) -> None:
    class Told:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def note(self, line: str) -> None:
            self.lines.append(line)

        def begin(self, title: str, total: int, unit: str = "example") -> None:
            self.lines.append(f"begin {title} {total} {unit}")

        def advance(self, done: int, tokens: int) -> None:
            del done, tokens

    told = Told()
    options = SETTINGS | {"examples": 8, "places": "last", "seeds": 1, "shard": 6}
    repflow.probe(SUBJECT, out=tmp_path / "run", progress=told, **options)
    loading, estimate, begun, *_ = told.lines
    assert loading == f"loading {SUBJECT}"
    assert estimate.startswith(f"{SUBJECT}: about ")
    assert "for states and answers of 18 more" in estimate
    assert "for the probes" in estimate
    assert begun == f"begin {SUBJECT} on kvpr at 300 tokens 18 prompt"


def test_a_place_beyond_the_prompts(tmp_path: Path) -> None:
    with pytest.raises(
        BadSetting, match=r"--places even:400 needs prompts of at least 402 tokens, the shortest has \d+"
    ):
        repflow.probe(SUBJECT, out=tmp_path / "run", **SETTINGS | {"places": "even:400"})
    assert not (tmp_path / "run").exists()
