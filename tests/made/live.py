"""What live video needs in tests: pipes fed slowly, a server that breaks off, a clock that is told the time."""

import base64
import contextlib
import functools
import http.server
import os
import socketserver
import struct
import threading

from keras_i3d.inference.live_classifier import THREAD


@contextlib.contextmanager
def fed(path, content, pieces=20, then=None):
    """Makes a named pipe that a thread feeds piece by piece, and closes at the end; `then()` is called before that."""
    os.mkfifo(path)
    size = -(-len(content) // pieces)

    def feed():
        with contextlib.suppress(BrokenPipeError), open(path, "wb", buffering=0) as pipe:
            for at in range(0, len(content), size):
                pipe.write(content[at : at + size])
            if then:
                then()

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    yield path
    thread.join(10)
    assert not thread.is_alive()


@contextlib.contextmanager
def served(*contents, claimed=None):
    """Gives the address of a server, without http://, that sends one content a connection and closes it; then 404.

    With `claimed` it says that each is so many bytes long, in the place of not saying it.
    """
    left = [*contents]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if not left:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            if claimed:
                self.send_header("Content-Length", str(claimed))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(left.pop(0))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=functools.partial(server.serve_forever, 0.05), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def rtsp(*contents, user="me", password="s3cret"):
    """Gives the port of an RTSP server, which sends one MPEG-TS file a connection to whoever has the password.

    It speaks as much of RFC 2326 as FFmpeg asks for: RTP over the same connection, of payload 33. Then it hangs up.
    When no content is left, it knows no such stream.
    """
    left = [*contents]
    key = base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            with contextlib.suppress(ConnectionError):
                while request := self.asked():
                    method, number = request[0].split()[0], request[1]["cseq"]
                    if method == "OPTIONS":
                        self.answer(number, Public="DESCRIBE, SETUP, PLAY, TEARDOWN")
                    elif request[1].get("authorization") != f"Basic {key}":
                        self.answer(number, "401 Unauthorized", **{"WWW-Authenticate": 'Basic realm="x"'})
                    elif not left:
                        self.answer(number, "404 Not Found")
                    elif method == "DESCRIBE":
                        self.answer(number, body=SESSION, **{"Content-Type": "application/sdp"})
                    elif method == "SETUP":
                        self.answer(number, Session="1", Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
                    elif method == "PLAY":
                        self.answer(number, Session="1")
                        self.play(left.pop(0))
                        return

        def asked(self):
            """The first line of a request, and its headers; None at the end."""
            lines = []
            while line := self.rfile.readline().decode().strip():
                lines.append(line)
            pairs = (line.partition(":") for line in lines[1:])
            return lines and (lines[0], {name.lower(): value.strip() for name, _, value in pairs})

        def answer(self, number, status="200 OK", body="", **headers):
            headers |= {"CSeq": number, "Content-Length": len(body)}
            told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self.wfile.write(f"RTSP/1.0 {status}\r\n{told}\r\n{body}".encode())

        def play(self, content):
            for number, at in enumerate(range(0, len(content), 7 * 188)):
                packet = struct.pack(">BBHII", 0x80, 33, number, number * 100, 1) + content[at : at + 7 * 188]
                self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


SESSION = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:1\r\n"
)


class ToldClock:
    """A clock that stands until it is told to advance, and then waits until the reading thread waits again."""

    def __init__(self):
        self.time, self.until = 0.0, None
        self.changed = threading.Condition()

    def now(self):
        return self.time

    def wait(self, seconds, stopped):
        with self.changed:
            self.until = self.time + seconds
            self.changed.notify_all()
            while self.time < self.until and not stopped():
                self.changed.wait(0.02)
            self.until = None

    def advance(self, seconds):
        with self.changed:
            self.time += seconds
            self.changed.notify_all()
            while (self.until is None or self.until <= self.time) and self._reads():
                self.changed.wait(0.005)

    def _reads(self):
        return any(thread.name == THREAD for thread in threading.enumerate())


class EagerClock:
    """A clock on which nothing takes any time; it notes the waits."""

    def __init__(self):
        self.time, self.waits = 0.0, []

    def now(self):
        return self.time

    def wait(self, seconds, stopped):
        self.waits.append(seconds)
        self.time += max(seconds, 0)
