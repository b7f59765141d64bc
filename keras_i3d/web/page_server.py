"""The server of the page: it takes a video, says how far its work is, and hands out what was found."""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import signal
import threading
import webbrowser

from keras_i3d import listening, markup
from keras_i3d.errors import missing_package, notice, system_error, system_line
from keras_i3d.progress import duration
from keras_i3d.version import __version__
from keras_i3d.web import guarding, jobs, temporary_folder

HOST, PORT = "127.0.0.1", 8520
STILL = 60  # seconds without a byte of a video that is being sent, after which it is given up
LONGEST_NAME = 120  # characters of a file's name
SMALL = 4096  # bytes of a request that is no video
AT_ONCE = 100  # connections
ENDS_IN = 5  # seconds that requests under way have when the server is stopped
PARTS = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css")}
PARTS |= {"/page.js": ("page.js", "text/javascript"), "/results.js": ("results.js", "text/javascript")}


def serve(
    classifier_of,
    host=HOST,
    port=PORT,
    names=(),
    limits=None,
    said=str,
    opens=False,
    ready=print,
):
    """Serves the page until the process is interrupted or terminated, or its terminal is closed.

    The address is bound before networks are loaded. Then one line says where the page is.

    Args:
        classifier_of: a function without arguments that returns the answering.Answers; it loads the networks.
        host: the address to listen on. By default no other machine reaches it.
        port: the port; 0 takes one that is free.
        names: host names by which the page may be asked for, next to addresses and localhost.
        limits: jobs.Limits; None for the default ones.
        said: makes one line of an exception.
        opens: whether a browser is opened.
        ready: is given the line.

    Raises:
        ImportError: Starlette or Uvicorn is not installed.
        ServerError: the address cannot be had.
    """
    uvicorn = _uvicorn()
    limits = limits or jobs.Limits()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(listening.bound(host, port)))
        answers = classifier_of()
        answers.settle_runtimes()
        folder = stack.enter_context(temporary_folder.of_server())
        page = Page(answers, folder, limits, said)
        stack.callback(page.jobs.close)
        server = uvicorn.Server(_settings(uvicorn, guarding.Guard(page.app(), (host, *names))))
        listener.listen(AT_ONCE)
        address, number = listener.getsockname()[:2]
        if not listening.is_local(address):
            notice(
                f"other machines reach this page at {host}, without a password and without encryption. Whoever reaches "
                f"it may have this machine work on videos of up to {limits.megabytes:g} MB; see SECURITY.md"
            )
        shown = "localhost" if address in ("0.0.0.0", "::") else address
        url = f"{listening.url(shown, number)}/"
        ready(f"ready at {url} (Ctrl-C ends it)")
        if opens:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        with _signals(server), contextlib.suppress(KeyboardInterrupt):  # it lets requests under way end, then tells
            server.run(sockets=[listener])
    ready("stopped; the videos that were here are deleted")


def _uvicorn():
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        if error.name and error.name.partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise missing_package(error.name, "'keras-i3d[web]'", "The page in a browser") from error
    return uvicorn


@contextlib.contextmanager
def _signals(server):
    """Ends a uvicorn.Server in order, so that its videos are deleted, also when its terminal is closed."""
    handlers = {signal.SIGTERM: signal.default_int_handler}
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:  # as nohup has it
        handlers[hang_up] = lambda number, frame: server.handle_exit(signal.SIGTERM, frame)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _settings(uvicorn, app):
    return uvicorn.Config(
        app,
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=AT_ONCE,
        timeout_graceful_shutdown=ENDS_IN,
    )


class Page:
    """What answers the requests of the page.

    Args:
        answers: answering.Answers.
        folder: for the videos that are here, as of `jobs.Jobs`.
        limits: jobs.Limits.
        said: makes one line of an exception.

    Attributes:
        jobs: the jobs.Jobs.
    """

    def __init__(self, answers, folder, limits, said=str):
        self.answers, self.limits, self._said = answers, limits, said
        self.jobs = jobs.Jobs(folder, limits, self._explained)
        self._parts = {path: (markup.read(__package__, name), kind) for path, (name, kind) in PARTS.items()}

    def app(self):
        """Returns the ASGI application."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        routes = [
            *(Route(path, self._part) for path in PARTS),
            Route("/about", self._about),
            Route("/videos", self._send, methods=["POST"]),
            Route("/videos/{id}", self._state, methods=["GET"]),
            Route("/videos/{id}", self._delete, methods=["DELETE"]),
            Route("/videos/{id}/evidence", self._ask_evidence, methods=["POST"]),
            Route("/videos/{id}/{task}/data", self._data),
            Route("/videos/{id}/files/{name}", self._file),
        ]
        return Starlette(routes=routes)

    def _explained(self, job, error):
        """The line that `keras-i3d classify` says of a video, which is called as its user called it."""
        line = self._said(error)
        line = line if str(job.path) in line else f"{job.path}: {line}"
        return self.answers.without_paths(line, job)

    async def _part(self, request):
        from starlette.responses import Response

        content, kind = self._parts[request.url.path]
        return Response(content, media_type=kind)

    async def _about(self, request):
        limits = {"megabytes": self.limits.megabytes, "seconds": self.limits.seconds}
        limits |= {"length": duration(self.limits.seconds), "minutes": self.limits.minutes}
        return _json({**self.answers.about(), "limits": limits, "version": __version__})

    async def _send(self, request):
        from starlette.requests import ClientDisconnect

        name, ending = named(request.query_params.get("name", ""))
        announced = request.headers.get("content-length", "")
        too_large = f"{name}: the file is larger than the limit of this server, {self.limits.megabytes:g} MB"
        if announced.isdecimal() and int(announced) > self.limits.bytes:
            return _refused(413, too_large)
        try:
            job = self.jobs.new(name, ending)
        except jobs.FullError as error:
            return _refused(503, str(error))
        whole = False
        try:
            within = await self._received(request, job)
            if job.gone:
                return _refused(503, f"{name}: it came too slowly, and made room for another video. Send it again.")
            if not within:
                return _refused(413, too_large)
            self.jobs.add(job, "answer", lambda: self._answered(job))
            whole = True
            return _json({"id": job.id}, 201)
        except ClientDisconnect:
            return _refused(400, f"{name}: the file did not come to its end")
        except asyncio.TimeoutError:
            return _refused(408, f"{name}: nothing more came of the file for {STILL} seconds")
        except OSError as error:
            found = system_error(error)
            line = found and system_line(OSError(found.errno, found.strerror))
            return _refused(507, f"{name}: {line or 'the server cannot keep the file'}")
        finally:
            if not whole:  # also where the reader left
                self.jobs.remove(job.id)

    async def _received(self, request, job):
        """Writes a video's bytes to its file as they come; returns whether they are within the limit."""
        size, stream = 0, aiter(request.stream())
        with open(job.path, "xb") as file:
            while True:
                try:
                    part = await asyncio.wait_for(anext(stream), STILL)
                except StopAsyncIteration:
                    return True
                size += len(part)
                if size > self.limits.bytes or job.gone:
                    return False
                file.write(part)
                self.jobs.touch(job)

    def _answered(self, job):
        data = self.answers.answer(job)
        self.jobs.add(job, "film", lambda: self.answers.film(job))  # behind those that wait for their labels
        return data

    async def _state(self, request):
        job = self.jobs.find(request.path_params["id"])
        if job is None:
            return _refused(404, GONE)
        tasks = {
            key: {"state": task.state, "share": task.share, "error": task.error, "before": self.jobs.place(task)}
            for key, task in list(job.tasks.items())
        }
        return _json({"name": job.name, "tasks": tasks})

    async def _data(self, request):
        job = self.jobs.find(request.path_params["id"])
        task = job and job.tasks.get(request.path_params["task"])
        if not task or task.state != "done":
            return _refused(404, GONE if job is None else "This is not there yet.")
        return _json(task.data)

    async def _delete(self, request):
        return _json({"deleted": self.jobs.remove(request.path_params["id"])})

    async def _ask_evidence(self, request):
        job = self.jobs.find(request.path_params["id"])
        if job is None:
            return _refused(404, GONE)
        if job.timeline is None:
            return _refused(409, "The labels come first.")
        asked = job.tasks.get("evidence")
        if asked and asked.state in ("waiting", "working"):
            return _refused(409, "One label at a time is explained.")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > SMALL:
                return _refused(413, "A request for evidence is small.")
        try:
            wanted = json.loads(body)
            index, at = int(wanted["label"]), float(wanted["at"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return _refused(400, 'A request for evidence is {"label": index, "at": seconds}.')
        if not 0 <= index < len(self.answers.classifier.labels) or not 0 <= at < float("inf"):
            return _refused(400, f"A label is an index below {len(self.answers.classifier.labels)}.")
        self.jobs.add(job, "evidence", lambda: self.answers.evidence(job, index, at))
        return _json({"asked": True}, 202)

    async def _file(self, request):
        from starlette.responses import FileResponse

        job, name = self.jobs.find(request.path_params["id"]), request.path_params["name"]
        films = {jobs.FILM: "video/mp4", jobs.EVIDENCE: "video/mp4"}
        kind = {**jobs.FILES, **films}.get(name)
        if job is None or kind is None or not (job.folder / name).is_file():
            return _refused(404, GONE if job is None else "This is not there yet.")
        if name in films:
            return FileResponse(job.folder / name, media_type=kind)
        return FileResponse(job.folder / name, media_type=kind, filename=f"{pathlib.PurePath(job.name).stem}.{name}")


GONE = "This video is not here any more: it was deleted, or no page asked for it for a while. Send it again."


def named(text):
    """Returns (what a file is called, its ending as FFmpeg may take it into account, or "").

    A name is one line without the folders before it.
    """
    name = "".join(c if c.isprintable() else " " for c in re.split(r"[/\\]", text)[-1])
    name = " ".join(name.split())
    name = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 20]}...{name[-17:]}"
    ending = os.path.splitext(name)[1]
    return name or "video", ending.casefold() if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", ending) else ""


def _json(content, status=200):
    from starlette.responses import Response

    return Response(json.dumps(content, ensure_ascii=False, allow_nan=False), status, media_type="application/json")


def _refused(status, line):
    return _json({"error": line}, status)
