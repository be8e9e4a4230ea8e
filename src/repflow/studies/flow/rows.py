"""What a line of flow's own table is: a token of one of the first examples, at one site."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token's state at one site: a line of tokens.parquet. Numbers have the precision of float16."""

    subject: str
    task: str
    context: int
    example: int
    position: int
    """In the sequence, from 0."""
    text: str
    """What the tokenizer makes of the token alone."""
    site: str
    site_index: int
    norm: float
    cosine: float
    """With the mean direction of the sequence's tokens at the site."""
    dropped: bool
    """Whether no_sink leaves it out here."""
