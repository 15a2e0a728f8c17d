"""One `ganzoo` process of the tests: forked from a server that has imported torch already, which saves seconds a start.

Run through `runpy.run_path` with the globals `args`, `cwd`, `env`, `log` (a path stem) and `largest` (bytes of a file).
"""

import multiprocessing
import os
import resource
import signal
import sys
from pathlib import Path

args: list[str]
cwd: Path
env: dict[str, str]
log: Path
largest: int | None

multiprocessing.set_start_method(
    multiprocessing.get_all_start_methods()[0], force=True
)  # the usual one, not the server's
os.setsid()
signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the server may have been started by a data loader, which blocks some
os.chdir(cwd)
os.environ.update(env)
sys.path[:0] = [folder for folder in env.get("PYTHONPATH", "").split(os.pathsep) if folder]
for number, name in ((1, "stdout"), (2, "stderr")):
    os.dup2(os.open(log.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
if largest is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
sys.argv = [str(Path(sys.executable).with_name("ganzoo")), *args]

from ganzoo.cli import main  # noqa: E402 - as the console script does, now that the process is set up

sys.exit(main())
