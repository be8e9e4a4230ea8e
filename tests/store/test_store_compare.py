"""Two runs side by side: what is matched, what is paired, what is refused."""

import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from store_rows import MakeRun, layer_row, pair_row, path_row, run_info

from repflow.core import BadFile, BadSetting, CallerError, UnknownName, interval
from repflow.report.comparison import print_comparison
from repflow.store import Run, RunWriter, compare, open_run

B = 200


def noisy(values: list[float], noise: np.ndarray) -> dict[str, np.ndarray]:
    """Replicates around each value that all move with the same weights."""
    return {"layers": np.asarray(values)[:, None] + noise}


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, B)


def layers(values: list[float], **changes: Any) -> list:
    return [layer_row(site_index=i, value=value, **changes) for i, value in enumerate(values)]


def test_paired_runs_have_the_interval_of_their_difference(make_run: MakeRun, noise: np.ndarray) -> None:
    a = make_run("a", layers([0.2, 0.3, 0.4]), run_info("m"), replicates=noisy([0.2, 0.3, 0.4], noise))
    values = [0.25, 0.35, 0.45]
    b = make_run("b", layers(values), run_info("m"), replicates=noisy(values, noise + 0.01 * noise[::-1]))
    frame = compare(a, b)
    none = {"a": {}, "b": {}}
    assert frame.attrs == {"paired": True, "unpaired_because": [], "unmatched": none, "steps": none}
    assert frame["paired"].all()
    np.testing.assert_allclose(frame["difference"], 0.05)
    expected = interval(0.05 + 0.01 * noise[None], 8)
    np.testing.assert_allclose(frame["difference_low"], expected[0].item(), atol=1e-6)
    np.testing.assert_allclose(frame["difference_high"], expected[1].item(), atol=1e-6)
    assert (frame["difference_low"] > 0).all()
    assert frame["overlap"].all(), "the separate intervals overlap, though the paired one excludes 0"


def test_rows_in_another_order_are_aligned_by_what_they_are(make_run: MakeRun, noise: np.ndarray) -> None:
    values = [0.1, 0.5, 0.9]
    scales = np.array([[1.0], [2.0], [3.0]])
    rows = layers(values)
    replicates = np.asarray(values)[:, None] + scales * noise
    a = make_run("a", rows, run_info("m"), replicates={"layers": replicates})
    b = make_run("b", rows[::-1], run_info("m"), replicates={"layers": replicates[::-1]})
    frame = compare(a, b)
    assert frame["site"].tolist() == ["embed", "block.0", "block.1"]
    np.testing.assert_array_equal(frame[["difference", "difference_low", "difference_high"]], 0)


@pytest.mark.parametrize(
    ("info", "replicates", "because"),
    [
        ({"sha": "f" * 64}, True, "text at 128: the runs measured different examples (sha256 eeeeeeee and ffffffff)"),
        ({"seed": 1}, True, "the runs have different seeds (0 and 1), so different bootstrap weights"),
        ({"tasks": []}, True, "text at 128: a run did not record which examples it measured"),
        ({}, False, "layers: a run kept no bootstrap replicates"),
    ],
)
def test_what_is_not_the_same_is_not_paired(
    make_run: MakeRun, noise: np.ndarray, info: dict, replicates: bool, because: str
) -> None:
    a = make_run("a", layers([0.2]), run_info("m"), replicates=noisy([0.2], noise))
    b = make_run("b", layers([0.3]), run_info("m", **info), replicates=noisy([0.3], noise) if replicates else None)
    frame = compare(a, b)
    assert not frame.attrs["paired"]
    assert frame.attrs["unpaired_because"] == [because]
    assert frame["difference"].tolist() == [pytest.approx(0.1)]
    assert frame[["difference_low", "difference_high"]].isna().all(axis=None)
    assert not frame["paired"].any()


def test_replicates_of_other_numbers_are_not_paired(make_run: MakeRun, noise: np.ndarray) -> None:
    a = make_run("a", layers([0.2]), run_info("m"), replicates=noisy([0.2], noise))
    b = make_run("b", layers([0.2]), run_info("m"), replicates=noisy([0.2], noise[:50]))
    assert compare(a, b).attrs["unpaired_because"] == ["layers: the runs kept 200 and 50 replicates"]


def test_pairing_is_decided_task_by_task(make_run: MakeRun, noise: np.ndarray) -> None:
    rows = [layer_row(), layer_row(task="kvpr")]
    tasks = [{"name": name, "context": 128, "examples_sha256": name} for name in ("text", "kvpr")]
    runs = [
        make_run(name, rows, run_info("m", tasks=own), replicates=noisy([0.5, 0.5], noise))
        for name, own in (("a", tasks), ("b", [tasks[0], {**tasks[1], "examples_sha256": "other"}]))
    ]
    frame = compare(*runs)
    assert frame["paired"].tolist() == [True, False]
    assert frame["difference_low"].isna().tolist() == [False, True]
    assert not frame.attrs["paired"]
    assert frame.attrs["unpaired_because"][0].startswith("kvpr at 128: the runs measured different examples")


def test_examples_of_one_subject_count_for_that_subject(make_run: MakeRun, noise: np.ndarray) -> None:
    rows = [layer_row("m"), layer_row("n")]
    task = {"name": "text", "context": 128}
    tasks = [{**task, "subject": "m", "examples_sha256": "1"}, {**task, "subject": "n", "examples_sha256": "2"}]
    other = [tasks[0], {**tasks[1], "examples_sha256": "3"}]
    a = make_run("a", rows, run_info("m", "n", tasks=tasks), replicates=noisy([0.5, 0.5], noise))
    b = make_run("b", rows, run_info("m", "n", tasks=other), replicates=noisy([0.5, 0.5], noise))
    assert compare(a, b)["paired"].tolist() == [True, False]


def test_one_subject_each_is_matched_whatever_its_label(make_run: MakeRun) -> None:
    a = make_run("a", layers([0.2]), run_info("m"), paths=[path_row("m")], pairs=[pair_row("m", "m")])
    b = make_run("b", layers([0.4], subject="m@ablate=x"), run_info("m@ablate=x"), paths=[path_row("m@ablate=x")])
    frame = compare(a, b)
    assert frame["table"].tolist() == ["layers", "paths"]
    assert set(frame["subject_a"]) == {"m"}
    assert set(frame["subject_b"]) == {"m@ablate=x"}


def test_several_subjects_are_matched_by_label(make_run: MakeRun) -> None:
    a = make_run("a", [layer_row("m"), layer_row("n")], run_info("m", "n"), pairs=[pair_row("m", "n")])
    b = make_run("b", [layer_row("n"), layer_row("k")], run_info("n", "k"), pairs=[pair_row("m", "n", 0.7)])
    frame = compare(a, b)
    assert frame[["table", "subject_a", "site"]].to_numpy().tolist() == [
        ["layers", "n", "block.0"],
        ["pairs", "m ~ n", "embed ~ block.0"],
    ]
    assert frame["difference"].tolist() == [0.0, pytest.approx(-0.2)]


@pytest.mark.parametrize(
    "changes", [{"context": 256}, {"variant": "standardised"}, {"tokens": "no_sink"}, {"task": "kvpr"}]
)
def test_rows_that_measure_something_else_are_not_matched(make_run: MakeRun, changes: dict) -> None:
    a = make_run("a", [layer_row(), layer_row(site_index=2)], run_info("m"))
    b = make_run("b", [layer_row(), layer_row(site_index=2, **changes)], run_info("m"))
    assert compare(a, b)["site"].tolist() == ["block.0"]


def test_the_same_block_at_another_depth_is_another_place(make_run: MakeRun) -> None:
    a = make_run("a", layers([0.1, 0.2]), run_info("m"))
    deeper = [dataclasses.replace(row, depth=row.depth / 2) for row in layers([0.1, 0.2])]
    b = make_run("b", deeper, run_info("m"))
    assert compare(a, b)["site"].tolist() == ["embed"]


def test_overlap_is_missing_where_an_interval_is(make_run: MakeRun) -> None:
    rows = layers([0.1, 0.2, 0.3])
    far = [
        dataclasses.replace(rows[0], ci_low=0.9, ci_high=1.0),
        rows[1],
        dataclasses.replace(rows[2], ci_low=math.nan),
    ]
    frame = compare(make_run("a", rows, run_info("m")), make_run("b", far, run_info("m")))
    assert frame["overlap"].tolist() == [False, True, pd.NA]


def test_one_metric(make_run: MakeRun) -> None:
    run = make_run("a", [layer_row(), layer_row(metric="norm")], run_info("m"), paths=[path_row()])
    assert set(compare(run, run, metric="norm")["metric"]) == {"norm"}
    assert set(compare(run, run)["metric"]) == {"norm", "inter_token_cosine", "v_loc"}
    with pytest.raises(UnknownName, match="unknown metric 'nrom'; did you mean norm"):
        compare(run, run, metric="nrom")


def test_rows_without_a_partner_are_counted_by_reason(make_run: MakeRun) -> None:
    a = make_run(
        "a",
        [layer_row("m"), layer_row("m", 2), layer_row("m", metric="norm"), layer_row("n"), layer_row("n", 2)],
        run_info("m", "n"),
        paths=[path_row("m")],
    )
    b = make_run(
        "b", [layer_row("m"), layer_row("m", 3), layer_row("m", context=256), layer_row("k")], run_info("m", "k")
    )
    frame = compare(a, b)
    assert len(frame) == 1
    assert frame.attrs["unmatched"] == {
        "a": {
            "other subjects": 2,
            "other metrics, variants or token policies": 2,
            "other sites or depths": 1,
        },
        "b": {"other subjects": 1, "other tasks or contexts": 1, "other sites or depths": 1},
    }
    text = " ".join(printed(frame).split())
    assert "5 rows of a and 3 of b have no partner: other subjects (3), other tasks or contexts (1)," in text
    assert "no partner" not in printed(compare(a, a))


def test_two_subjects_of_one_run(make_run: MakeRun, noise: np.ndarray) -> None:
    rows = [layer_row("m", value=0.2), layer_row("n", value=0.3), layer_row("k", value=0.9)]
    replicates = noisy([0.2, 0.3, 0.9], noise)
    run = make_run("a", rows, run_info("m", "n", "k"), replicates=replicates, pairs=[pair_row("m", "n")])
    frame = compare(run, run, subject_a="m", subject_b="n")
    assert frame[["subject_a", "subject_b"]].to_numpy().tolist() == [["m", "n"]]
    assert frame["difference"].tolist() == [pytest.approx(0.1)]
    assert frame["difference_low"].tolist() == [pytest.approx(0.1, abs=1e-6)]
    assert frame.attrs["unmatched"] == {"a": {}, "b": {}}
    with pytest.raises(UnknownName, match="'q'"):
        compare(run, run, subject_a="m", subject_b="q")


def test_runs_of_other_sites_are_refused(tmp_path: Path) -> None:
    def made(name: str, settings: dict[str, Any]) -> Run:
        with RunWriter.create(tmp_path / name, settings, "flow") as writer:
            writer.finish([layer_row()], [], [], run_info("m"))
        return open_run(tmp_path / name)

    plain, residual, listed = made("a", {}), made("b", {"sites": "residual"}), made("c", {"sites": "hf"})
    assert len(compare(plain, residual)) == len(compare(listed, listed)) == 1
    with pytest.raises(BadSetting, match=r"b was read with --sites residual, .*c with --sites hf.*the other's --sites"):
        compare(residual, listed)


def test_nothing_in_common(make_run: MakeRun) -> None:
    a = make_run("a", [layer_row("m"), layer_row("n")], run_info("m", "n"))
    b = make_run("b", [layer_row("k", context=256)], run_info("k"))
    with pytest.raises(BadSetting, match=r"m, n; text at 128.*k; text at 256.*no row in common") as caught:
        compare(a, b)
    assert isinstance(caught.value, CallerError)
    empty = make_run("c", [], run_info())
    with pytest.raises(BadSetting, match=r"/c: no row in layers, paths or pairs"):
        compare(a, empty)


def test_a_row_that_is_there_twice_is_not_guessed_at(make_run: MakeRun) -> None:
    a = make_run("a", [layer_row(), layer_row()], run_info("m"))
    with pytest.raises(BadFile, match=r"inter_token_cosine \(raw, all\) of m twice"):
        compare(a, a)


@pytest.mark.parametrize("n", [1, 7, 30])
def test_few_examples_widen_the_paired_interval(make_run: MakeRun, noise: np.ndarray, n: int) -> None:
    a = make_run("a", layers([0.2], n_examples=30), run_info("m"), replicates=noisy([0.2], 0 * noise))
    b = make_run("b", layers([0.3], n_examples=n), run_info("m"), replicates=noisy([0.3], noise))
    row = compare(a, b).iloc[0]
    assert row["paired"]
    plain = np.percentile(0.1 + noise, [2.5, 97.5])
    if n < 8:
        assert math.isnan(row["difference_low"])
        assert math.isnan(row["difference_high"])
    else:
        assert noise.min() + 0.1 < row["difference_low"] < plain[0]
        assert plain[1] < row["difference_high"] < noise.max() + 0.1


def test_the_paired_interval_counts_units_not_examples(make_run: MakeRun, noise: np.ndarray) -> None:
    a = make_run("a", layers([0.2], n_examples=90, n_units=30), run_info("m"), replicates=noisy([0.2], 0 * noise))
    for units, known in ((7, False), (30, True)):
        rows = layers([0.3], n_examples=90, n_units=units)
        b = make_run(f"b{units}", rows, run_info("m"), replicates=noisy([0.3], noise))
        row = compare(a, b).iloc[0]
        assert (row["n_units_a"], row["n_units_b"]) == (30, units)
        assert math.isfinite(row["difference_low"]) == known


def test_shares_that_differ_nowhere_have_a_paired_interval_of_some_width(make_run: MakeRun, noise: np.ndarray) -> None:
    rows = layers([0.0], metric="dropped_share", n_examples=30, ci_low=0.0, ci_high=0.1)
    a, b = (make_run(name, rows, run_info("m"), replicates=noisy([0.0], 0 * noise)) for name in "ab")
    row = compare(a, b).iloc[0]
    assert row["difference"] == 0
    assert row["difference_low"] < -0.05
    assert row["difference_high"] > 0.05


def test_the_paired_interval_of_few_examples_covers_the_difference(make_run: MakeRun) -> None:
    draws = np.random.default_rng(5)
    n, held = 8, 500
    samples = draws.normal(0, 1, (held, n))
    weights = draws.poisson(1, (n, 400)).astype(float)
    rows = [layer_row(site_index=1, n_examples=n, metric=f"m{i}") for i in range(held)]
    means = samples @ weights / weights.sum(0)
    a = make_run("a", rows, run_info("m"), replicates={"layers": np.zeros((held, 400))})
    b = make_run("b", rows, run_info("m"), replicates={"layers": means})
    frame = compare(a, b)
    covered = ((frame["difference_low"] < 0) & (frame["difference_high"] > 0)).mean()
    naive = np.nanpercentile(means, [2.5, 97.5], axis=1)
    assert covered > 0.94
    assert covered > ((naive[0] < 0) & (naive[1] > 0)).mean() + 0.03


def test_a_row_without_an_interval_has_no_paired_one(make_run: MakeRun, noise: np.ndarray) -> None:
    rows = [layer_row(), layer_row(site_index=2, ci_low=math.nan, ci_high=math.nan)]
    still = {"layers": np.stack([0.5 + noise, np.full(B, 0.7)])}
    a, b = (make_run(name, rows, run_info("m"), replicates=still) for name in "ab")
    assert compare(a, b)["difference_low"].notna().tolist() == [True, False]


def printed(frame: pd.DataFrame) -> str:
    stream = io.StringIO()
    print_comparison(frame, console=Console(file=stream, width=80))
    return stream.getvalue()


def test_a_printed_comparison_has_a_line_a_quantity(make_run: MakeRun, noise: np.ndarray) -> None:
    a, b = [0.2, 0.3, 0.4, math.nan], [0.2, 0.38, 0.1, 0.5]
    wobble = np.array([[1.0], [0.01], [0.01], [1.0]]) * noise
    first = make_run("a", layers(a), run_info("[m]"), replicates={"layers": np.asarray(a)[:, None] + 0 * wobble})
    other = make_run("b", layers(b), run_info("[m]"), replicates={"layers": np.asarray(b)[:, None] + wobble})
    text = printed(compare(first, other))
    (line,) = [line for line in text.splitlines() if line.startswith("inter_token_cosine")]
    assert line.split() == ["inter_token_cosine", "raw", "all", "3", "2", "-0.073", "-0.300", "block.1"]
    assert "m: text, 128 tokens" in text
    assert "the paired difference leaves out 0, corrected for looking at all 4 rows (Holm, 5%)" in " ".join(
        text.split()
    )
    assert max(map(len, text.splitlines())) <= 80


def test_a_printed_comparison_says_what_is_not_paired(make_run: MakeRun) -> None:
    a = make_run("a", layers([0.2, 0.2], subject="[m]"), run_info("[m]"))
    b = make_run("b", layers([0.2, 0.9], subject="[/n]"), run_info("[/n]"))
    text = printed(compare(a, b))
    (line,) = [line for line in text.splitlines() if line.startswith("inter_token_cosine")]
    assert line.split()[3:5] == ["2", "1"]
    assert "[m] (a) against [/n] (b): text, 128 tokens" in text
    assert "clear: rows where the two values, as if independent, differ, corrected" in " ".join(text.split())
    assert "not paired: layers: a run kept no bootstrap replicates" in text
