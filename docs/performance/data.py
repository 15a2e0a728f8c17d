"""Images a second of ganzoo's loader and of torchvision's, same steps, same workers; and what a million images cost.

.venv/bin/python docs/performance/data.py
"""

import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from ganzoo.clock import Clock
from ganzoo.data.dataset import open_dataset
from ganzoo.data.loader import batches
from ganzoo.options import DataOptions

COUNT, BATCH, TURNS = 512, 16, 5  # images of each domain; images in a batch; turns of each loader
WORKERS = len(os.sched_getaffinity(0))
STEPS = v2.Compose(
    [
        v2.Resize((286, 286), v2.InterpolationMode.BICUBIC),
        v2.RandomCrop(256),
        v2.RandomHorizontalFlip(),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5] * 3, [0.5] * 3),
    ]
)


def photographs(root, count):
    """JPEGs of 256 px, about as many bytes as those of photographs."""
    rng = np.random.default_rng(0)
    for domain in ("trainA", "trainB"):
        (root / domain).mkdir(parents=True)
        for i in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
            coarse.resize((256, 256), Image.Resampling.BICUBIC).save(
                root / domain / f"photograph_{i:06d}.jpg", quality=90
            )


def ours(root, epochs=1, **options):
    dataset = open_dataset(DataOptions(source="folders", root=str(root), batch=BATCH, **options), "unpaired")
    stream = batches(dataset.training_samples(0), Clock(0, BATCH), epochs * COUNT)
    return (sum(map(len, batch.values())) for batch in stream)


def torchvisions(root):
    return (len(images) for images, _ in DataLoader(ImageFolder(root, STEPS), BATCH, shuffle=True, num_workers=WORKERS))


def speed(counts, first=1):
    """Images a second after the first batches, once the workers are there."""
    for _ in range(first):
        next(counts)
    began = time.perf_counter()
    return sum(counts) / (time.perf_counter() - began)


def speeds(root):
    loaders = {
        "torchvision's ImageFolder": lambda: speed(torchvisions(root)),
        "ganzoo, `cache = 0`": lambda: speed(ours(root, cache=0, workers=WORKERS)),
        'ganzoo, `cache = "file"`, from the second epoch on': lambda: speed(
            ours(root, 9, cache="file", workers=WORKERS), COUNT // BATCH
        ),
    }
    found = defaultdict(list)
    for turn in range(TURNS):
        for name, loader in loaders.items():
            found[name].append(loader() / WORKERS)
            print(f"{turn + 1} of {TURNS}: {name}: {found[name][-1]:.0f} images/s a core", file=sys.stderr)
    base = median(found["torchvision's ImageFolder"])
    print("| loader | images/s a core | of torchvision's |\n| --- | --- | --- |")
    for name, values in found.items():
        print(f"| {name} | {median(values):.0f} | {median(values) / base:.2f} |")


def million(root):
    """From a tree of links to the first batch, with the digest of all names that a resume compares."""
    files = sorted(file for file in root.glob("train?/*.jpg"))
    for i in range(1_000_000):
        folder = root / "million" / f"train{'AB'[i % 2]}" / f"{i // 10_000:03d}"
        if i % 10_000 < 2:
            folder.mkdir(parents=True)
        os.link(files[i % len(files)], folder / f"photograph_{i:07d}.jpg")
    print("a million links are there", file=sys.stderr)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    dataset = open_dataset(DataOptions(source="folders", root=str(root / "million")), "unpaired")
    dataset.fingerprint()
    samples = dataset.training_samples(0)
    listed = time.perf_counter() - began
    next(batches(samples, Clock(0, 1), 1))
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print("\n| a million images in 200 folders | |\n| --- | --- |")
    print(f"| listed, and their names compared | {listed:.1f} s |")
    print(f"| to the first batch | {time.perf_counter() - began:.1f} s |\n| memory, at most | {memory:.0f} MB |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GANZOO_CACHE"] = f"{folder}/cache"
        photographs(Path(folder) / "images", COUNT)
        million(Path(folder) / "images") if "million" in sys.argv else speeds(Path(folder) / "images")
