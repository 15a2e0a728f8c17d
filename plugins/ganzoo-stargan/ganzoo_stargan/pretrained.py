"""The networks for faces of CelebA that the authors of StarGAN published."""

from ganzoo import Pretrained, TrainedOn

_HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")


def _networks(size: int, place: str, parameters: int) -> Pretrained:
    return Pretrained(
        name=f"stargan_celeba_{size}",
        model="stargan",
        urls=(f"https://www.dropbox.com/s/{place}/celeba-{size}x{size}-5attrs.zip?dl=1",),
        members=("200000-G.ckpt", "200000-D.ckpt"),
        licence="The authors' code has the MIT licence; none is published with the weights. Trained on CelebA, which "
        "is for non-commercial research.",
        trained_on=TrainedOn(size=size, labels=(*_HAIR, "Male", "Young"), groups=(_HAIR,)),
        parameters=parameters,
    )


CELEBA_128 = _networks(128, "7e966qq0nlxwte4", 8_430_528 + 44_762_048)
CELEBA_256 = _networks(256, "zdq6roqf63m0v5f", 8_430_528 + 44_884_928)
