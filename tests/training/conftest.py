"""Fixtures of tests that train `tiny`'s network on its records."""

import pytest
from made import tiny


@pytest.fixture
def short(monkeypatch):
    """An I3D cut short."""
    tiny.shorten(monkeypatch)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A folder with the splits "train" and "test"."""
    folder = tmp_path_factory.mktemp("records")
    tiny.write(folder)
    return tiny.write(folder, "test", videos=6)
