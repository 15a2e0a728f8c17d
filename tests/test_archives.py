"""Downloads against real servers on 127.0.0.1 that break off, lie, hang and go away."""

import errno
import hashlib
import io
import os
import random
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ganzoo.data import archives
from ganzoo.data.archives import ARCHIVES, Archive, Offline, get
from ganzoo.errors import GanzooError

ROOT = Path(__file__).parents[1]
BREAK = 150_000  # bytes after which a bad connection ends
PARTS = ("trainA", "trainB", "testA", "testB")


class Mirror(ThreadingHTTPServer):
    """Serves one file. `mood` is for the next download only, `always` for all; `ranges`: what downloads asked for."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        self.content, self.mood, self.always = content, "", ""
        self.ranges: list[str | None] = []
        self.probes, self.sent = 0, 0
        self.end = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, name: str = "tiny.zip") -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def close(self) -> None:
        self.end.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        mirror, asked = self.server, self.headers["Range"]
        probe = asked == "bytes=0-0"
        mood = mirror.always
        if probe:
            mirror.probes += 1
        else:
            mood, mirror.mood = mirror.mood or mood, ""
            mirror.ranges.append(asked)
        if mood == "404" or (mood == "lost" and not probe):
            return self.send_error(404)
        body, etag, start = mirror.content, f'"{hashlib.md5(mirror.content).hexdigest()}"', 0
        fresh = self.headers["If-Range"] not in (None, etag) and mood != "ignores If-Range"
        if asked and not fresh and mood != "ignores Range":
            start = int(asked.removeprefix("bytes=").split("-")[0])
            body = body[:1] if probe else body[start:]
            self.send_response(206 if body else 416)
            self.send_header("Content-Range", f"bytes {start if body else '*'}{f'-{start}' if body else ''}"
                             f"/{len(mirror.content)}")  # fmt: skip
        else:
            self.send_response(200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/html" if mood == "login page" else "application/octet-stream")
        self.end_headers()
        if mood in ("breaks off", "hangs"):
            body = body[:BREAK]
        self.wfile.write(body)
        mirror.sent += 0 if probe else len(body)
        if mood == "hangs":
            self.wfile.flush()
            mirror.end.wait(10)

    def log_message(self, *_: object) -> None: ...


def zipped(top: str = "tiny/", seed: int = 0, extra: tuple[str, ...] = ()) -> bytes:
    """A zip of 4 x 2 files of noise, about 400 kB."""
    noise, file = random.Random(seed), io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for part in PARTS:
            for number in range(2):
                opened.writestr(f"{top}{part}/{number}.jpg", noise.randbytes(50_000))
        for name in extra:
            opened.writestr(name, "escaped")
    return file.getvalue()


def tarred(seed: int = 0, name: str = "tiny/train/0.jpg") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as opened:
        member = tarfile.TarInfo(name)
        member.size = 200_000
        opened.addfile(member, io.BytesIO(random.Random(seed).randbytes(member.size)))
    return file.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


GOOD, BAD = zipped(), zipped(seed=1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("GANZOO_MIRROR", raising=False)
    monkeypatch.setattr(archives, "PAUSE", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def mirror(cache: Path) -> Iterator[Callable[[bytes], Mirror]]:
    started: list[Mirror] = []

    def start(content: bytes = GOOD) -> Mirror:
        started.append(Mirror(content))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Archive]:
    def add(*urls: str, content: bytes = GOOD, **changes: object) -> Archive:
        tiny = Archive("tiny", ("a", "b"), (2, 2, 2, 2), len(content), sha256(content), urls, "Noise, free for all.")
        tiny = replace(tiny, **changes)
        monkeypatch.setitem(ARCHIVES, "tiny", tiny)
        return tiny

    return add


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/tiny.zip"


def whole(folder: Path) -> bool:
    with zipfile.ZipFile(io.BytesIO(GOOD)) as opened:
        names = [name.removeprefix("tiny/") for name in opened.namelist()]
        return all((folder / name).read_bytes() == opened.read(f"tiny/{name}") for name in names)


def left(cache: Path) -> list[str]:
    return sorted(file.name for file in cache.iterdir() if file.suffix != ".lock")


def test_download_then_cache(mirror, publish, cache):
    server, said, steps = mirror(), [], []
    publish(server.url())
    folder = get("tiny", say=said.append, progress=lambda *step: steps.append(step))
    assert folder == cache / "tiny" and whole(folder)
    assert len(said) == 1 and "0.4 MB" in said[0] and "Noise, free for all." in said[0]
    assert steps[-1] == (len(GOOD), len(GOOD)) and steps == sorted(steps)
    assert left(cache) == ["tiny", "tiny.zip"]
    server.close()
    assert get("tiny", say=said.append) == folder and len(said) == 1
    shutil.rmtree(folder)  # the archive is still there
    assert whole(get("tiny", say=said.append)) and len(said) == 1
    assert server.probes == 1 and server.sent == len(GOOD)


@pytest.mark.parametrize("mood", ["breaks off", "hangs"])
def test_bad_connection_is_resumed(mirror, publish, monkeypatch, mood):
    monkeypatch.setattr(archives, "STALL", 0.3)
    server = mirror()
    publish(server.url())
    server.mood = mood
    assert whole(get("tiny"))
    first, second = server.ranges
    start = int(second.removeprefix("bytes=").removesuffix("-"))
    assert first is None and BREAK - archives.CHUNK <= start <= BREAK
    assert server.sent == BREAK + len(GOOD) - start


def test_every_connection_breaks_but_each_brings_something(mirror, publish):
    server = mirror()
    publish(server.url())
    server.always = "breaks off"
    assert whole(get("tiny"))
    assert len(server.ranges) >= 3


def test_server_that_ignores_range(mirror, publish):
    server = mirror()
    publish(server.url())
    server.always, server.mood = "ignores Range", "breaks off"
    assert whole(get("tiny"))
    assert server.ranges[1].startswith("bytes=") and server.sent == BREAK + len(GOOD)


def test_complete_part_needs_no_bytes(mirror, publish, cache):
    server = mirror()
    publish(server.url())
    cache.mkdir()
    (cache / "tiny.zip.part").write_bytes(GOOD)
    assert whole(get("tiny"))
    assert server.ranges == [f"bytes={len(GOOD)}-"] and server.sent == 0


@pytest.mark.parametrize("mood", ["", "ignores If-Range"])
def test_changed_file_is_not_patched_together(mirror, publish, cache, mood):
    def interrupt(done: int, _: int) -> None:
        if done > BREAK:
            raise KeyboardInterrupt

    server = mirror(BAD)
    publish(server.url(), sha256=None)  # without a checksum only the version tag can tell
    with pytest.raises(KeyboardInterrupt):
        get("tiny", progress=interrupt)
    server.content, server.mood = GOOD, mood
    assert whole(get("tiny"))
    assert server.ranges[1].startswith("bytes=") and len(server.ranges) == (3 if mood else 2)


def test_mirror_that_goes_away_midway(mirror, publish):
    server = mirror()
    publish(server.url())
    server.mood, server.always = "breaks off", "lost"
    with pytest.raises(Offline, match=r"it answered 404 .*run again, which goes on after 0\.1 MB"):
        get("tiny")
    server.always = ""
    assert whole(get("tiny")) and server.ranges[-1].startswith("bytes=")


def test_part_of_another_file_is_given_up(mirror, publish, cache):
    server = mirror()
    publish(server.url())
    cache.mkdir()
    (cache / "tiny.zip.part").write_bytes(BAD[:BREAK])
    assert whole(get("tiny"))
    assert server.ranges == [f"bytes={BREAK}-", None]


def test_wrong_checksum_everywhere(mirror, publish, cache):
    one, two = mirror(BAD), mirror(BAD[:-1])
    publish(one.url(), two.url())
    for _ in range(2):  # what was left of the first time must not be accepted the second
        with pytest.raises(GanzooError) as caught:
            get("tiny")
        assert not isinstance(caught.value, Offline)
        assert all(digest in str(caught.value) for digest in (sha256(GOOD), sha256(BAD), sha256(BAD[:-1])))
        assert "removed from the cache" in str(caught.value) and 'data.source = "folders"' in str(caught.value)
        assert left(cache) == []


def test_wrong_checksum_then_second_mirror(mirror, publish):
    bad, good = mirror(BAD), mirror()
    publish(bad.url(), good.url())
    assert whole(get("tiny"))
    assert bad.sent == len(BAD) and good.sent == len(GOOD)


def test_wrong_archive_in_the_cache_is_replaced(mirror, publish, cache):
    publish(mirror().url())
    cache.mkdir()
    (cache / "tiny.zip").write_bytes(BAD)
    said: list[str] = []
    assert whole(get("tiny", say=said.append))
    assert sha256(BAD) in said[0]


def test_second_mirror_when_the_first_is_gone_or_is_a_login_page(mirror, publish):
    gone, login, good = mirror(), mirror(), mirror()
    gone.always, login.always = "404", "login page"
    publish(closed_port(), gone.url(), login.url(), good.url())
    assert whole(get("tiny"))
    assert gone.ranges == login.ranges == []


def test_mirror_that_loses_the_file_after_the_probe(mirror, publish):
    loser, good = mirror(), mirror()
    loser.always = "lost"
    publish(loser.url(), good.url())
    assert whole(get("tiny"))
    assert loser.ranges == [None] * (1 + archives.RETRIES)


def test_own_mirror_comes_first(mirror, publish, monkeypatch):
    own, other = mirror(), mirror()
    publish(other.url())
    monkeypatch.setenv("GANZOO_MIRROR", own.url("") + "data/")
    assert whole(get("tiny"))
    assert own.sent == len(GOOD) and other.sent == 0


def test_all_mirrors_down(mirror, publish):
    gone = mirror()
    gone.always = "404"
    with socket.socket() as silent:  # accepts, never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        mute = f"http://127.0.0.1:{silent.getsockname()[1]}/tiny.zip"
        refused = closed_port()
        publish(gone.url(), mute, refused)
        with pytest.raises(Offline) as caught:
            get("tiny", deadline=0.5)
    message = str(caught.value)
    assert f"{gone.url()}: it answered 404" in message and f"{refused}: it cannot be reached" in message
    assert f"{mute}: " in message and 'data.archive = "FILE"' in message and "data.fallback" in message


def test_hanging_name_query(cache, publish, monkeypatch):
    release = threading.Event()

    def hang(*_: object, **__: object) -> None:
        release.wait(10)
        raise socket.gaierror("released")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    publish("http://mirror.invalid/tiny.zip")
    with pytest.raises(Offline, match=r"no answer within 0\.2 s"):
        get("tiny", deadline=0.2)
    release.set()


def test_local_archive(cache, publish, tmp_path):
    publish(closed_port())
    mine = tmp_path / "mine.zip"
    mine.write_bytes(GOOD)
    assert whole(get("tiny", archive=mine))
    assert left(cache) == ["tiny"] and mine.exists()
    mine.unlink()
    assert whole(get("tiny", archive=mine))  # unpacked already


def test_local_archive_wrong_or_missing(cache, publish, tmp_path):
    publish(closed_port())
    mine = tmp_path / "mine.zip"
    with pytest.raises(GanzooError, match="There is no file"):
        get("tiny", archive=mine)
    mine.write_bytes(BAD)
    with pytest.raises(GanzooError) as caught:
        get("tiny", archive=mine)
    assert sha256(GOOD) in str(caught.value) and sha256(BAD) in str(caught.value)
    assert mine.exists() and not (cache / "tiny").exists()


@pytest.mark.parametrize("name", ["../escaped.txt", "/tmp/escaped.txt", "a/../../escaped.txt", "..\\escaped.txt"])
def test_zip_slip_is_refused(cache, publish, tmp_path, name):
    mine = tmp_path / "mine.zip"
    mine.write_bytes(zipped(extra=(name,)))
    publish(content=mine.read_bytes())
    with pytest.raises(GanzooError, match="outside its own folder"):
        get("tiny", archive=mine)
    assert left(cache) == [] and not list(tmp_path.rglob("*escaped*"))


def test_tar_slip_is_refused(cache, publish, tmp_path):
    mine = tmp_path / "mine.tar.gz"
    mine.write_bytes(tarred(name="../escaped.txt"))
    publish(content=mine.read_bytes(), kind="paired")
    with pytest.raises(GanzooError, match="outside its own folder"):
        get("tiny", archive=mine)
    assert left(cache) == [] and not list(tmp_path.rglob("*escaped*"))


CORRUPT = {
    "bytes": GOOD[:9_000] + bytes(100) + GOOD[9_100:],
    "end": GOOD[:-5_000],
    "page": b"<html>log in</html>",
    "tar": tarred()[:-5_000],
    "other": zipped().replace(b"trainA", b"trainX"),
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT)
def test_corrupt_archive(mirror, publish, cache, tmp_path, content):
    mine = tmp_path / "mine.zip"
    mine.write_bytes(content)
    publish(content=content)
    with pytest.raises(GanzooError, match="get it again"):
        get("tiny", archive=mine)
    assert left(cache) == [] and mine.exists()
    publish(mirror(content).url(), sha256=None)  # a download without a checksum: not kept, not trusted
    with pytest.raises(GanzooError, match="get it again"):
        get("tiny")
    assert left(cache) == []


def test_no_published_checksum(mirror, publish, cache, tmp_path):
    first, second = tarred(), tarred(seed=1)
    server, said = mirror(first), []
    publish(server.url("tiny.tar.gz"), sha256=None, bytes=None, kind="paired", counts=())
    folder = get("tiny", say=said.append)
    assert (folder / "train" / "0.jpg").stat().st_size == 200_000
    assert "0.2 MB" in said[0] and sha256(first) in said[1] and "trusted" in said[1]
    assert sha256(first) in (cache / "tiny.tar.gz.sha256").read_text()
    mine = tmp_path / "mine.tar.gz"
    mine.write_bytes(second)
    with pytest.raises(GanzooError, match=f"{sha256(second)}, not {sha256(first)}.*tiny.tar.gz.sha256"):
        get("tiny", archive=mine)  # although the folder is complete: it is from another file
    server.content = second
    shutil.rmtree(folder)
    (cache / "tiny.tar.gz").unlink()
    with pytest.raises(GanzooError, match=sha256(second)):
        get("tiny")
    (cache / "tiny.tar.gz.sha256").unlink()
    assert get("tiny", archive=mine) == folder


def child(tiny: Archive, cache: Path) -> subprocess.Popen:
    code = (
        "import sys; from ganzoo.data import archives; from ganzoo.data.archives import *\n"
        f"archives.ARCHIVES['tiny'] = {tiny!r}\n"
        "print(archives.get('tiny', say=lambda text: None)); assert 'torch' not in sys.modules"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT), "GANZOO_CACHE": str(cache)}
    return subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)


def test_killed_process_is_continued(mirror, publish, cache):
    server = mirror()
    server.mood = "hangs"
    part = cache / "tiny.zip.part"
    victim = child(publish(server.url()), cache)
    end = time.monotonic() + 10
    while not (part.exists() and part.stat().st_size >= archives.CHUNK):
        assert time.monotonic() < end and victim.poll() is None
        time.sleep(0.01)
    victim.kill()
    victim.communicate()
    start = part.stat().st_size
    assert whole(get("tiny"))
    assert server.ranges == [None, f"bytes={start}-"] and start >= archives.CHUNK
    assert left(cache) == ["tiny", "tiny.zip"]


def test_processes_at_the_same_time(mirror, publish, cache):
    server = mirror()
    tiny = publish(server.url())
    children = [child(tiny, cache) for _ in range(3)]
    assert [one.communicate()[0].strip() for one in children] == [str(cache / "tiny")] * 3
    assert whole(cache / "tiny") and server.sent == len(GOOD)


def test_full_disk(mirror, publish, cache, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    server = mirror()
    publish(server.url())
    with pytest.raises(GanzooError, match=r"disk that holds .* is full.*GANZOO_CACHE"):
        get("tiny", progress=full)  # called where the bytes are written
    assert (cache / "tiny.zip.part").exists()
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extractall", full)
        with pytest.raises(GanzooError, match="is full"):
            get("tiny")
    assert left(cache) == ["tiny.zip"]
    assert whole(get("tiny")) and server.ranges[1].startswith("bytes=")


def test_unusable_cache(mirror, publish, cache):
    publish(mirror().url())
    cache.write_text("a file where the folder should be")
    with pytest.raises(GanzooError, match="set GANZOO_CACHE"):
        get("tiny")


def test_folder_without_marker_is_moved_aside(mirror, publish, cache):
    publish(mirror().url())
    (cache / "tiny" / "mine").mkdir(parents=True)
    (cache / ".tiny.unpacking").mkdir()  # of a process that was killed
    assert whole(get("tiny"))
    assert [path.name for path in cache.glob("tiny.moved-*/*")] == ["mine"] and not (cache / ".tiny.unpacking").exists()


def test_folder_of_an_older_archive_is_not_used(mirror, publish):
    publish(mirror(BAD).url(), content=BAD)
    assert not whole(get("tiny"))
    publish(mirror().url())
    assert whole(get("tiny"))


@pytest.mark.parametrize("top", ["", "deep/er/", "renamed/"])
def test_wherever_the_folders_are_in_the_archive(cache, publish, tmp_path, top):
    mine = tmp_path / "mine.zip"
    mine.write_bytes(zipped(top, extra=("__MACOSX/x/y/trainA/._0.jpg",)))
    publish(content=mine.read_bytes(), counts=(2, 2, 2, 3))
    said: list[str] = []
    assert sorted(path.name for path in get("tiny", archive=mine, say=said.append).glob("t*")) == sorted(PARTS)
    assert len(said) == 1 and "testB has 2, not 3" in said[0]


def test_names(cache):
    with pytest.raises(GanzooError, match=r"withdrawn .* licence"):
        get("cityscapes")
    with pytest.raises(GanzooError, match='did you mean "monet2photo"'):
        get("monet2foto")
    with pytest.raises(GanzooError, match="choose one of apple2orange"):
        get("?")


def test_table():
    assert len(ARCHIVES) == 15 and sum(one.kind == "paired" for one in ARCHIVES.values()) == 5
    for name, one in ARCHIVES.items():
        assert one.name == name and [url.split(":")[0] for url in one.urls] == ["https", "http"]
        assert all(url.endswith(f"/{one.file}") for url in one.urls)
        assert (one.kind == "paired") if one.sha256 is None else (len(one.sha256) == 64 and len(one.counts) == 4)
    assert ARCHIVES["pix2pix_edges2shoes"].file == "edges2shoes.tar.gz"
    assert ARCHIVES["monet2photo"].domains == ("monet", "photo") and ARCHIVES["monet2photo"].bytes == 305231073
