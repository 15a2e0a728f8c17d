"""Neural style transfer for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "style",
        "ganzoo_style.model:Style",
        summary="neural style transfer by optimising the pixels of one image",
        data_kind="single-pair",
        paper="Gatys et al. 2016, CVPR",
    )
