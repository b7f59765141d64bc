"""Files are written whole or not at all, by the local file system and by TensorFlow's."""

import errno
import os

import pytest
import tensorflow as tf

from keras_i3d import atomic


def test_a_temporary_file_of_a_process_of_the_same_number(tmp_path):
    """A container that starts again gives its process the number that the killed one had."""
    final = tmp_path / "x.txt"
    with atomic.replacing(final) as mine:
        left = mine.with_name(mine.name.replace(mine.name.split("-")[2], "000000"))
        for path in (mine, left):
            path.write_text("x")
        atomic.clean(tmp_path)
        assert [path for path in tmp_path.iterdir() if path.is_file()] == [mine]
    assert final.read_text() == "x"


def test_a_file_by_tensorflow_takes_its_place_at_the_end(tmp_path):
    """The temporary file lies where it is told to, and is known by its name."""
    (tmp_path / "work").mkdir()
    path = f"file://{tmp_path}/x.txt"
    with atomic.replacing_by(tf.io.gfile, path, f"file://{tmp_path}/work") as temporary:
        with tf.io.gfile.GFile(temporary, "w") as file:
            file.write("new")
        (left,) = os.listdir(tmp_path / "work")
        assert atomic.is_temporary(left)
        assert not atomic.is_temporary("x.txt")
        assert not (tmp_path / "x.txt").exists()
    assert (tmp_path / "x.txt").read_text() == "new"
    assert os.listdir(tmp_path / "work") == []


def test_a_file_that_fails_leaves_the_one_before(tmp_path):
    (tmp_path / "x.txt").write_text("old")

    def fail(error):
        with atomic.replacing_by(tf.io.gfile, str(tmp_path / "x.txt")) as temporary:
            with tf.io.gfile.GFile(temporary, "w") as file:
                file.write("half")
            raise error(temporary)

    def full(temporary):
        return tf.errors.ResourceExhaustedError(None, None, f"{temporary}; No space left on device")

    for error in (full, lambda _: OSError(errno.ENOSPC, "No space")):
        with pytest.raises(OSError, match="No space") as raised:
            fail(error)
        assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path / "x.txt"))
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error):
            fail(error)
    assert os.listdir(tmp_path) == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "old"
