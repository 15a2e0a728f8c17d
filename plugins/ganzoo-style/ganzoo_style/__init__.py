"""Neural style transfer for ganzoo."""

from ganzoo import hookimpl

BIBTEX = """@inproceedings{gatys2016style,
  author = {Gatys, Leon A. and Ecker, Alexander S. and Bethge, Matthias},
  title = {Image Style Transfer Using Convolutional Neural Networks},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2016},
}"""


@hookimpl
def register_models(register):
    register(
        "style",
        "ganzoo_style.model:Style",
        summary="neural style transfer by optimising the pixels of one image",
        data_kind="single-pair",
        paper="Gatys et al. 2016, CVPR",
        bibtex=BIBTEX,
    )
