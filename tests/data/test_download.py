"""Downloads from a server on this machine that lies: a wrong byte never gets the final name."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import time
from http.client import HTTPException, HTTPMessage
from urllib.request import Request, build_opener

import pytest

from framecast.data import download
from framecast.data.download import REMOTES, Remote, get, home
from framecast.errors import InputError
from tests.data.lying_server import CONTENT, HALF, HONEST, LIES, SIZE, certificate, serving

FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server(pem, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    monkeypatch.setattr(download, "CHUNK", 10_000)
    monkeypatch.setattr(download, "TIMEOUT", 1)
    with serving(pem) as server:
        yield server


@pytest.fixture
def pin(monkeypatch):
    """Pin CONTENT at an address of the server."""

    def pinned(server, name):
        url = f"https://localhost:{server.server_port}/{name}/digits.gz"
        remote = Remote(url, SIZE, "sha256", hashlib.sha256(CONTENT).hexdigest())
        monkeypatch.setitem(REMOTES, "mnist", (remote,))
        return remote

    return pinned


def never(request):
    raise AssertionError("contacted the server")


def believing(remote, path):
    """A download that takes what comes, whole as far as it can tell, and goes on where it was."""
    opener = build_opener()
    for start in (0, HALF):
        request = Request(remote.url, headers={"Range": f"bytes={start}-"} if start else {})
        with opener.open(request, timeout=1) as answer, path.open("ab" if start else "wb") as file:
            for _ in range(100):
                file.write(answer.read1(10_000))
        if path.stat().st_size >= SIZE:
            return


def test_no_lie_gets_the_final_name(server, pin, tmp_path, promise):
    wrong, taken = [], []
    for lie in LIES:
        remote, folder = pin(server, lie), tmp_path / lie
        started = time.monotonic()
        try:
            get("mnist", folder)
        except InputError as error:
            said = str(error)
            refused = "\n" not in said and remote.url in said and str(folder) in said
        else:
            refused = False
        if not refused or (folder / "digits.gz").exists() or time.monotonic() - started > 20:
            wrong.append(lie)
    naive = tmp_path / "naive"
    for lie in LIES:
        try:
            believing(pin(server, lie), naive)
        except (OSError, HTTPException, ValueError):
            naive.unlink(missing_ok=True)
            continue
        taken += [lie] if naive.exists() and naive.read_bytes() != CONTENT else []
    assert wrong == []
    assert len(LIES) >= 25
    control = ("a download without size and checksum", int(len(taken) >= 10), 1)
    promise("G1", trials=len(LIES), failures=len(wrong), control=control)


@pytest.mark.parametrize("name", HONEST)
def test_what_is_right_is_fetched_once(server, pin, tmp_path, name):
    pin(server, name)
    folder = get("mnist", tmp_path / "new" / "folder")
    assert (folder / "digits.gz").read_bytes() == CONTENT
    assert [path.name for path in folder.glob("*.part")] == []
    assert get("mnist", folder, never) == folder


def test_a_wrong_file_is_fetched_again(server, pin, tmp_path):
    pin(server, "honest")
    (tmp_path / "digits.gz").write_bytes(CONTENT[::-1])
    get("mnist", tmp_path)
    assert (tmp_path / "digits.gz").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"x" * 1000, CONTENT[:1000], CONTENT, CONTENT + b"x"])
def test_what_is_left_of_an_earlier_try_is_used_or_dropped(server, pin, tmp_path, part):
    pin(server, "slow")
    (tmp_path / ".digits.gz.part").write_bytes(part)
    get("mnist", tmp_path)
    assert (tmp_path / "digits.gz").read_bytes() == CONTENT
    asked = [wanted for _, wanted in server.asked]
    expected = {b"x": ["bytes=1000-", None], CONTENT[:1]: ["bytes=1000-"]}
    if len(part) == 1000:
        assert asked == expected[part[:1]]
    else:
        assert asked == ([] if part == CONTENT else [None])


def start(target, *arguments):
    process = FORK.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def test_a_killed_download_goes_on(server, pin, tmp_path):
    """Killed ten times while it fetches: each time it goes on, and the end is right."""
    pin(server, "slow")
    for _ in range(10):
        process = start(get, "mnist", tmp_path)
        process.join(0.15)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        final = tmp_path / "digits.gz"
        assert not final.exists() or final.read_bytes() == CONTENT
    get("mnist", tmp_path)
    assert final.read_bytes() == CONTENT
    starts = [int(wanted[6:-1]) for _, wanted in server.asked if wanted]
    assert starts == sorted(starts)
    assert starts[-1] > 0


def test_of_twenty_processes_one_fetches(server, pin, tmp_path):
    pin(server, "slow")
    processes = [start(get, "mnist", tmp_path) for _ in range(20)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 20
    assert (tmp_path / "digits.gz").read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_another_certificate_is_refused(server, pin, tmp_path, monkeypatch):
    pin(server, "honest")
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(InputError, match=r"cannot be reached .*certificate"):
        get("mnist", tmp_path)
    assert server.asked == []


def test_no_server_says_what_to_fetch_and_where_to_put_it(pin, pem, tmp_path):
    with serving(pem) as server:
        remote = pin(server, "honest")
    with pytest.raises(InputError, match="cannot be reached") as caught:
        get("mnist", tmp_path)
    assert remote.url in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_interruption_keeps_what_has_come(server, pin, tmp_path):
    pin(server, "honest")

    class Interrupted:
        status = 200

        def __init__(self):
            self.answers = iter([CONTENT[:HALF]])

        def read1(self, size):
            try:
                return next(self.answers)
            except StopIteration:
                raise KeyboardInterrupt from None

        def close(self):
            pass

    with pytest.raises(KeyboardInterrupt):
        get("mnist", tmp_path, lambda request: Interrupted())
    assert (tmp_path / ".digits.gz.part").read_bytes() == CONTENT[:HALF]
    assert not (tmp_path / "digits.gz").exists()
    shutil.rmtree(tmp_path)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        get("mnist", tmp_path / "file", never)


def test_unknown_name():
    with pytest.raises(InputError, match="did you mean mnist"):
        get("minst", None, never)


def test_only_https_is_followed():
    handler, headers = download._HttpsOnly(), HTTPMessage()
    there = Request("https://example.org/digits.gz")
    for bad in ("http://example.org/digits.gz", "file:///etc/hosts", "ftp://example.org/x"):
        with pytest.raises(HTTPException, match="not https"):
            handler.redirect_request(there, None, 302, "Found", headers, bad)
    followed = handler.redirect_request(there, None, 302, "Found", headers, there.full_url + "2")
    assert followed.full_url == "https://example.org/digits.gz2"


def test_every_address_is_https_and_pinned():
    for file in (file for files in REMOTES.values() for file in files):
        assert file.url.startswith("https://")
        assert file.algorithm == ("md5" if file.name == "mnist_test_seq.npy" else "sha256")
        assert len(file.digest) == 2 * hashlib.new(file.algorithm).digest_size


def test_where_data_live(monkeypatch, tmp_path):
    monkeypatch.setenv("FRAMECAST_DATA", str(tmp_path / "mine"))
    assert home("mnist") == tmp_path / "mine" / "mnist"
    monkeypatch.delenv("FRAMECAST_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home("mnist") == tmp_path / "cache" / "framecast" / "mnist"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home("mnist") == tmp_path / ".cache" / "framecast" / "mnist"
