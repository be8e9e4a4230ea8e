"""repflow lab"""

from repflow.cli.arguments import parse
from repflow.cli.progress import watching
from repflow.cli.tell import tell
from repflow.studies.lab.settings import LabSettings


def lab(arguments: list[str]) -> int:
    """Train and measure a grid; write its report and print its summary."""
    grid = [arguments[0]] if arguments and not arguments[0].startswith("-") else []
    settings = parse(LabSettings, "lab", [*(["--grid", *grid] if grid else []), *arguments[len(grid) :]])
    from repflow.training.lab.run import run_lab

    with watching() as progress:
        if settings.place.plan:
            from repflow.training.lab.plan import told_plan

            print(told_plan(settings, progress))
            return 0
        run = run_lab(settings, progress)
        if run is None:
            return 0
        from repflow.report import write_report

        tell(write_report(run))
    from repflow.report.run import Run
    from repflow.report.show import summary

    summary(Run.of(run))
    return 0
