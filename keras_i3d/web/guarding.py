"""What stands between the network and the page: whose requests are answered, and what browsers are told.

A page of another site can send requests to a server on the reader's machine. It cannot read the answers, nor add a
header of its own, unless it comes under a name that its owner lets point to this machine (DNS rebinding). So a request
has to name an address, or a name that is known to be this server's; and one that changes anything has a header of this
page's own, and an origin, if it says one, that is this server's.
"""

import ipaddress
import urllib.parse

HEADER = b"x-keras-i3d"  # of requests that change anything
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOLD = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI application that passes on to another one what it may answer.

    Args:
        app: the application.
        names: host names of this server. Addresses, localhost and what ends in .localhost are its own in any case.
    """

    def __init__(self, app, names=()):
        self.app, self.names = app, {name.casefold().rstrip(".") for name in names}

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        refusal = self.refusal(scope["method"], dict(scope["headers"]))

        async def telling(message):
            if message["type"] == "http.response.start":
                told = [(name.lower().encode(), value.encode()) for name, value in TOLD.items()]
                message = {**message, "headers": [*message.get("headers", ()), *told]}
            await send(message)

        if refusal is None:
            await self.app(scope, receive, telling)
            return
        content = f"{refusal}\n".encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(content)).encode())]
        headers.append((b"connection", b"close"))  # whatever else of it is to come is not read
        await telling({"type": "http.response.start", "status": 403, "headers": headers})
        await telling({"type": "http.response.body", "body": content})

    def refusal(self, method, headers):
        """Returns one line on why a request is not answered; None if it is."""
        host = headers.get(b"host", b"").decode("latin-1")
        if not self.is_own(host):
            return (
                "This server is asked by an address, by localhost, or by a name that --names= gives. Received the host "
                f"{host[:100]!r}."
            )
        if method in ("GET", "HEAD"):
            return None
        origin = headers.get(b"origin", b"").decode("latin-1")
        own = urllib.parse.urlsplit(origin).netloc.casefold() == host.casefold() if origin else True
        site = headers.get(b"sec-fetch-site", b"same-origin")
        if not own or site not in (b"same-origin", b"none") or HEADER not in headers:
            return (
                "Videos are sent by the page of this server, or with the header X-Keras-I3D, and not by another site. "
                f"Received the origin {origin[:100]!r}."
            )
        return None

    def is_own(self, host):
        """Whether a Host header, "NAME" or "NAME:PORT", names this server. The port may be that of a tunnel."""
        try:
            name = (urllib.parse.urlsplit(f"//{host}").hostname or "").casefold().rstrip(".")
        except ValueError:
            return False
        if name == "localhost" or name.endswith(".localhost") or name in self.names:
            return True
        try:
            ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            return False
        return True
