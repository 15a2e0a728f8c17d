"""Published archives: from real servers on 127.0.0.1 that lie, break off, hang and go away, and from crafted files."""

import errno
import hashlib
import io
import os
import random
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.data import archives, downloads
from ganzoo.data.archives import MARKER, get
from ganzoo.data.published import SIDE_BY_SIDE, UNPAIRED, Archive, find
from ganzoo.errors import GanzooError, Offline
from ganzoo.registry import registry

PACKAGE = Path(archives.__file__).parents[2]
LOCALHOST = Path(__file__).with_name("localhost.pem")  # a key and its certificate, of no use elsewhere


class Mirror(ThreadingHTTPServer):
    """Serves one file, or what its mood says."""

    daemon_threads = True

    def __init__(self, content: bytes, mood: str, tls: bool) -> None:
        self.content, self.mood, self.asked, self.scheme = content, mood, [], "https" if tls else "http"
        super().__init__(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(LOCALHOST)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, name: str = "tiny.zip") -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        mirror, mood = self.server, self.server.mood
        mirror.asked.append(self.path)
        if mood == "404":
            return self.send_error(404)
        if mood.startswith("http"):
            self.send_response(302)
            self.send_header("Location", mood)
            return self.end_headers()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if mood == "login page" else "application/octet-stream")
        if mood in ("chunks", "endless"):
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", "abc" if mood == "abc" else str(len(mirror.content)))
        if mood == "gzip":
            self.send_header("Content-Encoding", "x-gzip")
        self.end_headers()
        with suppress(OSError):  # the other end has had enough
            self._send(mirror.content, mood)

    def _send(self, content: bytes, mood: str) -> None:
        for start in range(0, len(content), 2) if mood == "drips" else ():
            self.wfile.write(content[start : start + 2])
            self.wfile.flush()
            time.sleep(0.05)
        for part in {"chunks": [content], "endless": repeat(content)}.get(mood, ()):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        if mood == "chunks":
            self.wfile.write(b"0\r\n\r\n")
        if mood in ("drips", "chunks", "endless"):
            return
        self.wfile.write(content[: 150_000 if mood in ("breaks off", "hangs") else None])
        if mood == "hangs":
            self.wfile.flush()
            time.sleep(3)

    def log_message(self, *_: object) -> None: ...


def zipped(
    top: str = "tiny/", seed: int = 0, extra: tuple[str | zipfile.ZipInfo, ...] = (), each: int = 50_000
) -> bytes:
    """A zip of 4 x 2 files of noise, about 400 kB."""
    noise, file = random.Random(seed), io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for part in UNPAIRED:
            for number in range(2):
                opened.writestr(f"{top}{part}/{number}.jpg", noise.randbytes(each))
        for name in extra:
            opened.writestr(name, "../escaped.txt")
    return file.getvalue()


def tarred(*members: tarfile.TarInfo, seed: int = 0, size: int = 200_000, mode: str = "w:gz") -> bytes:
    file, image = io.BytesIO(), tarfile.TarInfo("tiny/train/0.jpg")
    image.size = size
    with tarfile.open(fileobj=file, mode=mode) as opened:
        for member in (image, *members):
            opened.addfile(member, io.BytesIO(random.Random(seed).randbytes(member.size)))
    return file.getvalue()


def member(name: str, type_: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = type_, link, 20 if type_ == tarfile.REGTYPE else 0
    return info


def link_in_zip() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("tiny/link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


GOOD, BAD = zipped(), zipped(seed=1)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(LOCALHOST))
    monkeypatch.delenv("GANZOO_MIRROR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def mirror(cache):
    with ExitStack() as stack:

        def start(content: bytes = GOOD, mood: str = "", tls: bool = False) -> Mirror:
            server = Mirror(content, mood, tls)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def fetch(cache, said):
    """Gets a tiny archive that is published at these URLs."""
    return lambda *urls, local=None, progress=lambda done, total: None, **changes: get(
        tiny(*urls, **changes), local=local, progress=progress, say=said.append
    )


def tiny(*urls, content=GOOD, **changes) -> Archive:
    facts = {"bytes": len(content), "sha256": sha256(content), "counts": (2, 2, 2, 2)} | changes
    return Archive(**{"name": "tiny", "domains": ("a", "b"), "urls": urls, "licence": "Noise, free for all."} | facts)


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


def test_download_then_cache(mirror, fetch, said, cache):
    server, steps = mirror(), []
    folder = fetch(server.url(), progress=lambda *step: steps.append(step))
    assert folder == cache / "tiny" and whole(folder)
    assert len(said) == 1 and "0.4 MB" in said[0] and "Noise, free for all." in said[0]
    assert steps[-1] == (len(GOOD), len(GOOD)) and steps == sorted(steps) and len(steps) > 2
    assert left(cache) == ["tiny"]
    server.mood = "404"
    assert fetch(server.url()) == folder and len(said) == 1 and len(server.asked) == 1


@pytest.mark.parametrize(
    ("mood", "why"),
    [
        ("404", "it answered 404 Not Found"),
        ("login page", "a web page instead of the file"),
        ("breaks off", "broke off"),
        ("hangs", "stopped answering"),
        ("drips", "less than 10 kB a second"),
        ("endless", "more than the 400,"),
    ],
)
def test_the_second_mirror_delivers_what_the_first_does_not(mirror, fetch, monkeypatch, mood, why):
    monkeypatch.setattr(downloads, "STALL", 0.3)
    bad, good = mirror(mood=mood), mirror()
    assert whole(fetch(bad.url(), good.url()))
    with pytest.raises(Offline, match=why):
        fetch(bad.url(), name="other")


def test_a_mirror_that_calls_gz_an_encoding(mirror, fetch):
    content = tarred()
    assert (fetch(mirror(content, "gzip").url(), content=content, layout=SIDE_BY_SIDE) / "train" / "0.jpg").is_file()


@pytest.mark.parametrize("mood", ["abc", "chunks"])
def test_a_mirror_that_does_not_say_how_much_there_is(mirror, fetch, mood):
    assert whole(fetch(mirror(mood=mood).url()))


def test_without_a_checksum_only_https_is_taken(mirror, fetch, cache, monkeypatch):
    plain, safe = mirror(), mirror(tls=True)
    for urls in ([plain.url()], [mirror(mood=plain.url(), tls=True).url()]):  # the second leads to the first
        with pytest.raises(Offline, match=f"without a checksum only https is taken, not {re.escape(plain.url())}"):
            fetch(*urls, sha256=None)
    assert left(cache) == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    with pytest.raises(Offline, match=r"its certificate was refused.*only https is taken"):
        fetch(safe.url(), plain.url(), sha256=None)
    assert whole(fetch(safe.url(), plain.url())), "what has a checksum may come by any way"


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"half a di"])
def test_a_damaged_record_or_marker(mirror, fetch, cache, damage):
    server = mirror(tls=True)
    folder = fetch(server.url(), sha256=None)
    (folder / MARKER).write_bytes(damage)
    assert whole(fetch(server.url(), sha256=None)), "it is unpacked again"
    (cache / "tiny.sha256").write_bytes(damage)
    with pytest.raises(GanzooError, match=r"tiny\.sha256 should hold a sha256\. Delete it if you trust"):
        fetch(server.url(), sha256=None)


def test_own_mirror_comes_first(mirror, fetch, monkeypatch):
    own, other = mirror(), mirror()
    monkeypatch.setenv("GANZOO_MIRROR", own.url("data/"))
    assert whole(fetch(other.url()))
    assert own.asked == ["/data/tiny.zip"] and not other.asked


def test_no_mirror_answers(mirror, fetch, monkeypatch):
    monkeypatch.setattr(downloads, "DEADLINE", 0.9)
    refused = closed_port()
    with socket.socket() as silent:  # accepts, never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        mute = f"http://127.0.0.1:{silent.getsockname()[1]}/tiny.zip"
        with pytest.raises(Offline) as caught:
            fetch(mirror(mood="404").url(), mute, refused)
    for part in (
        f"{refused}: it cannot be reached",
        f"{mute}: no answer within 0.3 s",
        "data.archive",
        "data.fallback",
    ):
        assert part in str(caught.value)


def test_a_name_query_that_hangs(fetch, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(downloads, "DEADLINE", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(10) and 1 / 0)
    begun = time.monotonic()
    with pytest.raises(Offline, match=r"no answer within 0\.2 s"):
        fetch("http://mirror.invalid/tiny.zip")
    assert time.monotonic() - begun < 3
    release.set()


def test_wrong_checksums(mirror, fetch, cache):
    one, two = mirror(BAD), mirror(b"else")
    with pytest.raises(GanzooError, match="expected sha256") as caught:
        fetch(one.url(), two.url())
    assert not isinstance(caught.value, Offline)
    assert all(sha256(content) in str(caught.value) for content in (GOOD, BAD, b"else"))
    assert left(cache) == []
    assert whole(fetch(one.url(), mirror().url()))


def test_no_published_checksum(mirror, fetch, said, cache, tmp_path):
    first, second = tarred(), tarred(seed=1)
    server, changes = mirror(first, tls=True), {"sha256": None, "bytes": None, "layout": SIDE_BY_SIDE, "counts": ()}
    folder = fetch(server.url("tiny.tar.gz"), **changes)
    assert "of unknown size" in said[0] and sha256(first) in said[1] and "trusted" in said[1]
    assert (cache / "tiny.sha256").read_text() == sha256(first)
    shutil.rmtree(folder)
    server.content = second
    with pytest.raises(GanzooError, match=f"{sha256(second)}; expected sha256 {sha256(first)}.*delete .*tiny.sha256"):
        fetch(server.url("tiny.tar.gz"), **changes)
    (cache / "tiny.sha256").unlink()
    assert fetch(server.url("tiny.tar.gz"), **changes) == folder


def test_a_local_file_without_published_checksum_is_not_recorded(mirror, fetch, cache, tmp_path):
    (tmp_path / "mine.zip").write_bytes(BAD)
    folder = fetch(closed_port(), local=tmp_path / "mine.zip", sha256=None)
    assert left(cache) == ["tiny"] and (folder / MARKER).read_text() == sha256(BAD)
    assert whole(fetch(mirror(tls=True).url(), sha256=None))  # the download is not taken to be there


def test_local_file(fetch, cache, tmp_path):
    mine = tmp_path / "mine.zip"
    with pytest.raises(GanzooError, match="There is no file"):
        fetch(local=mine)
    mine.write_bytes(BAD)
    with pytest.raises(GanzooError, match=f"{sha256(BAD)}, not {sha256(GOOD)}"):
        fetch(local=mine)
    mine.write_bytes(GOOD)
    assert whole(fetch(local=mine)) and left(cache) == ["tiny"] and mine.exists()


SYM, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
REFUSED = {
    "parent": zipped(extra=("../escaped.txt",)),
    "absolute": zipped(extra=("/tmp/escaped.txt",)),
    "inner": zipped(extra=("a/../../escaped.txt",)),
    "backslash": zipped(extra=("..\\escaped.txt",)),
    "drive": zipped(extra=("C:\\escaped.txt",)),
    "zip-link": zipped(extra=(link_in_zip(),)),
    "tar-parent": tarred(member("../escaped.txt")),
    "tar-absolute": tarred(member("/tmp/escaped.txt")),
    "tar-link": tarred(member("tiny/a", SYM, "train/0.jpg")),  # inside, and refused nevertheless
    "tar-hard": tarred(member("tiny/a", HARD, "tiny/train/0.jpg")),
    "tar-pipe": tarred(member("tiny/a", tarfile.FIFOTYPE)),
    "tar-through": tarred(member("tiny/a", SYM, "../.."), member("tiny/a/escaped.txt")),
}  # fmt: skip


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_nothing_is_written_outside_and_no_links(fetch, cache, tmp_path, content):
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(GanzooError, match=r"was refused: .* is a link, a device or outside"):
        fetch(local=tmp_path / "mine", content=content)
    assert left(cache) == [] and not [path for path in tmp_path.rglob("*") if path.is_symlink() or "esc" in path.name]


DAMAGED = {
    "bytes": GOOD[:9_000] + bytes(100) + GOOD[9_100:],
    "end": GOOD[:-5_000],
    "page": b"<html>log in</html>",
    "tar": tarred()[:-5_000],
    "other": zipped().replace(b"trainA", b"trainX"),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_archive(mirror, fetch, cache, tmp_path, content):
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(GanzooError, match="get it again"):
        fetch(local=tmp_path / "mine", content=content)
    with pytest.raises(GanzooError, match="get it again"):
        fetch(mirror(content, tls=True).url(), sha256=None)  # neither trusted nor recorded
    assert left(cache) == []


def bomb(kind: str) -> bytes:
    """A small archive of a large file of zeros."""
    file, zeros = io.BytesIO(), bytes(3_000_000)
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("tiny/trainA/0.jpg", zeros)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w:gz") as opened:
        info = tarfile.TarInfo("tiny/trainA/0.jpg")
        info.size = len(zeros)
        opened.addfile(info, io.BytesIO(zeros))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_what_swells_is_refused(fetch, cache, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "ALWAYS_FINE", 2_000_000)
    (tmp_path / "mine").write_bytes(content := bomb(kind))
    assert len(content) < 10_000
    with pytest.raises(GanzooError, match=r"was refused: unpacked .* more than 100 times as large"):
        fetch(local=tmp_path / "mine", content=content)
    assert left(cache) == []


def test_archives_at_random(cache, tmp_path):
    """Bytes changed and cut, of every kind: a folder below the cache, or a GanzooError; nothing beside it."""
    strange = [member("../x"), member("tiny/a", SYM, "../.."), member("tiny/a/x"), member("tiny/b", tarfile.FIFOTYPE)]
    kinds = [zipped(each=300), zipped(each=300, extra=("../x", link_in_zip()))]
    kinds += [tarred(*strange[:count], size=300, mode="w") for count in range(5)]
    flips = st.lists(st.tuples(st.floats(-1, 1, exclude_max=True), st.integers(1, 255)), max_size=5)

    @settings(max_examples=80, deadline=None, derandomize=True, database=None)
    @given(st.sampled_from(kinds), flips, st.one_of(st.just(1.0), st.floats(0, 1)))
    def holds(content, flips, kept):
        content = bytearray(content)
        for place, change in flips:
            content[int(place * len(content))] ^= change
        (tmp_path / "mine").write_bytes(content[: int(kept * len(content))])
        archive = tiny(sha256=None, layout=("train", "trainA"), counts=())
        with suppress(GanzooError):
            get(archive, local=tmp_path / "mine", say=str)
        assert {path.name for path in tmp_path.iterdir()} <= {"mine", "cache"}
        assert not [path for path in cache.rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir())]

    holds()


def child(archive: Archive) -> subprocess.Popen:
    code = f"from ganzoo.data.archives import *; print(get({archive!r}, say=lambda text: None))"
    path = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)


def test_processes_at_the_same_time_and_one_that_was_killed(mirror, cache):
    server = mirror(mood="hangs")
    victim = child(tiny(server.url()))
    while not (cache / ".tiny.partial" / "archive").exists():
        assert victim.poll() is None
        time.sleep(0.01)
    victim.kill()
    victim.communicate()
    server.mood = ""
    children = [child(tiny(server.url())) for _ in range(3)]
    assert [one.communicate()[0].strip() for one in children] == [str(cache / "tiny")] * 3
    assert whole(cache / "tiny") and left(cache) == ["tiny"] and len(server.asked) == 2


def test_full_disk_and_unusable_cache(mirror, fetch, cache):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(GanzooError, match=r"No space left on device.*free some space.*GANZOO_CACHE"):
        fetch(mirror().url(), progress=full)  # called where the bytes are written
    assert left(cache) == []
    shutil.rmtree(cache)
    cache.write_text("a file where the folder should be")
    with pytest.raises(GanzooError, match="set GANZOO_CACHE"):
        fetch(mirror().url())


def test_what_is_not_ours_is_moved_aside(mirror, fetch, said, cache):
    (cache / "tiny" / "mine").mkdir(parents=True)
    assert not whole(fetch(mirror(BAD).url(), content=BAD))
    assert [path.name for path in cache.glob("tiny.moved-*/*")] == ["mine"] and "was moved to" in said[1]
    assert whole(fetch(mirror().url())), "another version of the archive"


def test_links_in_the_cache_are_not_followed(mirror, fetch, cache, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / MARKER).write_text(sha256(GOOD))
    (theirs / "note").write_text("theirs")
    cache.mkdir()
    (cache / "tiny").symlink_to(theirs)
    (cache / "tiny.sha256").symlink_to(theirs / "note")
    assert whole(fetch(mirror(tls=True).url(), sha256=None))
    assert (theirs / "note").read_text() == "theirs" and len([*theirs.iterdir()]) == 2
    (cache / ".tiny.partial").symlink_to(theirs)
    with pytest.raises(GanzooError, match="Cannot use"):
        fetch(mirror(BAD).url(), content=BAD)
    assert len([*theirs.iterdir()]) == 2


@pytest.mark.parametrize("top", ["", "deep/er/", "renamed/"])
def test_wherever_the_folders_are_in_the_archive(fetch, said, tmp_path, top):
    content = zipped(top, extra=("__MACOSX/x/y/trainA/._0.jpg", f"{top}trainA/.DS_Store"))
    (tmp_path / "mine").write_bytes(content)
    folder = fetch(local=tmp_path / "mine", content=content, counts=(2, 2, 2, 3))
    assert sorted(path.name for path in folder.glob("t*")) == sorted(UNPAIRED)
    assert len(said) == 1 and "(testB has 2, not 3)" in said[0]


def test_those_of_ganzoo():
    names = [entry.name for entry in registry().entries if entry.type == "archive" and entry.distribution == "ganzoo"]
    assert len(names) >= 16
    for name in names:
        archive = find(name)
        assert archive.name == name and len(archive.domains) == 2
        assert archive.sha256 or all(url.startswith("https:") for url in archive.urls), "http only with a checksum"
    with pytest.raises(GanzooError, match='Did you mean "monet2photo"'):
        find("monet2foto")
    with pytest.raises(GanzooError, match=r"cannot be downloaded\. .*licence reasons.*data\.root"):
        get(find("cityscapes"))


PLUGIN = """
from ganzoo import hookimpl


@hookimpl
def register_archives(register):
    register("tiny", "ganzoo_small.data:TINY", summary="noise", data_kinds="unpaired")
    register("text", "ganzoo_small.data:TEXT")
    register("gone", "ganzoo_small.data:GONE")
    register("landscapes", "ganzoo_small.data:TINY")
"""
DATA = """
from ganzoo import Archive

TINY = {archive!r}
TEXT = "no archive"
"""


def test_a_plugin_publishes_one(mirror, plugin, ganzoo, recipe, images, tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for image in images.glob("t*/*.png"):
            opened.write(image, image.relative_to(images))
    archive = tiny(mirror(file.getvalue()).url(), content=file.getvalue(), counts=())
    env = plugin(tmp_path / "site", "small", {"__init__": PLUGIN, "data": DATA.format(archive=archive)})
    env |= {"GANZOO_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"}
    listed = ganzoo("data", "list", cwd=tmp_path, env=env)
    assert listed.returncode == 0 and re.search(r"tiny +unpaired +a, b +0 +ganzoo-small 0.5", listed.stdout)
    assert "it should be a ganzoo.Archive" in listed.stdout and 'The archive "gone" of ganzoo-small' in listed.stdout
    assert "Noise, free for all." in ganzoo("show", "tiny", cwd=tmp_path, env=env).stdout
    recipe(tmp_path, {"data.source": "tiny", "data.root": None, "train.images": 2})
    done = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=env)
    assert done.returncode == 0 and "Downloading tiny" in done.stdout, done
    assert 'source = "tiny"' in (tmp_path / "out" / "recipe.toml").read_text()
    recipe(tmp_path, {"data.source": "landscapes", "data.root": None})
    claims = '"ganzoo-small/landscapes" (archive) or "ganzoo-worlds/landscapes" (source)'
    ganzoo("run", "tiny.toml", cwd=tmp_path, env=env).mistake(claims)
    got = ganzoo("data", "get", "ganzoo-small/tiny", cwd=tmp_path, env=env)
    assert got.stdout.strip() == str(tmp_path / "cache" / "tiny") and not got.stderr
