"""`keras-i3d web`: the server asked as its page asks it, and as others do."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types

import pytest
import requests
from made import ROOT, paged
from made.paged import HEADER, needs_web

from keras_i3d import cli
from keras_i3d.cli import failures
from keras_i3d.cli import web as verb
from keras_i3d.web import jobs, page_server, temporary_folder

pytestmark = needs_web


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("sent")


@pytest.fixture(scope="module")
def server(answers, place):
    def said(error):
        return failures.said(error, "web", verb.FLAGS)

    with paged.served(answers, place, said, names=["studio.lan"], megabytes=1, videos=6) as server:
        yield server


@pytest.fixture
def sent(server, made):
    """The URL of `a.mp4`, which was sent and is done; deleted after the test."""
    response = paged.send(server.url, (made.folder / "a.mp4").read_bytes())
    assert response.status_code == 201
    identifier = response.json()["id"]
    assert paged.until(server.url, identifier, "answer")["state"] == "done"
    yield f"{server.url}/videos/{identifier}"
    requests.delete(f"{server.url}/videos/{identifier}", headers=HEADER, timeout=9)


def until(condition):
    """Whether it comes to be true within seconds."""
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.02)
    return False


def begun(place):
    """Whether a video has begun to come, which has its folder then."""
    return until(lambda: list(place.iterdir()))


def emptied(place):
    """Whether nothing is left in the folder of the videos."""
    return until(lambda: not list(place.iterdir()))


def test_the_way_of_a_video(server, sent, place):
    about = requests.get(f"{server.url}/about", timeout=9).json()
    assert about["labels"] == ["left", "right", "up"]
    data = requests.get(f"{sent}/answer/data", timeout=9).json()
    assert data["record"]["video"] == "a.mp4"
    identifier = sent.rpartition("/")[2]
    assert paged.until(server.url, identifier, "film")["state"] == "done"
    film = requests.get(f"{sent}/files/film.mp4", headers={"Range": "bytes=0-99"}, timeout=9)
    assert (film.status_code, len(film.content), film.headers["content-type"]) == (206, 100, "video/mp4")
    wanted = json.dumps({"label": 1, "at": 0.2})
    assert requests.post(f"{sent}/evidence", data=wanted, headers=HEADER, timeout=9).status_code == 202
    assert paged.until(server.url, identifier, "evidence")["state"] == "done"
    found = requests.get(f"{sent}/evidence/data", timeout=9).json()
    assert found["label"] == "right"
    assert requests.get(f"{sent}/files/{found['file']}", timeout=9).content[4:8] == b"ftyp"
    for ending, begins in (("json", '{"version"'), ("csv", "video,label"), ("srt", "1\n"), ("vtt", "WEBVTT")):
        file = requests.get(f"{sent}/files/segments.{ending}", timeout=9)
        assert file.text.startswith(begins)
        assert f'filename="a.segments.{ending}"' in file.headers["content-disposition"]
    assert requests.delete(sent, headers=HEADER, timeout=9).json() == {"deleted": True}
    assert emptied(place)
    gone = requests.get(sent, timeout=9)
    assert gone.status_code == 404
    assert "Send it again" in gone.json()["error"]


def test_answers_and_errors_are_those_of_classify(server, made, tmp_path, capsys, place):
    """Two roads: the command line, and the page."""
    whole = (made.folder / "a.mp4").read_bytes()
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{made.folder / 'a.mp4'}\n#EXT-X-ENDLIST\n"
    contents = {
        "good.mp4": whole,
        "half.mp4": whole[: len(whole) // 2],
        "empty.mp4": b"",
        "text.mp4": b"These are words, and no pictures.\n" * 20,
        "list.m3u8": playlist.encode(),  # which names a file of the server
        "concat.txt": f"ffconcat version 1.0\nfile {made.folder / 'a.mp4'}\n".encode(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    flags = [f"--{stream}={run}" for stream, run in made.runs.items()]
    cli.main(["classify", "--json", *flags, *(str(tmp_path / name) for name in contents)])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == len(contents)
    answered = []
    for (name, content), line in zip(contents.items(), found):
        identifier = paged.send(server.url, content, name).json()["id"]
        task = paged.until(server.url, identifier, "answer")
        if "error" in line:
            assert task["error"] == line["error"].replace(f"{tmp_path}/", "")
            assert str(place) not in task["error"]
        else:
            record = requests.get(f"{server.url}/videos/{identifier}/answer/data", timeout=9).json()["record"]
            assert record["predictions"] == line["predictions"]
            assert record["frames"] == line["frames"]
            answered.append(name)
        requests.delete(f"{server.url}/videos/{identifier}", headers=HEADER, timeout=9)
    assert answered == ["good.mp4"], found
    assert emptied(place)


def test_too_long_a_video(server, made, monkeypatch, answers):
    monkeypatch.setattr(answers.classifier, "max_seconds", 0.4)
    identifier = paged.send(server.url, (made.folder / "a.mp4").read_bytes()).json()["id"]
    task = paged.until(server.url, identifier, "answer")
    assert task["error"] == "a.mp4: it lasts longer than --max_seconds=0.4; raise that if it is meant to"
    requests.delete(f"{server.url}/videos/{identifier}", headers=HEADER, timeout=9)


def test_too_large_a_file(server, place):
    """Whether its size is announced or not; nothing stays of it."""
    response = paged.send(server.url, b"x" * 1_000_001, "large.mp4")
    said = "large.mp4: the file is larger than the limit of this server, 1 MB"
    assert (response.status_code, response.json()["error"]) == (413, said)
    response = paged.send(server.url, (b"x" * 100_000 for _ in range(11)), "large.mp4")
    assert (response.status_code, response.json()["error"]) == (413, said)
    assert emptied(place)


def test_two_at_once(server, made, answers, monkeypatch):
    """The second one waits, knows how many come first, and gets its own answer."""
    begun, let, real = threading.Event(), threading.Event(), answers.answer

    def answer(job):
        begun.set()
        let.wait(20)
        return real(job)

    monkeypatch.setattr(answers, "answer", answer)
    first, second = (
        paged.send(server.url, (made.folder / name).read_bytes(), name).json()["id"] for name in ("a.mp4", "short.mp4")
    )
    assert begun.wait(20)
    states = [requests.get(f"{server.url}/videos/{i}", timeout=9).json() for i in (first, second)]
    assert [each["name"] for each in states] == ["a.mp4", "short.mp4"]
    assert [each["tasks"]["answer"]["state"] for each in states] == ["working", "waiting"]
    assert [each["tasks"]["answer"]["before"] for each in states] == [0, 1]
    let.set()
    frames = []
    for identifier in (first, second):
        assert paged.until(server.url, identifier, "answer")["state"] == "done"
        data = requests.get(f"{server.url}/videos/{identifier}/answer/data", timeout=9).json()
        frames.append(data["record"]["frames"])
        requests.delete(f"{server.url}/videos/{identifier}", headers=HEADER, timeout=9)
    assert frames == [14, 5]


def test_no_room(server, monkeypatch, place):
    monkeypatch.setattr(server.page.jobs, "limits", server.page.jobs.limits.__class__(videos=1))
    held = server.page.jobs.new("held")
    response = paged.send(server.url, b"x")
    assert response.status_code == 503
    assert "1 video is here already" in response.json()["error"]
    server.page.jobs.remove(held.id)
    assert emptied(place)


def test_a_file_that_is_no_video_frees_its_place(server, monkeypatch, place):
    """Nobody deletes it, as a client that is no page does not; its line can still be read."""
    monkeypatch.setattr(server.page.jobs, "limits", server.page.jobs.limits.__class__(videos=1))
    sent = []
    for name in ("a.mp4", "b.mp4"):
        response = paged.send(server.url, b"no video", name)
        assert response.status_code == 201
        sent.append(response.json()["id"])
        assert paged.until(server.url, sent[-1], "answer")["state"] == "failed"
        assert emptied(place)
    for identifier, name in zip(sent, ("a.mp4", "b.mp4")):
        assert paged.until(server.url, identifier, "answer")["error"].startswith(f"{name}: ")
        assert requests.delete(f"{server.url}/videos/{identifier}", headers=HEADER, timeout=9).json()["deleted"]


def test_a_file_that_comes_too_slowly_makes_room(server, monkeypatch, place):
    """Its sender is told so, should it still be there."""
    monkeypatch.setattr(server.page.jobs, "limits", server.page.jobs.limits.__class__(videos=1))
    monkeypatch.setattr(jobs, "SILENT", 0)
    held = []

    def parts():
        yield b"x"
        assert begun(place)
        held.append(server.page.jobs.new("other"))
        yield b"y"

    response = paged.send(server.url, parts(), "slow.mp4")
    assert response.status_code == 503
    assert response.json()["error"].startswith("slow.mp4: it came too slowly, and made room")
    server.page.jobs.remove(held[0].id)
    assert emptied(place)


def test_no_more_is_read_of_a_video_that_made_room(server, place):
    job, read = server.page.jobs.new("a.mp4"), []

    async def parts():
        for number in range(3):
            read.append(number)
            if number == 1:
                server.page.jobs.remove(job.id)
            yield b"x"

    request = types.SimpleNamespace(stream=parts)
    assert asyncio.run(server.page._received(request, job)) is False
    assert read == [0, 1]
    assert emptied(place)


def test_a_file_whose_sender_leaves(server, place, capfd):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /videos?name=a.mp4 HTTP/1.1\r\nHost: {host}\r\nX-Keras-I3D: x\r\nContent-Length: 9999\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 99)
        assert begun(place)
    assert emptied(place)
    assert "Traceback" not in capfd.readouterr().err


def test_other_sites_are_refused(server, made, place):
    """By DNS rebinding they come under a name of their own; by a form or fetch with their origin."""
    content = (made.folder / "a.mp4").read_bytes()
    for headers in (
        {**HEADER, "Host": "evil.example"},
        {**HEADER, "Origin": "http://evil.example"},
        {**HEADER, "Sec-Fetch-Site": "cross-site"},
        {},
    ):
        response = requests.post(f"{server.url}/videos?name=a.mp4", data=content, headers=headers, timeout=9)
        assert response.status_code == 403, headers
        assert response.text.count("\n") == 1
    assert requests.get(f"{server.url}/", headers={"Host": "evil.example"}, timeout=9).status_code == 403
    assert requests.get(f"{server.url}/", headers={"Host": "studio.lan:1"}, timeout=9).status_code == 200
    assert requests.options(f"{server.url}/videos", timeout=9).status_code == 403
    assert emptied(place)


def test_requests_that_are_wrong(server, sent):
    for path in ("/videos/x", "/videos/x/answer/data", "/videos/x/files/film.mp4", "/nothing"):
        assert requests.get(f"{server.url}{path}", timeout=9).status_code == 404
    for name in ("video.mp4", "..%2fvideo.mp4", "%2e%2e/x", "segments.exe"):
        assert requests.get(f"{sent}/files/{name}", timeout=9).status_code == 404
    for body in ("", "[]", "{}", '{"label": 1e999, "at": 0}', '{"label": 3, "at": 0}', '{"label": 0, "at": -1}',
                 '{"label": 0, "at": NaN}', "[" * 4000):  # fmt: skip
        response = requests.post(f"{sent}/evidence", data=body, headers=HEADER, timeout=9)
        assert response.status_code == 400, body
    assert requests.post(f"{sent}/evidence", data="x" * 5000, headers=HEADER, timeout=9).status_code == 413


@pytest.mark.parametrize(
    ("text", "name", "ending"),
    [
        ("a.MP4", "a.MP4", ".mp4"),
        ("../../etc/a b.avi", "a b.avi", ".avi"),
        ("C:\\x\\y.mov", "y.mov", ".mov"),
        ("<b>&\n.m/p", "p", ""),
        ("a.\u202egp4.", "a. gp4.", ""),
        ("", "video", ""),
        ("x" * 500 + ".webm", "x" * 100 + "..." + "x" * 12 + ".webm", ".webm"),
    ],
)
def test_names_of_files(text, name, ending):
    assert page_server.named(text) == (name, ending)


def test_the_page_asks_no_other_server(server):
    for path, (_, kind) in page_server.PARTS.items():
        response = requests.get(f"{server.url}{path}", timeout=9)
        assert response.headers["content-type"].startswith(kind)
        assert set(re.findall(r"https?://[^\"'\s]*", response.text)) <= {
            "http://www.w3.org/2000/svg"
        }  # a name, no place
    page = requests.get(f"{server.url}/", timeout=9).text
    assert not re.search(r"\son\w+=|\sstyle=|<script>|<style>", page)  # which its policy forbids


def test_runtimes_are_settled_before_the_page_is_there():
    class SettledError(Exception):
        pass

    def settle():
        raise SettledError

    with pytest.raises(SettledError):
        page_server.serve(lambda: types.SimpleNamespace(settle_runtimes=settle), port=0, ready=pytest.fail)


def test_mistakes_are_one_line(capsys, monkeypatch):
    assert cli.main(["web", "a.mp4"]) == 2
    assert "web takes no video: it is dropped on the page. Received: a.mp4" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.main(["web"]) == 1
    assert "which is not installed. Run: pip install 'keras-i3d[web]'" in capsys.readouterr().err


COMMAND = (
    "from made import tiny; tiny.shorten(); from keras_i3d import cli; import sys; sys.exit(cli.main(sys.argv[1:]))"
)


def test_a_closed_terminal_ends_it_in_order():
    """SIGHUP killed it, and the videos stayed; under nohup it is to be ignored."""
    told = []
    server = types.SimpleNamespace(handle_exit=lambda number, frame: told.append(number))
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with page_server._signals(server):
            signal.raise_signal(signal.SIGHUP)
        assert told == [signal.SIGTERM]
        assert signal.signal(signal.SIGHUP, signal.SIG_IGN) == signal.SIG_DFL
        with page_server._signals(server):
            signal.raise_signal(signal.SIGHUP)
        assert told == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.parametrize("ends_by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_from_begin_to_end(made, tmp_path, ends_by):
    """Its line, a video that is there when it ends, its notice on other machines, and nothing that stays.

    Nor does what an earlier one left that was killed.
    """
    left = tmp_path / f"{temporary_folder.PREFIX}earlier"
    left.mkdir()
    (left / temporary_folder.LOCK).touch()
    words = ["web", "--port=0", "--host=0.0.0.0", *(f"--{stream}={run}" for stream, run in made.runs.items())]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        env={**os.environ, "PYTHONPATH": paths, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        line = process.stdout.readline()
        url = re.search(r"ready at (http://localhost:\d+)/ \(Ctrl-C ends it\)", line)[1].replace(
            "localhost", "127.0.0.1"
        )
        assert paged.send(url, (made.folder / "a.mp4").read_bytes()).status_code == 201
        assert list(tmp_path.glob("keras_i3d_web_*/*/video.mp4"))
    finally:
        process.send_signal(ends_by)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped" in out
    assert "other machines reach this page at 0.0.0.0, without a password" in err
    assert f"{left}, which a server that was killed left, is removed" in err
    assert list(tmp_path.glob("keras_i3d_web_*")) == []
