"""Architecture or training, as the verdicts have it; undecided with its reason and the command that narrows it."""

from pathlib import Path

from attribution_run import attribution_run
from store_rows import MakeRun, layer_row, run_info

from repflow.report.reading import read
from repflow.studies.attribute.answers import answers
from repflow.studies.kit.saying import CARE


def test_the_verdicts_by_third_and_the_difference_first(tmp_path: Path) -> None:
    run = attribution_run(tmp_path / "r")
    made = answers(read(run))
    raw, centred, open_ones, care = made
    assert raw.headline == "Early likeness: architecture in pythia-tiny and undecided in mamba_130m&co-hf"
    assert "pythia-tiny architecture throughout" in raw.evidence
    assert "mamba_130m&co-hf undecided (early and middle), training (late)" in raw.evidence
    assert centred.headline.startswith("Centred likeness: ")
    assert care.headline == CARE
    shares = run.table("shares")
    own = shares[shares["scheme"].eq("config") & shares["variant"].eq("raw") & shares["tokens"].eq("no_sink")]
    assert len(raw.rows) == len(own)
    (early,) = own[own["subject"].eq("zoo:pythia-tiny") & own["third"].eq("early")].to_dict("records")
    told = f"pythia-tiny {early['difference']:+.2f} [{early['difference_low']:+.2f}, {early['difference_high']:+.2f}]"
    assert told.replace("-", "−").replace("pythia−tiny", "pythia-tiny") in raw.evidence
    assert f"share {early['share']:.2f}" in raw.evidence
    verdicts = [f for f in run.findings if f["tokens"] == "no_sink" and f["variant"] in ("raw", "centred")]
    undecided = [f for f in verdicts if f["verdict"] == "undecided"]
    assert open_ones.headline == f"Undecided: {len(undecided)} verdicts of thirds"
    assert open_ones.next.startswith("repflow attribute 'state-spaces/mamba_130m&co-hf' ")


def test_a_run_without_draws_names_the_command_for_trained_models(make_run: MakeRun) -> None:
    labels = ("m", "n", "o", "p", "q@init=config:0")
    info = run_info(*labels)
    info["subjects"][-1]["init"] = "config:0"
    for facts, kind in zip(info["subjects"], ("TBM", "TBM", "SSM", "TBM", "SSM"), strict=True):
        facts["kind"] = kind
    rows = [layer_row(label, 1, 0.1 * i, tokens="no_sink") for i, label in enumerate(labels)]
    (only,) = answers(read(make_run("r", rows, info)))
    assert only.next == "repflow attribute p o n m --context 128", "the most alike first, none drawn"
    few = answers(read(make_run("s", rows[-1:], {**info, "subjects": info["subjects"][-1:]})))
    assert few == []
