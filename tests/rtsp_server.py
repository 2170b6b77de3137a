"""A camera that speaks RTSP: MPEG-TS in RTP packets between the lines of one TCP connection."""

import io
import struct
import threading
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer

import av

from tests.live_server import running, square_HWC

TS = 188 * 7  # bytes of a packet: seven of MPEG-TS
SDP = "".join(
    f"{line}\r\n"
    for line in (
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=camera",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        "m=video 0 RTP/AVP 33",
        "a=control:track",
    )
)
HEADERS = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
    "PLAY": "Session: 1\r\n",
}


def film(frames=400, size=(32, 32)):
    """Of MPEG-TS, whole."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as out:
        track = out.add_stream("mpeg2video", rate=20)
        track.height, track.width = size
        track.pix_fmt, track.options = "yuv420p", {"g": "5"}
        for t in range(frames):
            out.mux(track.encode(av.VideoFrame.from_ndarray(square_HWC(t, size))))
        out.mux(track.encode())
    return file.getvalue()


class Handler(StreamRequestHandler):
    def handle(self):
        with suppress(OSError):
            while self.answer() != "PLAY":
                pass
            content = self.server.film
            for number, start in enumerate(range(0, len(content), TS)):
                head = struct.pack("!BBHII", 0x80, 33, number, number * 900, 1)
                packet = head + content[start : start + TS]
                self.wfile.write(struct.pack("!cBH", b"$", 0, len(packet)) + packet)
                if self.server.over.wait(0.02):
                    return

    def answer(self):
        verb = self.rfile.readline().split(b" ")[0].decode()
        number = b"0"
        while (line := self.rfile.readline().strip()) != b"":
            if line.lower().startswith(b"cseq:"):
                number = line[5:].strip()
        if not verb:
            raise ConnectionError
        body = SDP if verb == "DESCRIBE" else ""
        reply = f"RTSP/1.0 200 OK\r\nCSeq: {number.decode()}\r\n{HEADERS.get(verb, '')}\r\n{body}"
        self.wfile.write(reply.encode())
        return verb


@contextmanager
def rtsp_serving():
    """The address of the camera, while it is there."""
    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.film, server.over = film(), threading.Event()
        with running(server, server.over):
            yield f"rtsp://127.0.0.1:{server.server_address[1]}/live"
