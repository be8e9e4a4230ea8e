"""docs/results.md says of attribution, paths and forgetting what the shipped runs say."""

import pytest
from zoo_results import OTHERS, PAGE, PROSE, RETRIEVE, TRANSFORMERS, third, trainings
from zoo_tables import (
    EARLY,
    LAST,
    MIDDLE,
    adjacent,
    adjacent_table,
    attribution_table,
    blocks_of,
    depth_slope,
    forgetting_table,
    frame,
    other_ways,
    path,
    path_table,
    run_of,
    shares,
    used,
)

THIRDS = ("early", "middle", "late")
MAMBA2 = trainings("mamba2-tiny")


def of(names: tuple[str, ...]) -> list[str]:
    return [subject for name in names for subject in trainings(name)]


@pytest.mark.parametrize("made", [attribution_table, adjacent_table, path_table, forgetting_table])
def test_the_tables_are_the_runs(made) -> None:
    assert "\n".join(made()) in PAGE


@pytest.mark.parametrize("name", RETRIEVE)
def test_what_attribution_calls_trained_is_the_flow_run(name: str) -> None:
    layers = frame(f"attribute/{name}", "layers")
    for subject in trainings(name):
        rows = layers[(layers["subject"] == subject) & (layers["variant"] == "raw") & (layers["site"] != "embed")]
        early = rows[(rows["depth"] <= 1 / 3 + 1e-9) & rows["site"].str.startswith("block.")]
        assert early["value"].mean() == pytest.approx(third(subject, "early", "raw"), abs=1e-6)


def test_random_weights_of_transformers_are_alike_those_of_others_are_not() -> None:
    random = [shares(name, "raw")["random"] for name in TRANSFORMERS]
    assert all(values[THIRDS[0]] < values[THIRDS[1]] < values[THIRDS[2]] for values in random)
    low, high = min(v.min() for v in random), max(v.max() for v in random)
    assert f"{low:.2f} to {high:.2f} raw in the two Transformers, rising with depth" in PROSE
    rest = [shares(name, "raw")["random"] for name in OTHERS]
    assert f"{min(v.min() for v in rest):.2f} to {max(v.max() for v in rest):.2f} in the others" in PROSE
    llama, pythia = (
        shares(name, "centred")["random"] / shares(name, "raw")["random"] for name in ("llama-tiny", "pythia-tiny")
    )
    assert llama.min() > 0.94
    assert pythia.max() < 0.5


def test_what_training_takes_and_gives() -> None:
    late = [shares(name, "raw").loc["late"] for name in TRANSFORMERS]
    assert all(row["difference_low"] > 0 for row in late)
    assert all((shares(name, "centred")["verdict"] == "reduced by training").all() for name in TRANSFORMERS)
    assert shares("llama-tiny", "raw").loc["early"]["difference_high"] < 0
    pythia = shares("pythia-tiny", "raw").loc["early"]
    assert pythia["difference_low"] < 0 < pythia["difference_high"]
    verdicts = [v for name in OTHERS for variant in ("raw", "centred") for v in shares(name, variant)["verdict"]]
    assert sorted(verdicts) == ["training"] * 11 + ["undecided"]
    assert sum((shares(name, "raw")["verdict"] == "undecided").sum() for name in RETRIEVE) == 5


def test_kaiming_says_otherwise() -> None:
    for name, told in (("llama-tiny", "leaves llama-tiny at"), ("mamba2-tiny", "brings mamba2-tiny to")):
        values = shares(name, "raw", "kaiming")["random"]
        assert f"{told} {values.min():.2f} to {values.max():.2f}" in PROSE
        assert all(values[part] in other_ways(name, part) for part in THIRDS)


def test_steps_from_block_to_block() -> None:
    lowest = min(adjacent(subject, (block,)) for subject in of(RETRIEVE) for block in range(1, 11))
    assert f"is {lowest:.2f} or more from block 1 to block 10" in PROSE
    ratios = frame("paths", "layers").query("metric == 'update_ratio' and site == 'block.0'").set_index("subject")
    found = ratios["value"][of(RETRIEVE)]
    assert f"{found.min():.0f} to {found.max():.0f} times as long as the embedding" in PROSE
    for name in ("llama-tiny", "mamba2-tiny", "pythia-tiny"):
        assert all(adjacent(s, MIDDLE) > adjacent(s, LAST) for s in trainings(name))
    assert all(adjacent(s, MIDDLE) > adjacent(s, EARLY) for s in MAMBA2)


def test_who_is_steadier_depends_on_the_scale() -> None:
    def energies(names: tuple[str, ...], variant: str) -> list[float]:
        return [path(subject, "path_energy", variant) for subject in of(names)]

    for variant in ("raw", "unit"):
        assert max(energies(OTHERS, variant)) < min(energies(TRANSFORMERS, variant))
    assert max(energies(("mamba2-tiny",), "rms")) > max(energies(TRANSFORMERS, "rms"))
    assert min(energies(("mamba2-tiny",), "rms")) > min(energies(TRANSFORMERS, "rms"))
    for subject in of(RETRIEVE):
        assert path(subject, "path_energy", "rms") == pytest.approx(12 * path(subject, "v_loc", "rms"))
    sizes = {s: path(s, "path_energy", "raw") / path(s, "path_energy", "rms") for s in of(RETRIEVE)}
    assert max(sizes[s] for s in of(OTHERS)) < min(sizes[s] for s in of(TRANSFORMERS))
    assert max(path(s, "v_glob", "raw") for s in of(OTHERS)) < min(path(s, "v_glob", "raw") for s in of(TRANSFORMERS))
    for variant in ("rms", "unit"):
        mine, theirs = ([path(s, "v_glob", variant) for s in of(names)] for names in (TRANSFORMERS, OTHERS))
        assert min(mine) < max(theirs)
        assert min(theirs) < max(mine)


def test_the_envelope_is_far_away() -> None:
    means = [sum(used(s, "envelope") for s in trainings(name)) / 3 for name in RETRIEVE]
    assert f"{100 * min(means):.0f} to {100 * max(means):.0f}% of it is used" in PROSE
    for kind in ("attention", "ssm"):
        assert depth_slope(kind, "v_glob", True) in PROSE


def test_bounds_hold_and_what_they_promise() -> None:
    assert (frame("dynamics", "bounds")["ratio"] >= 1).all()
    for subject in MAMBA2:
        assert blocks_of(subject, "memory", "bound").min() > 0.96
        assert blocks_of(subject, "state_norm", "ratio").median() > 1000
    promised = [100 * blocks_of(s, "memory", "bound").median() for s in trainings("hybrid-tiny")]
    assert "at most {:.0f}% and {:.0f}% are, the third only {:.0f}%".format(*(promised[k] for k in (0, 2, 1))) in PROSE
    assert all(blocks_of(s, "memory_mean", "measured").median() < 0.001 for s in trainings("hybrid-tiny"))


def test_the_runs_are_of_the_same_weights() -> None:
    flow = {s["label"]: s["weights_sha256"] for s in run_of("flow").subjects}
    for name in ("paths", "dynamics", *(f"attribute/{each}" for each in RETRIEVE)):
        mine = {s["label"]: s["weights_sha256"] for s in run_of(name).subjects if s.get("variant_of") is None}
        assert mine.items() <= flow.items(), name
