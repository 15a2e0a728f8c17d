"""Peak memory of one step of CycleGAN (9 blocks, 256 px) by setting, beside the authors' order of computations.

On torch's meta device nothing is computed, but every tensor has its size, and lives as long as on any other device.
"""

import sys
import weakref
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganzoo import recipe as recipes
from ganzoo.clock import Clock
from ganzoo.data.kinds import load_kind
from ganzoo.loop import Engine
from ganzoo.runtime import Runtime
from ganzoo.trainer import Batch

META, SIZE = torch.device("meta"), 256


class Peak(TorchDispatchMode):
    """The most bytes that tensors have held at once, of those that were made inside."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, Tensor):
                self.add(value.untyped_storage())
        return out

    def add(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self.alive:
            return

        def gone(_: object) -> None:
            self.now -= size
            del self.alive[key]

        self.alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def engine(batch: int, **train: object) -> Engine:
    data = {"source": "none", "size": SIZE, "batch": batch}
    recipe = recipes.parse({"model": "cyclegan", "data": data, "train": {"images": 1000, "device": "cpu"} | train})
    runtime = Runtime(recipe.train, batch)
    trainer = recipe.trainer(recipe.options, load_kind("unpaired").example_spec(SIZE))
    ours = Engine(trainer, recipe.train, runtime, Clock(0, batch))
    for pool in trainer.stateful().values():
        pool.size = 1
    return ours


def authors(ours: Engine) -> Callable[[Batch], None]:
    """A step as the authors' code takes it, with the same networks."""
    G, D, (a, b) = ours.trainer.G, ours.trainer.D, ours.trainer.domains
    opt_G, opt_D = (Adam(nets.parameters(), 2e-4, (0.5, 0.999)) for nets in (G, D))

    def gan(logits: Tensor, real: bool) -> Tensor:
        return F.mse_loss(logits, torch.full_like(logits, float(real)))

    def step(batch: Batch) -> None:
        real_a, real_b = batch[a], batch[b]
        fake_b = G[b](real_a)
        rec_a = G[a](fake_b)
        fake_a = G[a](real_b)
        rec_b = G[b](fake_a)
        D.requires_grad_(False)
        opt_G.zero_grad()
        idt_b, idt_a = G[b](real_b), G[a](real_a)
        loss = 5 * F.l1_loss(idt_b, real_b) + 5 * F.l1_loss(idt_a, real_a)
        loss = loss + gan(D[b](fake_b), True) + gan(D[a](fake_a), True)
        loss = loss + 10 * F.l1_loss(rec_a, real_a) + 10 * F.l1_loss(rec_b, real_b)
        loss.backward()
        opt_G.step()
        D.requires_grad_(True)
        opt_D.zero_grad()
        for domain, real, fake in ((b, real_b, fake_b), (a, real_a, fake_a)):
            (0.5 * (gan(D[domain](real), True) + gan(D[domain](fake.detach()), False))).backward()
        opt_D.step()

    return step


def gigabytes(batch: int, plain: bool = False, **train: object) -> float:
    """Of the second step, weights and optimizers included."""
    with (
        mock.patch("torch.is_autocast_enabled", lambda *_: False),  # both know no meta device
        mock.patch("torch.autocast"),
        mock.patch.object(Runtime, "device", META),
        Peak() as peak,
    ):
        with META:
            ours = engine(batch, **train)
        take = authors(ours) if plain else ours.step
        for _ in range(2):
            take({domain: torch.zeros(batch, 3, SIZE, SIZE, device=META) for domain in ours.trainer.domains})
    return peak.peak / 1e9


def main() -> None:
    rows = {
        "the authors' order": {"plain": True},
        "ganzoo": {},
        "`checkpoint_activations = true`": {"checkpoint_activations": True},
        "`micro_batch = 1`": {"micro_batch": 1},
        "both": {"micro_batch": 1, "checkpoint_activations": True},
    }
    print("| | batch 1, GB | | batch 4, GB | |\n| --- | --- | --- | --- | --- |")
    base: dict[int, float] = {}
    for name, settings in rows.items():
        cells = []
        for batch in (1, 4):
            print(f"{name}, batch {batch}", file=sys.stderr, flush=True)
            found = gigabytes(batch, **settings)
            cells += [f"{found:.2f}", f"{found / base.setdefault(batch, found):.2f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
