"""Batches larger than what fits: computed in parts, with activations computed again, to the same weights."""

import pytest
import torch
from ganzoo_testing import batch, difference, engine

from ganzoo import GanzooError

SMALL = {"name": "small", "width": 4}
PATCH = {"name": "patch", "width": 4, "layers": 1}
NETS = {"generator": SMALL, "discriminator": PATCH}
CUT = {"generator": {"name": "resnet-antialiased", "width": 2, "blocks": 2}, "discriminator": PATCH}
SHALLOW = {"width": 2, "encoder_blocks": 1, "decoder_blocks": 1, "discriminator": PATCH}
PLAIN = {"name": "small", "width": 4, "norm": "instance"}


def penalised(kind, every=1):
    return {"loss": {"name": "lsgan", "penalty": {"name": kind, "every": every}}}


MODELS = {
    "cyclegan": ("cyclegan", NETS | {"pool": 3}),  # full after the first step
    "cyclegan-r1": ("cyclegan", NETS | penalised("r1", 2)),
    "cyclegan-gp": ("cyclegan", NETS | penalised("gp")),
    "cyclegan-dragan": ("cyclegan", NETS | penalised("dragan")),
    "cut": ("cut", CUT | {"patches": 16}),
    "fastcut": ("cut", CUT | {"patches": 16, "nce_identity": False, "flip_equivariance": True}),
    "pix2pix": ("pix2pix", {"generator": PLAIN, "discriminator": PATCH}),
    "pix2pix-G-first": ("pix2pix", {"generator": PLAIN, "discriminator": PATCH, "first": "generator"}),
    "stargan": (
        "stargan",
        {
            "generator": {"name": "stargan", "width": 2, "blocks": 1},
            "discriminator_width": 4,
            "discriminator_layers": 3,
            "discriminator_steps": 2,
            "noise": 0.1,
        },
    ),
    "starganv2": ("starganv2", {"width": 4, "max_width": 8, "hidden": 8}),
    "combogan": ("combogan", SHALLOW | {"pool": 3}),
    "unit": ("unit", {"width": 4, "blocks": 1, "discriminator": PATCH, "latent_adversary": "critic"}),
    "xgan": ("xgan", {"width": 4, "embedding": 8}),
    "gan": ("gan", {"backbone": "mlp", "generator_width": 12, "discriminator_width": 5}),
}
WHOLE = {  # where parts give something else: batch norm sees one of them, dropout draws other units
    "pix2pix-batch-norm-dropout": (
        "pix2pix",
        {"generator": {"name": "unet", "width": 2, "norm": "batch", "dropout": 0.5}},
    ),
    "cgan-batch-norm": ("cgan", {"generator_width": 4, "discriminator_width": 4}),
}


def trained(model, options, **train):
    """Two steps of four images, and their terms: an engine whose rounding no Adam enlarges."""
    ours = engine(model, options, batch=4, precision="64", ema=10.0, clip=1.0, **train)
    for group in (group for optimizer in ours.optimizers for group in optimizer.param_groups):
        group["eps"] = 1e-3  # usually 1e-8: a gradient that is rounding alone would move its weight by the whole lr
    steps = [ours.step(batch(ours, step)).terms for step in range(2)]
    return ours, [{f"{p}.{k}": v.item() for p, terms in step.items() for k, v in terms.items()} for step in steps]


@pytest.mark.parametrize("name", MODELS | WHOLE)
def test_parts_train_as_the_whole_batch_does_and_recomputation_changes_no_bit(name):
    model, options = (MODELS | WHOLE)[name]
    whole, expected = trained(model, options)
    again, _ = trained(model, options, checkpoint_activations=True)
    assert difference(again.trainer, whole.trainer) == 0
    if name in WHOLE:
        return
    parted, terms = trained(model, options, micro_batch=1)
    assert (whole.parts, parted.parts) == (1, 4)
    assert difference(parted.trainer, whole.trainer) < 1e-9
    assert difference(parted.ema.shadow, whole.ema.shadow) < 1e-9
    assert terms == [pytest.approx(step, abs=1e-9) for step in expected]
    assert torch.equal(parted.clock.shared.get_state(), whole.clock.shared.get_state())


def test_a_part_is_as_large_as_it_may_be():
    found = [engine("gan", MODELS["gan"][1], batch=12, micro_batch=largest).parts for largest in (1, 2, 5, 11, 12, 99)]
    assert found == [12, 6, 3, 2, 1, 1]


def test_what_cannot_be_gathered_from_the_parts_is_told():
    ours = engine("cyclegan", NETS | {"discriminator_steps": 2}, batch=2, micro_batch=1)
    with pytest.raises(GanzooError, match=r"leave train\.micro_batch out"):
        ours.step(batch(ours))
