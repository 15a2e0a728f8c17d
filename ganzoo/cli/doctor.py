"""ganzoo doctor"""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import click

from ganzoo.cli.output import say

LIBRARIES = ("torch", "torchvision", "lightning-fabric", "pluggy", "pydantic", "safetensors", "pillow", "numpy")


@click.command("doctor")
def command() -> None:
    """Check this installation: versions, devices, plugins, caches and a verdict, as text for a bug report."""
    from ganzoo.data.downloads import cache_folder
    from ganzoo.errors import GanzooError
    from ganzoo.registry import registry

    found = registry()  # before anything here imports torch, to tell which plugin does
    problems = [*map(str, found.broken), *found.warnings]
    say(f"ganzoo {version('ganzoo')}, Python {platform.python_version()}, {platform.platform()}")
    say(f"  {sys.executable}")
    for name in LIBRARIES:
        try:
            say(f"  {name} {version(name)}")
        except PackageNotFoundError:
            problems.append(f"{name} is not installed: pip install {name}")
    try:
        import torch
        import torchvision  # noqa: F401
    except Exception as error:
        problems.append(f"torch and torchvision do not load together ({error}): reinstall both at once with pip")
    else:
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        say(f"devices: cpu with {torch.get_num_threads()} threads; {', '.join(gpus) or 'no GPU'}")
    say("plugins:")
    for package in sorted({entry.package for entry in found.entries}):
        names = ", ".join(f"{e.type} {e.name}" for e in found.entries if e.package == package)
        say(f"  {package}: {names}")
    for entry in found.entries:
        try:
            found.load(entry.type, entry.qualified)
        except GanzooError as error:
            problems.append(str(error))
    folder = cache_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    say(f"cache: {folder}, {size / 1e6:,.0f} MB")
    for problem in problems:
        say(f"problem: {problem}")
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    say(f"verdict: {count if problems else 'everything works'}")
    sys.exit(bool(problems))
