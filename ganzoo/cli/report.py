"""ganzoo report"""

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Write RUN/report.html again: samples over time, losses, settings and numbers in one file."""
    from ganzoo.errors import GanzooError
    from ganzoo.report import write
    from ganzoo.runfolder import RunFolder

    if not RunFolder.is_run(run):
        raise GanzooError(f"{run} is not a run folder. `ganzoo run RECIPE` makes one.")
    click.echo(write(run))
