"""KServe's ModelServer with exports behind it, in the REST form of TensorFlow Serving."""

import asyncio
import concurrent.futures
import contextlib
import functools
import json
import logging
import os
import pathlib
import signal
import sys
import warnings

from keras_i3d import listening
from keras_i3d.errors import ServerError, missing_package, notice
from keras_i3d.progress import Bar
from keras_i3d.serving import rest_form, servables

HOST, PORT = "127.0.0.1", 8501  # the port of TensorFlow Serving's REST
GRACE = 30  # seconds that requests under way have to end in when the server is stopped
WAITING = 128  # connections that may wait to be accepted


def serve(*folders, host=HOST, port=PORT, versions="latest", labels=None, verbose=False):
    """Serves exports until the process is interrupted or terminated.

    The address is bound before anything is loaded, and listens once every version has run its warm-up requests. Then a
    line for each model goes to standard output. KServe has one application in a process: this is for one call.

    Args:
        folders: a model's folder each, with its versions inside; its last part is the name of the model.
        host: the address to listen on. By default no other machine reaches it.
        port: the port; 0 takes one that is free.
        versions: "latest", "all", or a list of numbers: which versions of each model to serve.
        labels: {label: version}, so that clients may name a version by what it is for.
        verbose: whether KServe logs what it does.

    Raises:
        ImportError: KServe is not installed.
        ServerError: the address cannot be had, or an export cannot be served.
        ValueError: two models of one name, or a label of a version that is not served.
    """
    kserve = _kserve(verbose)
    found = _folders(folders, versions)
    for label, version in (labels or {}).items():
        if not any(version in paths for paths in found.values()):
            raise ValueError(
                f"A label must be of a version that is served. Received: labels={label}:{version}. Serve it: "
                f"versions={version}, or all."
            )
    with contextlib.closing(listening.bound(host, port)) as listener:
        _run(kserve, rest_form.Models(_loaded(found), labels), listener)


def _kserve(verbose):
    """Imports KServe's server, which reads the words of the command as if they were for it."""
    words, sys.argv = sys.argv, sys.argv[:1]
    try:
        if not verbose:
            # KServe configures its loggers if it finds no handler. It would log each request, and a traceback for each
            # one that is refused. What its packages warn of is for its developers.
            warnings.filterwarnings("ignore", module=r"(fastapi|kserve)\b")
            for name in ("kserve", "kserve.trace", "uvicorn"):
                logging.getLogger(name).addHandler(logging.NullHandler())
                logging.getLogger(name).propagate = False
        import kserve.model_server
        import kserve.protocol.rest.server
    except ImportError as error:
        if error.name and error.name.partition(".")[0] != "kserve":
            raise
        raise missing_package("kserve", "'keras-i3d[kserve]'", "Serving without docker") from error
    finally:
        sys.argv = words
    return kserve


def _folders(folders, versions):
    """{model's name: {version: path}}."""
    found = {}
    for folder in map(pathlib.Path, map(os.path.abspath, folders)):
        if folder.name in found:
            raise ValueError(f"Each model must have a name of its own. Received: two of {folder.name}.")
        found[folder.name] = servables.versions_of(folder, versions)
    return found


def _loaded(found):
    """{model's name: [Servable]} of {model's name: {version: path}}, each of them warm."""
    served = {name: [] for name in found}
    with Bar("serve", sum(map(len, found.values())), "versions") as bar:
        for name, paths in found.items():
            for version, path in paths.items():
                bar.describe(f"serve, {name} {version}")
                servable = servables.Servable(name, path)
                servable.warm_up()
                served[name].append(servable)
                bar.update()
    return served


def _run(kserve, models, listener):
    """Answers requests until a signal comes."""
    server = kserve.model_server.ModelServer(enable_grpc=False, enable_latency_logging=False)
    threads = concurrent.futures.ThreadPoolExecutor(os.cpu_count(), "request")
    for name, versions in models.served.items():
        for servable in versions:
            server.register_model(_model(kserve, servable, threads), _key(servable))
        server.register_model(_model(kserve, versions[-1], threads), name)
    _add_routes(kserve.model_server.app, server.dataplane, models)
    host, port = listener.getsockname()[:2]
    # ModelServer.start would listen on all addresses; its REST server takes a socket.
    rest = kserve.protocol.rest.server.RESTServer(
        *("kserve.model_server:app", server.dataplane, server.model_repository_extension, port),
        grace_period=GRACE,
    )
    try:
        listener.listen(WAITING)
    except OSError as error:
        raise ServerError(f"The server cannot listen on {host}, port {port}: {error.strerror}.") from error
    if not listening.is_local(host):
        notice(f"other machines reach this server at {host}; it has no authentication, see SECURITY.md")
    for name, versions in models.served.items():
        numbers = ", ".join(str(servable.version) for servable in versions)
        print(f"{name}: version {numbers}, ready at {listening.url(host, port)}/v1/models/{name}", flush=True)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the server lets requests under way end, then tells the signal
            rest.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)
        threads.shutdown(wait=False, cancel_futures=True)
    print("stopped", flush=True)


def _key(servable):
    """The name by which KServe knows a version."""
    return f"{servable.name}/versions/{servable.version}"


def _model(kserve, servable, threads):
    """A version as KServe has models."""

    class Version(kserve.model.Model):
        async def predict(self, payload, headers=None):
            if not isinstance(payload, bytes):
                raise NotImplementedError("Requests come in the form of TensorFlow Serving, to /v1/models.")
            answer = functools.partial(_answer, servable, payload)
            return await asyncio.get_running_loop().run_in_executor(threads, answer)  # others are answered meanwhile

    model = Version(_key(servable))
    model.load()
    return model


def _answer(servable, body):
    return json.dumps(rest_form.predict(servable, body))


def _add_routes(app, dataplane, models):
    """Adds TensorFlow Serving's paths to KServe's application, before its own.

    KServe itself has no versions, labels or metadata, another status, and reads nothing that is not sent as JSON.
    """
    from fastapi import Request, Response

    async def answer(request: Request):
        try:
            matched = rest_form.PATH.fullmatch(request.url.path)
            verb = matched["verb"] and matched["verb"].casefold() if matched else None
            if not matched or request.method != ("POST" if (verb or "").startswith(":") else "GET"):
                raise servables.Refusal(servables.INVALID, f"Malformed request: {request.method} {request.url.path}")
            named = (matched["name"], matched["version"] and int(matched["version"]), matched["label"])
            if verb is None:
                return _json(Response, json.dumps(models.status(*named)))
            servable = models.find(*named)
            if verb == "/metadata":
                return _json(Response, json.dumps(rest_form.metadata(servable)))
            if verb != ":predict":
                raise servables.Refusal(
                    servables.INVALID,
                    f"Expected {verb[1:]} signature method_name to be tensorflow/serving/{verb[1:]}. Was: "
                    "tensorflow/serving/predict. Ask by :predict.",
                )
            text, _ = await dataplane.infer(_key(servable), await request.body(), dict(request.headers))
            return _json(Response, text)
        except servables.Refusal as refusal:
            return _json(Response, json.dumps({"error": str(refusal)}), rest_form.HTTP.get(refusal.code, 500))

    app.add_api_route("/v1/models/{rest:path}", answer, methods=["GET", "POST"], include_in_schema=False)


def _json(response, text, code=200):
    return response(text, code, media_type="application/json")
