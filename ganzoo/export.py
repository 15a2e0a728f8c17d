"""A direction or a style encoder of a trained model as a program without ganzoo: by torch.export, and as ONNX."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.modules.dropout import _DropoutNd

from ganzoo import checkpoint
from ganzoo.errors import GanzooError
from ganzoo.files import atomic, refuse_existing
from ganzoo.trainer import TAKES_NO_REFERENCE, TRANSLATES_NOTHING, Trainer
from ganzoo.translate import Translator, least_multiples

TOLERANCE = 1e-3  # between torch and the file, of values in [-1, 1]: an eighth of one of 255 levels
LARGEST = 2**31 - 2**24  # bytes of weights that one ONNX file has room for
STYLES = 8  # styles at random that a file brings along
FREE = {  # axes that are free in the file -> what images it takes then; the first that works is used
    (0, 2, 3): "any number of images of any size",
    (0,): "any number of images of the training size",
    (): "one image of the training size",
}


class Direction(nn.Module):
    """Images (batch, channels, height, width) in [-1, 1], sides multiples of the model's, to those of the target.

    Of a model with styles it takes these, too, (batch, ...).
    """

    gives = "translation"

    def __init__(self, trainer: Trainer, source: str, target: str) -> None:
        super().__init__()
        self.trainer, self.source, self.target = trainer, source, target

    def forward(self, image: Tensor, style: Tensor | None = None) -> Tensor:
        return self.trainer.translate(image, self.source, self.target, *(() if style is None else (style,)))

    def inputs(self, images: Tensor) -> dict[str, Tensor]:
        """All that it takes by name: the images, and a style for each where the model has styles."""
        return {"image": images} | ({"style": self.styles(len(images))} if self.trainer.has_styles else {})

    def styles(self, count: int) -> Tensor:
        """Styles to translate to the target with: of seeds from 0 on, or else of random images."""
        trainer, spec = self.trainer, self.trainer.spec
        with steady(trainer):
            if trainer.samples_styles:
                return torch.cat([trainer.choose_style(self.target, seed) for seed in range(count)])
            references = _noise(count, spec.channels_of(self.target), spec.size, spec.size)
            return trainer.choose_style(self.target, 0, references)


class StyleEncoder(Direction):
    """Reference images (batch, channels, height, width) in [-1, 1] of the target to their styles, (batch, ...)."""

    gives = "style"

    def forward(self, image: Tensor, style: Tensor | None = None) -> Tensor:
        return self.trainer.encode_style(image, self.target)

    def inputs(self, images: Tensor) -> dict[str, Tensor]:
        return {"image": images}


@contextmanager
def steady(trainer: Trainer) -> Iterator[None]:
    """As `trainer.inference()`, but dropout is off even where a model has it on: exported graphs draw nothing."""
    with trainer.inference():
        for module in trainer.modules():
            if isinstance(module, _DropoutNd):
                module.eval()
        yield


def exported(part: Direction, images: Tensor, free: tuple[int, ...] = (0,)) -> ExportedProgram:
    """A direction or a style encoder by torch.export: what it gives under `steady`. Needs no ONNX; errors are torch's.

    `images` are an example. Its axes `free` may have other lengths later, height and width multiples of
    `trainer.multiple`; the example must have two (multiples) or more there, and height and width of different lengths.
    """
    trainer = part.trainer
    height, width = (trainer.multiple * Dim(name, min=least_multiples(trainer)) for name in ("height", "width"))
    lengths = {0: Dim("batch", min=1), 2: height, 3: width}
    inputs = part.inputs(images)
    with steady(trainer), _quiet():
        shapes = {name: {axis: lengths[axis] for axis in free if name == "image" or axis == 0} for name in inputs}
        return torch.export.export(part, tuple(inputs.values()), dynamic_shapes=shapes)


def write(
    translator: Translator, output: Path, to: str | None = None, source: str | None = None, encoder: bool = False
) -> list[str]:
    """The direction, or its style encoder, as the ONNX file `output`, checked with onnxruntime on other inputs.

    Its metadata says which model it is and how it is fed; the sentences that are returned say so, too, and how far it
    is from torch. Raises GanzooError, and leaves no file, if the file exists or the model cannot be exported.
    """
    if output.suffix.lower() != ".onnx":
        raise GanzooError(f"{output}: give the file a name that ends in .onnx.")
    refuse_existing(output)
    if not translator.trainer.translates:
        raise GanzooError(f"{TRANSLATES_NOTHING} An exported file only translates: it has no input for noise.")
    source, target = translator.direction(to, source)
    part = (StyleEncoder if encoder else Direction)(translator.trainer, target if encoder else source, target)
    if encoder and not translator.trainer.encodes_styles:
        raise GanzooError(f"{TAKES_NO_REFERENCE.split(':')[0]}, so it has no style encoder: leave out --encoder.")
    _require_onnx()
    refused = []
    with atomic(output) as beside:
        for free, meaning in FREE.items():
            try:
                difference = _attempt(translator, part, free, beside)
                break
            except (GanzooError, OSError):
                raise
            except Exception as error:  # whatever torch, onnx or onnxruntime cannot do with this model
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                refused.append(f"It cannot take {meaning}: {reason}")
        else:
            raise GanzooError(f"This model cannot be exported: {reason}\n`ganzoo translate RUN` uses it.")
    what = f"style encoder of {part.target}" if encoder else f"{part.source} to {part.target}"
    written = f"{what}: {output}, {output.stat().st_size / 1e6:.1f} MB"
    exact = f"On random images onnxruntime and torch differ by {difference:.1e}; {TOLERANCE:g} would be allowed."
    return [written, *refused, _use(part, free), exact]


def _attempt(translator: Translator, part: Direction, free: tuple[int, ...], file: Path) -> float:
    """Writes the file with these axes free; gives the largest difference between onnxruntime and torch."""
    trainer = part.trainer
    side = -(-trainer.spec.size // trainer.multiple) * trainer.multiple
    lengths = {0: (2, 1, 3), 2: (side + trainer.multiple, side, side + 2 * trainer.multiple)}
    lengths[3] = (side + 2 * trainer.multiple, side, side)
    shapes = [[lengths[axis][i if axis in free else 1] for axis in (0, 2, 3)] for i in range(3)]
    channels = trainer.spec.channels_of(part.source)
    first, *others = (_noise(count, channels, *sides) for count, *sides in shapes)
    traced = exported(part, first, free)
    with _quiet():
        program: Any = torch.onnx.export(
            traced, input_names=list(part.inputs(first)), output_names=[part.gives], dynamo=True, verbose=False
        )
    if sum(weights.const_value.nbytes for weights in program.model.graph.initializers.values()) > LARGEST:
        raise GanzooError("This model cannot be exported: its weights are more than the 2 GB that a file has room for.")
    program.model.metadata_props.update(_facts(translator, part, free))
    for value in (*program.model.graph.inputs, *program.model.graph.outputs):
        for axis in free if len(value.shape) == 4 and value.name != "style" else free[:1]:
            value.shape[axis] = {0: "batch", 2: "height", 3: "width"}[axis]
    program.save(file, external_data=False)
    return max(_difference(part, images, file) for images in others)


def _facts(translator: Translator, part: Direction, free: tuple[int, ...]) -> dict[str, str]:
    """The file's metadata. Of a model that draws styles at random these are some of them, as JSON."""
    facts = checkpoint.about(translator.recipe, translator.spec, translator.images)
    facts |= {"target": part.target, "multiple": str(part.trainer.multiple), "format": "ganzoo onnx 1"}
    if part.gives == "translation":
        facts["source"] = part.source
    if part.trainer.has_styles:
        styles = part.styles(STYLES)
        facts["style"] = json.dumps(["batch" if free else 1, *styles.shape[1:]])
        if part.trainer.samples_styles and part.gives == "translation":
            facts["styles"] = json.dumps(styles.tolist())
    return facts | {"use": _use(part, free)}


def _difference(part: Direction, images: Tensor, file: Path) -> float:
    import onnxruntime

    inputs = part.inputs(images)
    with steady(part.trainer):
        expected, again = (part(*inputs.values()) for _ in range(2))
    if not torch.equal(expected, again):
        raise GanzooError("This model cannot be exported: it draws at random while it translates.")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    made = torch.from_numpy(session.run([part.gives], {name: value.numpy() for name, value in inputs.items()})[0])
    if made.shape != expected.shape:
        raise ValueError(f"onnxruntime gives {tuple(made.shape)} and torch {tuple(expected.shape)}")
    difference = (made - expected).abs().max().item() / max(1.0, expected.abs().max().item())  # styles have no range
    if not difference <= TOLERANCE:
        raise ValueError(f"onnxruntime and torch differ by {difference:.1e}")
    return difference


def _noise(*shape: int) -> Tensor:
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 1


def _use(part: Direction, free: tuple[int, ...]) -> str:
    """How to feed the file."""
    trainer = part.trainer
    text = f'It takes {FREE[free]} as "image", (batch, channels, height, width), values -1 to 1'
    if 2 in free and trainer.multiple > 1:
        text += f", sides multiples of {trainer.multiple} from {least_multiples(trainer) * trainer.multiple} on"
    shape = ", ".join(map(str, part.styles(1).shape[1:])) if trainer.has_styles else ""
    if part.gives == "style":
        return f'{text}, and gives "style", (batch, {shape}), for the files of translations to {part.target}.'
    if shape:
        text += f', with a style for each as "style", (batch, {shape}),'
    text += ' and gives "translation", the same of the target.'
    if trainer.samples_styles:
        text += f' Its metadata "styles" holds those of the seeds 0 to {STYLES - 1}, as JSON.'
    if trainer.encodes_styles:
        text += " Styles of reference images come from the file that `ganzoo export --encoder` writes."
    if trainer.inference_mode == "train-stats":
        text += " Dropout is off. Images given together share statistics, so give one at a time."
    return text


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of itself."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _require_onnx() -> None:
    try:
        for name in ("onnx", "onnxruntime", "onnxscript"):
            import_module(name)
    except ImportError as error:
        raise GanzooError(f'Exporting needs more than is installed ({error}): pip install "ganzoo[export]"') from error
