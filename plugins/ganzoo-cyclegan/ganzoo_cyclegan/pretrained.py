"""The generators that the authors of CycleGAN published, each for one direction."""

from ganzoo import Pretrained, TrainedOn

_HOST = "https://efrosgans.eecs.berkeley.edu/cyclegan/pretrained_models"  # without a checksum never over http
_CODE = "The authors' code has the BSD licence; none is published with the weights."
_IMAGENET = f"{_CODE} Trained on photographs from ImageNet."
_FLICKR = f"{_CODE} Trained on photographs from Flickr."
_PAINTINGS = f"{_CODE} Trained on paintings from WikiArt and photographs from Flickr."
_MAPS = f"{_CODE} Trained on images from Google Maps."
_CITYSCAPES = f"{_CODE} Trained on Cityscapes, which is for non-commercial use."
_FACADES = f"{_CODE} Trained on the CMP Facade Database."


def _generator(name: str, source: str, target: str, licence: str) -> Pretrained:
    return Pretrained(
        name=name,
        model="cyclegan",
        urls=(f"{_HOST}/{name}.pth",),
        saved_as=f"cyclegan_{name}.pth",  # pix2pix has some of the same name
        licence=licence,
        trained_on=TrainedOn(domains=(source, target), size=256),
        parameters=11_378_179,
    )


APPLE2ORANGE = _generator("apple2orange", "apple", "orange", _IMAGENET)
ORANGE2APPLE = _generator("orange2apple", "orange", "apple", _IMAGENET)
SUMMER2WINTER_YOSEMITE = _generator("summer2winter_yosemite", "summer", "winter", _FLICKR)
WINTER2SUMMER_YOSEMITE = _generator("winter2summer_yosemite", "winter", "summer", _FLICKR)
HORSE2ZEBRA = _generator("horse2zebra", "horse", "zebra", _IMAGENET)
ZEBRA2HORSE = _generator("zebra2horse", "zebra", "horse", _IMAGENET)
MONET2PHOTO = _generator("monet2photo", "monet", "photo", _PAINTINGS)
STYLE_MONET = _generator("style_monet", "photo", "monet", _PAINTINGS)
STYLE_CEZANNE = _generator("style_cezanne", "photo", "cezanne", _PAINTINGS)
STYLE_UKIYOE = _generator("style_ukiyoe", "photo", "ukiyoe", _PAINTINGS)
STYLE_VANGOGH = _generator("style_vangogh", "photo", "vangogh", _PAINTINGS)
SAT2MAP = _generator("sat2map", "aerial", "map", _MAPS)
MAP2SAT = _generator("map2sat", "map", "aerial", _MAPS)
CITYSCAPES_PHOTO2LABEL = _generator("cityscapes_photo2label", "photo", "label", _CITYSCAPES)
CITYSCAPES_LABEL2PHOTO = _generator("cityscapes_label2photo", "label", "photo", _CITYSCAPES)
FACADES_PHOTO2LABEL = _generator("facades_photo2label", "photo", "label", _FACADES)
FACADES_LABEL2PHOTO = _generator("facades_label2photo", "label", "photo", _FACADES)
IPHONE2DSLR_FLOWER = _generator("iphone2dslr_flower", "iphone", "dslr", _FLICKR)
