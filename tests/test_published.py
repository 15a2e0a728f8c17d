"""Recipes and presets are the published settings: against a table of them, made from the papers and the authors' code."""

import tomllib
from pathlib import Path

import pytest

from ganzoo import recipe
from ganzoo.errors import GanzooError
from ganzoo.runfolder import flat

RECIPES = Path(__file__).parent.parent / "recipes"
CYCLEGAN = {
    "data.size": 256, "data.load": 286, "data.batch": 1, "data.flip": True, "data.preprocess": "resize-and-crop",
    "options.generator": "resnet", "options.discriminator": "patch", "options.loss": "lsgan",
    "options.cycle": 10.0, "options.identity": 5.0, "options.pool": 50, "options.discriminator_weight": 0.5,
    "options.lr": 2e-4, "options.betas": [0.5, 0.999], "options.init": "normal", "train.constant": 0.5,
}  # fmt: skip
PIX2PIX = {
    "data.size": 256, "data.load": 286, "data.flip": True, "options.generator.name": "unet",
    "options.discriminator.name": "patch", "options.loss": "bce", "options.pixel": 100.0, "options.lr": 2e-4,
    "options.betas": [0.5, 0.999], "options.init": "normal", "train.constant": 1.0,
}  # fmt: skip
STARGAN = {
    "data.size": 128, "data.batch": 16, "data.flip": True, "data.preprocess": "square",
    "data.interpolation": "bilinear", "options.loss": "wgan-gp", "options.classification": 1.0,
    "options.reconstruction": 10.0, "options.discriminator_steps": 5, "options.lr": 1e-4,
    "options.betas": [0.5, 0.999], "options.residual": False, "options.old_labels": 0.0, "options.noise": 0.0,
    "train.constant": 0.5,
}  # fmt: skip
DISCOGAN = {
    "data.size": 64, "data.load": 64, "data.batch": 64, "data.flip": False,
    "data.interpolation": "bilinear-no-antialias", "options.generator": "disco",
    "options.discriminator": "disco", "options.init": "torch",
    "options.adversarial": 0.05, "options.features": 0.45, "options.reconstruction": 0.5,
    "options.early": [0.099, 0.891, 0.01], "options.early_images": 640_000, "options.generator_steps": 2,
    "options.weight_decay": 1e-5, "options.discriminator_weight": 0.5, "options.lr": 2e-4,
    "options.betas": [0.5, 0.999], "train.constant": 1.0,
}  # fmt: skip
DISCOGAN_PAPER = {
    "data.batch": 200, "options.adversarial": 1.0, "options.features": 0.0, "options.reconstruction": 1.0,
    "options.early_images": 0, "options.generator_steps": 0, "options.weight_decay": 1e-4,
    "options.discriminator_weight": 1.0,
}  # fmt: skip
COMBOGAN = {
    "data.size": 256, "data.load": 286, "data.batch": 1, "data.preprocess": "scale-shortside-and-crop",
    "options.discriminator": "two-stream", "options.cycle": 10.0, "options.distance": "smooth-l1",
    "options.identity": 0.0, "options.latent": 0.0, "options.forward": 0.0, "options.pool": 50, "options.lr": 2e-4,
    "options.betas": [0.5, 0.999], "train.constant": 0.5,
}  # fmt: skip
CUT = {
    "data.size": 256, "data.load": 286, "data.batch": 1, "options.generator": "resnet-antialiased",
    "options.discriminator": "patch-antialiased", "options.loss": "lsgan", "options.nce": 1.0,
    "options.nce_identity": True, "options.flip_equivariance": False, "options.temperature": 0.07,
    "options.patches": 256, "options.init": "xavier", "options.lr": 2e-4, "options.betas": [0.5, 0.999],
    "train.images": 400 * 1334, "train.constant": 0.5,
}  # fmt: skip
FASTCUT = {
    "options.nce": 10.0, "options.nce_identity": False, "options.flip_equivariance": True, "train.images": 200 * 1334,
    "train.constant": 0.75,
}  # fmt: skip
STARGAN_V2 = {
    "data.size": 256, "data.batch": 8, "data.preprocess": "resized-crop", "options.latent": 16, "options.style": 64,
    "options.hidden": 512, "options.max_width": 512, "options.loss.name": "bce", "options.loss.penalty.name": "r1",
    "options.loss.penalty.weight": 1.0, "options.reconstruction": 1.0, "options.cycle": 1.0,
    "options.diversity": 2.0, "options.diversity_images": 800_000, "options.lr": 1e-4, "options.mapping_lr": 1e-6,
    "options.betas": [0.0, 0.99], "options.weight_decay": 1e-4, "train.images": 800_000, "train.constant": 1.0,
}  # fmt: skip
DCGAN = {
    "options.backbone": "dcgan", "options.latent": 100, "options.optimizer": "adam", "options.lr": 2e-4,
    "options.betas": [0.5, 0.999], "options.init": "normal", "train.constant": 1.0,
}  # fmt: skip
UNIT = {
    "options.adversarial": 10.0, "options.kl": 0.1, "options.reconstruction": 100.0, "options.cycle": 100.0,
    "options.lr": 1e-4, "options.betas": [0.5, 0.999], "options.vae": True, "options.latent_adversary": "none",
    "train.constant": 1.0,
}  # fmt: skip
STYLE = {
    "options.content": 5.0, "options.style": 100.0, "options.smooth": 1e-3, "options.optimizer": "lbfgs",
    "options.content_layers": ["relu4_2"],
    "options.style_layers": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"], "train.images": 1_000,
    "data.size": 512,
}  # fmt: skip
PUBLISHED = [  # recipe, --preset, settings
    ("cyclegan_horse2zebra", "", CYCLEGAN | {"train.images": 200 * 1334}),
    ("cyclegan_horse2zebra", "official", CYCLEGAN | {"train.images": 200 * 1334}),
    ("cyclegan_horse2zebra", "paper", CYCLEGAN | {"train.images": 200 * 1334, "options.identity": 0.0}),
    ("cyclegan_monet", "", CYCLEGAN | {"train.images": 200 * 6287}),
    ("pix2pix_facades", "", PIX2PIX | {"data.batch": 1, "train.images": 200 * 400, "options.direction": "BtoA"}),
    ("pix2pix_facades", "paper", PIX2PIX | {"data.batch": 1, "train.images": 200 * 400}),
    ("pix2pix_facades", "official", PIX2PIX | {"data.batch": 1, "train.images": 200 * 400, "train.constant": 0.5}),
    ("pix2pix_edges", "", PIX2PIX | {"data.batch": 4, "train.images": 15 * 49_825, "options.direction": "AtoB"}),
    ("stargan_celeba", "", STARGAN | {"train.images": 20 * 200_600}),
    ("stargan_celeba", "paper", STARGAN | {"train.images": 20 * 200_600}),
    ("stargan_celeba", "official", STARGAN | {"train.images": 200_000 * 16, "train.constant": 1.0}),
    ("stargan_expressions", "", STARGAN | {"train.images": 200 * 4_340}),
    ("stargan_expressions", "official", STARGAN | {"train.images": 200_000 * 16, "train.constant": 1.0}),
    ("discogan_faces", "", DISCOGAN | {"data.thicken": {}}),
    ("discogan_faces", "paper", DISCOGAN | DISCOGAN_PAPER),
    ("discogan_edges2shoes", "", DISCOGAN | {"data.thicken.edges": 3}),
    ("discogan_edges2shoes", "paper", DISCOGAN | DISCOGAN_PAPER),
    ("combogan_seasons", "", COMBOGAN),
    ("combogan_painters", "", COMBOGAN),
    ("cut_horse2zebra", "", CUT),
    ("fastcut_horse2zebra", "", CUT | FASTCUT),
    ("starganv2_afhq", "", STARGAN_V2),
    ("gan_digits", "", DCGAN | {"data.batch": 64, "options.generator_width": 64, "options.noise": "normal"}),
    ("gan_digits", "dcgan", DCGAN | {"data.batch": 128, "options.generator_width": 128, "options.noise": "uniform"}),
    ("unit_faces", "", UNIT),
    ("style_transfer", "", STYLE),
]


@pytest.mark.parametrize(
    ("name", "preset", "settings"), PUBLISHED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_settings(name, preset, settings):
    resolved = recipe.read(RECIPES / f"{name}.toml", preset=preset)
    found = dict(flat(resolved.tables())) | {"data.load": resolved.data.load_size}
    assert {key: found[key] for key in settings} == settings


def test_the_page_of_published_settings_lists_none_that_is_not_compared():
    listed = tomllib.loads((RECIPES.parent / "docs" / "reproduce.toml").read_text())["setting"]
    compared = {(name, preset) for name, preset, _ in PUBLISHED}
    assert {(setting["recipe"], setting.get("preset", "")) for setting in listed} <= compared


def test_a_preset_of_the_command_line_goes_before_the_recipe_and_quick_before_it(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text(
        '[data]\nsource = "folders"\n[options]\nidentity = 3.0\n[train]\nimages = 8\n'
        "[quick]\noptions.pool = 1\n".replace("[data]", 'model = "cyclegan"\n[data]')
    )

    def identity(**given):
        return recipe.read(file, **given).options.identity

    assert identity() == 3.0
    assert identity(preset="paper") == 0.0
    assert identity(preset="official") == 5.0  # the model's default, not the recipe's own
    assert identity(preset="paper", changes=["options.identity=2.0"]) == 2.0
    assert recipe.read(file, preset="paper", quick=True).options.pool == 1
    with pytest.raises(GanzooError, match=r'--preset preset: there is no preset "papre"\. Did you mean "paper"\?'):
        identity(preset="papre")
