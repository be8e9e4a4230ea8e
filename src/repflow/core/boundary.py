"""Where other people's code may fail in any way: its errors become one line of ours."""

from collections.abc import Generator
from contextlib import contextmanager

from repflow.core.errors import ModelProblem, RepflowError


@contextmanager
def one_line_errors(doing: str, kind: type[RepflowError] = ModelProblem) -> Generator[None, None, None]:
    """Within, every error becomes a `kind` that says what was being done and why it failed, on one line.

    Our own errors and interruptions pass. The libraries underneath raise whatever their parsers and kernels raise, from
    AttributeError to a panic that is no Exception.
    """
    try:
        yield
    except (RepflowError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise kind(f"{doing}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The start of an error's text, on one line; its class where that says more than the text."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text or type(error).__name__ == "OutOfMemoryError":
        text = f"out of memory{f', {text}' if text else ''}"
    elif isinstance(error, KeyError | AttributeError | TypeError | AssertionError | IndexError | ZeroDivisionError):
        text = f"{type(error).__name__}{f', {text}' if text else ''}"
    text = text or type(error).__name__
    return text if len(text) <= 240 else text[:240] + "..."
