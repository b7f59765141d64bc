"""Whose requests are answered: no name that another site may point to this machine, no other site's origin."""

import asyncio

import pytest

from keras_i3d.web import guarding


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8520", "127.0.0.1:1", "[::1]:8520", "192.168.1.7:8520", "a.localhost", "LOCALHOST:9"],
)
def test_addresses_and_localhost_are_its_own(host):
    assert guarding.Guard(None).refusal("GET", {b"host": host.encode()}) is None


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8520", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "a b"]
)
def test_other_names_are_not(host):
    """A name whose owner lets it point to 127.0.0.1 would be the page's own origin to a browser."""
    assert "is asked by an address" in guarding.Guard(None).refusal("GET", {b"host": host.encode()})


def test_names_that_are_given():
    guard = guarding.Guard(None, ["Studio.lan", "127.0.0.1"])
    assert guard.refusal("GET", {b"host": b"studio.lan.:8520"}) is None
    assert guard.refusal("GET", {b"host": b"other.lan"})


def post(**headers):
    given = {"host": "127.0.0.1:8520", "x_keras_i3d": "page", **headers}
    headers = {name.replace("_", "-").encode(): value.encode() for name, value in given.items() if value is not None}
    return guarding.Guard(None).refusal("POST", headers)


def test_what_changes_anything_comes_from_the_page_itself():
    assert post() is None  # as of a program that is no browser
    assert post(origin="http://127.0.0.1:8520", sec_fetch_site="same-origin") is None
    assert "not by another site" in post(x_keras_i3d=None)  # a form of another site cannot add it
    assert "'http://evil.example'" in post(origin="http://evil.example")
    assert post(origin="http://127.0.0.1:9999")  # another server of this machine
    assert post(origin="null")
    assert post(sec_fetch_site="cross-site")
    assert post(sec_fetch_site="same-site")


def ask(app, **scope):
    """(status, {header: value}, content, whether the application was asked)."""
    sent, asked = [], []

    async def inner(scope, receive, send):
        asked.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"inside"})

    async def send(message):
        sent.append(message)

    given = {"type": "http", "method": "GET", "headers": [(b"host", b"127.0.0.1")], **scope}
    asyncio.run(app(inner)(given, None, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"], bool(asked)


def test_every_answer_tells_browsers_to_load_nothing_of_others():
    for host, status in ((b"127.0.0.1", 200), (b"evil.example", 403)):
        found, headers, content, asked = ask(guarding.Guard, headers=[(b"host", host)])
        assert (found, asked) == (status, status == 200)
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
        assert content == b"inside" or content.count(b"\n") == 1
