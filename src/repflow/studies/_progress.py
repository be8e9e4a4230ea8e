"""Progress that nobody watches."""


class Silent:
    """Takes progress and says nothing."""

    def note(self, line: str) -> None:
        del line

    def begin(self, title: str, total: int, unit: str = "example") -> None:
        del title, total, unit

    def advance(self, done: int, tokens: int) -> None:
        del done, tokens
