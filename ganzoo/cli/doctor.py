"""ganzoo doctor"""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import click

LIBRARIES = ("torch", "torchvision", "lightning-fabric", "pluggy", "pydantic", "safetensors", "pillow", "numpy")


@click.command("doctor")
def doctor_command() -> None:
    """Check this installation: versions, devices, plugins, caches and a verdict, as text for a bug report."""
    from ganzoo.data.archives import cache_folder
    from ganzoo.errors import GanzooError
    from ganzoo.registry import registry

    problems = []
    found = registry()  # before anything here imports torch, to tell which plugin does
    click.echo(f"ganzoo {version('ganzoo')}, Python {platform.python_version()}, {platform.platform()}")
    click.echo(f"  {sys.executable}")
    for name in LIBRARIES:
        try:
            click.echo(f"  {name} {version(name)}")
        except PackageNotFoundError:
            problems.append(f"{name} is not installed: pip install {name}")
    try:
        import torch
        import torchvision
    except Exception as error:
        problems.append(f"torch and torchvision do not load together ({error}): reinstall both at once with pip")
    else:
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        click.echo(f"devices: cpu with {torch.get_num_threads()} threads; {', '.join(gpus) or 'no GPU'}")
        assert torchvision.__version__
    click.echo("plugins:")
    for plugin in sorted({(e.distribution, e.version) for e in found.entries}):
        names = ", ".join(f"{e.type} {e.name}" for e in found.entries if (e.distribution, e.version) == plugin)
        click.echo(f"  {plugin[0]} {plugin[1]}: {names}")
    problems += [f"{b.plugin} ({b.distribution} {b.version}) does not load: {b.reason}" for b in found.broken]
    problems += found.warnings
    for entry in found.entries:
        try:
            found.load(entry.type, entry.qualified)
        except GanzooError as error:
            problems.append(str(error))
    folder = cache_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0
    click.echo(f"cache: {folder}, {size / 1e6:,.0f} MB")
    for problem in problems:
        click.echo(f"problem: {problem}")
    click.echo(
        f"verdict: {len(problems)} problem{'s' if len(problems) != 1 else ''}"
        if problems
        else "verdict: everything works"
    )
    sys.exit(1 if problems else 0)
