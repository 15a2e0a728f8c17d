"""Training from Python: in a notebook or a script."""

import signal
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tomlkit
from rich.console import Console
from tomlkit.exceptions import TOMLKitError

from ganzoo import recipe as recipes
from ganzoo import run
from ganzoo.cli.screen import Callback, PlainScreen, RichScreen
from ganzoo.data.dataset import look
from ganzoo.errors import GanzooError, Stopped
from ganzoo.runfolder import RunFolder
from ganzoo.translate import Translator, load


def train(
    recipe: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    quick: bool = False,
    preset: str = "",
    data: str | Path = "",
    set: Mapping[str, Any] | None = None,
    resume: bool = False,
    callback: Callback | None = None,
) -> Translator:
    """Trains as `ganzoo run` does, with a progress bar, and gives the trained model.

    `recipe` is a recipe file, the name of an installed recipe, that of a model (with `data`, a folder of images), a run
    folder to go on with, or a recipe as a dict. `out` is the run folder, by default runs/NAME; it is never overwritten.
    `quick`, `preset`, `data` and `resume` are as on the command line; `set` changes keys: `{"data.size": 128}`.

    `callback(line, grid)` is given each line of the log and the metrics, as in log.jsonl and metrics.jsonl, with None,
    and each sample grid with how many images were seen, `{"images": 1000}`. What it raises ends the training, which can
    be resumed from the last checkpoint.

    Ctrl-C, or the stop button of a notebook, finishes the step, saves and raises KeyboardInterrupt. Raises GanzooError
    for every mistake of the recipe at once, before anything is trained, and where the training fails.
    """
    changes = [f"{key}={_toml(key, value)}" for key, value in (set or {}).items()]
    how: dict[str, Any] = {"quick": quick, "preset": preset, "data": data, "look": look}
    if isinstance(recipe, Mapping):
        given = recipes.parse(dict(recipe), changes=changes, to_train=True, **how)
    else:
        path = Path(recipe)
        if RunFolder.is_run(path):
            out, path = out or path, RunFolder(path).recipe
        given = recipes.read(path, changes=changes, **how)
    if given.train.devices * given.train.nodes > 1:
        raise GanzooError("Several processes are started from the command line: ganzoo run RECIPE --devices N.")
    folder = Path("runs") / given.name if out is None else Path(out)
    if RunFolder.is_run(folder) and not resume:
        raise GanzooError(f"{folder} exists. Go on with it by resume=True, or give another folder with out=.")
    screen = _screen(callback)
    try:
        if resume and RunFolder.is_run(folder):
            if data:
                changes += ["data.source=folders", f"data.root={_toml('data', str(data))}"]
            run.resume(folder, screen, changes, given)
        else:
            run.start(given, folder, screen)
    except Stopped as stopped:
        if stopped.exit_code == 128 + signal.SIGINT:
            raise KeyboardInterrupt(str(stopped)) from None
        raise SystemExit(stopped.exit_code) from None
    finally:
        screen.stop()
    screen.say(f"Look at it: {RunFolder(folder).report}")
    return load(folder, given.train.device)


def _screen(callback: Callback | None) -> PlainScreen | RichScreen:
    """A live display where there can be one: under a terminal, and in a notebook that has widgets."""
    console = Console()
    live = bool(find_spec("ipywidgets")) if console.is_jupyter else console.is_terminal
    return RichScreen(callback) if live else PlainScreen(callback=callback)


def _toml(key: str, value: Any) -> str:
    """As a recipe would write it. Raises GanzooError for what it cannot say."""
    try:
        if isinstance(value, Mapping):
            table = tomlkit.inline_table()
            table.update({name: str(part) if isinstance(part, Path) else part for name, part in value.items()})
            return table.as_string()
        return tomlkit.item(str(value) if isinstance(value, Path) else value).as_string()
    except (TOMLKitError, TypeError, ValueError):
        raise GanzooError(f"{key} is set to {value!r}, which a recipe cannot say. Give text, numbers, lists.") from None
