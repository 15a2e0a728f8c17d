"""ganzoo translate"""

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.output import bar, load, say


@click.command("translate")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("input", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--to", metavar="TARGET", help="Domain, or labels: blond,no-glasses.  [default: the run's first target]")
@click.option("--from", "source", metavar="DOMAIN", help="Domain of INPUT.  [default: the first that leads there]")
@click.option("--reference", type=click.Path(path_type=Path), metavar="FILE", help="Image that gives the style.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Another seed, another style.  [default: 0]")
@click.option("--variants", type=click.IntRange(1), metavar="N", help="N of each, of N seeds: NAME-1.png and so on.")
@click.option("--grid", is_flag=True, help="One image that shows all targets, instead of a translation.")
@click.option("--size", type=click.IntRange(1), metavar="N", help="Translate at N px on the shorter side; see above.")
@click.option(
    "--tile",
    type=click.IntRange(0),
    is_flag=False,
    flag_value=0,
    metavar="[N]",
    help="Translate in tiles of N px.  [default: where the memory is not enough; N: as fits]",
)
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Images at once.  [default: 16 on a GPU, else 1]")
@click.option("--fast", is_flag=True, help="Half precision, and compiled, where the device gains by it.")
@click.option("--gallery", type=click.Path(path_type=Path), metavar="HTML", help="Page that compares before and after.")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def command(
    run: Path,
    input: Path,
    output: Path,
    to: str | None,
    source: str | None,
    reference: Path | None,
    seed: int | None,
    variants: int | None,
    grid: bool,
    size: int | None,
    tile: int | None,
    batch: int | None,
    fast: bool,
    gallery: Path | None,
    device: str,
) -> None:
    """Translate an image, a video, or all images in a folder, with a trained RUN. Names and sizes are kept.

    A model with styles has many translations of an image: a reference image of the target domain, or a seed, chooses
    one. The same seed gives the same style to all images.

    With --size an image is reduced, translated and given back in its own size, with the detail of the original: quick,
    and closer to what the model was trained on. Without it an image that is too large for the memory is translated in
    tiles that overlap.
    """
    from ganzoo import bulk, video
    from ganzoo.errors import GanzooError

    if grid and to:
        raise GanzooError("--grid shows all targets: leave out --to.")
    if reference and variants:
        raise GanzooError("--reference gives one style: leave out --variants.")
    if grid and gallery:
        raise GanzooError("--grid shows all targets in one image: leave out --gallery.")
    translator = load(run, device)
    source, target = translator.direction(to, source)
    if fast:
        translator.make_fast(partial(say, err=True))
    if video.is_video(input):
        if grid or variants or gallery or batch:
            raise GanzooError(f"{input} is a video: leave out --grid, --variants, --batch and --gallery.")
        _video(
            translator, input, output, to, source, {"reference": reference, "seed": seed, "size": size, "tile": tile}
        )
        return
    target = "all targets" if grid else target
    how: dict[str, Any] = {"reference": reference, "seed": seed, "variants": variants, "grid": grid}
    how |= {"size": size, "tile": tile, "batch": batch, "gallery": gallery}
    how["say"] = partial(say, err=True)
    failures = []
    with bar(f"{source} to {target}") as update:
        for done, total, failure in bulk.translate_files(translator, input, output, to, source, **how):
            update(done, total)
            if failure:
                failures.append(failure)
    written = done - len(failures)
    each = f", {variants} variants each" if variants else ""
    say(f"{written} image{'s' if written != 1 else ''} translated from {source} to {target}{each}: {output}")
    if gallery:
        say(f"Compare them: {gallery}")
    if failures:
        problem = GanzooError("Left out:\n" + "\n".join(f"  {failure}" for failure in failures))
        problem.exit_code = 1
        raise problem


def _video(translator: Any, input: Path, output: Path, to: str | None, source: str, how: dict[str, Any]) -> None:
    from ganzoo.errors import Stopped
    from ganzoo.signals import stop_requests
    from ganzoo.video import translate_video

    source, target = translator.direction(to, source)
    frames = translate_video(translator, input, output, to, source, say=partial(say, err=True), **how)
    try:
        with stop_requests() as asked, bar(f"{source} to {target}") as update, closing(frames):
            asked.heeded = True  # between frames: an exception inside of PyAV's callbacks would get lost
            for done, total in frames:
                update(done, total)
                if asked.number:
                    raise KeyboardInterrupt
    except Stopped as stopped:
        say("Stopped, and nothing was written.", err=True)
        raise click.exceptions.Exit(stopped.exit_code) from None
    say(f"{done} frame{'s' if done != 1 else ''} translated from {source} to {target}: {output}")
