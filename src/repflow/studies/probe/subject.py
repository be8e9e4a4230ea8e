"""One subject of a probe run: its states and answers gathered, its probes trained, their rows recorded."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from repflow.core.places import Place, parse_places
from repflow.engines import Progress, Reader
from repflow.models import Loaded, SubjectSpec, load
from repflow.store import RunWriter
from repflow.studies.kit.answering import speaker
from repflow.studies.kit.progress import told_time
from repflow.studies.kit.tasks import Assignment
from repflow.studies.probe.aims import Aim
from repflow.studies.probe.fit import LENGTH, Fitted, Probed, fit_length, fit_place, fit_value, fitted, seconds_for
from repflow.studies.probe.linear.features import FeatureFacts, FeatureFile
from repflow.studies.probe.reading import (
    Gathered,
    Gathering,
    ProbeReading,
    features_of,
    probe_reader,
    read_examples,
    shard_size,
)
from repflow.studies.probe.record import ProbeRecord
from repflow.studies.probe.settings import ProbeSettings
from repflow.studies.probe.values import lens_of, values_of


@dataclass(frozen=True)
class Probing:
    """What all subjects of a run share."""

    settings: ProbeSettings
    work: Sequence[Assignment]
    writer: RunWriter
    progress: Progress
    record: ProbeRecord

    @property
    def places(self) -> tuple[Place, ...]:
        return parse_places(self.settings.probing.places)

    def subject(self, number: int, spec: SubjectSpec, baseline_of: str | None) -> None:
        """Load one subject, gather what it says on all tasks, let it go, and train the probes."""
        begun = time.perf_counter()
        self.progress.note(f"loading {spec}")
        subject = self._load(spec)
        facts, device = subject.facts, subject.device.type
        sites = tuple(tap.site for tap in subject.taps)
        self.record.subjects.append(asdict(facts) | {"baseline_of": baseline_of})
        loaded = time.perf_counter() - begun
        gathered = self._gather(number, subject, answers=self.settings.probing.generate and baseline_of is None)
        del subject
        seconds = 0.0
        for each in gathered:
            probed = self._fit(each, facts.label, device)
            seconds += probed.seconds
            self.record.add(facts, baseline_of, sites, each, probed, self.settings.probing.seed)
        forward = sum(each.forward for each in gathered)
        tokens = sum(each.reading.tokens for each in gathered)
        self.record.timings[facts.label] = {
            "load_s": round(loaded, 3),
            "forward_s": round(forward, 3),
            "answering_s": round(sum(each.answering for each in gathered), 3),
            "probing_s": round(seconds, 3),
            "tokens_per_s": round(tokens / max(forward, 1e-9), 1),
        }

    def _load(self, spec: SubjectSpec) -> Loaded:
        model = self.settings.model
        return load(
            spec,
            dtype=model.dtype,
            device=model.device,
            trust_remote_code=model.trust_remote_code,
            seed=self.settings.probing.seed,
            blocks=model.blocks,
            final_norm=model.final_norm,
        )

    def _gather(self, number: int, subject: Loaded, answers: bool) -> list[Gathered]:
        reader = probe_reader(subject, self.settings)
        readings = [
            read_examples(number, assignment, subject, self.settings, self.places, self.record.warn)
            for assignment in self.work
        ]
        gatherings = [self._gathering(reading, reader, subject, answers) for reading in readings]
        self._estimate([gathering for gathering in gatherings if gathering.left], subject)
        for gathering in gatherings:
            self._finish(gathering)
        return [self._with_values(gathering.gathered(), subject) for gathering in gatherings]

    def _with_values(self, gathered: Gathered, subject: Loaded) -> Gathered:
        """With what is needed of the model to look for values."""
        reading = gathered.reading
        if "value" not in reading.targets:
            return gathered
        values = values_of(reading.examples, reading.choices, subject)
        lens, sites = lens_of(subject, values.tokens), [tap.site for tap in subject.taps]
        found: dict[str, np.ndarray] = {}
        for place in reading.places:
            key = f"{reading.key}/lens/{place.name}"
            part = self.writer.read_part(key)
            if part is None and lens is not None and gathered.file is not None:
                chosen = lens.chosen(gathered.file.states(place.name), sites, values.choices)
                self.writer.save_part(key, {"chosen": chosen}, {})
                found[place.name] = chosen
            elif part is not None:
                found[place.name] = part[0]["chosen"]
        return replace(gathered, values=values, lens=found)

    def _gathering(self, reading: ProbeReading, reader: Reader, subject: Loaded, answers: bool) -> Gathering:
        speak = None
        if answers:
            new_tokens, warn = self.settings.probing.new_tokens, self.record.warn
            speak = speaker(subject, reading.assignment, reading.examples, new_tokens, warn)
        shard = self.settings.output.shard or shard_size(reading, reader, self.settings.task.positions)
        facts = features_of(reading, subject)
        file, trained = self._found(reading, facts), self._trained(reading)
        gathering = Gathering(reader, reading, facts, file, self.writer, speak, shard)
        gathering.resume(file.done if file is not None else len(reading.examples) if trained else 0)
        return gathering

    def _found(self, reading: ProbeReading, facts: FeatureFacts) -> FeatureFile | None:
        """The feature file of an earlier process."""
        folder = self.writer.found_features()
        path = folder and folder / reading.file_name
        return FeatureFile.open(path, facts) if path and FeatureFile.exists(path) else None

    def _trained(self, reading: ProbeReading) -> bool:
        """Whether an earlier process has trained all probes, so that a file that is gone is not missed."""
        return all(fitted(reading, name, self.writer) for name in (*(aim.name for aim in reading.aims), LENGTH))

    def _estimate(self, pending: Sequence[Gathering], subject: Loaded) -> None:
        """Read the first shards, and say how long the rest will take."""
        if not pending:
            return
        for gathering in pending:
            gathering.advance()
        reading = sum(gathering.seconds_left for gathering in pending)
        sites, width, device = len(subject.taps), subject.facts.width, subject.device.type
        probes = sum(seconds_for(g.reading, sites, width, self.settings, device) * len(g.reading.aims) for g in pending)
        left = sum(len(gathering.left) for gathering in pending)
        what = "states and answers" if pending[0].speak else "states"
        self.progress.note(
            f"{subject.facts.label}: about {told_time(reading + probes)}, judged by the first prompts: "
            f"{told_time(reading)} for {what} of {left:,} more, {told_time(probes)} for the probes"
        )

    def _finish(self, gathering: Gathering) -> None:
        if gathering.left:
            self.progress.begin(f"{gathering.reader.label} on {gathering.reading.title}", len(gathering.left), "prompt")
        while gathering.left:
            examples = gathering.advance()
            self.progress.advance(len(examples), sum(len(example.ids) for example in examples))

    def _fit(self, gathered: Gathered, label: str, device: str) -> Probed:
        reading = gathered.reading
        self.progress.begin(f"{label}, probes on {reading.title}", len(reading.aims), "probe")
        fits: list[tuple[Aim, Fitted]] = []
        for aim in reading.aims:
            fits.append((aim, fitted(reading, aim.name, self.writer) or self._trained_now(gathered, aim, device)))
            self.progress.advance(1, 0)
        length = fitted(reading, LENGTH, self.writer) or fit_length(reading, gathered.kept, self.settings, self.writer)
        folder = self.writer.found_features()
        if folder is not None and not self.settings.probing.keep_features:
            FeatureFile.discard(folder / reading.file_name)
        return Probed(fits, length)

    def _trained_now(self, gathered: Gathered, aim: Aim, device: str) -> Fitted:
        reading, file, kept = gathered.reading, gathered.file, gathered.kept
        assert file is not None, "probes are missing and so are the features"
        if aim.target == "position":
            return fit_place(reading, aim.place.name, file, kept, self.settings, device, self.writer)
        assert gathered.values is not None, "values are looked for and were not gathered"
        return fit_value(reading, aim, file, gathered.values, kept, self.settings, device, self.writer)
