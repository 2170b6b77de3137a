"""Downloads against a server that is a function: no network."""

import hashlib
import io
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from urllib.error import URLError
from urllib.request import Request

import pytest

from framecast.data import download
from framecast.data.download import REMOTES, Remote, get, home
from framecast.errors import InputError

CONTENT = b"digits" * 1000
URL = "https://example.org/files/digits.gz"


@pytest.fixture(autouse=True)
def pinned(monkeypatch):
    remote = Remote(URL, len(CONTENT), "sha256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(REMOTES, "mnist", (remote,))
    monkeypatch.setattr(download, "CHUNK", 1000)


def serve(content, breaks=None):
    """An opener that sends `content`, and then breaks off with an error if one is given."""

    class Answer(io.BytesIO):
        def read(self, size=-1):
            chunk = super().read(size)
            if not chunk and breaks:
                raise breaks
            return chunk

    @contextmanager
    def open_url(url):
        assert url == URL
        yield Answer(content)

    return open_url


def never(url):
    raise AssertionError("contacted the server")


def test_fetches_once(tmp_path):
    folder = get("mnist", tmp_path / "new" / "folder", serve(CONTENT))
    assert [path.read_bytes() for path in folder.iterdir()] == [CONTENT]
    assert get("mnist", folder, never) == folder


def test_a_wrong_file_is_fetched_again(tmp_path):
    (tmp_path / "digits.gz").write_bytes(CONTENT[::-1])
    get("mnist", tmp_path, serve(CONTENT))
    assert (tmp_path / "digits.gz").read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"])
def test_wrong_content_leaves_nothing(tmp_path, content):
    with pytest.raises(InputError, match="that are not the file of 6000 bytes"):
        get("mnist", tmp_path, serve(content))
    assert list(tmp_path.iterdir()) == []


def test_an_endless_answer_is_cut_off(tmp_path):
    with pytest.raises(InputError, match="sent 7000 bytes"):
        get("mnist", tmp_path, serve(CONTENT * 1000))


@pytest.mark.parametrize("error", [URLError("no route"), TimeoutError(), HTTPException("odd")])
def test_no_connection_says_what_to_fetch_and_where_to_put_it(tmp_path, error):
    def refuse(url):
        raise error

    for open_url in (refuse, serve(CONTENT[:2500], breaks=error)):
        with pytest.raises(InputError, match="cannot be reached") as caught:
            get("mnist", tmp_path, open_url)
        message = str(caught.value)
        assert URL in message
        assert str(tmp_path) in message
        assert "\n" not in message
        assert list(tmp_path.iterdir()) == []


def test_interruption_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        get("mnist", tmp_path, serve(CONTENT[:2500], breaks=KeyboardInterrupt()))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        get("mnist", tmp_path / "file", serve(CONTENT))


def test_unknown_name():
    with pytest.raises(InputError, match="did you mean mnist"):
        get("minst", None, never)


def test_only_https_is_followed():
    handler, headers = download._HttpsOnly(), HTTPMessage()
    there = Request(URL)
    for bad in ("http://example.org/digits.gz", "file:///etc/hosts", "ftp://example.org/x"):
        with pytest.raises(HTTPException, match="not https"):
            handler.redirect_request(there, io.BytesIO(), 302, "Found", headers, bad)
    followed = handler.redirect_request(there, io.BytesIO(), 302, "Found", headers, URL + "2")
    assert followed.full_url == URL + "2"


def test_every_address_is_https():
    assert all(file.url.startswith("https://") for files in REMOTES.values() for file in files)


def test_where_data_live(monkeypatch, tmp_path):
    monkeypatch.setenv("FRAMECAST_DATA", str(tmp_path / "mine"))
    assert home("mnist") == tmp_path / "mine" / "mnist"
    monkeypatch.delenv("FRAMECAST_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home("mnist") == tmp_path / "cache" / "framecast" / "mnist"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home("mnist") == tmp_path / ".cache" / "framecast" / "mnist"
