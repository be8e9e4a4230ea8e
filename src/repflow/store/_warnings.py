"""The warnings of a run for people: those that several subjects share are said once."""

from collections.abc import Mapping
from typing import Any


def warning_lines(info: Mapping[str, Any]) -> list[str]:
    """The run's warnings, then each subject's own, in order.

    Lines that differ only in the subject they begin with become one: `TEXT (LABEL; LABEL)`.
    """
    subjects = [facts for facts in info.get("subjects") or () if isinstance(facts, Mapping)]
    labels = sorted((str(facts.get("label")) for facts in subjects), key=len, reverse=True)
    given = [str(warning) for warning in info.get("warnings") or ()]
    own = [(str(facts.get("label")), str(w)) for facts in subjects for w in facts.get("warnings") or ()]
    lines = [*given, *(f"{label}: {w}" for label, w in own if not any(w in line for line in given))]
    about: dict[str, list[str]] = {}
    for line in dict.fromkeys(lines):
        label, text = _parted(line, labels)
        about.setdefault(text, []).append(label)
    return [_line(text, who) for text, who in about.items()]


def _parted(line: str, labels: list[str]) -> tuple[str, str]:
    """The subject a line begins with, empty for none, and the rest with its comma or colon."""
    label = next((label for label in labels if line.startswith((f"{label}, ", f"{label}: "))), "")
    return label, line[len(label) :]


def _line(text: str, who: list[str]) -> str:
    return who[0] + text if len(who) == 1 else f"{text.lstrip(',: ')} ({'; '.join(filter(None, who))})"
