"""repflow doctor"""

from rich.console import Console
from rich.table import Table

from repflow.metrics import DEFAULT, METRICS
from repflow.models import environment_facts, kernel_choices


def examine(console: Console | None = None) -> None:
    """Print the machine's facts, the kernels of every family and the metrics."""
    console = console or Console(highlight=False)
    console.print(_facts())
    console.print(_kernels())
    console.print(_metrics())


def _facts() -> Table:
    table = Table(title="This machine", title_justify="left", show_header=False)
    for name, value in environment_facts().items():
        text = f"{value / 2**30:,.1f} GiB" if name.endswith("memory") and isinstance(value, int) else str(value or "-")
        table.add_row(name, text)
    return table


def _kernels() -> Table:
    table = Table(title="What each family runs on here", title_justify="left")
    for heading in ("family", "kernel", "why", "for more speed"):
        table.add_column(heading, overflow="fold")
    alike: dict[tuple[str, str, str], list[str]] = {}
    for choice in kernel_choices():
        alike.setdefault((choice.kernel, choice.reason, choice.advice or "-"), []).append(choice.family)
    for row, families in alike.items():
        table.add_row(", ".join(families), *row)
    return table


def _metrics() -> Table:
    table = Table(title="Metrics", title_justify="left")
    for heading in ("name", "measured by default", "what"):
        table.add_column(heading, overflow="fold")
    for name, metric in METRICS.items():
        source = getattr(metric, "metric", metric)
        first = (type(source).__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
        table.add_row(name, "yes" if name in DEFAULT else "no", " ".join(first.split()))
    return table
