"""Compressed messages of WebSockets."""

from __future__ import annotations

import zlib

import pytest

from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.http.websocket_client import (
    BINARY,
    CONTINUATION,
    DEFLATE,
    PING,
    PONG,
    TEXT,
    Frame,
    Messages,
    RawClient,
    frame,
)
from tests.http.websocket_handlers import Echo


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits=8", "permessage-deflate"),
        (
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            'permessage-deflate ; server_no_context_takeover;client_no_context_takeover; server_max_window_bits="15"',
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15",
        ),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", "permessage-deflate"),
        ("other, permessage-deflate; client_max_window_bits=16, permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("permessage-deflate; unknown", None),
        ("x-webkit-deflate-frame", None),
    ],
)
def test_offers_of_compression(offers: str, answer: str | None, serve: Serve) -> None:
    with RawClient(serve(ThreadingHTTPServer, Echo).connect(), f"Sec-WebSocket-Extensions: {offers}\r\n") as client:
        assert client.status.startswith("HTTP/1.1 101 ")
        assert client.headers.get("Sec-WebSocket-Extensions") == answer
        client.send(frame(TEXT, b"x" * 200))
        assert Messages(client).receive() == "x" * 200


def test_compression_can_be_left_out(serve: Serve) -> None:
    class Handler(Echo):
        compression = False

    with RawClient(serve(ThreadingHTTPServer, Handler).connect(), DEFLATE) as client:
        assert "Sec-WebSocket-Extensions" not in client.headers


def deflated(data: bytes) -> bytes:
    """Return a message as it is compressed (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


TOO_LONG = deflated(bytes(1001))


def test_compressed_messages(serve: Serve) -> None:
    with RawClient(serve(ThreadingHTTPServer, Echo).connect(), DEFLATE) as client:
        peer = Messages(client)
        data = deflated(b"hello " * 100)
        client.send(frame(TEXT, data, bits=12))
        found = client.receive()
        assert found is not None
        assert found.bits == 12
        assert len(found.payload) < 40
        assert peer._inflate.decompress(found.payload + b"\0\0\xff\xff") == b"hello " * 100
        # In fragments, with a ping in between; the short answer is not worth compressing.
        hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00"  # RFC 7692 section 7.2.3.1
        client.send(frame(TEXT, hello[:3], bits=4) + frame(PING) + frame(CONTINUATION, hello[3:]))
        assert client.receive() == Frame(8, PONG, b"")
        assert client.receive() == Frame(8, TEXT, b"Hello")
        client.send(frame(TEXT, b"\xf2\x00\x11\x00\x00", bits=12))  # section 7.2.3.2: from the message before
        assert client.receive() == Frame(8, TEXT, b"Hello")
        client.send(frame(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", bits=12))  # section 7.2.3.4: a last block
        assert client.receive() == Frame(8, TEXT, b"Hello")
        client.send(frame(TEXT, hello, bits=12))
        assert client.receive() == Frame(8, TEXT, b"Hello")
        client.send(frame(TEXT, b"plain"))
        assert client.receive() == Frame(8, TEXT, b"plain")


def test_messages_without_a_context(serve: Serve) -> None:
    header = f"{DEFLATE[:-2]}; client_no_context_takeover; server_no_context_takeover\r\n"
    with RawClient(serve(ThreadingHTTPServer, Echo).connect(), header) as client:
        answers = []
        for _ in range(2):
            client.send(frame(TEXT, deflated(b"hello " * 100), bits=12))
            found = client.receive()
            assert found is not None
            answers.append(found.payload)
        assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, TOO_LONG, bits=12), 1009, id="a byte too many"),
        pytest.param(frame(TEXT, deflated(bytes(50_000_000)), bits=12), 1009, id="bomb"),
        pytest.param(frame(TEXT, TOO_LONG[:3], bits=4) + frame(CONTINUATION, TOO_LONG[3:]), 1009, id="in fragments"),
        pytest.param(frame(BINARY, b"x" * 1001), 1009, id="not compressed"),
        pytest.param(frame(TEXT, b"\xff\xff\xff", bits=12), 1007, id="no deflate stream"),
        pytest.param(frame(TEXT, deflated(b"\xff"), bits=12), 1007, id="no UTF-8"),
        pytest.param(frame(TEXT, b"\x03\x00" + bytes(1000), bits=12), 1007, id="more behind the last block"),
        pytest.param(frame(PING, bits=12), 1002, id="compressed ping"),
        pytest.param(frame(TEXT, b"a", bits=0) + frame(CONTINUATION, b"b", bits=12), 1002, id="later fragment"),
        pytest.param(frame(TEXT, b"a", bits=10), 1002, id="RSV2"),
    ],
)
def test_compressed_messages_that_are_refused(data: bytes, code: int, serve: Serve) -> None:
    class Handler(Echo):
        max_message_size = 1000

    with RawClient(serve(ThreadingHTTPServer, Handler).connect(), DEFLATE) as client:
        client.send(frame(BINARY, deflated(bytes(1000)), bits=12))
        assert Messages(client).receive() == "\0" * 1000
        client.send(data)
        assert client.close_code() == code
