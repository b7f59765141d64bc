"""Files over HTTP or from a mirror: resumed, verified, then moved into place."""

import contextlib
import errno
import hashlib
import os
import pathlib
import queue
import shutil
import socket
import tempfile
import threading
import time
import urllib.parse

from keras_i3d import locks
from keras_i3d.errors import WeightsCacheError, WeightsError, WeightsUnreachableError, notice, without_credentials
from keras_i3d.progress import Bar

CONNECT_SECONDS = 5
STALL_SECONDS = 30
ATTEMPTS = 3
CHUNK = 1 << 16  # what an interrupted download loses at most


def cache_folder():
    """Returns `$KERAS_HOME/keras_i3d` (`~/.keras/keras_i3d`), which may not exist yet."""
    home = os.environ.get("KERAS_HOME")
    if not home:
        try:
            home = pathlib.Path.home() / ".keras"
        except RuntimeError as error:  # no HOME, and a user without an entry in /etc/passwd, as in many containers
            raise WeightsCacheError(
                "No folder to keep weights in: this user has no home. Set the environment variable KERAS_HOME to a "
                "folder that can be written."
            ) from error
    return pathlib.Path(home) / "keras_i3d"


def writable_folder(folder):
    """Makes `folder` if need be and returns it; raises WeightsCacheError if nothing can be written there."""
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise WeightsCacheError(
            f"Cannot write in the cache folder {folder} ({error.strerror}). "
            "Set the environment variable KERAS_HOME to a folder that can be written."
        ) from error
    return folder


def fetch(remote, folder, attempts=ATTEMPTS):
    """Downloads a RemoteFile to `folder`/`remote.path` unless a verified copy is there.

    The environment variable KERAS_I3D_MIRROR, a URL or a folder laid out as the original repository,
    replaces the host. An interrupted download resumes.

    Args:
        remote: a remote.RemoteFile.
        folder: where to put it.
        attempts: connections to try, each given up after 5 seconds.

    Returns:
        The path of the verified file.

    Raises:
        WeightsUnreachableError: no connection, or the host does not have the file.
        WeightsCacheError: it cannot be written.
        WeightsError: what came is not the file.
    """
    final = pathlib.Path(folder) / remote.path
    if final.exists():
        try:
            verify(final, remote, final)
            return final
        except WeightsError as error:
            notice(f"{error} Fetching it again.")
    writable_folder(final.parent)
    with locks.hold(final.with_name(f".{final.name}.lock")):
        if not final.exists():  # another process may just have fetched it
            _fetch(remote, final, attempts)
    return final


def _fetch(remote, final, attempts):
    part = final.with_name(final.name + ".part")
    mirror, login = _mirror()
    try:
        _check_space(part, remote)
        if mirror and "://" not in mirror:
            source = pathlib.Path(mirror) / remote.path
            if not source.is_file():
                raise WeightsUnreachableError(f"The mirror folder {mirror} has no {remote.path} (KERAS_I3D_MIRROR).")
            shutil.copyfile(source, part)
            verify(part, remote, source)
        else:
            urls = (f"{mirror.rstrip('/')}/{remote.path}",) if mirror else remote.urls
            for url in urls[:-1]:
                try:
                    _bring(url, remote, part, attempts, login)
                    break
                except WeightsError as error:  # of a host that is gone, or that has another file by now
                    notice(f"{error} Trying the next place.")
            else:
                _bring(urls[-1], remote, part, attempts, login)
    except OSError as error:
        part.unlink(missing_ok=True)
        what = "The disk is full" if error.errno == errno.ENOSPC else f"Writing failed ({error.strerror or error})"
        raise WeightsCacheError(
            f"{what} while fetching {remote.path} to {final.parent}. "
            "Free some space, or set KERAS_HOME to another folder."
        ) from error
    os.replace(part, final)


def _bring(url, remote, part, attempts, login):
    """Brings the whole of `url` to `part`, verified."""
    shown = without_credentials(url)
    resumed = _download(url, remote, part, attempts, login)
    try:
        verify(part, remote, shown)
    except WeightsError:
        if not resumed:
            raise
        part.unlink(missing_ok=True)  # the two halves may be of different files: once more, whole
        _download(url, remote, part, attempts, login)
        verify(part, remote, shown)


def _mirror():
    """Returns the mirror, a folder, a URL without user and password, or "", and (user, password) or None.

    They are taken out of the URL here, so that nothing that is printed, raised or written later holds them.
    """
    mirror = os.path.expanduser(os.environ.get("KERAS_I3D_MIRROR", "")).removeprefix("file://")
    if "://" not in mirror:
        return mirror, None
    scheme, _, rest = mirror.partition("://")
    place, slash, path = rest.partition("/")
    login, at, host = place.rpartition("@")
    user, _, password = login.partition(":")
    parts = urllib.parse.urlsplit(f"{scheme}://{host}")
    try:
        understood = scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:  # a port that is no number, perhaps a piece of a password with a "/" in it
        understood = False
    if not understood:
        raise WeightsUnreachableError(
            f"KERAS_I3D_MIRROR is an http(s) URL or a folder. Received: {without_credentials(mirror)}. In a user's "
            "name and password write / as %2F, @ as %40 and : as %3A."
        )
    return f"{scheme}://{host}{slash}{path}", tuple(map(urllib.parse.unquote, (user, password))) if at else None


def verify(path, remote, origin):
    """Raises WeightsError, removing `path`, unless it has the size and the hashes of a RemoteFile, as far as known."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(256).lstrip().lower()
    problem = None
    if start.startswith((b"<!doctype html", b"<html")):
        problem = "an HTML page came in its place; a proxy or a login page may be in the way"
    elif remote.bytes is not None and size != remote.bytes:
        problem = f"it has {size:,} bytes instead of {remote.bytes:,}"
    elif remote.git_blob is not None and git_blob(path) != remote.git_blob:
        problem = f"its git blob id is {git_blob(path)} instead of {remote.git_blob}"
    elif remote.sha256 is not None and not sha256(path).startswith(remote.sha256):
        problem = f"its sha256 is {sha256(path)} instead of {remote.sha256}"
    if problem:
        path.unlink(missing_ok=True)
        raise WeightsError(f"{origin} is not the published {remote.path}: {problem}. Nothing was kept.")


def git_blob(path):
    """Returns a file's git blob id: the sha1 of b"blob <bytes>\\0" + content."""
    return _digest(path, hashlib.sha1(b"blob %d\0" % os.path.getsize(path)))


def sha256(path):
    """Returns a file's sha256 as hexadecimal digits."""
    return _digest(path, hashlib.sha256())


def _digest(path, digest):
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _check_space(part, remote):
    if remote.bytes is not None:
        have = part.stat().st_size if part.exists() else 0
        check_space(part.parent, remote.bytes - have, remote.path)


def check_space(folder, needed, name):
    """Raises WeightsCacheError unless `needed` bytes, of what is called `name`, fit into `folder`."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WeightsCacheError(
            f"The disk is too full for {name}: {needed:,} bytes are missing, "
            f"{free:,} are free in {folder}. Free some space, or set KERAS_HOME to another folder."
        )


def _download(url, remote, part, attempts, login=None):
    """Brings the whole of `url` to `part`, as (user, password) of `login`; returns whether any of it was there."""
    import requests

    already = part.exists() and part.stat().st_size > 0
    size = f" ({remote.bytes / 1e6:.1f} MB)" if (remote.bytes or 0) > 1e5 else ""
    shown = without_credentials(url)  # an @ further on may be one of a password that was not written as it should be
    notice(f"{'resuming' if already else 'downloading'} {shown}{size}")
    for attempt in range(attempts):
        if attempt:
            time.sleep(attempt)
        try:
            _receive(url, remote, part, login)
            return already
        except requests.HTTPError as error:
            reason = f"HTTP {error.response.status_code} {error.response.reason}"
            if error.response.status_code == 416:  # the part is longer than the file
                part.unlink(missing_ok=True)
            elif error.response.status_code < 500:
                break
        except requests.RequestException as error:
            reason = _root_cause(error)
    raise WeightsUnreachableError(
        f"Cannot fetch {shown}: {reason}. Where there is no network, set KERAS_I3D_MIRROR to a URL or folder "
        f"that holds {remote.path}, or pass weights= a path."
    )


def _reach(url):
    """Raises requests.ConnectTimeout unless the host, or the proxy to it, takes a connection within CONNECT_SECONDS.

    The time-out that requests knows is one address's, without the time to resolve the name; a host of eight
    addresses behind a firewall that drops packets would take eight times as long.
    """
    import requests

    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or url
    parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"//{proxy}")
    try:
        port = parts.port
    except ValueError:  # whose message may be a piece of a password
        raise requests.exceptions.InvalidProxyURL("the port of the proxy's URL is no number") from None
    port = port or {"https": 443, "http": 80}.get(parts.scheme, 1080 if "socks" in parts.scheme else 80)
    answer = queue.SimpleQueue()  # of the first address that answers, or of an error that requests will explain

    def connect(address):
        with contextlib.suppress(OSError), socket.create_connection(address[:2], CONNECT_SECONDS):
            answer.put(True)

    def resolve():
        try:
            addresses = {info[4] for info in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)}
        except OSError:
            return answer.put(False)
        threads = [threading.Thread(target=connect, args=(address,), daemon=True) for address in sorted(addresses)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answer.put(False)

    threading.Thread(target=resolve, daemon=True).start()
    try:
        answer.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise requests.ConnectTimeout(f"no connection to {parts.hostname} within {CONNECT_SECONDS} seconds") from None


def _receive(url, remote, part, login=None):
    import requests

    have = part.stat().st_size if part.exists() else 0
    if remote.bytes is not None and have >= remote.bytes:
        return
    _reach(url)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    timeout = (CONNECT_SECONDS, STALL_SECONDS)
    with requests.get(url, headers=headers, stream=True, timeout=timeout, auth=login) as response:
        response.raise_for_status()
        if response.status_code != 206:
            have = 0
        bar = Bar(part.stem, remote.bytes, "bytes", done=have)
        with bar, open(part, "ab" if have else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


def _root_cause(error):
    """The innermost reason of a requests exception, without the wrapping."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    reason = getattr(error, "reason", None) or error
    text = str(reason)
    return without_credentials(text.split(": ", 1)[-1] if "Connection(" in text else text)  # of a proxy
