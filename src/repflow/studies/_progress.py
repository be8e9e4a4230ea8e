"""Progress that nobody watches."""


class Silent:
    """Takes progress and says nothing."""

    def note(self, line: str) -> None:
        del line

    def begin(self, title: str, examples: int) -> None:
        del title, examples

    def advance(self, examples: int, tokens: int) -> None:
        del examples, tokens
