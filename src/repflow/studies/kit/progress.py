"""Progress that nobody watches, and time in words."""


class Silent:
    """Takes progress and says nothing."""

    def note(self, line: str) -> None:
        del line

    def begin(self, title: str, total: int, unit: str = "example") -> None:
        del title, total, unit

    def advance(self, done: int, tokens: int) -> None:
        del done, tokens


def told_time(seconds: float) -> str:
    """Seconds for people: 40 s, 12 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
