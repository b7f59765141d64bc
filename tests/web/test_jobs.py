"""Work in its order, places in the queue, cancelling, and that nothing stays."""

import threading
import time

import pytest

from keras_i3d.errors import notice
from keras_i3d.progress import Bar
from keras_i3d.web import jobs


@pytest.fixture
def make(tmp_path):
    """Makes Jobs of some limits; closed after the test."""
    made = []

    def build(**limits):
        made.append(jobs.Jobs(tmp_path, jobs.Limits(**limits), lambda job, error: f"{job.name}: {error}"))
        return made[-1]

    yield build
    for each in made:
        each.close()


def wait(holds):
    for _ in range(500):
        if holds():
            return True
        time.sleep(0.01)
    return False


def test_one_after_the_other_and_each_knows_its_place(make):
    found, let, order = make(), threading.Event(), []

    def work(name):
        let.wait(10)
        order.append(name)
        return name

    first, second = found.new("a"), found.new("b")
    tasks = [found.add(first, "x", lambda: work("a")), found.add(second, "x", lambda: work("b"))]
    tasks.append(found.add(first, "y", lambda: work("c")))
    assert wait(lambda: tasks[0].state == "working")
    assert [found.place(task) for task in tasks] == [0, 1, 2]
    let.set()
    assert wait(lambda: tasks[2].state == "done")
    assert order == ["a", "b", "c"]
    assert [task.data for task in tasks] == ["a", "b", "c"]


def test_progress_and_notices_come_to_the_job(make, capsys):
    found, let, told = make(), threading.Event(), threading.Event()
    job = found.new("a.mp4", ".mp4")

    def work():
        with Bar("x", 4, shown=False) as bar:
            notice(f"{job.path}: looks odd")
            notice("a runtime was chosen")
            bar.update()
            told.set()
            let.wait(10)

    task = found.add(job, "x", work)
    assert told.wait(10)
    assert task.share == 0.25
    let.set()
    assert wait(lambda: task.state == "done")
    assert job.lines == [f"{job.path}: looks odd"]
    assert capsys.readouterr().err == "keras_i3d: a runtime was chosen\n"


def test_a_failure_is_one_line_and_stops_nobody(make):
    found = make()
    job = found.new("a")
    failed = found.add(job, "x", lambda: 1 / 0)
    fine = found.add(found.new("b"), "x", lambda: 1)
    assert wait(lambda: fine.state == "done")
    assert (failed.state, failed.error) == ("failed", "a: division by zero")


def test_work_stops_when_its_video_is_deleted(make):
    """At its next sign of progress; files that it had written are deleted after that."""
    found, begun, counted = make(), threading.Event(), []
    job = found.new("a")

    def work():
        with Bar("x", 10**6, shown=False) as bar:
            for _ in range(2000):
                (job.folder / "film").write_text("half")
                bar.update()
                counted.append(1)
                begun.set()
                time.sleep(0.005)

    task, later = found.add(job, "x", work), found.add(job, "y", lambda: counted.append("later"))
    assert begun.wait(10)
    assert found.remove(job.id)
    assert wait(lambda: task.state == "failed" and not job.folder.exists())
    assert len(counted) < 2000
    assert "later" not in counted
    assert later.state == "waiting"
    assert found.find(job.id) is None
    assert not found.remove(job.id)
    assert found.add(job, "z", lambda: counted.append("later")).state == "waiting"


def test_what_nobody_asks_for_is_deleted(make, monkeypatch):
    monkeypatch.setattr(jobs, "EVERY", 0.01)
    found = make(minutes=0.3 / 60)
    left, kept = found.new("a"), found.new("b")
    (left.folder / "video").write_text("x")
    assert wait(lambda: found.find(kept.id) and not left.folder.exists())
    assert found.find(left.id) is None
    assert kept.folder.exists()


def test_room_for_so_many(make, monkeypatch):
    found = make(videos=2)
    first, second = found.new("a"), found.new("b")
    with pytest.raises(jobs.FullError, match="2 videos are here already"):
        found.new("c")
    for name in ("FRESH", "SILENT"):
        monkeypatch.setattr(jobs, name, 0)
    found.touch(first)
    third = found.new("c")  # in the place of the one that was not asked for longest
    assert not second.folder.exists()
    assert first.folder.exists()
    assert third.folder.exists()
    assert len(found) == 2


def test_what_failed_takes_no_place_and_keeps_its_line(make):
    """A client that is no page never deletes it, and kept a place for a minute and a half."""
    found = make(videos=1)
    broken = found.new("a")
    (broken.folder / "video").write_text("x")
    task = found.add(broken, "answer", lambda: 1 / 0)
    assert wait(lambda: not broken.folder.exists())
    good = found.new("b")
    assert found.find(broken.id).tasks["answer"] is task
    assert task.error == "a: division by zero"
    # What fails later, as the film, takes nothing from what is there.
    found.add(good, "answer", lambda: 1)
    film = found.add(good, "film", lambda: 1 / 0)
    assert wait(lambda: film.state == "failed" and found._working is None)
    assert good.folder.exists()
    with pytest.raises(jobs.FullError, match="1 video is here already"):
        found.new("c")
    assert found.remove(broken.id)


def test_so_many_lines_of_what_failed_are_kept(make, monkeypatch):
    monkeypatch.setattr(jobs, "FAILED", 2)
    found = make(videos=9)
    made = [found.new(name) for name in "abcd"]
    for job in made:
        found.add(job, "answer", lambda: 1 / 0)
    assert wait(lambda: len(found) == 2)
    assert [job.gone for job in made] == [True, True, False, False]


def test_a_video_of_which_nothing_more_comes_makes_room(make, monkeypatch):
    """Its sender was cut off, which a server hears of late or never; one that waits for work has its page."""
    found = make(videos=1)
    sent = found.new("a")
    monkeypatch.setattr(jobs, "SILENT", 0)
    found.new("b")
    assert sent.gone
    found = make(videos=1)
    found.add(found.new("c"), "answer", lambda: 1)
    with pytest.raises(jobs.FullError):
        found.new("d")


def test_closing_deletes_everything(make, tmp_path):
    found = make()
    for name in "ab":
        (found.new(name).folder / "video").write_text("x")
    found.close()
    assert list(tmp_path.iterdir()) == []


def test_limits():
    with pytest.raises(ValueError, match="megabytes must be above 0. Received: megabytes=0"):
        jobs.Limits(megabytes=0)
    assert jobs.Limits(megabytes=0.5).bytes == 500_000
