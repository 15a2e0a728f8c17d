"""ganzoo run"""

import json
from pathlib import Path

import click

from ganzoo.cli.output import say


@click.command("run")
@click.argument("path", metavar="RECIPE", type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Apply the recipe's [quick] table: minutes on a laptop, no network.")
@click.option("--preset", default="", metavar="NAME", help="One of the model's presets, instead of the recipe's.")
@click.option("--data", type=click.Path(path_type=Path), metavar="FOLDER", help="Your own images, whatever it says.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key, e.g. --set data.size=128.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/NAME-OF-RECIPE]")
@click.option("--resume", is_flag=True, help="Go on from the run folder's last checkpoint.")
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe, with every default, and stop.")
@click.option("--device", metavar="D", help="auto, cpu, cuda or mps.")
@click.option("--devices", type=click.IntRange(min=1), metavar="N", help="Processes on this machine, one a device.")
def command(
    path: Path,
    quick: bool,
    preset: str,
    data: Path | None,
    changes: tuple[str, ...],
    out: Path | None,
    resume: bool,
    dry_run: bool,
    device: str | None,
    devices: int | None,
) -> None:
    """Train what RECIPE says.

    RECIPE is a recipe file, the name of an installed one (`ganzoo recipes`) or, with --resume, a run folder. With
    --data it may also be the name of a model, to train it with its published settings. A file of that name goes before
    a recipe, and a recipe before a model. A run folder is never overwritten.
    """
    from ganzoo import recipe
    from ganzoo.data.dataset import look
    from ganzoo.errors import GanzooError, Stopped, tell
    from ganzoo.runfolder import RunFolder
    from ganzoo.text import is_text

    if RunFolder.is_run(path):
        out, path = out or path, RunFolder(path).recipe
    elif path.is_dir() and recipe.find(path) == path:
        raise GanzooError(f"{path} is a folder, and not that of a run. Give a recipe: `ganzoo recipes` lists some.")
    changes += tuple(f"train.{k}={v}" for k, v in (("device", device), ("devices", devices)) if v is not None)
    given = recipe.read(path, quick, changes, preset, data or "", None if dry_run else look)
    if dry_run:
        say(given.to_toml(f"resolved from {path}").rstrip("\n"))
        return
    from ganzoo import run
    from ganzoo.cli.screen import make_screen
    from ganzoo.runtime import place

    folder = out or Path("runs") / given.name
    if not is_text(str(folder)):
        raise GanzooError(f"{folder} is not UTF-8 text, which not every library can write to. Give another --out.")
    goes_on = resume and RunFolder.is_run(folder)
    if data and goes_on:
        changes += ("data.source=folders", f"data.root={json.dumps(str(data))}")
    began = recipe.read(RunFolder(folder).recipe, changes=changes) if goes_on else given
    screen = make_screen(place(began.train).rank)
    try:
        if goes_on:
            run.resume(folder, screen, changes, given)
        else:
            run.start(given, folder, screen)
    except Stopped as stopped:
        if said := str(stopped):  # the first process speaks for all
            tell(said)
        raise click.exceptions.Exit(stopped.exit_code) from None
    finally:
        screen.stop()
    screen.done(folder)
