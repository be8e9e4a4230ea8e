"""Whether several subjects are trainings of one architecture."""

from collections.abc import Mapping, Sequence
from typing import Any

from repflow.core import BadSetting
from repflow.engines import Progress
from repflow.models import Loaded, SubjectSpec
from repflow.studies.flow.run import load_as
from repflow.studies.kit.settings import FlowSettings

_NOT_ITS_MAKE = frozenset(
    ["_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version", "use_cache"]
)
"""What a config says that no weight or output hangs on."""
_ABSENT = "absent"


def check_same(specs: Sequence[SubjectSpec], settings: FlowSettings, progress: Progress) -> None:
    """Raises BadSetting, the difference named, where a subject's config or tokenizer is not the first's.

    And where two have the same weights: a copy is not another training.
    """
    first: tuple[str, dict[str, Any]] | None = None
    owners: dict[str, str] = {}
    for spec in specs:
        progress.note(f"loading {spec} to compare its architecture")
        subject = load_as(spec, settings)
        mine = spec.label, _make(subject)
        owner = owners.setdefault(subject.facts.weights_sha256, spec.label)
        if owner != spec.label:
            raise BadSetting(
                f"--same-architecture: {spec.label} has the very weights of {owner}; a copy is not another training"
            )
        if first is None:
            first = mine
            continue
        (one, theirs), (other, ours) = first, mine
        for key in sorted(theirs.keys() | ours.keys()):
            a, b = theirs.get(key, _ABSENT), ours.get(key, _ABSENT)
            if a != b:
                raise BadSetting(
                    f"--same-architecture: {other} is not of {one}'s architecture: {key} is {b!r}, not {a!r}"
                )


def _make(subject: Loaded) -> dict[str, Any]:
    """The config as flat names and values, the tokenizer and what was changed in the model among them."""
    config = _flat(subject.model.config.to_dict())
    made = {key: value for key, value in config.items() if key.rpartition(".")[2] not in _NOT_ITS_MAKE}
    changes = ", ".join(map(str, subject.spec.ablations)) or "none"
    return made | {"@ablate": changes, "tokenizer": subject.facts.tokenizer_sha256[:12]}


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found
