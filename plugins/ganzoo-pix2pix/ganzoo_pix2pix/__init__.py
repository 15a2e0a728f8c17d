"""pix2pix for ganzoo."""

from ganzoo import hookimpl

BIBTEX = """@inproceedings{isola2017pix2pix,
  author = {Isola, Phillip and Zhu, Jun-Yan and Zhou, Tinghui and Efros, Alexei A.},
  title = {Image-to-Image Translation with Conditional Adversarial Networks},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2017},
  eprint = {1611.07004},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "pix2pix",
        "ganzoo_pix2pix.model:Pix2Pix",
        summary="paired image-to-image translation",
        data_kind="paired",
        paper="Isola et al. 2017, arXiv:1611.07004",
        bibtex=BIBTEX,
    )
