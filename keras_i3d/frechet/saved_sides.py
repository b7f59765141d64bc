"""A side that is saved statistics: what is noted in them, and whether they may be compared with the other side."""

import re

from keras_i3d.frechet.fvd_protocols import RESOLUTION

# cd-fvd names its published statistics by how they were made.
PUBLISHED_PICKLE = re.compile(
    r"(?P<model>[a-z0-9]+)_(?P<data>.+)_(?P<videos>full|\d+)_res(?P<resolution>\d+)_len(?P<frames>\d+)"
    r"_skip(?P<stride>\d+)_seed\d+\.pkl"
)


def notes(protocol, sampling, network, side):
    """Returns what is noted in statistics, and asked of them when they are a side again.

    Args:
        protocol: Protocol.
        sampling: clip_rows.Sampling.
        network: what the card says of it.
        side: what the card says of the side.
    """
    return {
        "protocol": protocol.name,
        "frames": sampling.frames,
        "stride": sampling.stride,
        "resolution": sampling.resolution if protocol.resolution else None,
        "seed": sampling.seed,
        "network": network,
        "side": side,
    }


def check(gaussian, what, protocol, sampling, network=None):
    """Raises ValueError if statistics were made otherwise than the other side will be.

    Args:
        gaussian: Gaussian with its notes.
        what: "real" or "generated", for messages.
        protocol: Protocol.
        sampling: clip_rows.Sampling.
        network: what the card says of the network; None if both sides are statistics.

    Returns:
        Sentences on what cannot be checked.
    """
    noted = gaussian.notes
    if noted.get("moments") == "raw":
        return _check_pickle(gaussian, what, protocol, sampling, network)
    if "protocol" not in noted:
        _check_size(gaussian, what, network)
        return (f"The {what} statistics do not say how they were made.",)
    wanted = {"protocol": protocol.name, "frames": sampling.frames, "stride": sampling.stride}
    if protocol.resolution:
        wanted["resolution"] = sampling.resolution
    for name, value in wanted.items():
        if noted.get(name) != value:
            raise ValueError(
                f"Statistics can be compared with what was made alike. Received: {what} statistics with "
                f"{name}={noted.get(name)!r}, and {name}={value!r} for the other side. Pass the former, or make them "
                "again."
            )
    made_by = network_of(gaussian)
    if network is not None and made_by["sha256"] != network["sha256"]:
        raise ValueError(
            f"Both sides go through the same network. Received: {what} statistics by {made_by['weights']} (sha256 "
            f"{made_by['sha256']}), and {network['weights']} (sha256 {network['sha256']}) for the other side."
        )
    if network is not None and made_by["precision"] != network["precision"]:
        raise ValueError(
            f"Both sides are computed alike. Received: {what} statistics in {made_by['precision']}, and "
            f"{network['precision']} for the other side. Pass precision=."
        )
    _check_size(gaussian, what, network)
    return ()


def network_of(gaussian):
    """Returns what statistics say of their network, as a card says it; None for what they do not say."""
    noted = gaussian.notes.get("network")
    noted = noted if isinstance(noted, dict) else {}
    names = ("weights", "licence", "sha256", "precision", "runtime")
    said = {name: noted.get(name) if isinstance(noted.get(name), str) else None for name in names}
    return {**said, "logits": gaussian.size}


def side(gaussian, name):
    """Returns what a card says of such a side: what its notes say, as far as that can be true."""
    noted = gaussian.notes.get("side")
    noted = noted if isinstance(noted, dict) else {}
    counted = {key: _counts(noted.get(key)) for key in ("fps", "sizes", "encodings")}
    lossy, frames = noted.get("lossy"), noted.get("frames")
    first = noted.get("scaled_first", False)
    if first is not None and not (isinstance(first, list) and [type(each) for each in first] == [str, int]):
        first = False  # nothing says it
    whole = isinstance(frames, list) and len(frames) == 2 and all(type(number) is int for number in frames)
    return {
        "source": name,
        "clips": gaussian.count,
        "begins": noted.get("begins") if noted.get("begins") in ("first", "random") else None,
        "frames": frames if whole else None,
        **counted,
        "lossy": [each for each in lossy if each in counted["encodings"]] if isinstance(lossy, list) else [],
        "scaled_first": first,
        "statistics": True,
    }


def _check_pickle(gaussian, what, protocol, sampling, network):
    """Statistics that cd-fvd published, which say how they were made in their name alone."""
    _check_size(gaussian, what, network)
    if not protocol.resolution:
        raise ValueError(
            f"A .pkl of raw moments is of the protocol cd-fvd. Received: {what} statistics, {gaussian.notes['file']}, "
            f'for the protocol {protocol.name}. Pass protocol="cd-fvd".'
        )
    found = PUBLISHED_PICKLE.fullmatch(gaussian.notes["file"])
    if not found:
        return (f"{gaussian.notes['file']}, {what} statistics, does not say how it was made.",)
    wanted = {"resolution": sampling.resolution or RESOLUTION, "frames": sampling.frames, "stride": sampling.stride}
    for name, value in wanted.items():
        if int(found[name]) != value:
            raise ValueError(
                f"Statistics can be compared with what was made alike. Received: {what} statistics with "
                f"{name}={found[name]} by their name, and {name}={value} for the other side. Pass {name}={found[name]}."
            )
    return (f"{gaussian.notes['file']}: nothing says that its network had the same weights.",)


def _check_size(gaussian, what, network):
    if network is not None and gaussian.size != network["logits"]:
        raise ValueError(
            f"Both sides go through the same network. Received: {what} statistics of {gaussian.size} features, and "
            f"{network['logits']} logits of {network['weights']} for the other side."
        )


def _counts(value):
    """A {text: whole number} that a file may hold, or {}."""
    plain = isinstance(value, dict) and all(isinstance(k, str) and type(n) is int for k, n in value.items())
    return value if plain else {}
