"""Fetching data sets, only when the user asks: over https, with size and checksum pinned."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from difflib import get_close_matches
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.request import HTTPRedirectHandler, Request, build_opener

from framecast.errors import InputError

CHUNK = 2**20  # bytes
TIMEOUT = 30  # seconds without a byte


class Remote(NamedTuple):
    """A file on a server; its name here is the last part of the address."""

    url: str
    size: int
    algorithm: str
    digest: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
REMOTES: dict[str, tuple[Remote, ...]] = {
    "mnist": (
        Remote(
            MNIST + "train-images-idx3-ubyte.gz",
            9_912_422,
            "sha256",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        Remote(
            MNIST + "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "sha256",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
    ),
    "moving_mnist": (
        Remote(
            "https://www.cs.toronto.edu/~nitish/unsupervised_video/mnist_test_seq.npy",
            819_200_096,
            "md5",  # the only checksum that is published; it guards against damage
            "be083ec986bfe91a449d63653c411eb2",
        ),
    ),
}

Opener = Callable[[str], AbstractContextManager[IO[bytes]]]


class _HttpsOnly(HTTPRedirectHandler):
    """Follows a redirect to https and refuses any other."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if not newurl.startswith("https://"):
            raise HTTPException(f"redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_https(url: str) -> Any:
    """Open an https address for reading."""
    assert url.startswith("https://"), url
    return build_opener(_HttpsOnly()).open(url, timeout=TIMEOUT)


def home(name: str) -> Path:
    """The folder of a data set: in $FRAMECAST_DATA, else in the user's cache."""
    given = os.environ.get("FRAMECAST_DATA")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(given).expanduser() if given else Path(cache) / "framecast") / name


def get(name: str, root: str | Path | None = None, open_url: Opener = open_https) -> Path:
    """Fetch the files of a data set that are not there yet.

    Args:
        name: a key of `REMOTES`.
        root: the folder to put them into; the default is `home(name)`.
        open_url: opens an address for reading.

    Returns:
        The folder.

    Raises:
        InputError: the name is unknown, there is no connection, what came is not the file, or the
            folder cannot be written.
    """
    if name not in REMOTES:
        near = get_close_matches(name, REMOTES, n=1)
        fix = f"did you mean {near[0]}?" if near else f"choose from {', '.join(REMOTES)}"
        raise InputError(name, "is not a data set to fetch", fix)
    folder = Path(root).expanduser() if root is not None else home(name)
    for remote in REMOTES[name]:
        path = folder / remote.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not _is_right(path, remote):
                _fetch(remote, path, open_url)
        except OSError as error:
            raise InputError(path, f"cannot be written ({error})", "choose another root") from None
    return folder


def _is_right(path: Path, remote: Remote) -> bool:
    if not path.is_file() or path.stat().st_size != remote.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, remote.algorithm).hexdigest() == remote.digest


def _fetch(remote: Remote, path: Path, open_url: Opener) -> None:
    """Stream into a temporary file beside `path`, check it there, and only then rename it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    digest, size = hashlib.new(remote.algorithm), 0
    try:
        with part.open("wb") as file:
            for chunk in _chunks(remote, path, open_url):
                digest.update(chunk)
                size += file.write(chunk)
                if size > remote.size:
                    break
        if size != remote.size or digest.hexdigest() != remote.digest:
            what = f"sent {size} bytes that are not the file of {remote.size} bytes"
            fix = f"fetch {remote.name} elsewhere and put it into {path.parent}"
            raise InputError(remote.url, what, fix)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _chunks(remote: Remote, path: Path, open_url: Opener) -> Iterator[bytes]:
    try:
        with open_url(remote.url) as answer:
            while chunk := answer.read(CHUNK):
                yield chunk
    except (OSError, HTTPException) as error:
        fix = f"fetch it by hand and put it into {path.parent}"
        why = getattr(error, "reason", error)
        raise InputError(remote.url, f"cannot be reached ({why})", fix) from None
