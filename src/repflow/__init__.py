"""repflow measures how contextual representations flow through the depth of sequence models."""

from repflow._version import __version__

__all__ = ["__version__"]
