"""A trained run applied to a video, frame by frame, through PyAV."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganzoo.data.downloads import Say
from ganzoo.data.images import convert
from ganzoo.errors import GanzooError, out_of_memory
from ganzoo.files import atomic, refuse_existing
from ganzoo.translate import Translator

READ = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
H264 = ("libx264", {"crf": "18"})  # hardly to be told from what it was given
WRITTEN = {
    **dict.fromkeys((".mp4", ".m4v"), ("mp4", *H264)),
    ".mov": ("mov", *H264),
    ".mkv": ("matroska", *H264),
    ".webm": ("webm", "libvpx-vp9", {"crf": "24", "b:v": "0", "row-mt": "1", "cpu-used": "4"}),
}  # suffix -> format, encoder and its options, as ffmpeg calls them
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"  # no playlists: those lead to other files, and to the network
BT709, LIMITED = 1, 1  # colours and range of the result, in ffmpeg's tables
TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
SHORT = 0.9  # a video that ends before this share of the length that it promises is told to be incomplete


def is_video(path: Path) -> bool:
    """Whether it is a file with the suffix of a video."""
    return path.suffix.lower() in READ and not path.is_dir()


def translate_video(
    translator: Translator,
    input: Path,
    output: Path,
    to: str | None = None,
    source: str | None = None,
    *,
    say: Say = print,
    **how: Any,
) -> Generator[tuple[int, int], None, None]:
    """Translates every frame of a video, and copies its sound; yields (frames done, of about).

    The times of the frames stay as they are. Turned videos become upright. Colour is stored for two pixels at a time,
    so an odd side is made even by repeating its last pixels. `how` goes to `Translator.translate`, the same for all
    frames: a reference, a seed. One frame is in memory at a time. The result is written beside and renamed in the end;
    nothing is overwritten. Raises GanzooError where the video cannot be read, the result cannot be written as its
    suffix says, or the extra "video" is not installed.
    """
    output = output / input.name if output.is_dir() or not output.suffix else output
    if output.suffix.lower() not in WRITTEN:
        raise GanzooError(f'{output}: "{output.suffix}" is no kind of video that is written. Use .mp4, .mkv or .webm.')
    refuse_existing(output)
    if not input.exists():
        raise GanzooError(f"There is no video {input}.")
    try:
        import av
    except ImportError:
        raise GanzooError('Translating a video needs more than is installed: pip install "ganzoo[video]"') from None
    translator.reference_tensor(how.get("reference"), translator.direction(to, source)[1], how.get("seed"))
    with ExitStack() as stack:
        reader = _Reader(av, input, stack)
        file = stack.enter_context(stack.enter_context(atomic(output)).open("wb"))
        try:
            writer = _Writer(av, file, output, reader, stack)
            for done, frame in enumerate(reader.frames(writer.copy), start=1):
                writer.write(_translated(translator, frame, input, to, source, how), frame)
                yield done, max(done, reader.expected)
            writer.end()
        except av.FFmpegError as error:
            raise GanzooError(f"{output} cannot be written ({_why(error)}).") from error
    if reader.end < SHORT * reader.promised - 1:
        say(f"{input} is not complete: it ends after {reader.end:.1f} of {reader.promised:.1f} seconds.")


class _Reader:
    """The frames of a video in their order, and the packets of its sound."""

    def __init__(self, av: Any, path: Path, stack: ExitStack) -> None:
        self.av, self.path = av, path
        try:
            content = stack.enter_context(path.open("rb"))
            options = {"format_whitelist": FORMATS}
            self.container = av.open(content, options=options, io_open=_refuse, metadata_errors="replace")
        except (OSError, ValueError, av.FFmpegError) as error:
            raise self._unreadable(error) from error
        stack.enter_context(self.container)
        if not self.container.streams.video:
            raise GanzooError(f"{path} holds no video.")
        self.video = self.container.streams.video[0]
        self.video.thread_type = "AUTO"
        self.audio = list(self.container.streams.audio)
        self.rate = self.video.average_rate or self.video.guessed_rate or Fraction(25)
        self.promised = (self.container.duration or 0) / av.time_base  # seconds
        self.expected = self.video.frames or round(self.promised * self.rate)
        self.end = 0.0  # seconds, of the last frame

    def frames(self, copy: Callable[[Any], None]) -> Iterator[Any]:
        """Each frame with its time; `copy` is given the packets of the sound in between."""
        last: int | None = None
        step = max(1, round(1 / self.rate / self.video.time_base))
        for packet in self._steps(self.container.demux(self.video, *self.audio)):
            if packet.stream.type == "audio":
                if packet.dts is not None:  # the empty ones at the end
                    copy(packet)
                continue
            for frame in self._steps(iter(packet.decode())) if packet.stream == self.video else ():
                if frame.pts is None:
                    frame.pts = 0 if last is None else last + step
                last = frame.pts = frame.pts if last is None else max(frame.pts, last + 1)
                frame.time_base = self.video.time_base
                self.end = float((last - (self.video.start_time or 0) + step) * self.video.time_base)
                yield frame
        if last is None:
            raise GanzooError(f"{self.path} cannot be read as a video (it has no frames). Get it again.")

    def _steps(self, found: Iterator[Any]) -> Iterator[Any]:
        while True:
            try:
                one = next(found, None)
            except self.av.FFmpegError as error:
                raise self._unreadable(error) from error
            if one is None:
                return
            yield one

    def _unreadable(self, error: Exception) -> GanzooError:
        return GanzooError(f"{self.path} cannot be read as a video ({_why(error)}). Get it again.")


class _Writer:
    """The translated frames and the sound, on their way to a file."""

    def __init__(self, av: Any, file: Any, path: Path, reader: _Reader, stack: ExitStack) -> None:
        self.av, self.path, self.reader, self.size = av, path, reader, (0, 0)
        format, self.encoder, self.options = WRITTEN[path.suffix.lower()]
        self.container = stack.enter_context(av.open(file, "w", format=format))
        self.video = self.container.add_stream(self.encoder, rate=reader.rate, options=self.options)
        self.sound = {}
        for stream in reader.audio:
            try:
                self.sound[stream.index] = self.container.add_stream_from_template(stream)
            except (ValueError, av.FFmpegError) as error:
                codec = stream.codec_context.name
                said = f"{path}: this kind of file cannot hold the sound of {reader.path} ({codec})."
                raise GanzooError(f"{said} Give it the suffix .mkv.") from error
        self.waiting: list[Any] = []  # sound that comes before the first frame

    def copy(self, packet: Any) -> None:
        """A packet of the sound, as it is."""
        self.waiting.append(packet)
        if self.size != (0, 0):
            self._flush()

    def write(self, image: Image.Image, original: Any) -> None:
        """A translated frame at the time of the original one."""
        pixels = np.asarray(convert(image, 3))
        pixels = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        height, width = pixels.shape[:2]
        if self.size == (0, 0):
            self._begin(width, height, original)
        if self.size != (width, height):
            raise GanzooError(f"{self.reader.path} changes its size from {self.size} to {(width, height)} on the way.")
        frame = self.av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED)
        frame.pts, frame.time_base = original.pts, original.time_base
        self.container.mux(self.video.encode(frame))
        self._flush()

    def end(self) -> None:
        self.container.mux(self.video.encode(None))

    def _begin(self, width: int, height: int, original: Any) -> None:
        context, self.size = self.video.codec_context, (width, height)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = original.time_base
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        ratio = self.reader.video.sample_aspect_ratio
        if ratio:
            context.sample_aspect_ratio = 1 / ratio if original.rotation % 180 else ratio

    def _flush(self) -> None:
        for packet in self.waiting:
            packet.stream = self.sound[packet.stream.index]
            self.container.mux(packet)
        self.waiting = []


def _translated(
    translator: Translator, frame: Any, path: Path, to: str | None, source: str | None, how: dict[str, Any]
) -> Image.Image:
    try:
        image = Image.fromarray(frame.to_ndarray(format="rgb24"))
        if turn := TURNS.get(frame.rotation % 360):
            image = image.transpose(turn)
        return translator.translate(image, to, source, **how)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        size = f"{frame.width}x{frame.height} pixels"
        raise GanzooError(f"{path} is too large for the memory here ({size}).") from error


def _refuse(url: str, flags: int, options: dict[str, Any]) -> None:
    """Instead of opening what a video leads to."""
    raise PermissionError(f"it leads to {url}")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
