"""ComboGAN is the published one: a plain step written from the paper agrees with the engine's to 1e-9."""

import copy
import itertools

import pytest
import torch
from PIL import Image
from torch import nn

from ganzoo import GanzooError, recipe
from ganzoo.clock import Clock
from ganzoo.data.dataset import open_dataset
from ganzoo.data.kinds import Domains
from ganzoo.options import DataOptions
from ganzoo.testing import build, check_model, random_batch
from ganzoo.trainer import DataSpec

SMALL = {
    "width": 4,
    "encoder_blocks": 1,
    "decoder_blocks": 1,
    "discriminator": {"name": "two-stream", "width": 4, "layers": 3},
}
DOMAINS = ("x", "y", "z")
SPEC = DataSpec(DOMAINS, dict.fromkeys(DOMAINS, 3), 32)


def read(**options):
    tables = {
        "model": "combogan",
        "data": {"source": "none", "size": 32, "batch": 2},
        "options": options,
        "train": {"images": 80, "precision": "64", "device": "cpu", "constant": 0.5},
    }
    return recipe.parse(tables)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"identity": 5.0, "latent": 1.0, "latent_images": 10, "forward": 0.2, "pool": 0},
        {"loss": "wgan-gp", "discriminator": {"name": "two-stream", "width": 4}},
        {"loss": "hinge", "discriminator": {"name": "patch", "width": 4, "layers": 2}, "distance": "l1"},
        {"norm": "none", "init": "kaiming"},
        {"norm": "batch"},
    ],
)
def test_conformance(options):
    check_model("combogan", **SMALL | options)


def plain_steps(nets, batches, clock, *, lr, total, cycle=10.0, identity=3.0, latent=2.0, pool_size=2):
    """Anoosheh et al. 2018, section 3: CycleGAN's step for the two domains at hand, optimizers for each.

    Least squares on all predictions, weights 1, 2 ... and one more for the last. Nothing of ganzoo but its dice.
    """
    l1, mse, half = nn.SmoothL1Loss(), nn.MSELoss(), nn.AvgPool2d(3, 2)

    def adam(*modules):
        return torch.optim.Adam(itertools.chain(*(m.parameters() for m in modules)), lr=lr, betas=(0.5, 0.999))

    opt_G = {d: adam(nets["encoder", d], nets["decoder", d]) for d in DOMAINS}
    opt_D = {d: adam(nets["D", d]) for d in DOMAINS}
    history = {d: [] for d in DOMAINS}

    def gan(predictions, target):
        weights = list(range(1, len(predictions) + 1))
        weights[-1] += 1
        losses = [w * mse(p, torch.full_like(p, target)) for w, p in zip(weights, predictions, strict=True)]
        return sum(losses) / sum(weights) / len(losses)

    def query(old, fakes):
        chosen = []
        for fake in fakes:
            if len(old) < pool_size:
                old.append(fake)
                chosen.append(fake)
                continue
            luck, place = torch.rand(2, generator=clock.shared).tolist()
            if luck < 0.5:
                chosen.append(fake)
            else:
                index = int(place * pool_size)
                chosen.append(old[index])
                old[index] = fake
        return torch.stack(chosen)

    for step, batch in enumerate(batches):
        seen = 2 * step
        clock.set(seen)
        a, b = batch
        for optimizer in (opt_G[a], opt_G[b], opt_D[a], opt_D[b]):
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] = lr * min(1.0, (total - seen) / (total / 2))
        E, G, D = ({d: nets[kind, d] for d in DOMAINS} for kind in ("encoder", "decoder", "D"))
        fakes, loss = {}, 0
        for here, there in ((a, b), (b, a)):
            code = E[here](batch[here])
            fakes[there] = G[there](code)
            again = E[there](fakes[there])
            loss = loss + gan(D[there](fakes[there]), 1.0) + cycle * l1(G[here](again), batch[here])
            loss = loss + identity * l1(half(G[here](code)), half(batch[here]))
            loss = loss + latent * l1(again, code.detach())
        loss.backward()
        opt_G[a].step()
        opt_G[b].step()
        for d in (a, b):
            opt_D[d].zero_grad()
            old = query(history[d], fakes[d].detach())
            (0.5 * (gan(D[d](batch[d]), 1.0) + gan(D[d](old), 0.0))).backward()
            opt_D[d].step()


def networks(engine):
    return {(kind, d): getattr(engine.trainer, kind)[d] for kind in ("encoder", "decoder", "D") for d in DOMAINS}


def difference(ours, theirs):
    return max(
        (a - b).abs().max().item()
        for name in ours
        for a, b in zip(ours[name].parameters(), theirs[name].parameters(), strict=True)
    )


def pairs_of_domains(steps):
    for step in range(steps):
        yield {key: value.double() for key, value in Domains().example(SPEC, step, 2).items()}


def test_twelve_steps_agree_with_the_paper():
    """Three domains, two in each step, so that optimizers rest; the extra losses on."""
    engine = build(read(**SMALL, pool=2, identity=3.0, latent=2.0), SPEC)
    theirs, wrong = copy.deepcopy(networks(engine)), copy.deepcopy(networks(engine))
    batches = list(pairs_of_domains(12))
    assert len({frozenset(batch) for batch in batches}) == 3
    for batch in batches:
        engine.step(batch)
    plain_steps(theirs, batches, Clock(0, 2), lr=2e-4, total=80)
    assert difference(networks(engine), theirs) < 1e-9
    plain_steps(wrong, batches, Clock(0, 2), lr=2e-4, total=80, cycle=9.8)
    assert difference(networks(engine), wrong) > 1e-6  # the comparison notices a weight that is 2 % off


def test_a_domain_that_is_not_in_the_batch_rests():
    engine = build(read(**SMALL), SPEC)
    batch = {key: value.double() for key, value in random_batch(SPEC, 0).items()}
    engine.step(batch)  # three domains in one batch: all are trained once, so every optimizer has moments
    before = copy.deepcopy(engine.trainer.state_dict())
    engine.step({"z": batch["z"], "x": batch["x"]})
    for name, value in engine.trainer.state_dict().items():
        assert torch.equal(value, before[name]) == (".y." in name), name


def test_published_parameters():
    made = read()
    with torch.device("meta"):
        trainer = made.trainer(made.options, SPEC)
    for domain in DOMAINS:
        assert sum(p.numel() for p in trainer.encoder[domain].parameters()) == 5_099_143
        assert sum(p.numel() for p in trainer.decoder[domain].parameters()) == 6_565_770
        assert sum(p.numel() for p in trainer.D[domain].parameters()) == 13_931_410


def test_forward_needs_equal_channels():
    spec = DataSpec(DOMAINS, {"x": 1, "y": 3, "z": 3}, 32)
    made = read(**SMALL, forward=0.2)
    with pytest.raises(GanzooError, match=r"1 \(x\), 3 \(y\), 3 \(z\) channels.*options.forward = 0"):
        made.trainer(made.options, spec)
    engine = build(read(**SMALL), spec)
    engine.step({key: value.double() for key, value in random_batch(spec, 0).items() if key != "z"})


def test_all_directions():
    trainer = build(read(**SMALL), SPEC).trainer
    assert trainer.directions() == list(itertools.permutations(DOMAINS, 2))
    images = {key: value.double() for key, value in random_batch(SPEC, 0).items()}
    with trainer.inference():
        groups = trainer.sample_columns(images, images)
    shown = {source: list(group) for source, group in groups.items()}
    assert shown == {"x": ["x", "to y", "to z"], "y": ["y", "to x", "to z"], "z": ["z", "to x", "to y"]}


def test_domains_are_named_after_folders_in_natural_order(tmp_path):
    for name in ("painter10", "painter2", "painter1"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32)).save(tmp_path / name / "1.png")
    made = read()
    dataset = open_dataset(DataOptions(source="folders", root=str(tmp_path)), made.data_kind)
    assert dataset.spec.domains == ("painter1", "painter2", "painter10")
