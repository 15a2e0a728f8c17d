"""The shared model is UNIT as published: parameters, and a plain step written from the paper that agrees to 1e-9."""

import copy

import pytest
import torch
from torch import nn

from ganzoo import GanzooError, checkpoint, recipe
from ganzoo.clock import Clock
from ganzoo.testing import build, check_model, random_batch
from ganzoo.trainer import DataSpec

SMALL = {"width": 4, "blocks": 2, "discriminator": {"name": "patch", "width": 4, "layers": 2}}
SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 32)


def parsed(preset="", **options):
    tables = {
        "model": "unit",
        "data": {"source": "none", "size": 32, "batch": 2},
        "options": options,
        "train": {"images": 80, "precision": "64", "device": "cpu", "constant": 1.0},
    }
    return recipe.parse(tables | ({"preset": preset} if preset else {}))


def make(**options):
    return build(parsed(**(SMALL | options)), SPEC)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"vae": False, "latent_adversary": "critic", "share_layers": 2, "norm": "batch"},
        {"vae": False, "latent_adversary": "reversal", "share_layers": 0, "loss": "lsgan"},
        {"latent_adversary": "critic", "kernel": 4, "loss": "wgan-gp"},
    ],
)
def test_conformance(options):
    check_model("unit", **(SMALL | options))


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_published_parameters():
    made = parsed("pytorch-gan")
    trainer = made.trainer(made.options, DataSpec(("x", "y"), {"x": 3, "y": 3}, 256))
    assert [count(trainer.E[d]) for d in "xy"] == [4_205_696, 4_205_696]
    assert [count(trainer.G[d]) for d in "xy"] == [4_205_443, 4_205_443]
    assert count(trainer.shared_encoder) == count(trainer.shared_decoder) == 1_180_160  # one residual block


def test_sharing_moves_blocks():
    sizes = []
    for shared in range(3):
        trainer = make(share_layers=shared).trainer
        sizes.append((count(trainer.E["x"]), count(trainer.shared_encoder)))
    block = sizes[0][0] - sizes[1][0]
    assert sizes == [(sizes[0][0] - n * block, n * block) for n in range(3)]


def plain_steps(nets, batches, clock, *, lr=1e-4, kl=0.1, adversary="none", vae=True):
    """Liu et al. 2017, equations 2 to 5, with the weights of section 5; nothing of ganzoo but its dice.

    With unit variance the divergence from the standard normal distribution is half the squared mean. `adversary` adds
    the critic of codes that encoders fool.
    """
    E, shared_encoder, shared_decoder, G, D, C = nets
    opt_G = torch.optim.Adam(
        [p for net in (E, shared_encoder, shared_decoder, G) for p in net.parameters()], lr=lr, betas=(0.5, 0.999)
    )
    opt_D = torch.optim.Adam(D.parameters(), lr=lr, betas=(0.5, 0.999))
    opt_C = torch.optim.Adam(C.parameters(), lr=lr, betas=(0.5, 0.999)) if adversary == "critic" else None
    l1, bce = nn.L1Loss(), nn.BCEWithLogitsLoss()

    def mean_of(image, domain):
        return shared_encoder(E[domain](image))

    def code_of(mean):
        noise = torch.randn(mean.shape, generator=clock.shared, dtype=torch.float32).double()
        return mean + noise if vae else mean

    def image_of(code, domain):
        return G[domain](shared_decoder(code))

    def divergence(mean):
        return 0.5 * (mean**2).mean() if vae else torch.zeros(())

    def judged(logits, real):
        return bce(logits, torch.full_like(logits, float(real)))

    for step, (x, y) in enumerate(batches):
        clock.set(step * len(x))
        mean_x, mean_y = mean_of(x, "x"), mean_of(y, "y")
        code_x, code_y = code_of(mean_x), code_of(mean_y)
        x_to_y, y_to_x = image_of(code_x, "y"), image_of(code_y, "x")
        mean_xy = mean_of(x_to_y, "y")
        back_x = image_of(code_of(mean_xy), "x")
        mean_yx = mean_of(y_to_x, "x")
        back_y = image_of(code_of(mean_yx), "y")
        vae_loss = kl * (divergence(mean_x) + divergence(mean_y))
        vae_loss = vae_loss + 100 * (l1(image_of(code_x, "x"), x) + l1(image_of(code_y, "y"), y))
        cycle = kl * (divergence(mean_x) + divergence(mean_xy) + divergence(mean_y) + divergence(mean_yx))
        cycle = cycle + 100 * (l1(back_x, x) + l1(back_y, y))
        gan = 10 * (judged(D["y"](x_to_y), True) + judged(D["x"](y_to_x), True))
        latent = judged(C(code_x), False) + judged(C(code_y), True) if adversary == "critic" else 0
        opt_G.zero_grad()
        (vae_loss + cycle + gan + latent).backward()
        opt_G.step()
        opt_D.zero_grad()
        for domain, real, fake in (("x", x, y_to_x), ("y", y, x_to_y)):
            (10 * (judged(D[domain](real), True) + judged(D[domain](fake.detach()), False))).backward()
        opt_D.step()
        if opt_C:
            opt_C.zero_grad()
            (judged(C(code_x.detach()), True) + judged(C(code_y.detach()), False)).backward()
            opt_C.step()


def networks(engine):
    t = engine.trainer
    return nn.ModuleList([t.E, t.shared_encoder, t.shared_decoder, t.G, t.D, getattr(t, "C", nn.Identity())])


def difference(ours, theirs):
    """The largest difference of any weight."""
    return max((a - b).abs().max().item() for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(("adversary", "vae"), [("none", True), ("critic", False)])
def test_ten_steps_agree_with_the_paper(adversary, vae):
    engine = make(latent_adversary=adversary, vae=vae)
    theirs, other = copy.deepcopy(networks(engine)), copy.deepcopy(networks(engine))
    batches = [{key: value.double() for key, value in random_batch(SPEC, step).items()} for step in range(10)]
    pairs = [(b["x"], b["y"]) for b in batches]
    plain_steps(theirs, pairs, Clock(0, 2), adversary=adversary, vae=vae)
    for batch in batches:
        engine.step(batch)
    assert difference(networks(engine), theirs) < 1e-9
    if vae:
        plain_steps(other, pairs, Clock(0, 2), kl=0.101)
        assert difference(networks(engine), other) > 1e-7  # the comparison notices a weight that is 1 % off


def test_reversal_is_the_sign_turned():
    """The classifier minimises the gradient that the encoders go up."""
    gradients = {}
    for adversary in ("critic", "reversal"):
        engine = make(latent_adversary=adversary, vae=False, reconstruction=0, cycle=0, adversarial=0)
        trainer, batch = engine.trainer, {k: v.double() for k, v in random_batch(SPEC, 0).items()}
        carry = {}
        terms = trainer.generator_loss(batch, carry)
        if adversary == "critic":  # its own loss, without reversal
            terms = {"domain": trainer.latent_gan.discriminator(*(trainer.C(carry[f"code_{d}"]) for d in "xy"))}
        terms["domain"].backward()
        gradients[adversary] = [next(net.parameters()).grad for net in (trainer.E["x"], trainer.C)]
    (plain_encoder, plain_critic), (turned_encoder, turned_critic) = gradients["critic"], gradients["reversal"]
    assert torch.equal(turned_critic, plain_critic)
    assert torch.equal(turned_encoder, -plain_encoder) and turned_encoder.abs().max() > 0


def test_translation_has_no_noise():
    trainer = make().trainer
    image = random_batch(SPEC, 0)["x"].double()
    with trainer.inference():
        made = trainer.translate(image, "x", "y")
        assert torch.equal(made, trainer.decode(trainer.encode(image, "x"), "y"))


def test_a_checkpoint_comes_back(tmp_path):
    engine, batch = make(latent_adversary="critic"), {k: v.double() for k, v in random_batch(SPEC, 0).items()}
    engine.step(batch)
    path = checkpoint.save(tmp_path / "checkpoint", engine.trainer.state_dict(), {}, {})
    weights, _ = checkpoint.load_networks(path)
    other = make(latent_adversary="critic").trainer
    other.load_state_dict(weights)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in engine.trainer.state_dict().items())


def test_more_shared_than_there_are_is_refused():
    made = parsed(**(SMALL | {"share_layers": 3}))
    with pytest.raises(GanzooError, match=r"2 blocks, so 3 cannot be shared"):
        made.trainer(made.options, SPEC)
