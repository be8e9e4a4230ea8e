"""One subject on one task: what it reads, the job that measures it, and the rows that come of it."""

import math
from collections.abc import Callable, Sequence

import torch

from repflow.core import ContextTooLong, Example, ModelProblem, NotEnoughData, Origin, Site, SubjectFacts, Tokenizer
from repflow.engines import Clock, Job, Keeper, Outcome, Progress, Reader, run_job
from repflow.metrics import DEFAULT, Options, headline, measurable, named
from repflow.metrics.token_cka import MIN_ROWS
from repflow.models import Loaded
from repflow.studies.flow.cross import Measured
from repflow.studies.flow.estimate import tables_of
from repflow.studies.kit.preflight import job_key
from repflow.studies.kit.record import Reading, Record
from repflow.studies.kit.settings import FlowSettings
from repflow.studies.kit.tasks import Assignment
from repflow.studies.kit.units import Units, units_of

CPU_BATCH_TOKENS = 2_048
GPU_BATCH_TOKENS = 16_384


def batch_tokens(settings: FlowSettings, device: torch.device) -> int:
    """Tokens a forward pass."""
    return settings.model.batch_tokens or (CPU_BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS)


def reader_of(subject: Loaded, settings: FlowSettings) -> Reader:
    """A loaded subject, ready to be read at the sites the settings name. Raises ModelProblem."""
    taps = subject.taps
    if settings.measure.sites == "hf":
        if not subject.hf_taps:
            raise ModelProblem(
                f"{subject.facts.label}: --sites hf cannot be had, {subject.hf_reason}; use --sites residual"
            )
        taps = subject.hf_taps
    return Reader(
        label=subject.facts.label,
        model=subject.model,
        forward=subject.forward,
        taps=taps,
        special_ids=tuple(subject.tokenizer.all_special_ids),
        device=subject.device,
        batch_tokens=batch_tokens(settings, subject.device),
        advice=advice(subject.facts),
        lengths=subject.lengths,
    )


def advice(facts: SubjectFacts) -> str:
    """What to do about a subject whose states are not finite."""
    if facts.interventions:
        return "the change is too much for the model; make it milder, or in fewer blocks"
    return "check the weights" if facts.dtype == "float32" else "try --dtype float32, or check the weights"


def read(
    assignment: Assignment, tokenizer: Tokenizer, facts: SubjectFacts, settings: FlowSettings, record: Record
) -> Reading:
    """The examples of one assignment, checked. Raises ContextTooLong or NotEnoughData."""
    wanted, spare = settings.task.examples, settings.measure.calibration
    built = assignment.build(tokenizer, wanted + spare, settings.measure.seed)
    examples, calibration = built[:wanted], built[wanted:]
    title = assignment.title
    if len(examples) < wanted:
        record.warn(f"{facts.label}, {title}: the data gives {len(examples)} examples, {wanted} were asked for")
    if len(calibration) < min(spare, 2):
        calibration = []
        record.warn(
            f"{facts.label}, {title}: no examples to calibrate on: centred and standardised variants are left out; "
            f"give more text or lower --examples to {max(1, len(built) - spare)}"
        )
    elif len(calibration) < spare:
        record.warn(f"{facts.label}, {title}: {len(calibration)} examples to calibrate on, {spare} were asked for")
    if settings.measure.sites == "hf":
        record.warn("read from Hugging Face's list of hidden states, for parity only: families leave out other ends")
    check_ids(facts, tokenizer, built)
    check_length(facts, built, settings.model.allow_extrapolation, record.warn)
    _check_enough(settings, examples, title)
    units_of(examples).warn(record.warn, title)
    known = assignment.facts(facts.label, examples)
    record.tasks.append(known)
    for note in known["source"].get("notes", ()):
        record.warn(f"{title}: {note}")
    return Reading(assignment, tuple(examples), tuple(calibration))


def measure(
    key: str,
    reader: Reader,
    facts: SubjectFacts,
    reading: Reading,
    settings: FlowSettings,
    keeper: Keeper,
    progress: Progress,
    record: Record,
    step: int | None = None,
) -> Clock:
    """Run one job, its checkpoint parts under `key`, and record its rows and warnings; returns the time it took."""
    assignment = reading.assignment
    job = _job(key, reader, facts, reading, settings)
    progress.begin(f"{facts.label} on {assignment.title}", len(job.examples))
    outcome = run_job(reader, job, keeper, progress)
    origin = Origin(facts.label, facts.family, facts.init, assignment.task.name, assignment.context, step)
    units = measured_units(reader, job, outcome)
    record.tables.extend(tables_of(origin, reader.sites, job.metrics, outcome.states, job.options, units))
    _take_warnings(facts, assignment, reader.sites, outcome, record)
    record.take_units(facts, reading, units)
    record.measured.append(Measured.of(origin, facts, reader.sites, job.examples, outcome.states, units))
    return outcome.clock


def measured_units(reader: Reader, job: Job, outcome: Outcome) -> Units:
    """The units of the examples that were not left out, and what their headline numbers say of them."""
    states, sites, policies = outcome.states, reader.sites, job.options.policies
    stopped = {example for example, _ in states["counts"].stopped}
    examples = [example for example in job.examples if example.id not in stopped]
    name = f"inter_token_cosine raw {policies[headline.policy(policies)]} at {sites[headline.middle(sites)].name}"
    return units_of(examples, states["headline"], name)


def options_of(settings: FlowSettings) -> Options:
    """What the metrics are told of the settings."""
    return Options(
        policies=settings.measure.tokens,
        sink_factor=settings.measure.sink_factor,
        gram_rows=settings.measure.gram_tokens,
        replicates=settings.measure.replicates,
        seed=settings.measure.seed,
    )


def _job(key: str, reader: Reader, facts: SubjectFacts, reading: Reading, settings: FlowSettings) -> Job:
    options = options_of(settings)
    names = measurable(settings.measure.metrics) or DEFAULT
    between = len(settings.subjects) > 1 and settings.measure.permutations and {"token_cka", "example_cka"} & {*names}
    if between:
        names = (*names, "token_grams", "example_cka")
    names = (*names, "headline")
    per_batch = reader.batch_tokens // reading.longest
    shard = settings.output.shard or max(1, math.ceil(len(reading.examples) / 16), per_batch)
    key = job_key(key, facts, (*reading.examples, *reading.calibration))
    return Job(key, reading.examples, reading.calibration, named(names), options, shard)


def check_ids(facts: SubjectFacts, tokenizer: Tokenizer, examples: Sequence[Example]) -> None:
    """Raises ModelProblem for a token id in the examples that the model has no embedding for."""
    largest = max(max(example.ids, default=0) for example in examples)
    if facts.n_embeddings is not None and largest >= facts.n_embeddings:
        text = f" ({tokenizer.decode([largest])!r})" if hasattr(tokenizer, "decode") else ""
        raise ModelProblem(
            f"{facts.label}: the examples hold the token id {largest}{text}, and the model "
            f"has embeddings for {facts.n_embeddings} tokens; give text without it, or the tokenizer of the model"
        )


def check_length(facts: SubjectFacts, examples: Sequence[Example], allowed: bool, warn: Callable[[str], None]) -> None:
    """Raises ContextTooLong for examples beyond the trained positions; where that is allowed, warns."""
    longest = max(len(example.ids) for example in examples)
    if facts.max_positions is None or longest <= facts.max_positions:
        return
    if not allowed:
        raise ContextTooLong(
            f"{facts.label} was trained on {facts.max_positions} positions, the longest example has {longest} tokens; "
            "lower --context, or pass --allow-extrapolation"
        )
    warn(f"{facts.label}: read {longest} tokens where it was trained on {facts.max_positions}")


def _check_enough(settings: FlowSettings, examples: Sequence[Example], title: str) -> None:
    if "example_cka" in settings.measure.metrics and len(examples) < 4:
        raise NotEnoughData(f"{title}: example_cka needs at least 4 examples, has {len(examples)}; raise --examples")
    if "token_cka" in settings.measure.metrics and max(len(example.ids) for example in examples) < 4:
        raise NotEnoughData(f"{title}: token_cka needs examples of at least 4 tokens; raise --context")


def _take_warnings(
    facts: SubjectFacts, assignment: Assignment, sites: Sequence[Site], outcome: Outcome, record: Record
) -> None:
    where, states = f"{facts.label}, {assignment.title}", outcome.states
    for example in outcome.uncalibrated:
        record.warn(f"{where}: calibration example {example} left out, its states are not finite")
    for example, site in states["counts"].stopped:
        record.warn(f"{where}: example {example} left out, non-finite at {sites[site].name}")
    if "token_cka" in states and int(states["token_cka"].skipped.max()):
        record.warn(f"{where}: token CKA leaves out {int(states['token_cka'].skipped.max())} examples of < 4 tokens")
    if "example_cka" in states and states["counts"].examples < MIN_ROWS:
        record.warn(f"example CKA needs at least {MIN_ROWS} examples and is left out")
