"""EventVault's own services as grpcio sees them: what they do on a healthy node. Errors are in vault_errors.py."""
import os
import queue

import grpc

import basics
from basics import TIMEOUT, fails_with

POOL = basics.load(basics.REPOSITORY_PROTO_ROOT, "eventvault/v1/streams.proto", "eventvault/v1/temporal.proto", "eventvault/v1/admin.proto")
PACKAGE = "eventvault.v1."


def message(name):
    return basics.message_class(POOL.FindMessageTypeByName(PACKAGE + name), POOL)


AppendRequest, StreamAppend, EventData = message("AppendRequest"), message("StreamAppend"), message("EventData")
ExpectedVersion, Empty, ErrorDetail = message("ExpectedVersion"), message("Empty"), message("ErrorDetail")
SessionRequest, ReadBound = message("AppendSessionRequest"), message("ReadBound")
ReadStreamRequest, ReadAllRequest, SubscribeRequest = message("ReadStreamRequest"), message("ReadAllRequest"), message("SubscribeRequest")
GetStreamRequest, ListStreamsRequest = message("GetStreamRequest"), message("ListStreamsRequest")
StreamRequirement, AppendCondition, SeenHead = message("StreamRequirement"), message("AppendCondition"), message("SeenHead")
Query, QueryItem, EventFilter = message("Query"), message("QueryItem"), message("EventFilter")
Consistency, CountEventsRequest, GetAppendRequest = message("Consistency"), message("CountEventsRequest"), message("GetAppendRequest")
DeleteStreamRequest, TruncateStreamRequest = message("DeleteStreamRequest"), message("TruncateStreamRequest")
BACKWARDS = 1

ANY = ExpectedVersion(any=Empty())
NO_STREAM = ExpectedVersion(no_stream=Empty())
EXISTS = ExpectedVersion(exists=Empty())

REASONS = POOL.FindEnumTypeByName(PACKAGE + "Reason").values_by_number


def version(number):
    return ExpectedVersion(version=number)


def name(what):
    """A stream that no other case and no other run has."""
    return "%s-%s" % (what, os.urandom(6).hex())


def event(type="Tested", data=b"{}", **more):
    return EventData(id=os.urandom(16), type=type, data=data, **more)


def request(stream, expected=ANY, events=None, operation_id=None):
    return several([(stream, expected, events or [event()])], operation_id)


def several(streams, operation_id=None):
    return AppendRequest(
        operation_id=os.urandom(16) if operation_id is None else operation_id,
        streams=[StreamAppend(stream=s, expected=e, events=v) for s, e, v in streams],
    )


class Requests:
    """The requests of a session, given one by one while it runs."""

    def __init__(self):
        self._queue = queue.Queue()

    def send(self, request_id, append, timeout_ms=0):
        self._queue.put(SessionRequest(request_id=request_id, append=append, timeout_ms=timeout_ms))

    def end(self):
        self._queue.put(None)

    def __iter__(self):
        return iter(self._queue.get, None)


def vault(a, options=()):
    return basics.Service(basics.connect(a, options), POOL, PACKAGE + "Streams")


def admin(a):
    return basics.Service(basics.connect(a), POOL, PACKAGE + "Admin")


def append(service, *arguments, **more):
    return service.Append(request(*arguments, **more), timeout=TIMEOUT)


def detail_of(error):
    trailers = dict(error.trailing_metadata())
    assert "eventvault-error-bin" in trailers, "no detail: %s" % error
    return ErrorDetail.FromString(trailers["eventvault-error-bin"])


def refused(code, reason, action):
    """Runs what must be refused with a status and one reason; returns the failures of the detail."""
    error = fails_with(getattr(grpc.StatusCode, code), action)
    failures = list(detail_of(error).failures)
    reasons = [REASONS[f.reason].name for f in failures]
    assert failures and set(reasons) == {"REASON_" + reason}, "%s: %s" % (reasons, error.details())
    assert all(f.message for f in failures)
    return failures


def collect(call):
    """The head and the events of a read that ends."""
    messages = list(call)
    assert messages[0].WhichOneof("content") == "head", messages[:1]
    assert all(m.WhichOneof("content") == "events" and len(m.events.events) > 0 for m in messages[1:])
    return messages[0].head, [e for m in messages[1:] for e in m.events.events]


def answers(call):
    """The results of a session, one by one."""
    for m in call:
        assert len(m.results) > 0
        yield from m.results


def every_kind_of_expected(a):
    service, stream = vault(a), name("expected")
    first = append(service, stream, NO_STREAM, [event(), event()])
    assert first.last_position == first.first_position + 1 and not first.deduplicated
    assert [(s.stream, s.version) for s in first.streams] == [(stream, 1)]
    assert append(service, stream, EXISTS).streams[0].version == 2
    assert append(service, stream, version(2)).streams[0].version == 3
    last = append(service, stream, ANY)
    assert last.streams[0].version == 4 and last.recorded_at > first.recorded_at
    # Version 0 is the value that proto3 leaves out: it must not be taken for "nothing said".
    zero = name("zero")
    append(service, zero, ANY)
    assert append(service, zero, version(0)).streams[0].version == 1
    conflict = refused("ABORTED", "WRONG_EXPECTED_VERSION", lambda: append(service, zero, version(0)))[0]
    assert (conflict.version_conflict.expected, conflict.version_conflict.actual) == ("0", 1)


def append_to_several_streams(a):
    service, one, two, three = vault(a), name("one"), name("two"), name("three")
    answer = service.Append(several([(one, NO_STREAM, [event("A"), event("B")]), (two, ANY, [event("C")])]), timeout=TIMEOUT)
    assert [(s.stream, s.version) for s in answer.streams] == [(one, 1), (two, 0)]
    _, events = collect(service.ReadAll(ReadAllRequest(**{"from": ReadBound(position=answer.first_position), "until": ReadBound(position=answer.last_position)}), timeout=TIMEOUT))
    assert [(e.stream, e.event.type) for e in events] == [(one, "A"), (one, "B"), (two, "C")]
    assert {e.recorded_at for e in events} == {answer.recorded_at}
    # All or nothing; all failed checks together.
    failures = refused("ABORTED", "WRONG_EXPECTED_VERSION", lambda: service.Append(
        several([(one, version(0), [event()]), (three, NO_STREAM, [event()]), (two, NO_STREAM, [event()])]), timeout=TIMEOUT))
    assert [(f.stream, f.version_conflict.expected, f.version_conflict.actual) for f in failures] == [(one, "0", 1), (two, "no-stream", 0)]
    refused("NOT_FOUND", "STREAM_NOT_FOUND", lambda: service.GetStream(GetStreamRequest(stream=three), timeout=TIMEOUT))
    assert service.GetStream(GetStreamRequest(stream=one), timeout=TIMEOUT).last_version == 1


def a_retry_writes_nothing(a):
    service, stream = vault(a), name("retry")
    once = request(stream, NO_STREAM, [event(metadata={"b": "2", "a": "1"}), event()])
    first = service.Append(once, timeout=TIMEOUT)
    again = service.Append(once, timeout=TIMEOUT)
    assert not first.deduplicated and again.deduplicated
    again.deduplicated = False
    assert again == first
    reused = refused("ALREADY_EXISTS", "OPERATION_ID_REUSED", lambda: append(service, stream, operation_id=once.operation_id))[0]
    assert reused.first_position == first.first_position
    assert service.GetStream(GetStreamRequest(stream=stream), timeout=TIMEOUT).last_version == 1


def query(types=(), tags=()):
    return Query(items=[QueryItem(types=types, tags=tags)])


def requirements_and_conditions(a):
    service, one, two, tag = vault(a), name("one"), name("two"), name("tag")
    seat = query(["taken"], [tag])
    taken = append(service, one, NO_STREAM, [event("taken", tags=[tag, "x"])])
    demanding = request(two, NO_STREAM)
    demanding.requires.add(stream=one, expected=version(7))
    demanding.requires.add(stream=name("none"), expected=EXISTS)
    demanding.conditions.add(query=query(["never-%s" % tag]))
    demanding.conditions.add(query=seat)
    detail = detail_of(fails_with(grpc.StatusCode.ABORTED, lambda: service.Append(demanding, timeout=TIMEOUT)))
    assert [REASONS[f.reason].name for f in detail.failures] == ["REASON_WRONG_EXPECTED_VERSION"] * 2 + ["REASON_CONDITION_FAILED"]
    assert [f.field for f in detail.failures[:2]] == ["requires[0].expected", "requires[1].expected"]
    assert (detail.failures[2].index, detail.failures[2].position) == (1, taken.last_position)
    # Position 0 is the value that proto3 leaves out: it must not be taken for "nothing said", nor the other way round.
    reasonable = request(two, NO_STREAM)
    reasonable.requires.add(stream=one, expected=version(0))
    reasonable.conditions.add(query=seat, after=taken.last_position)
    assert service.Append(reasonable, timeout=TIMEOUT).streams[0].version == 0


def an_append_is_found_by_its_operation_id(a):
    service, once = vault(a), request(name("found"), NO_STREAM)
    first = service.Append(once, timeout=TIMEOUT)
    assert service.GetAppend(GetAppendRequest(operation_id=once.operation_id), timeout=TIMEOUT).first_position == first.first_position
    once.attempted_after.SetInParent()
    assert service.Append(once, timeout=TIMEOUT).deduplicated
    refused("NOT_FOUND", "OPERATION_NOT_FOUND", lambda: service.GetAppend(GetAppendRequest(operation_id=os.urandom(16)), timeout=TIMEOUT))


def filters_counts_and_consistency(a):
    service, category, tag = vault(a), os.urandom(6).hex(), name("tag")
    correlated = event("placed", tags=[tag, "x"], metadata={"correlationId": tag})
    first = append(service, category + "-1", NO_STREAM, [correlated, event("shipped", tags=[tag])]).first_position
    append(service, category + "s-1", NO_STREAM, [event("placed", tags=[tag])])
    cases = [
        (EventFilter(category=category), [0, 1]), (EventFilter(stream_prefix=category), [0, 1, 2]),
        (EventFilter(query=query(["placed", "other"], [tag])), [0, 2]), (EventFilter(query=query([], [tag, "x"])), [0]),
        (EventFilter(correlation_id=tag), [0]), (EventFilter(event_id=correlated.id), [0]),
        (EventFilter(category=category, query=query(["nothing"])), []),
    ]
    levels = [None, Consistency(linearizable=Empty()), Consistency(local=Empty()), Consistency(at_least=first)]
    for number, (wanted, places) in enumerate(cases):
        positions, level = [first + p for p in places], levels[number % len(levels)]
        _, events = collect(service.ReadAll(ReadAllRequest(filter=wanted, consistency=level), timeout=TIMEOUT))
        assert [e.position for e in events] == positions, wanted
        _, events = collect(service.ReadAll(ReadAllRequest(filter=wanted, direction=BACKWARDS), timeout=TIMEOUT))
        assert [e.position for e in events] == positions[::-1], wanted
        count = service.CountEvents(CountEventsRequest(filter=wanted, consistency=level), timeout=TIMEOUT)
        assert count.count == len(positions) and count.head.last_position >= first + 2
        if positions:
            call = service.Subscribe(SubscribeRequest(all=Empty(), filter=wanted), timeout=TIMEOUT)
            seen = []
            while len(seen) < len(positions):
                seen += [e.position for e in live(call)]
            assert seen == positions, wanted
            call.cancel()
    assert [s.stream for s in service.ListStreams(ListStreamsRequest(category=category), timeout=TIMEOUT).streams] == [category + "-1"]
    refused("INVALID_ARGUMENT", "INVALID_REQUEST", lambda: collect(service.ReadAll(ReadAllRequest(filter=EventFilter()), timeout=TIMEOUT)))
    behind = Consistency(at_least=2**40)
    refused("DEADLINE_EXCEEDED", "TIMED_OUT_BEHIND", lambda: service.GetStream(GetStreamRequest(stream=category + "-1", consistency=behind), timeout=2))


def streams_end(a):
    service, stream = vault(a), name("life")
    append(service, stream, NO_STREAM, [event(), event(), event()])
    change = TruncateStreamRequest(operation_id=os.urandom(16), stream=stream, expected=version(2), before=1)
    assert service.TruncateStream(change, timeout=TIMEOUT).streams[0].stream == "$streams"
    info = service.GetStream(GetStreamRequest(stream=stream), timeout=TIMEOUT)
    assert (info.first_version, info.last_version, info.event_count) == (1, 2, 2)
    delete = DeleteStreamRequest(operation_id=os.urandom(16), stream=stream, expected=EXISTS)
    first = service.DeleteStream(delete, timeout=TIMEOUT)
    again = service.DeleteStream(delete, timeout=TIMEOUT)
    assert again.deduplicated and again.first_position == first.first_position
    refused("NOT_FOUND", "STREAM_NOT_FOUND", lambda: service.GetStream(GetStreamRequest(stream=stream), timeout=TIMEOUT))
    assert append(service, stream, NO_STREAM).streams[0].version == 3
    service.DeleteStream(DeleteStreamRequest(operation_id=os.urandom(16), stream=stream, expected=ANY, tombstone=True), timeout=TIMEOUT)
    assert refused("FAILED_PRECONDITION", "STREAM_TOMBSTONED", lambda: append(service, stream))[0].stream == stream


def events_come_back_as_they_were(a):
    service, stream = vault(a), name("fields")
    sent = event("Ünïcode \U0001f608", bytes(range(256)) * 40, content_type="application/octet-stream", schema_version=4294967295,
                 tags=["a", "b:c"], metadata={"correlationId": "x", "": "empty key"}, occurred_at=-1)
    bare = EventData(id=bytes(16), type="t")
    answer = append(service, stream, NO_STREAM, [sent, bare])
    head, events = collect(service.ReadStream(ReadStreamRequest(stream=stream), timeout=TIMEOUT))
    assert [e.event for e in events] == [sent, bare]
    assert [(e.stream, e.version, e.position, e.recorded_at) for e in events] == [
        (stream, i, answer.first_position + i, answer.recorded_at) for i in range(2)]
    assert head.last_version == 1 and head.last_position >= answer.last_position and head.recorded_at >= answer.recorded_at


def session_is_pipelined_and_survives_conflicts(a):
    service, stream, count = vault(a), name("session"), 2000
    once = request(stream, NO_STREAM)
    requests = [SessionRequest(request_id=7, append=once)]
    for i in range(1, count):
        wrong = i == count // 2
        requests.append(SessionRequest(request_id=i, append=request(stream, NO_STREAM if wrong else ANY)))
    requests.append(SessionRequest(request_id=2**64 - 1, append=once))
    results = list(answers(service.AppendSession(iter(requests), timeout=TIMEOUT)))
    assert [r.request_id for r in results] == [r.request_id for r in requests]
    conflict = results[count // 2]
    assert conflict.WhichOneof("outcome") == "error" and conflict.error.code == 10, conflict
    assert conflict.error.detail.failures[0].version_conflict.actual == count // 2 - 1
    written = [r.result for r in results if r.WhichOneof("outcome") == "result"]
    assert [r.streams[0].version for r in written[:-1]] == list(range(count - 1))
    assert written[-1].deduplicated and written[-1].first_position == written[0].first_position
    positions = [r.first_position for r in written[:-1]]
    assert positions == sorted(set(positions))


def session_answers_while_it_is_open(a):
    service, stream, requests = vault(a), name("open"), Requests()
    results = answers(service.AppendSession(iter(requests), timeout=TIMEOUT))
    for i in range(20):
        requests.send(i, request(stream, NO_STREAM if i == 0 else version(i - 1)), timeout_ms=20000)
        answer = next(results)
        assert (answer.request_id, answer.result.streams[0].version) == (i, i)
    # A bad request is a failed check like any other: the session goes on.
    requests.send(100, request(""))
    assert next(results).error.detail.failures[0].reason == 1
    requests.send(101, request(stream))
    assert next(results).result.streams[0].version == 20
    requests.end()
    assert list(results) == []


def reads_with_every_bound(a):
    service, stream, count = vault(a), name("bounds"), 10
    written = [append(service, stream, ANY, [event(str(i))]) for i in range(count)]
    position, time = [w.first_position for w in written], [w.recorded_at for w in written]

    def versions(**what):
        what = {k.rstrip("_"): v for k, v in what.items()}
        return [e.version for e in collect(service.ReadStream(ReadStreamRequest(stream=stream, **what), timeout=TIMEOUT))[1]]

    def positions(**what):
        what = {k.rstrip("_"): v for k, v in what.items()}
        return [e.position for e in collect(service.ReadAll(ReadAllRequest(**what), timeout=TIMEOUT))[1]]

    everything = list(range(count))
    assert versions() == everything
    assert versions(direction=BACKWARDS) == everything[::-1]
    assert versions(limit=3) == [0, 1, 2] and versions(limit=3, direction=BACKWARDS) == [9, 8, 7]
    for bound in (lambda i: ReadBound(version=i), lambda i: ReadBound(position=position[i]), lambda i: ReadBound(time=time[i])):
        assert versions(from_=bound(4)) == everything[4:]
        assert versions(until=bound(4)) == everything[:5]
        assert versions(from_=bound(2), until=bound(5)) == [2, 3, 4, 5]
        assert versions(from_=bound(5), until=bound(2), direction=BACKWARDS) == [5, 4, 3, 2]
        assert versions(from_=bound(5), until=bound(2)) == []
        assert versions(from_=bound(2), until=bound(8), limit=2) == [2, 3]
    # Between two recorded times.
    assert versions(from_=ReadBound(time=time[3] + 1)) == everything[4:]
    assert versions(until=ReadBound(time=time[3] - 1)) == everything[:3]
    for bound in (lambda i: ReadBound(position=position[i]), lambda i: ReadBound(time=time[i])):
        assert positions(from_=bound(2), until=bound(5)) == position[2:6]
        assert positions(from_=bound(5), until=bound(2), direction=BACKWARDS) == position[2:6][::-1]
        assert positions(from_=bound(2), limit=4) == position[2:6]
    assert positions(limit=1) == [0]
    assert positions(direction=BACKWARDS, limit=1) == [position[9]]
    # Bounds beyond the ends are no error, however far beyond.
    for far in (ReadBound(version=2**63), ReadBound(version=2**64 - 1), ReadBound(position=2**64 - 1), ReadBound(time=2**63 - 1)):
        assert versions(from_=far) == [] and versions(until=far) == everything and versions(from_=far, direction=BACKWARDS) == everything[::-1]
    assert versions(from_=ReadBound(time=-2**63)) == everything and versions(until=ReadBound(time=-2**63)) == []
    assert positions(from_=ReadBound(position=2**64 - 1)) == [] and positions(until=ReadBound(time=-2**63)) == []
    assert positions(from_=ReadBound(time=2**63 - 1), direction=BACKWARDS, limit=2) == position[8:][::-1]
    assert versions(limit=2**64 - 1) == everything


def subscribe_to_a_stream(a):
    service, stream = vault(a), name("wanted")
    call = service.Subscribe(SubscribeRequest(stream=stream), timeout=TIMEOUT)
    head = next(call)
    assert head.WhichOneof("content") == "head" and not head.head.HasField("last_version")
    assert next(call).WhichOneof("content") == "caught_up"
    append(service, name("other"))
    answer = append(service, stream, ANY, [event("first"), event("second")])
    assert [e.event.type for e in live(call)] == ["first", "second"]
    # Idle: told how far it is, which is beyond its own last event.
    append(service, name("other"))
    while True:
        m = next(call)
        assert m.WhichOneof("content") in ("progress", "caught_up"), m
        if m.WhichOneof("content") == "progress" and m.progress.position > answer.last_position:
            break
    call.cancel()
    fails_with(grpc.StatusCode.CANCELLED, lambda: list(call))
    middle = service.Subscribe(SubscribeRequest(**{"stream": stream, "from": ReadBound(version=1)}), timeout=TIMEOUT)
    assert next(middle).head.last_version == 1
    assert [e.version for e in live(middle)] == [1]
    middle.cancel()


def subscribe_to_all(a):
    service, stream = vault(a), name("all")
    first = append(service, stream, ANY, [event() for _ in range(500)])
    call = service.Subscribe(SubscribeRequest(**{"all": Empty(), "from": ReadBound(position=first.first_position)}), timeout=TIMEOUT)
    end = service.Subscribe(SubscribeRequest(all=Empty(), end=Empty()), timeout=TIMEOUT)
    assert next(call).head.last_position >= first.last_position and next(end).WhichOneof("content") == "head"
    seen, caught_up = [], False
    while not caught_up:
        m = next(call)
        seen += [e.position for e in m.events.events]
        caught_up = m.WhichOneof("content") == "caught_up"
    assert seen == list(range(first.first_position, first.last_position + 1))
    assert m.caught_up.position == first.last_position
    assert next(end).WhichOneof("content") == "caught_up"
    more = [append(service, stream).first_position for _ in range(50)]
    for subscription in (call, end):
        positions = []
        while len(positions) < len(more):
            positions += [e.position for e in live(subscription)]
        assert positions == more
        subscription.cancel()


def live(call):
    """The events of the next message that has any."""
    while True:
        m = next(call)
        if m.WhichOneof("content") == "events":
            return m.events.events


def streams_are_listed_in_pages(a):
    service, prefix = vault(a), name("list") + "-"
    names = sorted(prefix + n for n in ("b", "a", "ä", "a/1", "Z", "\U0001f608"))
    names.sort(key=lambda n: n.encode())
    for n in names:
        last = append(service, n)
    found, token, pages = [], "", 0
    while pages == 0 or token:
        page = service.ListStreams(ListStreamsRequest(prefix=prefix, page_size=2, page_token=token), timeout=TIMEOUT)
        found += page.streams
        token, pages = page.next_page_token, pages + 1
    assert [s.stream for s in found] == names and pages == 3
    details = service.GetStream(GetStreamRequest(stream=n), timeout=TIMEOUT)
    assert details == found[[s.stream for s in found].index(n)]
    assert (details.last_version, details.last_position, details.last_recorded_at) == (0, last.last_position, last.recorded_at)
    assert len(service.ListStreams(ListStreamsRequest(prefix=name("nothing")), timeout=TIMEOUT).streams) == 0


def information_and_status(a):
    service = admin(a)
    info = service.GetInfo(message("GetInfoRequest")(), timeout=TIMEOUT)
    assert info.version and len(info.vault_id) == 16 and info.segment_size_bytes > 0
    limits = {l.name: l.allowed for l in info.limits}
    assert (limits["stream_name_bytes"], limits["event_tags"], limits["tag_bytes"], limits["type_bytes"]) == (1024, 16, 128, 256)
    answer = append(vault(a), name("status"))
    status = service.GetStatus(message("GetStatusRequest")(), timeout=TIMEOUT)
    assert (status.state, status.head, status.head_recorded_at) == ("serving", answer.last_position, answer.recorded_at)
    assert status.appends > 0 and status.events_appended >= status.appends and status.memory_bytes > 0 and status.free_bytes > 0


def health(a):
    pool = basics.load(basics.REPOSITORY_PROTO_ROOT, "grpc/health/v1/health.proto")
    service = basics.Service(basics.connect(a), pool, "grpc.health.v1.Health")
    Request = service.type("grpc.health.v1.HealthCheckRequest")
    for what in ("", PACKAGE + "Streams", PACKAGE + "Temporal", PACKAGE + "Admin"):
        assert service.Check(Request(service=what), timeout=TIMEOUT).status == 1
        watch = service.Watch(Request(service=what), timeout=TIMEOUT)
        assert next(watch).status == 1
        watch.cancel()
    fails_with(grpc.StatusCode.NOT_FOUND, lambda: service.Check(Request(service="nobody"), timeout=TIMEOUT))


def reflection(a):
    pool = basics.load(basics.REPOSITORY_PROTO_ROOT, "grpc/reflection/v1/reflection.proto")
    service = basics.Service(basics.connect(a), pool, "grpc.reflection.v1.ServerReflection")
    Request = service.type("grpc.reflection.v1.ServerReflectionRequest")
    listed, described = service.ServerReflectionInfo(
        iter([Request(list_services="*"), Request(file_containing_symbol=PACKAGE + "Streams")]), timeout=TIMEOUT)
    names = {s.name for s in listed.list_services_response.service}
    assert {PACKAGE + "Streams", PACKAGE + "Temporal", PACKAGE + "Admin", "grpc.health.v1.Health"} <= names, names
    assert len(described.file_descriptor_response.file_descriptor_proto) == 2


if __name__ == "__main__":
    basics.run([
        every_kind_of_expected, append_to_several_streams, a_retry_writes_nothing, events_come_back_as_they_were,
        requirements_and_conditions, an_append_is_found_by_its_operation_id, filters_counts_and_consistency, streams_end,
        session_is_pipelined_and_survives_conflicts, session_answers_while_it_is_open, reads_with_every_bound,
        subscribe_to_a_stream, subscribe_to_all, streams_are_listed_in_pages, information_and_status, health, reflection,
    ])
