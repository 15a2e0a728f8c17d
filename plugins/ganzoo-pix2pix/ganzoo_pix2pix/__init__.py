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


@hookimpl
def register_importers(register):
    register("pix2pix", "ganzoo_pix2pix.importer:Pix2PixImporter", summary="a U-Net of the authors' PyTorch code")


@hookimpl
def register_pretrained(register):
    generators = {
        "edges2shoes": "edges into shoes",
        "day2night": "places by day into night",
        "pix2pix_sat2map": "aerial images into maps",
        "pix2pix_map2sat": "maps into aerial images",
        "pix2pix_facades_label2photo": "labels into facades",
    }
    for name, summary in generators.items():
        target = f"ganzoo_pix2pix.pretrained:{name.removeprefix('pix2pix_').upper()}"
        register(name, target, summary=summary, model="pix2pix")
