"""One direction of a trained model as a program that needs no ganzoo: by torch.export, and as an ONNX file."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.modules.dropout import _DropoutNd

from ganzoo import checkpoint
from ganzoo.errors import GanzooError
from ganzoo.files import atomic, refuse_existing
from ganzoo.trainer import Trainer
from ganzoo.translate import Translator

TOLERANCE = 1e-3  # between torch and the file, of values in [-1, 1]: an eighth of one of 255 levels
LARGEST = 2**31 - 2**24  # bytes of weights that one ONNX file has room for
FREE = {  # axes that are free in the file -> what images it takes then; the first that works is used
    (0, 2, 3): "any number of images of any size",
    (0,): "any number of images of the training size",
    (): "one image of the training size",
}


class Direction(nn.Module):
    """Images (batch, channels, height, width) in [-1, 1], sides multiples of the model's, to those of the target."""

    def __init__(self, trainer: Trainer, source: str, target: str) -> None:
        super().__init__()
        self.trainer, self.source, self.target = trainer, source, target

    def forward(self, image: Tensor) -> Tensor:
        return self.trainer.translate(image, self.source, self.target)


@contextmanager
def steady(trainer: Trainer) -> Iterator[None]:
    """As `trainer.inference()`, but dropout is off even where a model has it on: a file has no dice of ours."""
    with trainer.inference():
        for module in trainer.modules():
            if isinstance(module, _DropoutNd):
                module.eval()
        yield


def exported(
    trainer: Trainer, source: str, target: str, images: Tensor, free: tuple[int, ...] = (0,)
) -> ExportedProgram:
    """The direction by torch.export: what `trainer.translate` gives under `steady`. Needs no ONNX; errors are torch's.

    `images` are an example. Its axes `free` may have other lengths later, height and width multiples of
    `trainer.multiple`; the example must have two (multiples) or more there, and height and width of different lengths.
    """
    height, width = (trainer.multiple * Dim(name, min=_least(trainer)) for name in ("height", "width"))
    lengths = {0: Dim("batch", min=1), 2: height, 3: width}
    shapes = {"image": {axis: lengths[axis] for axis in free}}
    with steady(trainer), _quiet():
        return torch.export.export(Direction(trainer, source, target), (images,), dynamic_shapes=shapes)


def write(translator: Translator, output: Path, to: str | None, source: str | None, say: Callable[[str], None]) -> None:
    """The direction as the ONNX file `output`, checked with onnxruntime on images of other numbers and sizes.

    Its metadata says which model it is and how it is fed; `say` is told, too, and how far it is from torch. Raises
    GanzooError, and leaves no file, if the file exists or the model cannot be exported.
    """
    if output.suffix.lower() != ".onnx":
        raise GanzooError(f"{output}: give the file a name that ends in .onnx.")
    refuse_existing(output)
    if not translator.directions:
        raise GanzooError(
            "This model translates no images, and an exported file does only that: it has no input for noise. "
            "`ganzoo generate RUN` makes this model's images."
        )
    source, target = translator.direction(to, source)
    _require_onnx()
    refused = []
    with atomic(output) as beside:
        for free, meaning in FREE.items():
            try:
                difference = _attempt(translator, source, target, free, beside)
                break
            except (GanzooError, OSError):
                raise
            except Exception as error:  # whatever torch, onnx or onnxruntime cannot do with this model
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                refused.append(f"It cannot take {meaning}: {reason}")
        else:
            raise GanzooError(f"This model cannot be exported: {reason}\n`ganzoo translate RUN` uses it.")
    say(f"{source} to {target}: {output}, {output.stat().st_size / 1e6:.1f} MB")
    for sentence in (*refused, _use(translator.trainer, free)):
        say(sentence)
    say(f"On random images onnxruntime and torch differ by {difference:.1e} at most; {TOLERANCE:g} would be allowed.")


def _attempt(translator: Translator, source: str, target: str, free: tuple[int, ...], file: Path) -> float:
    """Writes the file with these axes free; gives the largest difference between onnxruntime and torch."""
    trainer, rng = translator.trainer, torch.Generator().manual_seed(0)
    side = -(-trainer.spec.size // trainer.multiple) * trainer.multiple
    lengths = {0: (2, 1, 3), 2: (side + trainer.multiple, side, side + 2 * trainer.multiple)}
    lengths[3] = (side + 2 * trainer.multiple, side, side)
    shapes = [[lengths[axis][i if axis in free else 1] for axis in (0, 2, 3)] for i in range(3)]
    examples = [2 * torch.rand(n, trainer.spec.channels[source], *size, generator=rng) - 1 for n, *size in shapes]
    with _quiet():
        program = torch.onnx.export(
            exported(trainer, source, target, examples[0], free),
            input_names=["image"],
            output_names=["translation"],
            dynamo=True,
            verbose=False,
        )
    if sum(weights.const_value.nbytes for weights in program.model.graph.initializers.values()) > LARGEST:
        raise GanzooError("This model cannot be exported: its weights are more than the 2 GB that a file has room for.")
    facts = checkpoint.about(translator.recipe, translator.spec, translator.images) | {"use": _use(trainer, free)}
    facts |= {"source": source, "target": target, "multiple": str(trainer.multiple), "format": "ganzoo onnx 1"}
    program.model.metadata_props.update(facts)
    for value in (*program.model.graph.inputs, *program.model.graph.outputs):
        for axis in free:
            value.shape[axis] = {0: "batch", 2: "height", 3: "width"}[axis]
    program.save(file, external_data=False)
    return max(_difference(trainer, source, target, images, file) for images in examples[1:])


def _difference(trainer: Trainer, source: str, target: str, images: Tensor, file: Path) -> float:
    import onnxruntime

    with steady(trainer):
        expected, again = (trainer.translate(images, source, target) for _ in range(2))
    if not torch.equal(expected, again):
        raise GanzooError("This model cannot be exported: it draws at random while it translates.")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    made = torch.from_numpy(session.run(["translation"], {"image": images.numpy()})[0])
    if made.shape != expected.shape:
        raise ValueError(f"onnxruntime gives {tuple(made.shape)} and torch {tuple(expected.shape)}")
    difference = (made - expected).abs().max().item()
    if not difference <= TOLERANCE:
        raise ValueError(f"onnxruntime and torch differ by {difference:.1e}")
    return difference


def _least(trainer: Trainer) -> int:
    """How many multiples a side must have: two where the networks were trained on that, as `translate_tensor` pads."""
    return 2 if 2 * trainer.multiple <= trainer.spec.size else 1


def _use(trainer: Trainer, free: tuple[int, ...]) -> str:
    """How to feed the file."""
    text = f'It takes {FREE[free]} as "image", (batch, channels, height, width), values -1 to 1'
    if 2 in free and trainer.multiple > 1:
        text += f", sides multiples of {trainer.multiple} from {_least(trainer) * trainer.multiple} on"
    text += ', and gives "translation", the same of the target.'
    if trainer.inference_mode == "train-stats":
        text += " Dropout is off. Images given together share statistics, so give one at a time."
    return text


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _require_onnx() -> None:
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        raise GanzooError(f'Exporting needs more than is installed ({error}): pip install "ganzoo[export]"') from error
    assert onnx and onnxruntime and onnxscript
