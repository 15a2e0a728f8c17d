"""Several processes that form one group, as those of a run do, in a test."""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ganzoo.registry import FILES

PATIENCE = timedelta(minutes=3)  # until processes that wait for each other are taken to hang
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def in_processes(function: Callable[..., Any], *args: Any, count: int = 2) -> list[Any]:
    """What `function(*args)` gives in each of `count` processes of one group, by rank.

    In it, `engine(..., devices=count)` is an engine that shares its batches with the others. The function stands at the
    top of its file. Its arguments can be pickled; it gives tensors, numbers and text, alone or in dicts and lists.
    Raises RuntimeError with what the first one that failed says. Call it from a test, or below
    `if __name__ == "__main__":`.
    """
    context: Any = multiprocessing.get_context(METHOD)
    if METHOD == "forkserver":
        context.set_forkserver_preload(["ganzoo_testing.preload"])  # they start with torch imported
    home = (function.__module__, function.__code__.co_filename, function.__name__)
    with tempfile.TemporaryDirectory() as folder:
        facts = (count, Path(folder), list(sys.path), list(FILES), home, args)
        members = [context.Process(target=_member, args=(rank, *facts)) for rank in range(count)]
        for member in members:
            member.start()
        for member in members:
            member.join()
        failures = sorted(Path(folder).glob("*.txt"), key=lambda path: path.stat().st_mtime_ns)
        if failures or any(member.exitcode for member in members):
            codes = [member.exitcode for member in members]
            raise RuntimeError(failures[0].read_text(encoding="utf-8") if failures else f"exit codes {codes}")
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(count)]


def _member(
    rank: int, count: int, folder: Path, path: list[str], files: list[Path], home: tuple[str, str, str], args: Any
) -> None:
    """One of the processes."""
    os.environ |= {"WORLD_SIZE": str(count), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    sys.path[:], FILES[:] = path, files
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), count)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=PATIENCE)
    try:
        torch.save(_found(*home)(*args), folder / f"{rank}.pt")
        dist.barrier()  # none leaves while another still needs it
    except Exception as error:
        (folder / f"{rank}.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise SystemExit(1) from None
    finally:
        dist.destroy_process_group()


def _found(module: str, file: str, name: str) -> Callable[..., Any]:
    """The function again; test files cannot always be imported by their names."""
    try:
        return getattr(import_module(module), name)
    except ImportError:
        return runpy.run_path(file)[name]
