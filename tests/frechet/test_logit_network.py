"""The published weights by name, from a mirror in small; all else of it is in test_fvd.py."""

import numpy as np
import pytest

from keras_i3d import networks, runtimes
from keras_i3d.frechet import fvd_protocols, logit_network
from keras_i3d.weights import by_name


@pytest.mark.slow
def test_the_published_weights_are_those_of_published_numbers(repository, capsys):
    logits = logit_network.LogitNetwork()
    assert (logits.size, logits.other) == (400, "")
    network = networks.load("kinetics-scratch", "rgb")
    digest = by_name.digest(network.model)
    assert logits.card == {
        "weights": "kinetics-scratch",
        "licence": "Apache-2.0",
        "logits": 400,
        "sha256": digest,
        "precision": "float32",
        "runtime": runtimes.with_version("tensorflow"),
    }
    clips = np.random.default_rng(0).uniform(0, 255, (3, 9, 32, 32, 3)).astype(np.float32)
    named = network.to_logits().predict(fvd_protocols.scaled(clips), verbose=0)
    np.testing.assert_allclose(logits(clips), named, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(logits(clips[:1]), named[:1], rtol=1e-3, atol=1e-3)  # in a batch that is filled up
    assert capsys.readouterr().err.count("trained on frames of another range") == 0
