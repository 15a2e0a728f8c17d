"""A folder of images, translated, against the generator alone on images in memory: `translation.py [N]`.

N images of 256 px (default 24) are translated by the paper's generator, and eight times as many by a small one.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganzoo import DataSpec, recipe
from ganzoo.bulk import translate_files
from ganzoo.data.images import to_tensor
from ganzoo.imagefile import opened
from ganzoo.translate import Translator

TURNS = 3
GENERATORS = {
    "9 blocks, 64 channels": ({"name": "resnet", "width": 64, "blocks": 9}, 1),
    "2 blocks, 16 channels": ({"name": "resnet", "width": 16, "blocks": 2}, 8),
}


def images(folder: Path, count: int) -> list[Path]:
    """Smooth shapes under fine grain, as photographs have them: JPEGs of some 30 kB."""
    rng = np.random.default_rng(0)
    for i in range(count):
        shapes = Image.fromarray((rng.random((8, 8, 3)) * 255).astype(np.uint8)).resize((256, 256), Image.BICUBIC)
        grain = np.asarray(shapes) + rng.normal(0, 8, (256, 256, 1))
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(folder / f"{i:04}.jpg", quality=90)
    return sorted(folder.iterdir())


def main(count: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print("| generator | generator alone, images/s | folder to folder, images/s | ratio |\n| --- | --- | --- | --- |")
    for name, (generator, factor) in GENERATORS.items():
        document = {"model": "cyclegan", "data": {"source": "none", "size": 256}, "train": {"images": 1}}
        made = recipe.parse(document | {"options": {"generator": generator}})
        trainer = made.trainer(made.options, DataSpec(("x", "y"), {"x": 3, "y": 3}, 256)).to(device)
        translator = Translator(trainer.eval(), made)
        with tempfile.TemporaryDirectory() as root:
            (folder := Path(root, "in")).mkdir()
            ready = [to_tensor(opened(path))[None].to(device) for path in images(folder, count * factor)]
            batch = translator.at_once(translator.style())

            def alone() -> None:
                with torch.no_grad():
                    for i in range(0, len(ready), batch):  # noqa: B023
                        trainer.translate(torch.cat(ready[i : i + batch]), "x", "y")  # noqa: B023
                if device == "cuda":
                    torch.cuda.synchronize()

            def whole(out: Path) -> None:
                failures = [failure for *_, failure in translate_files(translator, folder, out) if failure]  # noqa: B023
                assert not failures, failures

            rates: dict[str, list[float]] = {"alone": [], "whole": []}
            alone()
            for turn in range(TURNS):
                for what, work in (("alone", alone), ("whole", lambda: whole(Path(root, str(turn))))):  # noqa: B023
                    print(f"{name}, {what}, turn {turn + 1} of {TURNS}", file=sys.stderr)
                    began = time.perf_counter()
                    work()
                    rates[what].append(len(ready) / (time.perf_counter() - began))
            bare, folder_rate = (statistics.median(rates[what]) for what in ("alone", "whole"))
            print(f"| {name} | {bare:.1f} | {folder_rate:.1f} | {folder_rate / bare:.2f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 24)
