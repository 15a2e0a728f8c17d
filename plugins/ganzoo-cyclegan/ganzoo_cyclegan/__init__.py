"""CycleGAN for ganzoo."""

from ganzoo import hookimpl

BIBTEX = """@inproceedings{zhu2017cyclegan,
  author = {Zhu, Jun-Yan and Park, Taesung and Isola, Phillip and Efros, Alexei A.},
  title = {Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks},
  booktitle = {IEEE International Conference on Computer Vision},
  year = {2017},
  eprint = {1703.10593},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "cyclegan",
        "ganzoo_cyclegan.model:CycleGAN",
        summary="unpaired image-to-image translation between two domains",
        data_kind="unpaired",
        paper="Zhu et al. 2017, arXiv:1703.10593",
        bibtex=BIBTEX,
    )


@hookimpl
def register_importers(register):
    summary = "generators of the authors' PyTorch code: one, or of both directions"
    register("cyclegan", "ganzoo_cyclegan.importer:CycleGANImporter", summary=summary)


@hookimpl
def register_pretrained(register):
    generators = {
        "apple2orange": "apples into oranges",
        "orange2apple": "oranges into apples",
        "summer2winter_yosemite": "Yosemite in summer into winter",
        "winter2summer_yosemite": "Yosemite in winter into summer",
        "horse2zebra": "horses into zebras",
        "zebra2horse": "zebras into horses",
        "monet2photo": "paintings by Monet into photographs",
        "style_monet": "photographs into paintings by Monet",
        "style_cezanne": "photographs into paintings by Cezanne",
        "style_ukiyoe": "photographs into ukiyo-e prints",
        "style_vangogh": "photographs into paintings by van Gogh",
        "sat2map": "aerial images into maps",
        "map2sat": "maps into aerial images",
        "cityscapes_photo2label": "street scenes into labels",
        "cityscapes_label2photo": "labels into street scenes",
        "facades_photo2label": "facades into labels",
        "facades_label2photo": "labels into facades",
        "iphone2dslr_flower": "photographs of flowers, with the background blurred",
    }
    for name, summary in generators.items():
        register(name, f"ganzoo_cyclegan.pretrained:{name.upper()}", summary=summary, model="cyclegan")
