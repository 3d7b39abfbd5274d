"""
Tries to break a node: by requests that are wrong, and by peers that do not keep to HTTP/2. After each case the node must
serve as before. Says how much memory the node took. docs/testing-bad-input.md has the list and what came of it.

Speaks HTTP/2 by hand, because no client library sends what is tried here.
"""
import contextlib
import gzip
import os
import random
import socket
import struct

import grpc

import basics
import vault
from basics import TIMEOUT
from vault import (
    ANY, AppendRequest, Empty, EventData, ExpectedVersion, ListStreamsRequest, ReadAllRequest, ReadBound, ReadStreamRequest, Requests, SessionRequest,
    StreamAppend, SubscribeRequest, append, collect, event, name, refused, request, several, version,
)

# Draws the random bytes; the same in every run.
SEED = 20261121
METHODS = {
    "Streams/Append": "unary_unary", "Streams/AppendSession": "stream_stream", "Streams/ReadStream": "unary_stream", "Streams/ReadAll": "unary_stream",
    "Streams/Subscribe": "unary_stream", "Streams/GetStream": "unary_unary", "Streams/ListStreams": "unary_unary", "Admin/GetInfo": "unary_unary", "Admin/GetStatus": "unary_unary",
}
# What a bad request may be answered with: definite, and the caller's own fault.
DEFINITE = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ABORTED, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS}
# How much a node may grow over all cases, its caches and garbage included.
MOST_GROWTH = 1 << 30

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    return struct.pack(">I", len(payload) if length is None else length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def hpack_text(text):
    text, first, rest = text if isinstance(text, bytes) else text.encode(), [], 0
    if len(text) < 127:
        return bytes([len(text)]) + text
    first, rest = [127], len(text) - 127
    while rest >= 128:
        first.append(rest & 127 | 128)
        rest >>= 7
    return bytes(first + [rest]) + text


def headers(more=(), path="/eventvault.v1.Streams/Append", method="POST", content_type="application/grpc", te="trailers"):
    fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", te), ("content-type", content_type), *more]
    return b"".join(b"\0" + hpack_text(n) + hpack_text(v) for n, v in fields if v is not None)


def grpc_message(data, compressed=0, length=None):
    return struct.pack(">BI", compressed, len(data) if length is None else length) + data


class Peer:
    """A connection that sends whatever it is told to."""

    def __init__(self, a, preface=PREFACE + frame(SETTINGS)):
        host, port = a.address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=TIMEOUT)
        self.send(preface)

    def send(self, *data):
        # A node may close the connection on what it was sent; what it then does not read is not our matter.
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(b"".join(data))
        return self

    def call(self, stream, body=None, **how):
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if body is None else 0), stream, headers(**how)))
        if body is not None:
            for at in range(0, len(body), 16384):
                part = body[at:at + 16384]
                self.send(frame(DATA, END_STREAM if at + 16384 >= len(body) else 0, stream, part))
        return self

    def frames(self, patience=0.3):
        """Kinds of all frames until a call or the connection ends, or the node says nothing for a while."""
        data, found = b"", []
        self.socket.settimeout(patience)
        with contextlib.suppress(ConnectionError, socket.timeout):
            while part := self.socket.recv(1 << 16):
                data += part
                while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                    kind, flags = data[3], data[4]
                    found.append(kind)
                    data = data[9 + int.from_bytes(data[:3], "big"):]
                    if kind in (RST_STREAM, GOAWAY) or kind == HEADERS and flags & END_STREAM:
                        return found
        return found

    def close(self):
        self.socket.close()


def answered(peer):
    """Whether the last call got headers or a reset, or the connection a goaway; closes it."""
    kinds = peer.frames(TIMEOUT)
    peer.close()
    return bool({HEADERS, RST_STREAM, GOAWAY}.intersection(kinds))


def memory(a):
    return vault.admin(a).GetStatus(vault.message("GetStatusRequest")(), timeout=TIMEOUT).memory_bytes


def unharmed(a):
    """The node takes an append and gives it back."""
    service, stream = vault.vault(a), name("unharmed")
    sent = event(data=os.urandom(100))
    append(service, stream, vault.NO_STREAM, [sent])
    assert [e.event for e in collect(service.ReadStream(ReadStreamRequest(stream=stream), timeout=TIMEOUT))[1]] == [sent]
    assert vault.admin(a).GetStatus(vault.message("GetStatusRequest")(), timeout=TIMEOUT).state == "serving"


def head(a):
    status = vault.admin(a).GetStatus(vault.message("GetStatusRequest")(), timeout=TIMEOUT)
    return status.head if status.HasField("head") else -1


def raw(a, method, messages, timeout=TIMEOUT):
    """Sends bytes; the status that the call ended with. Subscriptions, which do not end, are left after a message."""
    kind = METHODS[method]
    call = getattr(basics.connect(a, (("grpc.max_send_message_length", -1),)), kind)("/eventvault.v1." + method)
    try:
        if kind == "unary_unary":
            call(messages[0], timeout=timeout)
        elif kind == "stream_stream":
            list(call(iter(messages), timeout=timeout))
        elif method == "Streams/Subscribe":
            answers = call(messages[0], timeout=timeout)
            next(answers)
            answers.cancel()
        else:
            list(call(messages[0], timeout=timeout))
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def names(a):
    service, before = vault.vault(a), head(a)
    for bad in ("", "\0", "a\nb", "\x1b[2J", "\x7f", "\u0085", "\u009f"):
        refused("INVALID_ARGUMENT", "INVALID_NAME", lambda: append(service, bad))
    for size in (1025, 10240, 1 << 20, 8 << 20):
        refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: append(service, "x" * size))
        refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: list(service.ReadStream(ReadStreamRequest(stream="x" * size), timeout=TIMEOUT)))
    # Not UTF-8: stray, overlong, surrogate, beyond Unicode, cut off.
    for bad in (b"\xff", b"\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"):
        valid = b"A" * len(bad)
        encoded = request("s" + valid.decode(), ANY, [event("T")]).SerializeToString().replace(b"s" + valid, b"s" + bad)
        assert raw(a, "Streams/Append", [encoded]) == grpc.StatusCode.INVALID_ARGUMENT
        assert raw(a, "Streams/ReadStream", [b"\x0a" + bytes([len(bad)]) + bad]) == grpc.StatusCode.INVALID_ARGUMENT
        assert raw(a, "Streams/ListStreams", [b"\x0a" + bytes([len(bad)]) + bad]) == grpc.StatusCode.INVALID_ARGUMENT
    assert head(a) == before


def counts_and_sizes(a):
    service, stream, before = vault.vault(a, (("grpc.max_send_message_length", -1),)), name("counts"), head(a)
    refused("INVALID_ARGUMENT", "INVALID_REQUEST", lambda: service.Append(several([(stream, ANY, [])]), timeout=TIMEOUT))
    tiny = EventData(id=bytes(16), type="T")
    for count in (50001, 1000000):
        failure = refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: append(service, stream, ANY, [tiny] * count))[0]
        assert (failure.limit.limit, failure.limit.value) == ("append_events", count)
    one = StreamAppend(stream="many", expected=ANY, events=[tiny])
    for count in (50001, 500000):
        refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: service.Append(AppendRequest(operation_id=bytes(16), streams=[one] * count), timeout=TIMEOUT))
    refused("INVALID_ARGUMENT", "INVALID_REQUEST", lambda: service.Append(AppendRequest(operation_id=bytes(16), streams=[one] * 50000), timeout=TIMEOUT))
    for size in ((4 << 20) + 1, (16 << 20) + 1, 40 << 20, 200 << 20):
        refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: append(service, stream, ANY, [event(data=bytes(size))]))
    refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: append(service, stream, ANY, [event(data=bytes(4000000))] * 5))
    refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: append(service, stream, ANY, [event(metadata={str(i): "" for i in range(100000)})]))
    refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: append(service, stream, ANY, [event(tags=[str(i) for i in range(100000)])]))
    refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: service.ListStreams(ListStreamsRequest(page_size=2**32 - 1), timeout=TIMEOUT))
    assert head(a) == before


def absurd_versions_and_times(a):
    service, stream = vault.vault(a), name("absurd")
    append(service, stream)
    before = head(a)
    for number in (2**63, 2**64 - 1):
        refused("INVALID_ARGUMENT", "INVALID_REQUEST", lambda: append(service, stream, version(number)))
    for number in (1, 2**31, 2**63 - 1):
        refused("ABORTED", "WRONG_EXPECTED_VERSION", lambda: append(service, stream, version(number)))
    numbers = (0, 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
    times = (-2**63, -2**63 + 1, -1, 0, 2**62, 2**63 - 2, 2**63 - 1)
    bounds = [ReadBound(version=n) for n in numbers] + [ReadBound(position=n) for n in numbers] + [ReadBound(time=t) for t in times]
    for lower in [None, *bounds]:
        for upper in [None, *bounds]:
            for direction in (0, 1):
                found = collect(service.ReadStream(ReadStreamRequest(**{"stream": stream, "from": lower, "until": upper, "direction": direction}), timeout=TIMEOUT))[1]
                assert len(found) <= 1
        if lower is None or lower.WhichOneof("bound") != "version":
            for direction in (0, 1):
                assert len(collect(service.ReadAll(ReadAllRequest(**{"from": lower, "limit": 1, "direction": direction}), timeout=TIMEOUT))[1]) <= 1
    for bound in bounds:
        call = service.Subscribe(SubscribeRequest(**{"stream": stream, "from": bound}), timeout=TIMEOUT)
        assert next(call).WhichOneof("content") == "head"
        call.cancel()
    assert collect(service.ReadStream(ReadStreamRequest(stream=stream, limit=2**64 - 1), timeout=TIMEOUT))[1]
    append(service, stream, ANY, [event(occurred_at=-2**63), event(occurred_at=2**63 - 1, schema_version=2**32 - 1)])
    assert head(a) == before + 2


def odd_encodings(a):
    """Whatever protobuf's encoding allows or forbids that a generated client never sends."""
    before = head(a)
    valid = request(name("odd"), ANY, [event()]).SerializeToString()
    tails = {
        "field 0": b"\x00\x01", "largest field": b"\xf8\xff\xff\xff\x0f\x01", "field beyond": b"\xf8\xff\xff\xff\xff\x01\x01", "start group": b"\x0b", "end group": b"\x0c",
        "group": b"\x0b\x0c", "wire type 6": b"\x0e", "wire type 7": b"\x0f", "length beyond": b"\x12\xff\xff\xff\x7f", "length of 2^63": b"\x12" + b"\xff" * 8 + b"\x7f",
        "varint of 11 bytes": b"\x08" + b"\xff" * 10 + b"\x01", "unending varint": b"\x08" + b"\xff" * 1000, "cut tag": b"\x80",
        "10,000 groups": b"\x0b" * 10000, "fixed64": b"\x79" + bytes(8), "fixed32": b"\x7d" + bytes(4),
    }
    for what, tail in tails.items():
        for method in METHODS:
            for m in (valid + tail, tail, b"\x12" + bytes([len(tail)]) + tail if len(tail) < 128 else tail):
                code = raw(a, method, [m])
                # A session answers a bad append inside and goes on.
                assert code in DEFINITE or method == "Streams/AppendSession" and code == grpc.StatusCode.OK, "%s to %s: %s" % (what, method, code)
    assert raw(a, "Streams/Append", [valid + b"\x0a\x10" + bytes(16)]) == grpc.StatusCode.INVALID_ARGUMENT
    assert head(a) == before


def garbage_messages(a):
    """Random bytes, and valid requests with some bytes changed, to every method."""
    r = random.Random(SEED)
    calls = {method: getattr(basics.connect(a), kind)("/eventvault.v1." + method) for method, kind in METHODS.items()}
    valid = [
        request("garbage", ANY, [event(tags=["a"], metadata={"k": "v"}, occurred_at=1)]), several([("garbage", version(3), [event()]), ("other", ANY, [event()])]),
        SessionRequest(request_id=1, append=request("garbage"), timeout_ms=1), ReadStreamRequest(**{"stream": "garbage", "from": ReadBound(version=1), "limit": 10}),
        ReadAllRequest(until=ReadBound(time=5), limit=1), SubscribeRequest(stream="garbage"), ListStreamsRequest(prefix="g", page_size=1),
    ]
    codes = {}
    for i in range(4000):
        if i % 2:
            data = bytearray(r.choice(valid).SerializeToString())
            for _ in range(r.randint(1, 4)):
                data[r.randrange(len(data))] = r.randrange(256)
            data = bytes(data)
        else:
            data = r.randbytes(r.randint(0, 300))
        method = r.choice(list(METHODS))
        try:
            if METHODS[method] == "unary_unary":
                calls[method](data, timeout=TIMEOUT)
            else:
                answers = calls[method](data if METHODS[method] == "unary_stream" else iter([data]), timeout=TIMEOUT)
                # A subscription does not end by itself; the others are read to their end.
                if method == "Streams/Subscribe":
                    next(answers)
                    answers.cancel()
                else:
                    list(answers)
            code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            code = error.code()
        codes[code.name] = codes.get(code.name, 0) + 1
        # Changed bytes may also give a session's append a time-out that passes.
        late = method == "Streams/AppendSession" and code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert code == grpc.StatusCode.OK or code in DEFINITE or late, "%s to %s: %s" % (data.hex(), method, code)
    print("       answers:", ", ".join("%s %d" % c for c in sorted(codes.items())))
    assert codes["INVALID_ARGUMENT"] > 2000


def greedy_sessions_and_subscriptions(a):
    """Peers that send without end, or ask for everything and read nothing."""
    service, stream = vault.vault(a), name("greedy")
    for _ in range(16):
        append(service, stream, ANY, [event(data=bytes(1000000)) for _ in range(4)])
    start, reads = memory(a), 200
    peers = []
    subscribe = grpc_message(SubscribeRequest(all=Empty()).SerializeToString())
    read_all = grpc_message(ReadAllRequest().SerializeToString())
    for _ in range(reads // 100):
        peer = Peer(a, PREFACE + frame(SETTINGS) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 20)))
        for i in range(100):
            peer.call(2 * i + 1, subscribe if i % 2 else read_all, path="/eventvault.v1.Streams/" + ("Subscribe" if i % 2 else "ReadAll"))
        peers.append(peer)
    unharmed(a)
    # Each holds what it could not send: one message, here of one event of 1 MB.
    grown = memory(a) - start
    print("       %d reads of 64 MB that nobody reads: %d MiB more" % (reads, grown >> 20))
    assert grown < MOST_GROWTH, grown
    # Sessions that append without reading an answer: held back by flow control.
    requests = [grpc_message(SessionRequest(request_id=i, append=request(stream)).SerializeToString()) for i in range(200)]
    for _ in range(20):
        peer = Peer(a)
        peer.send(frame(HEADERS, END_HEADERS, 1, headers(path="/eventvault.v1.Streams/AppendSession")))
        peer.socket.settimeout(0.2)
        with contextlib.suppress(OSError):
            for _ in range(300):
                peer.socket.sendall(b"".join(frame(DATA, 0, 1, r) for r in requests))
        peers.append(peer)
    unharmed(a)
    grown = memory(a) - start
    print("       and 20 sessions that nobody reads: %d MiB more" % (grown >> 20))
    for peer in peers:
        peer.close()
    assert grown < MOST_GROWTH, grown


def not_http2(a):
    r = random.Random(SEED)
    for first in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /eventvault.v1.Streams/Append HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n",
                  b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), b"\0" * 100000, PREFACE[:-1] + b"X", b"PRI * HTTP/1.1\r\n\r\n", *[r.randbytes(5000) for _ in range(40)]):
        peer = Peer(a, first)
        peer.frames()
        peer.close()


def broken_frames(a):
    open_call = frame(HEADERS, END_HEADERS, 1, headers())
    for what in (
        frame(DATA, 0, 0, b"x"), frame(DATA, 0, 1, b"x"), frame(HEADERS, END_HEADERS, 0, headers()), frame(HEADERS, END_HEADERS, 2, headers()),
        open_call + open_call, open_call + frame(DATA, 8, 1, b"\xff" + b"x"), frame(HEADERS, END_HEADERS | 8, 1, b"\xff" + headers()), frame(HEADERS, END_HEADERS, 1, b"\xff" * 100),
        frame(HEADERS, END_HEADERS, 1, b"\x40\x7f\xff\xff\xff\xff\xff\x0f"), frame(HEADERS, END_HEADERS, 1, b"\x3f" + b"\xff" * 20), frame(HEADERS, END_HEADERS, 1, b"\xbe"),
        frame(HEADERS, 0, 1, headers()) + frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, headers()), frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + headers()),
        frame(SETTINGS, 0, 1), frame(SETTINGS, 1, 0, bytes(6)), frame(SETTINGS, 0, 0, bytes(5)), frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**32 - 1)),
        frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 1)), frame(PING, 0, 0, bytes(7)), frame(PING, 0, 1, bytes(8)), frame(WINDOW_UPDATE, 0, 0, bytes(4)),
        frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1)) * 2, open_call + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 2**31 - 1)) * 2,
        frame(RST_STREAM, 0, 1, bytes(4)), frame(RST_STREAM, 0, 0, bytes(4)), open_call + frame(PRIORITY, 0, 1, struct.pack(">IB", 1, 0)), frame(GOAWAY, 0, 0, bytes(8)),
        frame(DATA, 0, 1, b"", length=2**24 - 1) + bytes(100000), frame(200, 255, 2**31 - 1, b"unknown"), open_call + frame(DATA, END_STREAM, 1, grpc_message(b"")) + frame(DATA, 0, 1, b"more"),
    ):
        peer = Peer(a).send(what)
        peer.frames()
        peer.close()
        unharmed(a)
    r = random.Random(SEED)
    for _ in range(200):
        peer = Peer(a)
        for _ in range(20):
            payload = r.randbytes(r.randint(0, 200))
            peer.send(frame(r.randrange(12), r.randrange(256), r.choice((0, 1, 3, 5, 2, 2**31 - 1)), payload))
        peer.close()


def floods(a):
    start = memory(a)
    for what in (frame(PING, 0, 0, bytes(8)) * 100000, frame(SETTINGS) * 50000, frame(PRIORITY, 0, 5, struct.pack(">IB", 3, 9)) * 50000, frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 50000):
        peer = Peer(a)
        peer.socket.settimeout(1)
        with contextlib.suppress(OSError):
            peer.socket.sendall(what)
        unharmed(a)
        peer.close()
    # Opened and reset at once, 20,000 times: what was known as rapid reset.
    peer = Peer(a)
    peer.socket.settimeout(5)
    block = headers()
    with contextlib.suppress(OSError):
        for i in range(20000):
            peer.socket.sendall(frame(HEADERS, END_HEADERS, 2 * i + 1, block) + frame(RST_STREAM, 0, 2 * i + 1, struct.pack(">I", 8)))
    unharmed(a)
    peer.close()
    # Header blocks that never end.
    peer = Peer(a).send(frame(HEADERS, 0, 1, headers()))
    peer.socket.settimeout(5)
    with contextlib.suppress(OSError):
        for i in range(10000):
            peer.socket.sendall(frame(CONTINUATION, 0, 1, b"\0" + hpack_text("x-%d" % i) + hpack_text("y" * 1000)))
    unharmed(a)
    peer.close()
    print("       %d MiB more" % ((memory(a) - start) >> 20))


def wrong_calls(a):
    body = grpc_message(request(name("wrong")).SerializeToString())
    before = head(a)
    for how in (
        {"content_type": "text/html"}, {"content_type": "application/json"}, {"content_type": None}, {"content_type": "application/grpc-web"}, {"content_type": "application/grpcx"},
        {"content_type": ""}, {"method": "GET"}, {"method": "CONNECT"}, {"method": "\0"}, {"path": "/"}, {"path": "//"}, {"path": "/eventvault.v1.Streams/Missing"},
        {"path": "/eventvault.v1.streams/append"}, {"path": "/" + "x" * 8000}, {"path": "/\xff"}, {"path": None},
        {"more": [("grpc-encoding", "br")]}, {"more": [("grpc-timeout", "0S")]}, {"more": [("grpc-timeout", "-1S")]}, {"more": [("grpc-timeout", "abc")]}, {"more": [("grpc-timeout", "9" * 50 + "H")]},
        {"more": [("grpc-timeout", "1")]}, {"more": [(":method", "POST")]}, {"more": [("Upper", "x")]}, {"more": [("x-bin", "not base64!")], "path": "/eventvault.v1.Streams/Missing"},
        {"more": [("content-length", "5")]}, {"more": [("content-length", "-1")]}, {"more": [("connection", "close")]},
    ):
        assert answered(Peer(a).call(1, body, **how)), how
        assert head(a) == before, how
    # Odd, and taken for what is meant.
    for how in ({"content_type": "application/grpc+json"}, {"path": "/eventvault.v1.Streams/Append/../Append"}, {"more": [("transfer-encoding", "chunked")]}, {"te": None}):
        assert answered(Peer(a).call(1, grpc_message(request(name("odd")).SerializeToString()), **how)), how


def wrong_framing(a):
    encoded = request(name("framing")).SerializeToString()
    before, zipped = head(a), gzip.compress(encoded)
    bomb = gzip.compress(bytes(1 << 30), 9)
    cases = {
        "no message": b"", "half a prefix": b"\0\0\0", "longer than sent": grpc_message(encoded, length=len(encoded) + 1), "shorter than sent": grpc_message(encoded, length=len(encoded) - 1),
        "4 GiB announced": grpc_message(encoded, length=2**32 - 1), "two messages": grpc_message(encoded) * 2, "compressed without encoding": grpc_message(encoded, compressed=1),
        "flag 2": grpc_message(encoded, compressed=2), "flag 255": grpc_message(encoded, compressed=255),
    }
    for what, body in cases.items():
        for path in ("Append", "ReadStream", "AppendSession"):
            assert answered(Peer(a).call(1, body or None, path="/eventvault.v1.Streams/" + path)), (what, path)
    # A bomb of 1 GiB, no gzip, gzip that breaks off, with a wrong checksum, with a wrong length.
    for body in (bomb, b"not gzip", b"", zipped[:-1], zipped[:-8], zipped[:-12], zipped[:-8] + bytes(4) + zipped[-4:], zipped[:-4] + bytes(4), zipped + b"x"):
        start = memory(a)
        assert answered(Peer(a).call(1, grpc_message(body, compressed=1), more=[("grpc-encoding", "gzip")]))
        grown = memory(a) - start
        assert grown < 256 << 20, grown
    assert head(a) == before


def giant_headers(a):
    start, before = memory(a), head(a)
    for more in ([("x", "y" * 10000)], [("x", "y" * 16000)], [("x" * 10000, "y")], [("x-%d" % i, "y") for i in range(1000)]):
        assert answered(Peer(a).call(1, grpc_message(b""), more=more))
    for size in (1 << 16, 1 << 20, 16 << 20):
        block, peer = headers([("x", "y" * size)]), Peer(a)
        parts = [block[i:i + 16384] for i in range(0, len(block), 16384)]
        peer.send(frame(HEADERS, 0, 1, parts[0]), *[frame(CONTINUATION, 0, 1, p) for p in parts[1:-1]], frame(CONTINUATION, END_HEADERS, 1, parts[-1]))
        assert peer.frames() is not None
        peer.close()
        unharmed(a)
    assert memory(a) - start < MOST_GROWTH and head(a) >= before


def thousands_of_streams(a):
    """Calls that begin and go no further: 1,000 on each of 20 connections, then 5,000 on one."""
    start = memory(a)
    peers = [Peer(a) for _ in range(20)]
    for peer in peers:
        for i in range(1000):
            peer.send(frame(HEADERS, END_HEADERS, 2 * i + 1, headers(path="/eventvault.v1.Streams/" + ("Append", "AppendSession")[i % 2])))
    unharmed(a)
    print("       20,000 open calls: %d MiB more" % ((memory(a) - start) >> 20))
    # Beyond the limit streams are refused, or the connection is.
    peer = Peer(a)
    for i in range(5000):
        peer.send(frame(HEADERS, END_HEADERS, 2 * i + 1, headers()))
    assert {RST_STREAM, GOAWAY}.intersection(peer.frames(TIMEOUT))
    unharmed(a)
    for p in [*peers, peer]:
        p.close()
    unharmed(a)
    assert memory(a) - start < MOST_GROWTH


def half_open_connections(a):
    """Peers that connect and fall silent at every place, and appends whose sender goes away."""
    start, before = memory(a), head(a)
    beginnings = [b"", PREFACE[:10], PREFACE, PREFACE + frame(SETTINGS), PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, headers())[:20],
                  PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, headers()),
                  PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, headers()) + frame(DATA, 0, 1, grpc_message(b"x" * 1000, length=1 << 20))]
    peers = [Peer(a, beginnings[i % len(beginnings)]) for i in range(1500)]
    unharmed(a)
    print("       1,500 silent connections: %d MiB more" % ((memory(a) - start) >> 20))
    for i, peer in enumerate(peers):
        if i % 2:
            # Reset instead of closed.
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    unharmed(a)
    # All but the last byte of an append: it is not written. 2 events are those of `unharmed`.
    body = grpc_message(request(name("cut")).SerializeToString())
    for _ in range(200):
        peer = Peer(a).send(frame(HEADERS, END_HEADERS, 1, headers()), frame(DATA, 0, 1, body[:-1]))
        peer.close()
    unharmed(a)
    assert head(a) == before + 3
    assert memory(a) - start < MOST_GROWTH


def checked(case):
    def run(a):
        start = memory(a)
        case(a)
        unharmed(a)
        print("       %s: %d MiB before, %d MiB after" % (case.__name__, start >> 20, memory(a) >> 20))

    run.__name__ = case.__name__
    return run


if __name__ == "__main__":
    basics.run([checked(case) for case in (
        names, counts_and_sizes, absurd_versions_and_times, odd_encodings, garbage_messages, not_http2, broken_frames, floods, wrong_calls, wrong_framing, giant_headers,
        thousands_of_streams, half_open_connections, greedy_sessions_and_subscriptions,
    )])
