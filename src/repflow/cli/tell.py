"""What a command prints by itself: whatever names are in it, the terminal shows them and obeys none."""

import sys

from repflow.core import visible


def tell(what: object) -> None:
    """One line on stdout."""
    print(visible(str(what)))


def say(line: str) -> None:
    """One line on stderr."""
    print(visible(line), file=sys.stderr, flush=True)
