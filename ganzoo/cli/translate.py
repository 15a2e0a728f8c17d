"""ganzoo translate"""

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("input", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--to", metavar="DOMAIN", help="Domain to translate to.  [default: the run's first direction]")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def translate(run: Path, input: Path, output: Path, to: str | None, device: str) -> None:
    """Translate a picture, or all pictures in a folder, with a trained RUN. Names and sizes are kept."""
    from ganzoo import translate as translation
    from ganzoo.cli.progress import bar
    from ganzoo.errors import GanzooError

    translator = translation.load(run, device)
    source, target = translator.direction(to)
    failures, done = [], 0
    with bar(f"{source} to {target}") as update:
        for count, total, failure in translation.translate_files(translator, input, output, to):
            update(count, total)
            done = count
            if failure:
                failures.append(failure)
    written = done - len(failures)
    click.echo(f"{written} picture{'s' if written != 1 else ''} translated from {source} to {target}: {output}")
    if failures:
        problem = GanzooError("Left out:\n" + "\n".join(f"  {failure}" for failure in failures))
        problem.exit_code = 1
        raise problem
