"""Scripts that name other files or addresses, under the names of films: none is followed."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.video import films, worker
from framecast.video.read import read
from framecast.video.selection import Selection
from framecast.video.write import write

HEAD = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"  # what makes a file an mp4 for `family`


@pytest.fixture
def secret(tmp_path):
    """A film that nobody asked for."""
    return write(Clip(np.full((12, 16, 16, 3), 77, np.uint8)), tmp_path / "secret.avi")


@pytest.fixture
def server():
    """An address on this machine, and who called it."""
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def answer():
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    calls.append(caller.recv(1000))
                    caller.sendall(b"HTTP/1.0 404 No\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield listener.getsockname()[1], calls


def m3u8(target: str) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n"


def dash(target: str) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        f'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="0" bandwidth="1000"><BaseURL>{target}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )


SCRIPTS = {
    "ffconcat.mp4": lambda path, port: f"ffconcat version 1.0\nfile {path.name}\n",
    "concat-of-an-address.avi": lambda path, port: (
        f"ffconcat version 1.0\nfile http://127.0.0.1:{port}/a.mp4\n"
    ),
    "hls.mp4": lambda path, port: m3u8(str(path)),
    "hls-of-an-address.gif": lambda path, port: m3u8(f"http://127.0.0.1:{port}/a.ts"),
    "dash.mp4": lambda path, port: dash(f"http://127.0.0.1:{port}/a.mp4"),
    "sdp.avi": lambda path, port: (
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    ),
    "image%03d.mp4": lambda path, port: "frame%03d.png",
    "lavfi.mp4": lambda path, port: f"movie={path}",
    "subtitles.avi": lambda path, port: "1\n00:00:01,000 --> 00:00:02,000\n<img src=a.png>\n",
    "asx.wmv": lambda path, port: (
        f'<asx version="3.0"><entry><ref href="http://127.0.0.1:{port}/"/></entry></asx>'
    ),
    "rtsp.mov": lambda path, port: f"rtsptextRTSPtext rtsp://127.0.0.1:{port}/a",
    "svg.gif": lambda path, port: (
        f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{path}"/></svg>'
    ),
    "reference.mov": lambda path, port: (
        HEAD.decode("latin-1")
        + f"\0\0\0\x40moov\0\0\0\x38rmra\0\0\0\x30rmda\0\0\0\x28rdrf\0\0\0\0url \0\0\0\x14"
        f"http://127.0.0.1:{port}/a.mp4"
    ),
}


def refusals(script):
    """How a script was refused: `family` stops most, and the child alone must do so too."""
    said = []
    reads = [lambda: read(script)]
    for kind in ("film", "animation", "still"):
        reads.append(lambda kind=kind: list(worker.decode(kind, script, Selection())))
    for work in reads:
        try:
            work()
        except InputError as error:
            said.append(str(error))
    return said


def dangers(tmp_path, secret, server):
    """How many of two scripts a naive reader obeys: it reads another file, it calls an address."""
    port, calls = server
    script = tmp_path / "script.mp4"
    script.write_text(SCRIPTS["ffconcat.mp4"](secret, port))
    with av.open(script) as naive:
        obeyed = len(list(naive.decode(video=0))) == 12
    script.write_text(SCRIPTS["concat-of-an-address.avi"](secret, port))
    with pytest.raises(av.FFmpegError):
        av.open(script, timeout=5, options={"protocol_whitelist": "file,http,tcp", "safe": "0"})
    return obeyed + bool(calls)


def test_scripts_are_refused_and_name_nothing_that_is_opened(tmp_path, secret, server, promise):
    port, calls = server
    wrong = []
    for name, text in SCRIPTS.items():
        script = tmp_path / name
        script.write_bytes(text(secret, port).encode("latin-1"))
        said = refusals(script)
        if len(said) < 4 or any("\n" in line for line in said) or calls:
            wrong.append(name)
    assert wrong == []
    control = ("PyAV as it comes", dangers(tmp_path, secret, server), 2)
    assert len(SCRIPTS) >= 12
    promise("C2", trials=len(SCRIPTS), failures=len(wrong), control=control)


def test_without_the_list_of_formats_the_sandbox_still_holds(tmp_path, secret, monkeypatch):
    """Two locks: with one picked, the kernel refuses the other file."""
    if sys.platform != "linux":
        pytest.skip("only Linux takes the calls away")
    script = tmp_path / "script.mp4"
    script.write_text(SCRIPTS["ffconcat.mp4"](secret, 0))
    picked = "from framecast.video import films; films.OPTIONS.clear(); "
    monkeypatch.setattr(worker, "PROGRAM", picked + worker.PROGRAM)
    worker._forget_all()
    try:
        with pytest.raises(InputError, match="cannot be decoded"):
            list(worker.decode("film", script, Selection()))
    finally:
        worker._forget_all()


def test_a_file_is_all_that_the_child_has(secret):
    """No descriptor but its own three, the socket, the memory and the file."""
    if sys.platform != "linux":
        pytest.skip("looks in /proc")
    write(Clip(np.zeros((400, 16, 16, 3), np.uint8)), secret)  # more than fits on its way
    pictures = worker.decode("film", secret, Selection())
    next(pictures)
    busy = next(each for each in worker._WORKERS if each not in worker._IDLE)
    held = [str(link.readlink()) for link in Path(f"/proc/{busy.process.pid}/fd").iterdir()]
    pictures.close()
    others = [to for to in held if not to.startswith(("/dev/null", "socket:", "/memfd:"))]
    assert others == [str(secret)]


def test_every_allowed_format_is_one_file():
    names = {name for each in films.FORMATS.split(",") for name in each.split(",")}
    scripts = {"concat", "hls", "dash", "sdp", "image2", "lavfi", "rtsp", "tee", "asx", "imf"}
    assert names & scripts == set()


def test_no_socket_is_made_by_reading(secret):
    code = f"""
import sys
made = []
sys.addaudithook(lambda event, args: made.append(args[1:3]) if event == "socket.__new__" else None)
from pathlib import Path
from framecast.video import worker
from framecast.video.selection import Selection
list(worker.decode("film", Path({str(secret)!r}), Selection()))
print(sorted({{int(family) for family, kind in made}}), int(__import__("socket").AF_UNIX))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    families, unix = done.stdout.split()
    assert families == f"[{unix}]", "the pair to the child is of this machine"
