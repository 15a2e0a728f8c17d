"""ganzoo sweep"""

import sys
from pathlib import Path

import click

from ganzoo.cli.output import say


@click.command("sweep")
@click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...", type=click.Path(path_type=Path))
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(min=1), help="Seeds of each setting.")
@click.option("--set", "changes", multiple=True, metavar="KEY=V,V,...", help="Values, e.g. --set options.cycle=5,10.")
@click.option("--quick", is_flag=True, help="Apply the recipes' [quick] tables.")
@click.option("--preset", default="", metavar="NAME", help="One of the model's presets, instead of the recipe's.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of all.  [default: runs/sweep-NAME-OF-RECIPE]")
@click.option("--at-once", type=click.IntRange(min=1), metavar="N", help="Runs at a time.  [default: one for each GPU]")
@click.option("--only", type=click.IntRange(min=0), metavar="K", help="Only run number K, from 0 on.")
@click.option("--slurm", type=click.Path(path_type=Path), metavar="FILE", help="Write a script for sbatch instead.")
@click.option("--dry-run", is_flag=True, help="Print the runs, and stop.")
def command(
    recipes: tuple[Path, ...],
    seeds: int,
    changes: tuple[str, ...],
    quick: bool,
    preset: str,
    out: Path | None,
    at_once: int | None,
    only: int | None,
    slurm: Path | None,
    dry_run: bool,
) -> None:
    """Train every RECIPE with every combination of the values, each with several seeds.

    The same command again goes on with what is not finished. `ganzoo compare FOLDER` then shows each metric's mean and
    standard deviation over the seeds.
    """
    import torch

    from ganzoo import sweep
    from ganzoo.errors import GanzooError, Stopped, tell
    from ganzoo.files import refuse_existing, write_text

    jobs = sweep.plan(recipes, changes, seeds, quick, preset)
    folder = out or Path("runs") / f"sweep-{recipes[0].stem}"
    if dry_run:
        for place, job in enumerate(jobs):
            say(f"{place:4}  {folder / job.folder}")
        return
    if only is not None and only >= len(jobs):
        raise GanzooError(f"There is no run number {only}: this sweep has {len(jobs)}, counted from 0.")
    sweep.begin(jobs, folder)
    if slurm:
        refuse_existing(slurm)
        words = sys.argv[1:]
        if "--slurm" in words:
            del words[words.index("--slurm") : words.index("--slurm") + 2]
        words = [word for word in words if not word.startswith("--slurm=")]
        write_text(slurm, sweep.slurm_script(jobs, ["ganzoo", *words]))
        say(f"Look at {slurm}, then: sbatch {slurm}")
        return
    chosen = jobs if only is None else [jobs[only]]
    try:
        failed = sweep.train(chosen, folder, at_once or max(1, torch.cuda.device_count()), say=say)
    except Stopped as stopped:
        tell(str(stopped))
        raise click.exceptions.Exit(stopped.exit_code) from None
    if failed:
        names = ", ".join(str(job.folder) for job in failed)
        problem = GanzooError(f"{len(failed)} of {len(chosen)} runs failed: {names}. Mend why, then try again.")
        problem.exit_code = 1
        raise problem
    if only is None:
        say(f"Compare them: ganzoo compare {folder}")
