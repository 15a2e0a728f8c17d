"""Tiny recipes, tiny images, and the program itself, run as real processes."""

import contextlib
import json
import multiprocessing
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from ganzoo_worlds import landscapes
from PIL import Image

from ganzoo.registry import TYPES, registry

PROGRAM = Path(sys.executable).with_name("ganzoo")
FORKED = Path(__file__).with_name("forked.py")
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["pytest", "ganzoo.run", "ganzoo.cli", "ganzoo.cli.screen"])
PATIENCE = 180  # seconds until a process is taken to hang
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BASE = {
    "model": "cyclegan",
    "data": {"source": "folders", "size": 32, "batch": 2},
    "options": {
        "generator": {"name": "resnet", "width": 4, "blocks": 1},
        "discriminator": {"name": "patch", "width": 4, "layers": 1},
        "pool": 3,
    },
    "train": {"images": 24, "checkpoint_every": 10, "sample_every": 12, "log_every": 4, "ema": 10.0, "device": "cpu"},
}


@dataclass(frozen=True)
class Result:
    """How a process ended; `returncode` is -N where signal N killed it."""

    returncode: int
    stdout: str
    stderr: str

    def mistake(self, *words: str, code: int = 2) -> str:
        """Its error message, after checking that it is a sentence with these words, told with this exit code."""
        assert self.returncode == code, self
        assert "Traceback" not in self.stdout + self.stderr, self
        _, *messages = re.split(r"^Error: ", self.stderr, flags=re.MULTILINE)
        assert len(messages) == 1, self
        message = messages[0]
        for word in words:
            assert word in message, f"{word!r} is not in: {message}"
        return message


class Process:
    """`ganzoo ARGS`, begun at once in a process group of its own; what it says goes to files that begin with `log`."""

    def __init__(self, args: tuple[Any, ...], cwd: Path, env: dict[str, str], largest: int | None, log: Path) -> None:
        self._log = log
        facts = {"args": list(map(str, args)), "cwd": cwd, "env": env, "log": log, "largest": largest}
        self._process = SERVER.Process(target=runpy.run_path, args=(str(FORKED),), kwargs={"init_globals": facts})
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    @property
    def so_far(self) -> Result:
        stdout, stderr = (self._log.with_suffix(f".{name}") for name in ("stdout", "stderr"))
        return Result(self._process.exitcode, *(p.read_text() if p.exists() else "" for p in (stdout, stderr)))

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits for it; the process must not end before."""
        began = time.monotonic()
        while not condition():
            assert self.running, f"it ended too early: {self.wait()}"
            assert time.monotonic() - began < PATIENCE, f"nothing happens: {self.so_far}"
            time.sleep(0.002)

    def send(self, number: signal.Signals) -> None:
        """To the whole process group, as Ctrl-C does."""
        os.killpg(self.pid, number)

    def wait(self) -> Result:
        self._process.join(PATIENCE)
        assert not self.running, f"it hangs: {self.so_far}"
        return self.so_far


class Installed(Process):
    """The same with the installed console program, which takes seconds to import torch."""

    def __init__(self, args: tuple[Any, ...], cwd: Path, env: dict[str, str], largest: int | None, log: Path) -> None:
        self._log = log
        command = [str(PROGRAM), *map(str, args)]
        outputs = {name: log.with_suffix(f".{name}").open("w") for name in ("stdout", "stderr")}
        self._process = subprocess.Popen(command, cwd=cwd, env=os.environ | env, start_new_session=True, **outputs)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def so_far(self) -> Result:
        return Result(self._process.poll(), *(self._log.with_suffix(s).read_text() for s in (".stdout", ".stderr")))

    def wait(self) -> Result:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        assert not self.running, f"it hangs: {self.so_far}"
        return self.so_far


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """`start(*args, cwd=...)` begins `ganzoo ARGS` and gives its Process; what still runs in the end is killed.

    `env` adds to the environment, `largest` is the most bytes that a file may have, `installed` makes it the installed
    console program.
    """
    logs, begun = tmp_path_factory.mktemp("processes"), []

    def begin(
        *args: Any, cwd: Path, env: dict[str, str] | None = None, largest: int | None = None, installed: bool = False
    ) -> Process:
        kind = Installed if installed else Process
        begun.append(kind(args, cwd, env or {}, largest, logs / f"{len(begun):03d}"))
        return begun[-1]

    yield begin
    for process in begun:
        if process.running:
            process.send(signal.SIGKILL)


@pytest.fixture(scope="session")
def ganzoo(start):
    """`ganzoo(*args, cwd=...)` runs the program to its end, in a process of its own as `start` does: gives a Result."""

    def run(*args: Any, **more: Any) -> Result:
        return start(*args, **more).wait()

    return run


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, playwright's Browser: `browser.new_page(viewport={"width": 390, "height": 844})`."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: it is in the extra test"
    )
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(f"there is no browser here: none of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as engines:
        browser = engines.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """trainA, trainB, testA, testB: 8 and 3 small landscapes of each domain."""
    root = tmp_path_factory.mktemp("images")
    for letter, rendering, first in (("A", "photo", 0), ("B", "painting", 100)):
        for split, count in (("train", 8), ("test", 3)):
            (root / f"{split}{letter}").mkdir()
            for i in range(count):
                seed = first + i + 50 * (split == "test")
                Image.fromarray(landscapes.render(seed, rendering, 36)).save(root / f"{split}{letter}" / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def recipe(images):
    """`recipe(folder, {"train.images": 8})` writes the tiny recipe with changes to FOLDER/tiny.toml; None removes."""

    def write(folder: Path, changes: dict[str, Any] | None = None, name: str = "tiny.toml") -> Path:
        tables = json.loads(json.dumps(BASE))
        tables["data"]["root"] = str(images)
        for key, value in (changes or {}).items():
            *table, last = key.split(".")
            place = tables.setdefault(table[0], {}) if table else tables
            place[last] = value
            if value is None:
                del place[last]
        (folder / name).write_text(tomlkit.dumps(tables))
        return folder / name

    return write


@pytest.fixture(scope="session")
def run(tmp_path_factory, recipe, ganzoo) -> Path:
    """A finished run from A to B, with averaged weights."""
    folder = tmp_path_factory.mktemp("run")
    recipe(folder)
    done = ganzoo("run", "tiny.toml", "--out", "out", cwd=folder)
    assert done.returncode == 0, done
    return folder / "out"


@pytest.fixture(scope="session")
def plugin():
    """`plugin(site, "sketch", {"__init__": "...", "model": "..."})` installs ganzoo-sketch there; gives the environment."""

    def install(site: Path, name: str, modules: dict[str, str], entry: str | None = None) -> dict[str, str]:
        package = site / f"ganzoo_{name}"
        facts = site / f"ganzoo_{name}-0.5.dist-info"
        package.mkdir(parents=True)
        facts.mkdir()
        for module, text in modules.items():
            (package / f"{module}.py").write_text(text)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ganzoo-{name}\nVersion: 0.5\n")
        (facts / "entry_points.txt").write_text(f"[ganzoo]\n{name} = {entry or package.name}\n")
        return {"PYTHONPATH": os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))}

    return install


@pytest.fixture(scope="module")
def known():
    """After `known(site)` this process, too, knows the plugins in that folder, until the module's tests have ended."""

    def know(site: Path) -> None:
        patch.syspath_prepend(str(site))
        registry.cache_clear()

    with pytest.MonkeyPatch.context() as patch:
        yield know
    registry.cache_clear()


def registering(type_: str, name: str, target: str) -> str:
    """The `__init__` of a plugin that registers one thing."""
    hook = f"register_{TYPES[type_]}"
    return f'from ganzoo import hookimpl\n\n\n@hookimpl\ndef {hook}(register):\n    register("{name}", "{target}")\n'
