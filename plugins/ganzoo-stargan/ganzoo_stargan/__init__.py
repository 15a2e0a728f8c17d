"""StarGAN for ganzoo."""

from ganzoo import hookimpl

BIBTEX = """@inproceedings{choi2018stargan,
  author = {Choi, Yunjey and Choi, Minje and Kim, Munyoung and Ha, Jung-Woo and Kim, Sunghun and Choo,
    Jaegul},
  title = {StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2018},
  eprint = {1711.09020},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "stargan",
        "ganzoo_stargan.model:StarGAN",
        summary="multi-domain translation: labelled attributes such as hair colour or expression",
        data_kind="labelled",
        paper="Choi et al. 2018, arXiv:1711.09020",
        bibtex=BIBTEX,
    )


@hookimpl
def register_generators(register):
    register("stargan", "ganzoo_stargan.nets:StarGANGenerator", summary="residual blocks, zero padding, for labels")


@hookimpl
def register_importers(register):
    summary = "generator and discriminator of the authors' PyTorch code"
    register("stargan", "ganzoo_stargan.importer:StarGANImporter", summary=summary)


@hookimpl
def register_pretrained(register):
    for size in (128, 256):
        summary = f"hair colour, sex and age of faces, at {size} px"
        target = f"ganzoo_stargan.pretrained:CELEBA_{size}"
        register(f"stargan_celeba_{size}", target, summary=summary, model="stargan")
