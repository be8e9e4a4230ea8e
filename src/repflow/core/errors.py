"""One family of errors: what was given, what was needed, what to do."""

import difflib
from collections.abc import Iterable


class RepflowError(Exception):
    """Base of every error repflow raises on purpose. `exit_code` is what the command line returns."""

    exit_code = 1


class CallerError(RepflowError):
    """The caller can mend it: a wrong name, file, number or combination."""

    exit_code = 2


class UnknownName(CallerError):
    """A name that is none of the known ones."""


class BadSpec(CallerError):
    """A subject spec that cannot be read."""


class BadFile(CallerError):
    """A file or folder that is absent, broken or empty; names the file and, where it has lines, the line."""


class BadSetting(CallerError):
    """A setting out of range, or two that do not go together."""


class NotEnoughData(CallerError):
    """Fewer examples, tokens or rows than a quantity needs."""


class ContextTooLong(CallerError):
    """An example is longer than the positions the model was trained on."""


class ModelProblem(CallerError):
    """A model that cannot be loaded, tapped or trusted (non-finite states)."""


class NonFinite(ModelProblem):
    """States that are not finite, in more examples than a run can leave out."""


class StoreConflict(CallerError):
    """The run directory holds something else than what was asked for."""


class Interrupted(RepflowError):
    """Stopped by Ctrl-C or SIGTERM. What was measured stays in `directory`, and the same settings resume it."""

    exit_code = 130

    def __init__(self, message: str, directory: str = "") -> None:
        super().__init__(message)
        self.directory = directory


def unknown(kind: str, given: str, known: Iterable[str]) -> UnknownName:
    """An `UnknownName` that offers the nearest known names first."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return UnknownName(f"unknown {kind} {given!r}; {hint}known: {', '.join(names)}")
