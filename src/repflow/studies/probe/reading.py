"""What a subject reads of a task for its probes: the examples, and the states and answers, gathered shard by shard."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from repflow.core import Example
from repflow.core.intervals import MIN_UNITS, ROUGH_UNITS
from repflow.core.places import ASK, Place, check_places, parse_places
from repflow.engines import Reader, refuse_broken
from repflow.engines.features import Read, Speak, read_states
from repflow.models import Loaded
from repflow.store import RunWriter
from repflow.studies.flow.measure import CPU_BATCH_TOKENS, GPU_BATCH_TOKENS, advice, check_ids, check_length
from repflow.studies.kit.preflight import job_key
from repflow.studies.kit.tasks import Assignment
from repflow.studies.probe.aims import Aim
from repflow.studies.probe.asking import choices_in, places_of, targets_of
from repflow.studies.probe.groups import told_apart
from repflow.studies.probe.linear import Values, check_probeable, held_out
from repflow.studies.probe.linear.features import FeatureFacts, FeatureFile
from repflow.studies.probe.settings import ProbeSettings
from repflow.studies.probe.verdicts import TARGETS, units_of
from repflow.tasks import Choices, examples_sha256, longest, make_task

CPU_ANSWERING_TOKENS = 4 * CPU_BATCH_TOKENS
"""Tokens that go together on a CPU when the model also answers: a step of one token costs about the same for several
prompts as for one."""

Warn = Callable[[str], None]


@dataclass(frozen=True)
class ProbeReading:
    """One subject's examples of one task at one context. Every question has its gold at every position once."""

    key: str
    """Names its parts in the checkpoint; other weights or examples give another."""
    name: str
    """Names its feature file."""
    assignment: Assignment
    examples: tuple[Example, ...]
    choices: tuple[Choices, ...] = ()
    """What each example has to choose among; empty for a task without a list of values."""
    places: tuple[Place, ...] = ()
    targets: tuple[str, ...] = TARGETS[:1]

    @property
    def aims(self) -> tuple[Aim, ...]:
        """What is looked for, at each place."""
        return tuple(Aim(place, target) for target in self.targets for place in self.places)

    def asked(self, start: int, stop: int) -> list[Example]:
        """Some examples, led on to where the possible answers differ."""
        some = self.examples[start:stop]
        if not self.choices:
            return list(some)
        return [replace(e, ids=c.asked) for e, c in zip(some, self.choices[start:stop], strict=True)]

    @property
    def title(self) -> str:
        return self.assignment.title

    @property
    def file_name(self) -> str:
        return f"{self.name}.npy"

    @property
    def tokens(self) -> int:
        return sum(len(example.ids) for example in self.examples)

    @property
    def labels(self) -> tuple[int, ...]:
        return tuple(example.gold_class or 0 for example in self.examples)

    @property
    def groups(self) -> tuple[int, ...]:
        """What is kept together, in splits and in resampling: groups that share a unit, or whose gold is the same text.

        On both sides of a split they would be a leak.
        """
        return told_apart(self.examples)


def probe_assignments(settings: ProbeSettings) -> list[Assignment]:
    """Every task at every context, the gold of each group at every position. Raises BadSetting."""
    task = settings.task
    retrieval: dict[str, Any] = {"data": task.data, "positions": task.positions, "items": task.items, "crossed": True}
    retrieval |= {"bos": task.bos}
    kvpr = {"keys": task.keys, "smallest": min(task.context), "divided": task.divided}
    tasks = [make_task(name, **retrieval, **(kvpr if name == "kvpr" else {})) for name in task.task]
    return [Assignment(made, context) for made in tasks for context in task.context]


def read_examples(
    number: int, assignment: Assignment, subject: Loaded, settings: ProbeSettings, places: Sequence[Place], warn: Warn
) -> ProbeReading:
    """The examples of one assignment, checked. Raises BadSetting, ContextTooLong or NotEnoughData."""
    wanted, positions = settings.task.examples, settings.task.positions
    built = assignment.build(subject.tokenizer, wanted * positions, settings.probing.seed)
    found = len(built) // positions
    if found < wanted:
        warn(f"{subject.facts.label}, {assignment.title}: the data gives {found} groups, {wanted} were asked for")
    check_ids(subject.facts, subject.tokenizer, built)
    check_length(subject.facts, built, settings.model.allow_extrapolation, warn)
    check_places(places, built)
    name = f"{number:02d}-{assignment.key}"
    choices = choices_in(built, subject, settings)
    targets = targets_of(assignment, choices, subject, settings)
    where = places_of(places, built, choices)
    key = job_key(name, subject.facts, built)
    reading = ProbeReading(key, name, assignment, tuple(built), choices, where, targets)
    if choices and any(place.name == ASK for place in where):
        led_on = reading.asked(0, len(built))
        check_ids(subject.facts, subject.tokenizer, led_on)
        check_length(subject.facts, led_on, settings.model.allow_extrapolation, lambda _: None)
    labels, groups = np.array(reading.labels), np.array(reading.groups)
    if repeated := found - len(np.unique(groups)):
        warn(
            f"{assignment.title}: {repeated} of {found} questions or sets of pairs have the gold or the passage of "
            "another; they share its group, so that no split divides them"
        )
    check_probeable((1, len(built), 1), labels, groups, positions, settings.probing.seeds)
    _tell_units(assignment, held_out(groups, settings.probing.seeds, settings.probing.seed), warn)
    return reading


def _tell_units(assignment: Assignment, units: int, warn: Warn) -> None:
    """Say where intervals will be rough, or none, before anything is read."""
    held = f"{assignment.title}: the splits hold out {units_of(assignment.task.name, units)} in all"
    if units < MIN_UNITS:
        warn(f"{held}, and from fewer than {MIN_UNITS} no probe has an interval or a peak; raise --examples")
    elif units < ROUGH_UNITS:
        warn(f"{held}; {ROUGH_UNITS} or more make good intervals")


def probe_reader(subject: Loaded, settings: ProbeSettings) -> Reader:
    """A loaded subject, ready to be read at its sites."""
    on_cpu = CPU_ANSWERING_TOKENS if settings.probing.generate else CPU_BATCH_TOKENS
    return Reader(
        label=subject.facts.label,
        model=subject.model,
        forward=subject.forward,
        taps=subject.taps,
        special_ids=tuple(subject.tokenizer.all_special_ids),
        device=subject.device,
        batch_tokens=settings.model.batch_tokens or (on_cpu if subject.device.type == "cpu" else GPU_BATCH_TOKENS),
        advice=advice(subject.facts),
        lengths=subject.lengths,
    )


def features_of(reading: ProbeReading, subject: Loaded) -> FeatureFacts:
    """What the feature file of a reading holds."""
    facts = subject.facts
    return FeatureFacts(
        subject=facts.label,
        weights_sha256=facts.weights_sha256,
        task=reading.assignment.task.name,
        context=reading.assignment.context,
        examples_sha256=examples_sha256(reading.examples),
        states_dtype=facts.dtype,
        places=tuple(place.name for place in reading.places),
        sites=tuple(tap.site.name for tap in subject.taps),
        width=facts.width,
        example_ids=tuple(example.id for example in reading.examples),
        labels=reading.labels,
        groups=reading.groups,
    )


@dataclass(frozen=True)
class Gathered:
    """All of one reading's states and answers, the model no longer needed."""

    reading: ProbeReading
    file: FeatureFile | None
    answers: Sequence[str]
    """Empty where none were asked for."""
    broken: Sequence[tuple[int, int]]
    """(example id, index of the first site) where a state is not finite: no probe sees these examples."""
    forward: float
    answering: float
    values: Values | None = None
    """What the examples have to choose among, where values are looked for."""
    lens: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """By place: what the model's own end chooses, [sites, N]; empty where it cannot be asked."""

    @property
    def kept(self) -> np.ndarray:
        """bool [N]: the examples that the probes see."""
        left_out = {example for example, _ in self.broken}
        return np.array([example.id not in left_out for example in self.reading.examples])


@dataclass
class Gathering:
    """The states and answers of one reading, as far as they are there."""

    reader: Reader
    reading: ProbeReading
    facts: FeatureFacts
    file: FeatureFile | None
    """None before anything is read, and where all that needs it is done."""
    writer: RunWriter
    speak: Speak | None
    shard: int
    answers: list[str] = field(default_factory=list[str])
    broken: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    done: int = 0
    """Examples gathered."""
    forward: float = 0.0
    answering: float = 0.0
    fresh_tokens: int = 0
    """Tokens read by this process, in `fresh_seconds`."""
    fresh_seconds: float = 0.0

    def resume(self, limit: int) -> None:
        """Take what an earlier process has gathered, `limit` examples at most, as far as it is what was written."""
        while (part := self.writer.read_part(self._key)) is not None and self.done + part[1]["n"] <= limit:
            if self.file is not None and part[1].get("states") not in (None, self.file.digest(self.done, part[1]["n"])):
                break
            self._take(part[1])

    def advance(self) -> Sequence[Example]:
        """Read one more shard, and keep it. Raises ModelProblem.

        The file is begun with the first shard: a model that fails on it leaves nothing behind.
        """
        begun = time.perf_counter()
        examples = self.reading.examples[self.done : self.done + self.shard]
        read = self._read(examples)
        refuse_broken(self.reader, [*self.broken, *read.broken], len(self.reading.examples))
        if self.file is None:
            self.file = FeatureFile.create(self.writer.features() / self.reading.file_name, self.facts)
        self.file.write(self.done, read.states)
        part = {"n": len(examples), "answers": read.answers, "broken": read.broken}
        part |= {"forward": read.forward, "answering": read.answering}
        part["states"] = self.file.digest(self.done, len(examples))
        self.writer.save_part(self._key, {}, part)
        self._take(part)
        self.fresh_tokens += sum(len(example.ids) for example in examples)
        self.fresh_seconds += time.perf_counter() - begun
        return examples

    def _read(self, examples: Sequence[Example]) -> Read:
        """`ask` lies behind the prompt, which is therefore read again, led on to there."""
        places = self.reading.places
        inside = [place for place in places if place.name != ASK]
        read = read_states(self.reader, examples, inside or parse_places(("last",)), self.facts.width, self.speak)
        if len(inside) == len(places):
            return read
        led_on = self.reading.asked(self.done, self.done + len(examples))
        at, place = next((i, place) for i, place in enumerate(places) if place.name == ASK)
        asked = read_states(self.reader, led_on, (place,), self.facts.width)
        states = np.insert(read.states[: len(inside)], at, asked.states[0], axis=0)
        broken = sorted((dict(asked.broken) | dict(read.broken)).items())
        return Read(states, read.answers, broken, read.forward + asked.forward, read.answering)

    def gathered(self) -> Gathered:
        """What is there, once nothing is left to read."""
        assert not self.left
        return Gathered(self.reading, self.file, self.answers, self.broken, self.forward, self.answering)

    @property
    def left(self) -> Sequence[Example]:
        """Examples yet to be read."""
        return self.reading.examples[self.done :]

    @property
    def seconds_left(self) -> float:
        """Judged by what this process has read."""
        tokens = sum(len(example.ids) for example in self.left)
        return tokens * self.fresh_seconds / self.fresh_tokens if tokens else 0.0

    @property
    def _key(self) -> str:
        return f"{self.reading.key}/{self.done:06d}"

    def _take(self, part: dict[str, Any]) -> None:
        self.done += part["n"]
        self.answers += part["answers"]
        self.broken += [(example, site) for example, site in part["broken"]]
        self.forward += part["forward"]
        self.answering += part["answering"]


def shard_size(reading: ProbeReading, reader: Reader, positions: int) -> int:
    """Whole groups, in about four passes: prompts of a group often have one length and are answered together."""
    tokens = 4 * max(reader.batch_tokens, CPU_BATCH_TOKENS)
    return positions * max(1, tokens // (positions * longest(reading.examples)))
