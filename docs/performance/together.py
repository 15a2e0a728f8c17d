"""Two quick runs that begin together against one alone, in turns: python docs/performance/together.py"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

PROGRAM = Path(sys.executable).with_name("ganzoo")
LENGTH, TURNS = 400, 2
SHORT = (f"images={LENGTH}", "log_every=40", "sample_every=10_000", "checkpoint_every=10_000", "metrics=[]")


def speeds(folder: Path, runs: int) -> list[float]:
    """Images/s of each of so many runs, without their beginning and end."""
    outs = [folder / f"{runs}-{n}" for n in range(runs)]
    keys = [word for key in SHORT for word in ("--set", f"train.{key}")]
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    begun = [
        subprocess.Popen(
            [PROGRAM, "run", "cyclegan_monet", "--quick", "--out", out, *keys], env=env, stdout=subprocess.DEVNULL
        )
        for out in outs
    ]
    assert not any([run.wait() for run in begun])
    logs = [[json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()] for out in outs]
    return [(log[-1]["images"] - log[0]["images"]) / (log[-1]["seconds"] - log[0]["seconds"]) for log in logs]


alone, together = [], []
for turn in range(TURNS):
    with TemporaryDirectory() as place:
        alone += speeds(Path(place), 1)
        pair = speeds(Path(place), 2)
    print(f"turn {turn + 1} of {TURNS}: alone {alone[-1]:.1f}, together {pair} images/s", file=sys.stderr)
    together.append(pair)
first, second = (median(values) for values in zip(*together, strict=True))
print("| | images/s | of the speed alone |\n| --- | --- | --- |")
for name, speed in (("alone", median(alone)), ("first of two", first), ("second of two", second)):
    print(f"| {name} | {speed:.1f} | {speed / median(alone):.2f} |")
