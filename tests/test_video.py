"""`ganzoo translate RUN clip.mp4 out.mp4`: every frame at its time, the sound as it was, and nothing half written."""

import shutil
import signal
from fractions import Fraction

import numpy as np
import pytest
import torch
from ganzoo_testing import trainer
from ganzoo_testing.helpers import parsed
from ganzoo_worlds import landscapes
from PIL import Image

import ganzoo as package
from ganzoo import GanzooError
from ganzoo.translate import Translator
from ganzoo.video import translate_video

av = pytest.importorskip("av")
RATE, HERTZ = Fraction(25, 2), 8000
CLOCKWISE = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)  # (p, q) -> (-q, p): what is right comes to lie below


RENDERED = Image.fromarray(landscapes.render(3, "photo", 64))


def scene(width, height, moment=0):
    return np.roll(np.asarray(RENDERED.resize((width, height))), moment, axis=1)


def clip(path, size=(34, 26), times=range(0, 80, 8), base=Fraction(1, 100), sound=True, pixels="yuv420p", moving=True):
    """Writes a video whose frames have these times, in units of `base`, and a tone as long as it."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = *size, pixels
        video.codec_context.time_base = base
        audio = container.add_stream("aac", rate=HERTZ, layout="mono") if sound else None
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(scene(*size, i if moving else 0), format="rgb24")
            frame.pts, frame.time_base = time, base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for i in range(0, int((times[-1] + 8) * base * HERTZ), 1024) if sound else ():
            tone = np.sin(np.arange(i, i + 1024) / 5).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = HERTZ, i, Fraction(1, HERTZ)
            container.mux(audio.encode(samples))
        if sound:
            container.mux(audio.encode(None))
    return path


def read(path):
    """Frames as images, their times in seconds, and the bytes of the sound."""
    with av.open(str(path)) as container:
        frames = [(frame.pts * frame.time_base, frame.to_image()) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = [bytes(packet) for packet in container.demux(audio=0) if packet.size] if container.streams.audio else []
    return [image for _, image in frames], [time for time, _ in frames], sound


def apart(one, other):
    """The mean difference of brightness, in levels of 255: colour is stored at half the resolution."""
    levels = (np.asarray(image.convert("L"), dtype=float) for image in (one, other))
    return np.abs(next(levels) - next(levels)).mean()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    clip(folder / "clip.mp4")
    clip(folder / "uneven.mkv", times=[0, 1, 5, 6, 30, 31, 64])
    clip(folder / "silent.mp4", sound=False)
    clip(folder / "odd.mp4", size=(35, 27), pixels="yuv444p")
    return folder


def use(run, *args, **how):
    return list(translate_video(package.load(run), *args, **how))


def test_frames_times_and_sound(tmp_path, run, clips, ganzoo):
    done = ganzoo("translate", run, clips / "clip.mp4", "out.mp4", "--to", "A", cwd=tmp_path)
    assert done.returncode == 0 and "10 frames translated from B to A: out.mp4" in done.stdout, done
    before, times, sound = read(clips / "clip.mp4")
    after, new_times, new_sound = read(tmp_path / "out.mp4")
    assert new_times == times and len(after) == 10 and sound == new_sound and len(sound) > 5
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == RATE
        assert abs(container.duration / av.time_base - 0.8) < 0.2
    translator = package.load(run)
    for old, new in zip(before, after, strict=True):
        expected = translator.translate(old, "A")
        assert apart(new, expected) < 4 < apart(new, old)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_uneven_times_stay(tmp_path, run, clips, suffix):
    use(run, clips / "uneven.mkv", tmp_path / f"out{suffix}")
    (_, times, sound), (_, new_times, new_sound) = read(clips / "uneven.mkv"), read(tmp_path / f"out{suffix}")
    shift = new_times[0] - times[0]  # which sound and images have in common
    assert len(times) == 7 and sound == new_sound
    assert all(abs(new - old - shift) < 0.0015 for new, old in zip(new_times, times, strict=True))


def test_webm_and_no_sound(tmp_path, run, clips):
    use(run, clips / "silent.mp4", tmp_path / "out.webm")
    images, times, sound = read(tmp_path / "out.webm")
    assert len(images) == 10 and sound == [] and times[-1] - times[0] == pytest.approx(0.72, abs=0.002)
    with pytest.raises(GanzooError, match=r"webm: this kind of file cannot hold the sound of .*clip\.mp4 \(aac\)"):
        use(run, clips / "clip.mp4", tmp_path / "sound.webm")
    assert [path.name for path in tmp_path.iterdir()] == ["out.webm"]


def test_odd_sides_become_even(tmp_path, run, clips):
    use(run, clips / "odd.mp4", tmp_path / "out.mp4")
    before, after = read(clips / "odd.mp4")[0], read(tmp_path / "out.mp4")[0]
    assert before[0].size == (35, 27) and after[0].size == (36, 28)
    assert apart(after[3].crop((0, 0, 35, 27)), package.load(run).translate(before[3])) < 4


def test_a_turned_video_becomes_upright(tmp_path, run, clips):
    content = bytearray((clips / "silent.mp4").read_bytes())
    header = content.index(b"tkhd") + 4
    content[header + 40 : header + 76] = b"".join((x % 2**32).to_bytes(4, "big") for x in CLOCKWISE)
    (tmp_path / "turned.mp4").write_bytes(content)
    use(run, tmp_path / "turned.mp4", tmp_path / "out.mp4")
    before, after = read(clips / "silent.mp4")[0], read(tmp_path / "out.mp4")[0]
    upright = before[2].transpose(Image.Transpose.ROTATE_270)
    assert after[2].size == upright.size == (26, 34)
    assert apart(after[2], package.load(run).translate(upright)) < 4
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


def test_what_is_at_random_is_the_same_in_all_frames(tmp_path):
    options = {"generator": {"name": "unet", "width": 4, "norm": "batch", "dropout": 0.5}}
    torch.manual_seed(0)
    model = trainer("pix2pix", options, size=64).eval()
    for weights in model.G.parameters():
        weights.data *= 3  # so that its images are far from grey
    translator = Translator(model, parsed("pix2pix", options, 64))
    still = clip(tmp_path / "still.mp4", size=(64, 64), times=[0, 8, 16], sound=False, moving=False)
    list(translate_video(translator, still, tmp_path / "out.mp4", seed=4))
    image, made = read(still)[0][0], read(tmp_path / "out.mp4")[0]
    own, other = (translator.translate(image, seed=seed) for seed in (4, 5))
    assert apart(own, other) > 6 and len(made) == 3
    assert all(apart(one, own) < apart(one, other) and apart(one, made[0]) < 2 for one in made)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("clip.mp4", "there.mp4"), ["there.mp4 exists and is not overwritten"]),
        (("clip.mp4", "out.gif"), ['".gif" is no kind of video that is written. Use .mp4']),
        (("none.mp4", "out.mp4"), ["There is no video none.mp4"]),
        (("clip.mp4", "out.mp4", "--grid"), ["clip.mp4 is a video: leave out --grid"]),
        (("clip.mp4", "out.mp4", "--seed", "1"), ["one translation of an image"]),
        (("garbage.mp4", "out.mp4"), ["garbage.mp4 cannot be read as a video"]),
        (("half.mp4", "out.mp4"), ["half.mp4 cannot be read as a video"]),
        (("list.mp4", "out.mp4"), ["list.mp4 cannot be read as a video"]),
        (("sound.mp4", "out.mp4"), ["sound.mp4 holds no video"]),
    ],
)
def test_mistakes(tmp_path, run, clips, ganzoo, args, words):
    shutil.copy(clips / "clip.mp4", tmp_path)
    (tmp_path / "there.mp4").write_text("mine")
    (tmp_path / "garbage.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "half.mp4").write_bytes((clips / "clip.mp4").read_bytes()[:1500])
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{clips / 'clip.mp4'}\n#EXT-X-ENDLIST\n")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        audio = container.add_stream("aac", rate=HERTZ, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate = HERTZ
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ganzoo("translate", run, *args, cwd=tmp_path).mistake(*words)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_one_that_breaks_off_is_told(tmp_path, run):
    whole = clip(tmp_path / "whole.mkv", times=range(0, 800, 8), sound=False).read_bytes()
    (tmp_path / "broken.mkv").write_bytes(whole[: len(whole) // 2])
    told = []
    done = use(run, tmp_path / "broken.mkv", tmp_path / "out.mkv", say=told.append)
    assert 10 < len(done) < 90 and len(read(tmp_path / "out.mkv")[0]) == len(done)
    assert len(told) == 1 and "broken.mkv is not complete: it ends after" in told[0] and "of 8.0 seconds" in told[0]


def test_videos_in_a_folder_are_left_out_and_named(tmp_path, run, clips, ganzoo):
    shutil.copy(clips / "clip.mp4", tmp_path)
    Image.fromarray(scene(20, 20)).save(tmp_path / "a.png")
    done = ganzoo("translate", run, ".", "out", cwd=tmp_path)
    assert done.returncode == 0 and "clip.mp4" in done.stderr, done
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_stopped_or_without_room_nothing_is_left(tmp_path, run, start, ganzoo):
    clip(tmp_path / "clip.mp4", size=(96, 96), times=range(0, 2400, 8), sound=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start("translate", run, "clip.mp4", "out.mp4", cwd=tmp_path)
        process.until(lambda: any(path.stat().st_size > 0 for path in tmp_path.glob(".*.mp4")))
        process.send(number)
        stopped = process.wait()
        assert stopped.returncode == 128 + number and stopped.stderr == "Stopped, and nothing was written.\n", stopped
        assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    clip(tmp_path / "clip.mp4", size=(64, 64))
    ganzoo("translate", run, "clip.mp4", "out.mp4", cwd=tmp_path, largest=900).mistake("out.mp4 cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_without_the_extra(tmp_path, run, clips, ganzoo):
    (tmp_path / "site" / "av").mkdir(parents=True)
    (tmp_path / "site" / "av" / "__init__.py").write_text("raise ImportError('not here')")
    done = ganzoo(
        "translate", run, clips / "clip.mp4", "o.mp4", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")}
    )
    done.mistake('pip install "ganzoo[video]"')
