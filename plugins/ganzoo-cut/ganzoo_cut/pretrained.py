"""The six generators of CUT and FastCUT that the authors published in one archive."""

from ganzoo import Pretrained, TrainedOn

_URL = "https://efrosgans.eecs.berkeley.edu/CUT/pretrained_models.tar"  # without a checksum never over http
_CODE = "The authors' code has the BSD licence; none is published with the weights."
_CITYSCAPES = "Cityscapes, which is for non-commercial use"
_AFHQ = "AFHQ, which is CC BY-NC"
_IMAGENET = "photographs from ImageNet"


def _generator(mode: str, data: str, source: str, target: str, images: str) -> Pretrained:
    return Pretrained(
        name=f"{mode}_{data}",
        model="cut",
        urls=(_URL,),
        saved_as="cut_pretrained_models.tar",
        members=(f"{data}_{mode}_pretrained/latest_net_G.pth",),
        licence=f"{_CODE} Trained on {images}.",
        trained_on=TrainedOn(domains=(source, target), size=256),
        parameters=11_378_179,
    )


CUT_CITYSCAPES = _generator("cut", "cityscapes", "label", "photo", _CITYSCAPES)
CUT_HORSE2ZEBRA = _generator("cut", "horse2zebra", "horse", "zebra", _IMAGENET)
CUT_CAT2DOG = _generator("cut", "cat2dog", "cat", "dog", _AFHQ)
FASTCUT_CITYSCAPES = _generator("fastcut", "cityscapes", "label", "photo", _CITYSCAPES)
FASTCUT_HORSE2ZEBRA = _generator("fastcut", "horse2zebra", "horse", "zebra", _IMAGENET)
FASTCUT_CAT2DOG = _generator("fastcut", "cat2dog", "cat", "dog", _AFHQ)
