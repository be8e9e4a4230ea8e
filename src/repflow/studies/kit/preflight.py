"""What can be checked or named before a model is loaded."""

import hashlib
from collections.abc import Sequence

from repflow.core import BadSetting, Example, SubjectFacts
from repflow.models import SubjectSpec, check_source
from repflow.tasks import examples_sha256


def subject_specs(subjects: Sequence[str]) -> list[SubjectSpec]:
    """The subjects' specs, their sources looked up, so that a slip in the last is not found after hours on the first.

    Raises BadSpec, BadFile, UnknownName, and BadSetting for two subjects with the same label.
    """
    specs = [SubjectSpec.parse(subject) for subject in subjects]
    labels = [spec.label for spec in specs]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise BadSetting(f"a subject is named twice: {twice[0]}")
    for spec in specs:
        check_source(spec)
    return specs


def job_key(name: str, facts: SubjectFacts, examples: Sequence[Example]) -> str:
    """A job's name in the checkpoint; other weights or examples, of a file changed meanwhile say, give another."""
    digest = hashlib.sha256(f"{facts.weights_sha256} {examples_sha256(list(examples))}".encode()).hexdigest()
    return f"{name}-{digest[:12]}"
