"""GAN and conditional GAN for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "gan",
        "ganzoo_gan.model:GAN",
        summary="new images from noise, after the images in one folder",
        data_kind="images",
        paper="Goodfellow et al. 2014, arXiv:1406.2661; Radford et al. 2015, arXiv:1511.06434",
    )
    register(
        "cgan",
        "ganzoo_gan.model:CGAN",
        summary="new images of a label that is asked for",
        data_kind="labelled",
        paper="Mirza and Osindero 2014, arXiv:1411.1784",
    )
