"""CUT and FastCUT for ganzoo."""

from ganzoo import hookimpl

BIBTEX = """@inproceedings{park2020cut,
  author = {Park, Taesung and Efros, Alexei A. and Zhang, Richard and Zhu, Jun-Yan},
  title = {Contrastive Learning for Unpaired Image-to-Image Translation},
  booktitle = {European Conference on Computer Vision},
  year = {2020},
  eprint = {2007.15651},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "cut",
        "ganzoo_cut.model:CUT",
        summary="one-sided unpaired translation by contrastive learning",
        data_kind="unpaired",
        paper="Park et al. 2020, arXiv:2007.15651",
        bibtex=BIBTEX,
    )


@hookimpl
def register_generators(register):
    summary = "resnet, down- and upsampling without aliasing (Zhang 2019)"
    register("resnet-antialiased", "ganzoo_cut.nets:AntialiasedResnet", summary=summary)


@hookimpl
def register_discriminators(register):
    summary = "PatchGAN, downsampling without aliasing (Zhang 2019)"
    register("patch-antialiased", "ganzoo_cut.nets:AntialiasedPatch", summary=summary)


@hookimpl
def register_importers(register):
    summary = "an antialiased residual generator of the authors' PyTorch code"
    register("cut", "ganzoo_cut.importer:CUTImporter", summary=summary)


@hookimpl
def register_pretrained(register):
    data = {
        "cityscapes": "labels into street scenes",
        "horse2zebra": "horses into zebras",
        "cat2dog": "cats into dogs",
    }
    for name in (f"{mode}_{images}" for images in data for mode in ("cut", "fastcut")):
        summary = data[name.partition("_")[2]]
        register(name, f"ganzoo_cut.pretrained:{name.upper()}", summary=summary, model="cut")
