"""An address that a server of this package listens on."""

import socket

from keras_i3d.errors import ServerError


def bound(host, port):
    """Returns a socket that has the address, and does not listen yet.

    Args:
        host: name or address.
        port: the port; 0 takes one that is free.

    Raises:
        ServerError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ServerError(
            f"The server cannot listen on {host}, port {port}: {error.strerror}. Pass another one: port= or host=."
        ) from error
    return listener


def is_local(host):
    """Whether an address is one that no other machine reaches."""
    return host.startswith("127.") or host == "::1"


def url(host, port):
    """Returns the URL of an address, without a slash at its end."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
