"""The U-Nets that the authors of pix2pix published, each for one direction."""

from ganzoo import Pretrained, TrainedOn

_HOST = "https://efrosgans.eecs.berkeley.edu/pix2pix/models-pytorch"  # without a checksum never over http
_CODE = "The authors' code has the BSD licence; none is published with the weights."


def _generator(file: str, source: str, target: str, data: str, name: str = "") -> Pretrained:
    return Pretrained(
        name=name or file,
        model="pix2pix",
        urls=(f"{_HOST}/{file}.pth",),
        saved_as=f"pix2pix_{file}.pth",  # CycleGAN has some of the same name
        licence=f"{_CODE} Trained on {data}.",
        trained_on=TrainedOn(domains=(source, target), size=256),
        parameters=54_413_955,
    )


EDGES2SHOES = _generator("edges2shoes", "edges", "shoes", "shoes of UT Zappos50K, for academic use, and their edges")
DAY2NIGHT = _generator("day2night", "day", "night", "the Transient Attributes dataset")
SAT2MAP = _generator("sat2map", "aerial", "map", "images from Google Maps", "pix2pix_sat2map")
MAP2SAT = _generator("map2sat", "map", "aerial", "images from Google Maps", "pix2pix_map2sat")
FACADES_LABEL2PHOTO = _generator(
    "facades_label2photo", "label", "photo", "the CMP Facade Database", "pix2pix_facades_label2photo"
)
