"""Real shards, written by the webdataset library where it is installed: local ones and those of a server."""

import functools
import io
import ssl
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_testing import check_source
from PIL import Image

from ganzoo import GanzooError
from ganzoo.clock import Clock
from ganzoo.data.dataset import open_dataset
from ganzoo.data.loader import batches
from ganzoo.options import DataOptions

LOCALHOST = Path(__file__).parents[3] / "tests" / "localhost.pem"
TRAIN = {"cat": "cat-{0..1}.tar", "dog": "dog-0.tar"}


def encoded(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 16), (grey, 2 * grey, 0)).save(file, "PNG")
    return file.getvalue()


def write(path: Path, greys: range) -> None:
    with tarfile.open(path, "w") as shard:
        for grey in greys:
            for suffix, content in (("png", encoded(grey)), ("json", b"{}")):
                member = tarfile.TarInfo(f"{grey:04d}.{suffix}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """Two shards of cats with 5 and 3 images, and one of 4 dogs; an image tells itself by its grey."""
    root = tmp_path_factory.mktemp("shards")
    write(root / "cat-0.tar", range(5))
    write(root / "cat-1.tar", range(5, 8))
    write(root / "dog-0.tar", range(50, 54))
    return root


def opened(root, train=TRAIN, kind="unpaired", test=None, **options):
    source = {"name": "webdataset", "train": train, "test": test or {}}
    return open_dataset(DataOptions(source=source, root=str(root), size=8, load=8, batch=2, **options), kind)


def drawn(dataset, start=0, stop=32):
    clock = Clock(0, 2)
    clock.set(start)
    return [batch["cat"][:, 0, 0, 0] for batch in batches(dataset.training_samples(0), clock, stop)]


def test_it_is_a_source(shards):
    check_source("webdataset", {"train": TRAIN}, ["unpaired", "domains"], root=str(shards))
    check_source("webdataset", {"train": {"cat": TRAIN["cat"]}}, ["images"], root=str(shards))


def test_every_image_of_all_shards_comes_once_an_epoch_and_a_resume_goes_on_with_the_next(shards):
    dataset = opened(shards)
    assert [ref.name for ref in dataset.source.images("train", "cat")][4:6] == [
        f"{shards}/cat-0.tar/0004.png",
        f"{shards}/cat-1.tar/0005.png",
    ]
    seen = torch.cat(drawn(dataset))
    greys = ((seen + 1) * 127.5).round().int().tolist()
    epochs = [greys[i : i + 8] for i in range(0, 32, 8)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs) and len(set(map(tuple, epochs))) > 1
    assert torch.equal(torch.cat(drawn(opened(shards), start=12)), seen[12:])
    assert torch.equal(torch.cat(drawn(opened(shards, workers=2, cache=0))), seen)


def test_the_webdataset_library_writes_what_is_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "cat-0.tar")) as writer:
        for i in range(3):
            writer.write({"__key__": f"{i:06d}", "png": encoded(i), "cls": i})
    found = opened(tmp_path, {"cat": "cat-0.tar"}, "images").source.images("train", "image")
    assert [np.asarray(ref.open())[0, 0, 0] for ref in found] == [0, 1, 2]


def test_few_bytes_an_image(tmp_path):
    write(tmp_path / "cat-0.tar", range(120))
    images = opened(tmp_path, {"cat": "cat-0.tar"}, "images").source.images("train", "image")
    assert len(images) == 114 and images.names.nbytes + images.places.nbytes < 50 * len(images)


def test_shards_of_a_server_are_downloaded_once(shards, tmp_path, monkeypatch):
    for name, value in {"GANZOO_CACHE": tmp_path, "NO_PROXY": "127.0.0.1", "REQUESTS_CA_BUNDLE": LOCALHOST}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("GANZOO_MIRROR", raising=False)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=shards)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(LOCALHOST)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"https://127.0.0.1:{server.server_port}"
        remote = {domain: f"{address}/{pattern}" for domain, pattern in TRAIN.items()}
        there = drawn(opened("", remote))
        server.shutdown()
    assert torch.equal(torch.cat(there), torch.cat(drawn(opened(shards))))
    assert torch.equal(torch.cat(there), torch.cat(drawn(opened("", remote))))  # without the server


@pytest.mark.parametrize(
    ("train", "kind", "words"),
    [
        ({"cat": "cat-{0..1.tar", "dog": "dog-0.tar"}, "unpaired", ['shards of "cat"', "{000..031}"]),
        ({"cat": "cat-7.tar", "dog": "dog-0.tar"}, "unpaired", ["cat-7.tar cannot be read", "No such file"]),
        ({"cat": "empty.tar", "dog": "dog-0.tar"}, "unpaired", ['shards of "cat" hold no images: empty.tar']),
        ({"cat": "packed.tar.gz", "dog": "dog-0.tar"}, "unpaired", ["packed.tar.gz cannot be read as an uncompressed"]),
        (TRAIN, "images", ["choose among cat, dog with data.domains"]),
    ],
)
def test_mistakes(shards, train, kind, words):
    with tarfile.open(shards / "empty.tar", "w"), tarfile.open(shards / "packed.tar.gz", "w:gz"):
        pass
    with pytest.raises(GanzooError) as error:
        opened(shards, train, kind)
    for word in words:
        assert word in str(error.value)


def test_a_damaged_image_is_named(shards, tmp_path):
    content = (shards / "cat-0.tar").read_bytes()
    (tmp_path / "cat-0.tar").write_bytes(content.replace(b"IDAT", b"XDAT", 1))
    broken, *others = opened(tmp_path, {"cat": "cat-0.tar"}, "images").source.images("train", "image")
    with pytest.raises(GanzooError, match=r"cat-0\.tar/0000\.png cannot be read as an image"):
        broken.open()
    assert len([ref.open() for ref in others]) == 4
