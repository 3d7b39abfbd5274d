"""
The errors of requests, queues and disks, as grpcio sees them: status, reason and details. The cases of the second list need a node in a state of its own.
"""
import os
import signal
import threading
import time

import grpc

import basics
import vault
from basics import TIMEOUT, fails_with
from vault import (
    ANY, NO_STREAM, AppendRequest, Empty, EventData, ExpectedVersion, GetStreamRequest, ListStreamsRequest, ReadAllRequest, ReadBound,
    ReadStreamRequest, Requests, SessionRequest, StreamAppend, SubscribeRequest, answers, append, collect, detail_of, event, message, name,
    refused, request, several, version,
)

# Field 127 with the value 1: no message of ours has it.
EXTRA = b"\xf8\x07\x01"
# The longest wait for a node to come into the state that a case is about.
PATIENCE = 60


def raw(a, method, kind="unary_unary"):
    """A method that sends bytes as they are."""
    call = getattr(basics.connect(a), kind)("/eventvault.v1." + method)
    if kind == "unary_unary":
        return lambda data: call(data, timeout=TIMEOUT)
    return lambda data: list(call(data, timeout=TIMEOUT))


def with_extra(m):
    return type(m).FromString(m.SerializeToString() + EXTRA)


def limits_of(a):
    return {l.name: (l.allowed, l.setting) for l in vault.admin(a).GetInfo(message("GetInfoRequest")(), timeout=TIMEOUT).limits}


def wait_for_status(a, wanted):
    service, end = vault.admin(a), time.monotonic() + PATIENCE
    while True:
        status = service.GetStatus(message("GetStatusRequest")(), timeout=TIMEOUT)
        if wanted(status):
            return
        assert time.monotonic() < end, "the status stayed %s" % status
        time.sleep(0.1)


def calls_with_a_name(service):
    return {
        "streams[0].stream": lambda n: service.Append(request(n), timeout=TIMEOUT),
        "stream": lambda n: list(service.ReadStream(ReadStreamRequest(stream=n), timeout=TIMEOUT)),
        "stream ": lambda n: service.GetStream(GetStreamRequest(stream=n), timeout=TIMEOUT),
        "stream  ": lambda n: list(service.Subscribe(SubscribeRequest(stream=n), timeout=TIMEOUT)),
    }


def invalid_name(a):
    for field, call in calls_with_a_name(vault.vault(a)).items():
        for bad in ("", "new\nline", "nul\0", "\x7f", "\u0085"):
            failure = refused("INVALID_ARGUMENT", "INVALID_NAME", lambda: call(bad))[0]
            assert failure.field == field.strip() and failure.why, failure
    not_utf8 = request("ABCD").SerializeToString().replace(b"ABCD", b"AB\xff\xfe")
    refused("INVALID_ARGUMENT", "INVALID_NAME", lambda: raw(a, "Streams/Append")(not_utf8))


def reserved_name(a):
    service, own = vault.vault(a), name("own")
    failure = refused("INVALID_ARGUMENT", "RESERVED_NAME", lambda: service.Append(several([(own, ANY, [event()]), ("$vault", ANY, [event()])]), timeout=TIMEOUT))[0]
    assert (failure.field, failure.stream) == ("streams[1].stream", "$vault")


def invalid_event(a):
    service, stream = vault.vault(a), name("events")
    good = event()
    bad = {
        "id": EventData(type="T"), "id ": EventData(id=bytes(15), type="T"), "id  ": EventData(id=bytes(17), type="T"), "type": EventData(id=bytes(16)),
        "tags[1]": event(tags=["a", ""]), "tags[2]": event(tags=["a", "b", "a"]),
    }
    for field, e in bad.items():
        failure = refused("INVALID_ARGUMENT", "INVALID_EVENT", lambda: append(service, stream, ANY, [good, e]))[0]
        assert (failure.stream, failure.index) == (stream, 1) and failure.why, failure
        assert failure.field == "streams[0].events[1]." + field.strip(), failure
    encoded = request(stream, ANY, [event("ABCD")]).SerializeToString()
    refused("INVALID_ARGUMENT", "INVALID_EVENT", lambda: raw(a, "Streams/Append")(encoded.replace(b"ABCD", b"AB\xff\xfe")))
    refused("NOT_FOUND", "STREAM_NOT_FOUND", lambda: service.GetStream(GetStreamRequest(stream=stream), timeout=TIMEOUT))


def unknown_field(a):
    service, stream = vault.vault(a), name("unknown")
    extra_event, extra_expected = with_extra(event()), with_extra(version(0))
    extra_stream = with_extra(StreamAppend(stream=stream, expected=ANY, events=[event()]))
    calls = {
        "127": lambda: service.Append(with_extra(request(stream)), timeout=TIMEOUT),
        "streams[0].127": lambda: service.Append(AppendRequest(operation_id=os.urandom(16), streams=[extra_stream]), timeout=TIMEOUT),
        "streams[0].expected.127": lambda: append(service, stream, extra_expected),
        "streams[0].expected.any.127": lambda: append(service, stream, ExpectedVersion(any=with_extra(Empty()))),
        "streams[0].events[0].127": lambda: append(service, stream, ANY, [extra_event]),
        "127 ": lambda: list(service.ReadStream(with_extra(ReadStreamRequest(stream=stream)), timeout=TIMEOUT)),
        "from.127": lambda: list(service.ReadAll(ReadAllRequest(**{"from": with_extra(ReadBound(position=0))}), timeout=TIMEOUT)),
        "all.127": lambda: list(service.Subscribe(SubscribeRequest(all=with_extra(Empty())), timeout=TIMEOUT)),
        "127  ": lambda: service.GetStream(with_extra(GetStreamRequest(stream=stream)), timeout=TIMEOUT),
        "127   ": lambda: service.ListStreams(with_extra(ListStreamsRequest()), timeout=TIMEOUT),
        "127    ": lambda: vault.admin(a).GetInfo(with_extra(message("GetInfoRequest")()), timeout=TIMEOUT),
        "127     ": lambda: vault.admin(a).GetStatus(with_extra(message("GetStatusRequest")()), timeout=TIMEOUT),
    }
    for field, call in calls.items():
        assert refused("INVALID_ARGUMENT", "UNKNOWN_FIELD", call)[0].field == field.strip(), field
    # What later versions serve is refused by its name, never ignored.
    for number, field in ((5, "checkpoint"),):
        later = AppendRequest.FromString(request(stream).SerializeToString() + bytes([number << 3 | 2, 0]))
        assert refused("INVALID_ARGUMENT", "UNKNOWN_FIELD", lambda: service.Append(later, timeout=TIMEOUT))[0].field == field
    # In a session: inside the append it fails that append, in the envelope it ends the session.
    results = list(answers(service.AppendSession(iter([SessionRequest(request_id=1, append=with_extra(request(stream))), SessionRequest(request_id=2, append=request(stream))]), timeout=TIMEOUT)))
    assert results[0].error.detail.failures[0].reason == 4 and results[1].result.streams[0].version == 0
    bad = with_extra(SessionRequest(request_id=23, append=request(stream)))
    call = service.AppendSession(iter([*(SessionRequest(request_id=i, append=request(stream)) for i in range(3, 23)), bad, SessionRequest(append=request(stream))]), timeout=TIMEOUT)
    results = answers(call)
    # What came before it is done.
    assert [next(results).WhichOneof("outcome") for _ in range(20)] == ["result"] * 20
    assert next(results).request_id == 23
    refused("INVALID_ARGUMENT", "UNKNOWN_FIELD", lambda: list(results))
    assert service.GetStream(GetStreamRequest(stream=stream), timeout=TIMEOUT).last_version == 20


def limit_exceeded(a):
    service = vault.vault(a, (("grpc.max_send_message_length", -1),))
    stream, limits = name("limits"), limits_of(a)

    def over(limit, call, value=None, allowed_too=None):
        failure = refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", call)[0]
        assert (failure.limit.limit, failure.limit.allowed, failure.limit.setting) == (limit, *limits[limit]), failure
        assert failure.limit.value == (value or limits[limit][0] + 1), failure
        if allowed_too:
            allowed_too()

    def sized(size):
        # The limit counts the encoded event.
        e = event(data=bytes(size - 64))
        return event(data=bytes(size - 64 + size - e.ByteSize()))

    most = {k: v[0] for k, v in limits.items()}
    assert sized(most["event_bytes"]).ByteSize() == most["event_bytes"]
    over("event_bytes", lambda: append(service, stream, ANY, [sized(most["event_bytes"] + 1)]),
         allowed_too=lambda: append(service, stream, ANY, [sized(most["event_bytes"])]))
    over("event_tags", lambda: append(service, stream, ANY, [event(tags=[str(i) for i in range(17)])]),
         allowed_too=lambda: append(service, stream, ANY, [event(tags=[str(i) for i in range(16)])]))
    over("tag_bytes", lambda: append(service, stream, ANY, [event(tags=["x" * 129])]), allowed_too=lambda: append(service, stream, ANY, [event(tags=["x" * 128])]))
    over("type_bytes", lambda: append(service, stream, ANY, [event("é" * 128 + "x")]), allowed_too=lambda: append(service, stream, ANY, [event("é" * 128)]))
    over("content_type_bytes", lambda: append(service, stream, ANY, [event(content_type="x" * (most["content_type_bytes"] + 1))]))
    # Keys and values count, their encoding does not.
    over("metadata_bytes", lambda: append(service, stream, ANY, [event(metadata={"key": "", "k": "x" * (most["metadata_bytes"] - 3)})]),
         allowed_too=lambda: append(service, stream, ANY, [event(metadata={"key": "", "k": "x" * (most["metadata_bytes"] - 4)})]))
    over("metadata_entries", lambda: append(service, stream, ANY, [event(metadata={str(i): "" for i in range(most["metadata_entries"] + 1)})]))
    for call in calls_with_a_name(service).values():
        over("stream_name_bytes", lambda: call("x" * 10240), value=10240)
        over("stream_name_bytes", lambda: call("é" * 512 + "x"))
    append(service, name("é" * 490), ANY)
    over("append_events", lambda: append(service, stream, ANY, [event()] * (most["append_events"] + 1)),
         allowed_too=lambda: append(service, stream, ANY, [event()] * most["append_events"]))
    one = sized(most["event_bytes"])
    refusal = refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: append(service, stream, ANY, [one] * (most["append_bytes"] // most["event_bytes"] + 1)))[0]
    assert refusal.limit.limit == "append_bytes" and refusal.limit.value > refusal.limit.allowed == most["append_bytes"]
    refusal = refused("INVALID_ARGUMENT", "LIMIT_EXCEEDED", lambda: append(service, stream, ANY, [event(data=bytes(most["message_bytes"]))]))[0]
    assert refusal.limit.limit == "message_bytes"
    over("list_page_streams", lambda: service.ListStreams(ListStreamsRequest(page_size=1001), timeout=TIMEOUT),
         allowed_too=lambda: service.ListStreams(ListStreamsRequest(page_size=1000), timeout=TIMEOUT))


def invalid_request(a):
    service, stream = vault.vault(a), name("request")
    far = {"streams[0].expected.version": 2**63, "streams[0].expected.version ": 2**64 - 1}
    calls = {
        "operation_id": lambda: append(service, stream, operation_id=b""),
        "operation_id ": lambda: append(service, stream, operation_id=bytes(15)),
        "streams": lambda: service.Append(several([]), timeout=TIMEOUT),
        "streams[0].events": lambda: service.Append(several([(stream, ANY, [])]), timeout=TIMEOUT),
        "streams[0].expected": lambda: service.Append(several([(stream, None, [event()])]), timeout=TIMEOUT),
        "streams[0].expected ": lambda: append(service, stream, ExpectedVersion()),
        "streams[1].stream": lambda: service.Append(several([(stream, ANY, [event()])] * 2), timeout=TIMEOUT),
        "from": lambda: list(service.ReadStream(ReadStreamRequest(**{"stream": "s", "from": ReadBound()}), timeout=TIMEOUT)),
        "until": lambda: list(service.ReadAll(ReadAllRequest(until=ReadBound()), timeout=TIMEOUT)),
        "from.version": lambda: list(service.ReadAll(ReadAllRequest(**{"from": ReadBound(version=0)}), timeout=TIMEOUT)),
        "from.version ": lambda: list(service.Subscribe(SubscribeRequest(**{"all": Empty(), "from": ReadBound(version=0)}), timeout=TIMEOUT)),
        "source": lambda: list(service.Subscribe(SubscribeRequest(), timeout=TIMEOUT)),
        "direction": lambda: list(service.ReadAll(ReadAllRequest(direction=7), timeout=TIMEOUT)),
        "page_token": lambda: service.ListStreams(ListStreamsRequest(page_token="?"), timeout=TIMEOUT),
        "": lambda: raw(a, "Streams/Append")(b"\x0a\xff"),
        **{field: lambda v=v: append(service, stream, version(v)) for field, v in far.items()},
    }
    for field, call in calls.items():
        failure = refused("INVALID_ARGUMENT", "INVALID_REQUEST", call)[0]
        assert failure.field == field.strip() and failure.why, (field, failure)
    call = service.AppendSession(iter([SessionRequest(request_id=5)]), timeout=TIMEOUT)
    results = answers(call)
    assert next(results).request_id == 5
    refused("INVALID_ARGUMENT", "INVALID_REQUEST", lambda: list(results))


def stream_not_found(a):
    service, nothing = vault.vault(a), name("nothing")
    for call in (lambda: service.GetStream(GetStreamRequest(stream=nothing), timeout=TIMEOUT),
                 lambda: list(service.ReadStream(ReadStreamRequest(stream=nothing), timeout=TIMEOUT))):
        assert refused("NOT_FOUND", "STREAM_NOT_FOUND", call)[0].stream == nothing


def wrong_expected_version(a):
    service, stream = vault.vault(a), name("wrong")
    for expected, text in ((version(0), "0"), (vault.EXISTS, "exists"), (version(2**63 - 1), str(2**63 - 1))):
        conflict = refused("ABORTED", "WRONG_EXPECTED_VERSION", lambda: append(service, stream, expected))[0].version_conflict
        assert conflict.expected == text and not conflict.HasField("actual"), conflict
    append(service, stream, NO_STREAM)
    for expected, text in ((version(1), "1"), (NO_STREAM, "no-stream")):
        failure = refused("ABORTED", "WRONG_EXPECTED_VERSION", lambda: append(service, stream, expected))[0]
        assert (failure.stream, failure.version_conflict.expected, failure.version_conflict.actual) == (stream, text, 0)
        assert failure.version_conflict.HasField("actual")


def operation_id_reused(a):
    vault.a_retry_writes_nothing(a)
    service, stream, id = vault.vault(a), name("reused"), os.urandom(16)
    requests = [request(stream, ANY, [event("A")], id), request(stream, ANY, [event("B")], id), request(stream)]
    first, second, third = answers(service.AppendSession((SessionRequest(request_id=i, append=r) for i, r in enumerate(requests)), timeout=TIMEOUT))
    assert second.error.code == 6 and second.error.detail.failures[0].first_position == first.result.first_position
    assert second.error.detail.failures[0].reason == 30 and third.result.streams[0].version == 1


# Against a node whose flushes take 100 ms and whose queue holds 4 appends.


def overloaded(a):
    service, stream = vault.vault(a), name("overloaded")
    futures = [service.Append.future(request(stream), timeout=TIMEOUT) for _ in range(200)]
    done = refusals = 0
    for future in futures:
        if future.exception() is None:
            done += 1
        else:
            failure = refused("RESOURCE_EXHAUSTED", "OVERLOADED", future.result)[0]
            assert failure.HasField("retry_after_ms")
            refusals += 1
    assert done > 0 and refusals > 0, (done, refusals)
    assert service.GetStream(GetStreamRequest(stream=stream), timeout=TIMEOUT).last_version == done - 1


def overloaded_session(a):
    """A session ends with the append that is refused; nothing behind it is written."""
    service, stream, requests = vault.vault(a), name("overloaded"), Requests()
    call = service.AppendSession(iter(requests), timeout=TIMEOUT)
    stop = threading.Event()

    def send():
        # One burst is being flushed, another one gets in because the queue is empty, however large it is; the third is refused.
        sent = 0
        while not stop.wait(0.02):
            for _ in range(20):
                requests.send(sent, request(stream))
                sent += 1

    sender = threading.Thread(target=send)
    sender.start()
    done = 0
    try:
        for message in call:
            for r in message.results:
                if r.WhichOneof("outcome") == "result":
                    assert r.request_id == done
                    done += 1
                else:
                    assert r.error.detail.failures[0].reason == 50 and r.request_id == done, r
        raise AssertionError("the session ended without an error")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and detail_of(error).failures[0].reason == 50, error
    finally:
        stop.set()
        sender.join()
    if done:
        assert service.GetStream(GetStreamRequest(stream=stream), timeout=TIMEOUT).last_version == done - 1
    else:
        refused("NOT_FOUND", "STREAM_NOT_FOUND", lambda: service.GetStream(GetStreamRequest(stream=stream), timeout=TIMEOUT))


def timed_out_in_queue(a):
    """The request that is out of time is definitely not written, nor is any behind it, and the session ends."""
    service, stream, requests = vault.vault(a), name("timeout"), Requests()
    call = service.AppendSession(iter(requests), timeout=TIMEOUT)
    results = answers(call)
    # The first is being flushed and the second waits behind it while the third's millisecond goes by.
    for i in range(2):
        requests.send(i, request(stream), timeout_ms=20000)
        time.sleep(0.02)
    requests.send(2, request(stream), timeout_ms=1)
    requests.send(3, request(stream))
    got = [next(results) for _ in range(3)]
    assert [r.WhichOneof("outcome") for r in got] == ["result", "result", "error"], got
    assert got[2].error.code == 4 and got[2].error.detail.failures[0].reason == 70
    refused("DEADLINE_EXCEEDED", "TIMED_OUT_IN_QUEUE", lambda: list(results))
    assert service.GetStream(GetStreamRequest(stream=stream), timeout=TIMEOUT).last_version == 1


def answers_share_messages(a):
    service, stream = vault.vault(a), name("shared")
    messages = list(service.AppendSession(iter([SessionRequest(request_id=i, append=request(stream)) for i in range(4)]), timeout=TIMEOUT))
    assert [r.request_id for m in messages for r in m.results] == list(range(4))
    assert len(messages) < 4, "Every answer had a message of its own."


# Each against a node of its own.


def draining(a):
    """SIGTERM while a session and subscriptions are open: all end with DRAINING, and what was answered is there."""
    service, stream, requests = vault.vault(a), name("draining"), Requests()
    session = answers(service.AppendSession(iter(requests), timeout=TIMEOUT))
    requests.send(1, request(stream))
    assert next(session).result.streams[0].version == 0
    subscriptions = [service.Subscribe(SubscribeRequest(all=Empty()), timeout=TIMEOUT), service.Subscribe(SubscribeRequest(stream=name("none")), timeout=TIMEOUT)]
    assert [next(s).WhichOneof("content") for s in subscriptions] == ["head", "head"]
    os.kill(a.pid, signal.SIGTERM)
    refused("UNAVAILABLE", "DRAINING", lambda: list(session))
    for s in subscriptions:
        refused("UNAVAILABLE", "DRAINING", lambda: list(s))


def store_full(a):
    service, stream, written = vault.vault(a), name("full"), 0
    try:
        for written in range(10000):
            append(service, stream, ANY, [event(data=bytes(8000))])
        raise AssertionError("the disk never filled up")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
        failure = detail_of(error).failures[0]
        assert failure.reason == 51 and failure.why, failure
    call = answers(service.AppendSession(iter([SessionRequest(request_id=1, append=request(stream, ANY, [event(data=bytes(8000))]))]), timeout=TIMEOUT))
    assert next(call).error.detail.failures[0].reason == 51
    refused("RESOURCE_EXHAUSTED", "STORE_FULL", lambda: list(call))
    # Reads go on.
    assert len(collect(service.ReadStream(ReadStreamRequest(stream=stream), timeout=TIMEOUT))[1]) == written
    wait_for_status(a, lambda s: s.state == "full")


def fill_segments(a):
    """The history that is damaged afterwards, and whose damage the next case meets."""
    service = vault.vault(a)
    for i in range(60):
        append(service, "damaged-" + str(i % 3), ANY, [event(data=b"%-50000d" % i)])
    # Damage in a segment that is not sealed would be met by the start.
    wait_for_status(a, lambda s: s.segments_sealed >= 2)


def damaged(a):
    service = vault.vault(a)
    counts = []
    for call in (service.ReadAll(ReadAllRequest(), timeout=TIMEOUT), service.Subscribe(SubscribeRequest(all=Empty()), timeout=TIMEOUT)):
        events = []

        def read():
            for m in call:
                events.extend(m.events.events)

        failure = refused("DATA_LOSS", "DAMAGED", read)[0]
        assert failure.damage.segment.endswith(".seg") and failure.damage.offset > 0 and failure.damage.expected, failure
        # All before the damage were delivered, and are what was written.
        assert 0 < len(events) < 60
        assert [(e.position, int(e.event.data)) for e in events] == [(i, i) for i in range(len(events))]
        counts.append(len(events))
    assert counts[0] == counts[1]
    # From behind the damage reads are fine, and so are appends.
    after = ReadAllRequest(**{"from": ReadBound(position=counts[0] + 1)})
    assert [int(e.event.data) for e in collect(service.ReadAll(after, timeout=TIMEOUT))[1]] == list(range(counts[0] + 1, 60))
    # The stream that has the damaged event, read backwards: what is behind the damage, then the error.
    events = []

    def backwards():
        for m in service.ReadStream(ReadStreamRequest(stream="damaged-" + str(counts[0] % 3), direction=vault.BACKWARDS), timeout=TIMEOUT):
            events.extend(m.events.events)

    refused("DATA_LOSS", "DAMAGED", backwards)
    assert [int(e.event.data) for e in events] == [i for i in range(59, counts[0], -1) if i % 3 == counts[0] % 3]
    append(service, "damaged-0")


def outcome_unknown(a):
    """The node's disk fails under the appends: many at once, so that some are always on their way to it."""
    service, stream = vault.vault(a), name("unknown")
    told = []

    def work(i):
        try:
            for _ in range(10000):
                append(service, stream + str(i))
        except grpc.RpcError as error:
            told.append(error)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(told) == 16 and all(error.code() == grpc.StatusCode.UNAVAILABLE for error in told), told
    # Those that came too late are told that they were not written, or find no server any more.
    details = [detail_of(error).failures[0].reason for error in told if any(k == "eventvault-error-bin" for k, _ in error.trailing_metadata() or ())]
    assert 61 in details, details


if __name__ == "__main__":
    basics.run(
        [invalid_name, reserved_name, invalid_event, unknown_field, limit_exceeded, invalid_request, stream_not_found, wrong_expected_version, operation_id_reused],
        [overloaded, overloaded_session, timed_out_in_queue, answers_share_messages, draining, store_full, fill_segments, damaged, outcome_unknown],
    )
