"""The shared model is UNIT as published: parameters, and a plain step written from the paper that agrees to 1e-9."""

import copy

import pytest
import torch
from ganzoo_testing import batch, check_model, difference, engine, trainer
from torch import nn

from ganzoo import GanzooError, checkpoint
from ganzoo.clock import Clock
from ganzoo.trainer import DataSpec

SMALL = {"width": 4, "blocks": 2, "discriminator": {"name": "patch", "width": 4, "layers": 2}}
SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 32)


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
    check_model("unit", SMALL | options, processes=options.get("norm") == "batch" or not options)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_published_parameters():
    with torch.device("meta"):
        model = trainer("unit", size=256, preset="pytorch-gan")
    assert [count(model.E[d]) for d in model.domains] == [4_205_696, 4_205_696]
    assert [count(model.G[d]) for d in model.domains] == [4_205_443, 4_205_443]
    assert count(model.shared_encoder) == count(model.shared_decoder) == 1_180_160  # one residual block


def test_sharing_moves_blocks():
    sizes = []
    for shared in range(3):
        model = trainer("unit", SMALL | {"share_layers": shared}, SPEC)
        sizes.append((count(model.E["x"]), count(model.shared_encoder)))
    block = sizes[0][0] - sizes[1][0]
    assert sizes == [(sizes[0][0] - n * block, n * block) for n in range(3)]


def plain_steps(model, batches, clock, *, lr=1e-4, kl=0.1, adversary="none", vae=True):
    """Liu et al. 2017, equations 2 to 5, with the weights of section 5; nothing of ganzoo but its random numbers.

    With unit variance the divergence from the standard normal distribution is half the squared mean. `adversary` adds
    the critic of codes that encoders are trained against.
    """
    E, shared_encoder, shared_decoder, G, D = (model.E, model.shared_encoder, model.shared_decoder, model.G, model.D)
    opt_G = torch.optim.Adam(
        [p for net in (E, shared_encoder, shared_decoder, G) for p in net.parameters()], lr=lr, betas=(0.5, 0.999)
    )
    opt_D = torch.optim.Adam(D.parameters(), lr=lr, betas=(0.5, 0.999))
    opt_C = torch.optim.Adam(model.C.parameters(), lr=lr, betas=(0.5, 0.999)) if adversary == "critic" else None
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

    def loss_of(logits, real):
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
        gan = 10 * (loss_of(D["y"](x_to_y), True) + loss_of(D["x"](y_to_x), True))
        latent = loss_of(model.C(code_x), False) + loss_of(model.C(code_y), True) if adversary == "critic" else 0
        opt_G.zero_grad()
        (vae_loss + cycle + gan + latent).backward()
        opt_G.step()
        opt_D.zero_grad()
        for domain, real, fake in (("x", x, y_to_x), ("y", y, x_to_y)):
            (10 * (loss_of(D[domain](real), True) + loss_of(D[domain](fake.detach()), False))).backward()
        opt_D.step()
        if opt_C:
            opt_C.zero_grad()
            (loss_of(model.C(code_x.detach()), True) + loss_of(model.C(code_y.detach()), False)).backward()
            opt_C.step()


@pytest.mark.parametrize(("adversary", "vae"), [("none", True), ("critic", False)])
def test_ten_steps_agree_with_the_paper(adversary, vae):
    ours = engine("unit", SMALL | {"latent_adversary": adversary, "vae": vae}, SPEC, precision="64", constant=1.0)
    theirs, other = copy.deepcopy(ours.trainer), copy.deepcopy(ours.trainer)
    batches = [batch(ours, step) for step in range(10)]
    pairs = [(b["x"], b["y"]) for b in batches]
    plain_steps(theirs, pairs, Clock(0, 2), adversary=adversary, vae=vae)
    for images in batches:
        ours.step(images)
    assert difference(ours.trainer, theirs) < 1e-9
    if vae:
        plain_steps(other, pairs, Clock(0, 2), kl=0.101)
        assert difference(ours.trainer, other) > 1e-7  # the comparison notices a weight that is 1 % off


def test_reversal_is_the_sign_turned():
    """The classifier minimises the gradient that the encoders go up."""
    gradients = {}
    for adversary in ("critic", "reversal"):
        off = {"vae": False, "reconstruction": 0, "cycle": 0, "adversarial": 0}
        ours = engine("unit", SMALL | off | {"latent_adversary": adversary}, SPEC)
        model, carry = ours.trainer, {}
        terms = model.generator_loss(batch(ours), carry)
        if adversary == "critic":  # its own loss, without reversal
            terms = {"domain": model.latent_gan.discriminator(*(model.C(carry[f"code_{d}"]) for d in "xy"))}
        terms["domain"].backward()
        gradients[adversary] = [next(net.parameters()).grad for net in (model.E["x"], model.C)]
    (plain_encoder, plain_critic), (turned_encoder, turned_critic) = gradients["critic"], gradients["reversal"]
    assert torch.equal(turned_critic, plain_critic)
    assert torch.equal(turned_encoder, -plain_encoder) and turned_encoder.abs().max() > 0


def test_translation_has_no_noise():
    ours = engine("unit", SMALL, SPEC)
    model, image = ours.trainer, batch(ours)["x"]
    with model.inference():
        fake = model.translate(image, "x", "y")
        assert torch.equal(fake, model.decode(model.encode(image, "x"), "y"))


def test_a_checkpoint_comes_back(tmp_path):
    ours = engine("unit", SMALL | {"latent_adversary": "critic"}, SPEC)
    ours.step(batch(ours))
    weights, _ = checkpoint.load_networks(checkpoint.save(tmp_path / "saved", ours.trainer.state_dict(), {}, {}))
    other = trainer("unit", SMALL | {"latent_adversary": "critic"}, SPEC)
    other.load_state_dict(weights)
    assert difference(other, ours.trainer) == 0


def test_more_shared_than_there_are_is_refused():
    with pytest.raises(GanzooError, match=r"2 blocks, so 3 cannot be shared"):
        trainer("unit", SMALL | {"share_layers": 3}, SPEC)
