"""Fetching data sets, only when the user asks: over https, with size and checksum pinned.

Moving MNIST has no published SHA-256, only an MD5: that one guards against damage, not malice.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from difflib import get_close_matches
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from filelock import FileLock

from framecast.errors import InputError

CHUNK = 2**20  # bytes
TIMEOUT = 30  # seconds without a byte, and seconds before a slow answer is given up
SLOWEST = 1024  # bytes per second
ATTEMPTS = 4
PARTIAL, UNSATISFIABLE = HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


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

Opener = Callable[[Request], Any]  # the answer is an http.client.HTTPResponse


class _HttpsOnly(HTTPRedirectHandler):
    """Follows a redirect to https and refuses any other."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if not newurl.startswith("https://"):
            raise HTTPException(f"redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_https(request: Request) -> Any:
    """Open an https address for reading."""
    assert request.full_url.startswith("https://"), request.full_url
    return build_opener(_HttpsOnly()).open(request, timeout=TIMEOUT)


def home(name: str) -> Path:
    """The folder of a data set: in $FRAMECAST_DATA, else in the user's cache."""
    given = os.environ.get("FRAMECAST_DATA")
    if given:
        return Path(given).expanduser() / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "framecast", name)


def get(name: str, root: str | Path | None = None, open_url: Opener = open_https) -> Path:
    """Fetch the files of a data set that are not there yet.

    Of several processes that want a file one fetches it, and the others wait. What breaks off goes
    on from there, at the next call too; a file has its name only once its bytes are right.

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
            if _is_right(path, remote):
                continue
            # The system lets go of the lock of a process that dies.
            with FileLock(path.with_name(f".{path.name}.lock")):
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


class _BrokenError(Exception):
    """The server cannot be reached, or its answer broke off: what has come is kept."""


class _UselessError(_BrokenError):
    """The server does not go on from what has come."""


def _fetch(remote: Remote, path: Path, open_url: Opener) -> None:
    """Stream into a file beside `path`, check it there, and only then rename it."""
    part, what = path.with_name(f".{path.name}.part"), ""
    for _ in range(ATTEMPTS):
        start = part.stat().st_size if part.exists() else 0
        try:
            _go_on(remote, part, start, open_url)
        except _BrokenError as error:
            what = f"cannot be reached ({error})"
            if isinstance(error, _UselessError):
                part.unlink()
            elif not part.exists():  # nothing ever came
                break
            continue
        if _is_right(part, remote):
            part.replace(path)
            return
        what = f"sent {part.stat().st_size} bytes that are not the file of {remote.size} bytes"
        part.unlink()
        if not start:  # else what had come before may have been wrong
            break
    fix = f"try again later, or fetch {remote.name} by hand and put it into {path.parent}"
    raise InputError(remote.url, what, fix)


def _go_on(remote: Remote, part: Path, start: int, open_url: Opener) -> None:
    """Fetch what is missing after the first `start` bytes; no more than one chunk too much."""
    if start >= remote.size:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with closing(_attempt(lambda: open_url(Request(remote.url, headers=headers)))) as answer:
        if answer.status == PARTIAL:
            wanted = f"bytes {start}-{remote.size - 1}/{remote.size}"
            if answer.headers.get("Content-Range") != wanted:
                raise (_UselessError if start else _BrokenError)("sent another part")
        else:
            start = 0
        with part.open("ab") as file:
            file.truncate(start)
            for chunk in _chunks(answer):
                file.write(chunk)
                if file.tell() > remote.size:
                    return
            os.fsync(file.fileno())
    if (size := part.stat().st_size) < remote.size:
        raise _BrokenError(f"broke off after {size} of {remote.size} bytes")


def _chunks(answer: Any) -> Iterator[bytes]:
    started, size = time.monotonic(), 0
    while chunk := _attempt(lambda: answer.read1(CHUNK)):
        size += len(chunk)
        seconds = time.monotonic() - started
        if seconds > TIMEOUT and size < SLOWEST * seconds:
            raise _BrokenError(f"sent {size} bytes in {seconds:.0f} seconds")
        yield chunk


def _attempt(call: Callable[[], Any]) -> Any:
    """Do what the network may prevent."""
    try:
        return call()
    except HTTPError as error:
        kind = _UselessError if error.code == UNSATISFIABLE else _BrokenError
        raise kind(" ".join(f"{error.code} {error.reason}".split())) from None
    except (OSError, HTTPException, ValueError) as error:
        raise _BrokenError(str(getattr(error, "reason", error)) or type(error).__name__) from None
