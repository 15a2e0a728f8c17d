"""ganzoo copy"""

from pathlib import Path

import click

from ganzoo.cli.output import say


@click.command("copy")
@click.argument("name")
@click.argument("file", metavar="FILE.toml", type=click.Path(path_type=Path))
def command(name: str, file: Path) -> None:
    """Copy the installed recipe NAME (`ganzoo recipes`) to a new file of your own, to edit and run."""
    from ganzoo.errors import GanzooError
    from ganzoo.files import refuse_existing, write_bytes
    from ganzoo.registry import did_you_mean
    from ganzoo.shipped import files

    known = files()
    if name not in known:
        near = did_you_mean(name, list(known))
        raise GanzooError(f'There is no installed recipe "{name}".{near} `ganzoo recipes` shows them.')
    if file.suffix != ".toml":
        raise GanzooError(f"{file} should end in .toml, as recipes do.")
    refuse_existing(file)
    write_bytes(file, known[name].read_bytes())
    say(f"{file}\n\nNext:  ganzoo run {file}")
