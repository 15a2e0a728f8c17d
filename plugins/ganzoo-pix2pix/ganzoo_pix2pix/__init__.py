"""pix2pix for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "pix2pix",
        "ganzoo_pix2pix.model:Pix2Pix",
        summary="paired image-to-image translation",
        data_kind="paired",
        paper="Isola et al. 2017, arXiv:1611.07004",
    )
