"""The compiled kernels of the TV-L1 engine, for the tests of each of their files."""

import pytest

from keras_i3d.flow import engine


@pytest.fixture(scope="module")
def kernels():
    return engine._kernels().kernels


@pytest.fixture(scope="module")
def sweeps():
    return engine._kernels().sweeps
