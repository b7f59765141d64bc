"""The server of the page in a thread, and requests as its page makes them."""

import contextlib
import importlib.util
import threading
import time
import types

import pytest

HEADER = {"X-Keras-I3D": "test"}
needs_web = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("starlette", "uvicorn"))),
    reason="needs starlette and uvicorn, of the extra web",
)


@contextlib.contextmanager
def served(answers, folder, said=str, names=(), **limits):
    """Serves the page of `answering.Answers`; gives its url, and its Page as `page`."""
    import uvicorn

    from keras_i3d import listening
    from keras_i3d.web import guarding, jobs, page_server

    page = page_server.Page(answers, folder, jobs.Limits(**limits), said)
    server = uvicorn.Server(page_server._settings(uvicorn, guarding.Guard(page.app(), names)))
    with contextlib.closing(listening.bound("127.0.0.1", 0)) as listener:
        listener.listen(8)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield types.SimpleNamespace(url=listening.url(*listener.getsockname()[:2]), page=page)
        finally:
            server.should_exit = True
            thread.join(10)
            page.jobs.close()


def send(url, content, name="a.mp4", **settings):
    """Sends a video; returns the response."""
    import requests

    return requests.post(f"{url}/videos", params={"name": name}, data=content, headers=HEADER, timeout=60, **settings)


def until(url, identifier, key, state="done"):
    """Asks for the state of a video until one of its tasks has another one than this; returns the task."""
    import requests

    for _ in range(600):
        task = requests.get(f"{url}/videos/{identifier}", timeout=60).json()["tasks"].get(key, {"state": "waiting"})
        if task["state"] in (state, "failed"):
            return task
        time.sleep(0.05)
    raise TimeoutError(f"{key}: {task}")
