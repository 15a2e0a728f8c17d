"""The parts that come with ganzoo, registered through the same hooks as a plugin's."""

from ganzoo.hooks import Register, hookimpl


@hookimpl
def register_generators(register: Register) -> None:
    register("resnet", "ganzoo.nets.resnet:ResnetGenerator", summary="residual blocks between down- and up-sampling")
    register("unet", "ganzoo.nets.unet:UnetGenerator", summary="encoder-decoder with skip connections")
    register("small", "ganzoo.nets.small:SmallGenerator", summary="three-layer encoder-decoder for 64 px images")


@hookimpl
def register_discriminators(register: Register) -> None:
    register("patch", "ganzoo.nets.patch:PatchDiscriminator", summary="PatchGAN: a logit for each overlapping patch")


@hookimpl
def register_losses(register: Register) -> None:
    register("lsgan", "ganzoo.losses:LeastSquares", summary="least squares on the logits (Mao 2017)")
    register("bce", "ganzoo.losses:CrossEntropy", summary="binary cross-entropy with logits (Goodfellow 2014)")
    register("hinge", "ganzoo.losses:Hinge", summary="hinge loss (Lim 2017, Miyato 2018)")
    register("wgan-gp", "ganzoo.losses:Wasserstein", summary="Wasserstein with gradient penalty (Gulrajani 2017)")


@hookimpl
def register_penalties(register: Register) -> None:
    register("gp", "ganzoo.losses:GradientPenalty", summary="gradient norm 1 between reals and fakes (Gulrajani 2017)")
    register("dragan", "ganzoo.losses:DRAGAN", summary="gradient norm 1 around the reals (Kodali 2017)")
    register("r1", "ganzoo.losses:R1", summary="gradient norm 0 at the reals (Mescheder 2018)")


@hookimpl
def register_sources(register: Register) -> None:
    everything = "unpaired paired domains labelled images"
    register("folders", "ganzoo.data.folders:Folders", summary="your own folders of images", data_kinds=everything)


@hookimpl
def register_kinds(register: Register) -> None:
    register("unpaired", "ganzoo.data.kinds:Unpaired", summary="two domains, drawn independently: batch[domain]")
    register("paired", "ganzoo.data.kinds:Paired", summary="two domains, cropped and mirrored alike: batch[domain]")
    register("domains", "ganzoo.data.kinds:Domains", summary="two of any number of domains, at random: batch[domain]")
    labelled = 'batch["image"] with batch["label"], (batch, labels) of 1 and 0, or nan where it is not known'
    register("labelled", "ganzoo.data.kinds:Labelled", summary=labelled)
    register("images", "ganzoo.data.kinds:Images", summary='batch["image"]')
    single = "the first image of each of two domains, the same in every step, nothing at random: batch[domain]"
    register("single-pair", "ganzoo.data.kinds:SinglePair", summary=single)


@hookimpl
def register_archives(register: Register) -> None:
    archives = {
        "apple2orange": "apples and oranges of ImageNet",
        "cezanne2photo": "paintings by Cezanne, landscape photographs",
        "cityscapes": "street scenes and their labels; withdrawn",
        "facades": "facades and their labels",
        "horse2zebra": "horses and zebras of ImageNet",
        "iphone2dslr_flower": "flowers, sharp and with a blurred background",
        "maps": "aerial images and maps",
        "monet2photo": "paintings by Monet, landscape photographs",
        "summer2winter_yosemite": "Yosemite in summer and in winter",
        "ukiyoe2photo": "ukiyo-e prints, landscape photographs",
        "vangogh2photo": "paintings by van Gogh, landscape photographs",
        "pix2pix_edges2handbags": "handbags and their edges",
        "pix2pix_edges2shoes": "shoes and their edges",
        "pix2pix_facades": "pairs of facades and their labels",
        "pix2pix_maps": "pairs of aerial images and maps",
        "pix2pix_night2day": "places at night and by day",
    }
    for name, summary in archives.items():
        kinds = "unpaired paired" if name.startswith("pix2pix_") else "unpaired"
        register(name, f"ganzoo.data.published:{name.upper()}", summary=summary, data_kinds=kinds)


@hookimpl
def register_metrics(register: Register) -> None:
    register("l1", "ganzoo.metrics:L1", summary="mean absolute error to the ground truth", better="lower")
    register("psnr", "ganzoo.metrics:PSNR", summary="signal-to-noise ratio to the ground truth, dB", better="higher")
    register("ssim", "ganzoo.metrics:SSIM", summary="structural similarity to the ground truth", better="higher")
    lpips = "learned perceptual distance to the ground truth; its network is downloaded once"
    register("lpips", "ganzoo.metrics:LPIPS", summary=lpips, better="lower")
    register("fid", "ganzoo.metrics:FID", summary="Frechet distance to real images; needs ganzoo[eval]", better="lower")
    register("kid", "ganzoo.metrics:KID", summary="kernel distance to real images; needs ganzoo[eval]", better="lower")


@hookimpl
def register_loggers(register: Register) -> None:
    register("csv", "ganzoo.loggers:CSV", summary="RUN/log.csv, for spreadsheets and pandas")
