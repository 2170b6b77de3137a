"""A loopback https server that lies, one way for each path. Its certificate is made by openssl."""

import contextlib
import gzip
import random
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

CONTENT = random.Random(0).randbytes(200_000)
HALF, SIZE = len(CONTENT) // 2, len(CONTENT)
WRONG = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])


class Handler(BaseHTTPRequestHandler):
    """Answers GET /lie/digits.gz by the function of that name below."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path.split("/")[1]
        self.server.asked.append((name, self.headers.get("Range")))
        self.close_connection = True
        with contextlib.suppress(OSError):
            ANSWERS[name](self)

    def log_message(self, *arguments):
        pass

    def head(self, code=200, **headers):
        self.send_response(code)
        for key, value in ({"Content_Length": SIZE} | headers).items():
            if value is not None:
                self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()

    @property
    def start(self):
        """First byte of the range that is asked for."""
        wanted = self.headers.get("Range")
        return int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0

    def send(self, content=CONTENT, **headers):
        self.head(**{"Content_Length": len(content)} | headers)
        self.wfile.write(content)

    def rest(self, content=CONTENT, said=None, first=None):
        """The range that is asked for; without a range, the first bytes, and the end."""
        if not self.start:
            self.head()
            self.wfile.write(content[:first])
            return
        said = said or f"bytes {self.start}-{SIZE - 1}/{SIZE}"
        content = content[self.start :]
        self.head(206, Content_Length=len(content), Content_Range=said)
        self.wfile.write(content)


# Lies


def longer_than_sent(self):
    self.head()
    self.wfile.write(CONTENT[:HALF])


def shorter_than_sent(self):
    self.head(Content_Length=HALF)
    self.wfile.write(CONTENT)


def chunked_endless(self):
    self.head(Content_Length=None, Transfer_Encoding="chunked")
    while True:
        self.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def chunked_cut(self):
    self.head(Content_Length=None, Transfer_Encoding="chunked")
    self.wfile.write(b"30d40\r\n" + CONTENT[:HALF])


def chunked_nonsense(self):
    self.head(Content_Length=None, Transfer_Encoding="chunked")
    self.wfile.write(b"0x-1\r\n" + CONTENT + b"\r\n0\r\n\r\n")


def chunked_and_counted(self):
    self.head(Transfer_Encoding="chunked", Content_Length=SIZE)
    self.wfile.write(b"%x\r\n" % HALF + CONTENT[:HALF] + b"\r\n0\r\n\r\n")


def endless(self):
    self.head(Content_Length=None)
    while True:
        self.wfile.write(b"x" * 65536)


def drip(self):
    self.head()
    for byte in CONTENT:
        self.wfile.write(bytes([byte]))
        time.sleep(0.02)


def reset(self):
    self.head()
    self.wfile.write(CONTENT[:HALF])
    linger = struct.pack("ii", 1, 0)
    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def redirect(address):
    return lambda self: self.head(302, Location=address, Content_Length=0)


def on_range(answer):
    """Break off half-way, and lie when asked to go on."""
    return lambda self: answer(self) if self.start else self.rest(first=HALF)


LIES = {
    "longer_than_sent": longer_than_sent,
    "shorter_than_sent": shorter_than_sent,
    "one_wrong_byte": lambda self: self.send(WRONG),
    "cut_short": lambda self: self.send(CONTENT[:-1]),
    "a_byte_more": lambda self: self.send(CONTENT + b"x"),
    "empty": lambda self: self.send(b""),
    "login_page": lambda self: self.send(b"<html>log in first</html>"),
    "endless": endless,
    "chunked_endless": chunked_endless,
    "chunked_cut": chunked_cut,
    "chunked_nonsense": chunked_nonsense,
    "chunked_and_counted": chunked_and_counted,
    "gzip": lambda self: self.send(gzip.compress(CONTENT), Content_Encoding="gzip"),
    "drip": drip,
    "reset": reset,
    "no_answer": lambda self: None,
    "nonsense": lambda self: self.wfile.write(b"\0\xff" * 500),
    "many_headers": lambda self: self.send(**{f"x{n}": n for n in range(200)}),
    "error_500": lambda self: self.send(code=500),
    "error_404": lambda self: self.send(code=404),
    "no_content_204": lambda self: self.head(204, Content_Length=None),
    "part_unasked_206": lambda self: self.send(code=206),
    "redirect_http": redirect("http://localhost/honest/digits.gz"),
    "redirect_file": redirect("file:///etc/hostname"),
    "redirect_loop": redirect("/redirect_loop/digits.gz"),
    "redirect_wrong": redirect("/one_wrong_byte/digits.gz"),
    "redirect_nonsense": redirect("https://[::1:x/"),
    "range_other_bytes": lambda self: self.rest(WRONG, first=HALF),
    "range_begins_wrong": lambda self: self.rest(b"x" * HALF + CONTENT[HALF:], first=HALF),
    "range_elsewhere": on_range(lambda self: self.rest(said=f"bytes 0-{SIZE - 1}/{SIZE}")),
    "range_other_size": on_range(lambda self: self.rest(said=f"bytes {HALF}-{SIZE}/{SIZE + 1}")),
    "range_unsaid": on_range(lambda self: self.rest(said="bytes")),
    "range_416": on_range(lambda self: self.send(b"", code=416)),
    "range_wrong_whole": on_range(lambda self: self.send(WRONG)),
}


def flaky(self):
    """Sends 60,000 bytes at a time, and goes on where it was asked to."""
    if not self.start:
        return self.rest(first=60_000)
    self.head(
        206,
        Content_Length=SIZE - self.start,
        Content_Range=f"bytes {self.start}-{SIZE - 1}/{SIZE}",
    )
    return self.wfile.write(CONTENT[self.start : self.start + 60_000])


def slow(self):
    """An honest answer in pieces, over about half a second."""
    wanted = f"bytes {self.start}-{SIZE - 1}/{SIZE}" if self.start else None
    self.head(206 if wanted else 200, Content_Length=SIZE - self.start, Content_Range=wanted)
    for first in range(self.start, SIZE, 4000):
        self.wfile.write(CONTENT[first : first + 4000])
        time.sleep(0.01)


def first_half_then(honest):
    """Break off the first time; the next answer is right, but perhaps not what was asked for."""

    def answer(self):
        names = [name for name, _ in self.server.asked]
        first = names.count(self.path.split("/")[1]) == 1
        return self.rest(first=HALF) if first else honest(self)

    return answer


HONEST = {
    "honest": lambda self: self.send(),
    "flaky": flaky,
    "slow": slow,
    "redirected": redirect("/honest/digits.gz"),
    "no_ranges": first_half_then(lambda self: self.send()),
    "no_part_416": first_half_then(
        lambda self: self.send(b"", code=416) if self.start else self.send()
    ),
    "chunked": lambda self: (
        self.head(Content_Length=None, Transfer_Encoding="chunked"),
        self.wfile.write(b"%x\r\n" % SIZE + CONTENT + b"\r\n0\r\n\r\n"),
    ),
}
ANSWERS = LIES | HONEST


def certificate(folder):
    """Key and certificate of localhost, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is needed for a certificate")
    path = folder / "localhost.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    where = f"-keyout {path}.key -out {path}.crt -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command.split(), *where.split(), *names], check=True, capture_output=True)
    path.write_bytes(
        b"".join((folder / f"localhost.pem.{end}").read_bytes() for end in ("key", "crt"))
    )
    return path


@contextlib.contextmanager
def serving(pem):
    """A server in a thread; `asked` lists the requests."""
    server = ThreadingHTTPServer(("localhost", 0), Handler)
    server.daemon_threads = True
    server.asked = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.handle_error = lambda *arguments: None
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
