"""ComboGAN for ganzoo."""

from ganzoo import hookimpl

BIBTEX = """@inproceedings{anoosheh2018combogan,
  author = {Anoosheh, Asha and Agustsson, Eirikur and Timofte, Radu and Van Gool, Luc},
  title = {ComboGAN: Unrestrained Scalability for Image Domain Translation},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition Workshops},
  year = {2018},
  eprint = {1712.06909},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "combogan",
        "ganzoo_combogan.model:ComboGAN",
        summary="unpaired translation between any number of domains",
        data_kind="domains",
        paper="Anoosheh et al. 2018, arXiv:1712.06909",
        bibtex=BIBTEX,
    )


@hookimpl
def register_discriminators(register):
    register(
        "two-stream",
        "ganzoo_combogan.nets:TwoStreamDiscriminator",
        summary="ComboGAN's: grey and colour, several depths",
    )


@hookimpl
def register_importers(register):
    summary = "encoders and decoders of the authors' PyTorch code, of all domains"
    register("combogan", "ganzoo_combogan.importer:ComboGANImporter", summary=summary)
