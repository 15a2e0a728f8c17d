"""ganzoo report"""

from pathlib import Path

import click

from ganzoo.cli.output import say


@click.command("report")
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path))
def command(path: Path) -> None:
    """Write RUN/report.html again: samples over time, losses, metrics and settings in one file."""
    from ganzoo import report
    from ganzoo.errors import GanzooError
    from ganzoo.runfolder import RunFolder

    if not RunFolder.is_run(path):
        raise GanzooError(f"{path} is not a run folder. `ganzoo run RECIPE` makes one.")
    RunFolder(path).refuse_links()
    say(report.write(path))
