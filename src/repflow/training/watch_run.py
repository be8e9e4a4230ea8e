"""A watched model's rows as a run directory, like those that commands write."""

from pathlib import Path
from typing import Any

from repflow.core import LayerRow, PairRow, block_taps, local_path
from repflow.models import environment_facts
from repflow.models.facts import family_of, weights_sha256
from repflow.models.families import FAMILIES
from repflow.report.run import Run
from repflow.store import RunWriter
from repflow.studies.flow.findings import flow_findings
from repflow.studies.flow.watched import Measuring
from repflow.studies.flow.weights import Weights
from repflow.studies.kit.record import Tables, table_of
from repflow.studies.kit.session import run_directory
from repflow.studies.kit.settings import OutputSettings

COMMAND = "watch"


def write_run(
    measuring: Measuring, label: str, tables: Tables, warnings: tuple[str, ...], out: str | Path | None, overwrite: bool
) -> Run:
    """Write the rows, and what is known of the model and of what it read. Raises StoreConflict or BadFile."""
    output = OutputSettings(out=None if out is None else local_path(out), overwrite=overwrite)
    info = {
        "subjects": [_facts(measuring, label)],
        "tasks": [_task(measuring, label)],
        "versions": environment_facts(),
        "seed": measuring.options.seed,
        "warnings": list(warnings),
    }
    findings = flow_findings(table_of(tables.layers, LayerRow), table_of(tables.pairs, PairRow))
    directory, settings = run_directory(COMMAND, output), _settings(measuring, label)
    with RunWriter.create(directory, settings, COMMAND, overwrite=overwrite) as writer:
        writer.finish(tables.layers, tables.pairs, tables.paths, info, findings, replicates=tables.replicates())
    return Run.load(directory)


def _settings(measuring: Measuring, label: str) -> dict[str, Any]:
    options = measuring.options
    return {
        "subjects": [label],
        "metrics": [metric.name for metric in measuring.metrics],
        "tokens": list(options.policies),
        "sink_factor": options.sink_factor,
        "gram_tokens": options.gram_rows,
        "replicates": options.replicates,
        "seed": options.seed,
    }


def _facts(measuring: Measuring, label: str) -> dict[str, Any]:
    """Of the fields of SubjectFacts those that a model tells as it is."""
    model, family = measuring.model, family_of(measuring.model)
    facts: dict[str, Any] = {
        "label": label,
        "family": family,
        "kind": FAMILIES[family].kind if family in FAMILIES else "other",
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "n_blocks": len(block_taps(measuring.taps)),
        "width": measuring.width,
        "dtype": str(next((p.dtype for p in model.parameters()), "")).removeprefix("torch."),
    }
    steps = [step for step, found in measuring.steps.items() if step is not None and found.states is not None]
    if steps:
        facts["steps"] = sorted(steps)
    last = measuring.last.weights
    if last is not None and last.same(Weights(model)):
        facts["weights_sha256"] = weights_sha256(model)
    return facts


def _task(measuring: Measuring, label: str) -> dict[str, Any]:
    """What was read at the last step. Which texts they were nobody said, so no other run is paired with these rows."""
    last = measuring.last
    return {
        "name": COMMAND,
        "context": measuring.longest,
        "subject": label,
        "n_examples": last.units.examples,
        "units": last.units.facts(),
    }
