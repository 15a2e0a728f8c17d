"""GAN and conditional GAN for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "gan",
        "ganzoo_gan.model:GAN",
        summary="image generation from noise",
        data_kind="images",
        paper="Goodfellow et al. 2014, arXiv:1406.2661; Radford et al. 2015, arXiv:1511.06434",
    )
    register(
        "cgan",
        "ganzoo_gan.model:CGAN",
        summary="class-conditional generation",
        data_kind="labelled",
        paper="Mirza and Osindero 2014, arXiv:1411.1784",
    )
