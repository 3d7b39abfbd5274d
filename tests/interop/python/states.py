"""
States as of any moment as grpcio sees them: every call of the service Temporal, and every error that one healthy node can raise there.
The node's limits are small: states of 64 KiB, folds of 1,024 events.
"""
import hashlib
import os
import time

import basics
import vault
from basics import TIMEOUT
from vault import ANY, NO_STREAM, Empty, append, event, message, name, refused

AsOf, GetStateRequest, GetStatesRequest, HistoryRequest = (
    message("AsOf"), message("GetStateRequest"), message("GetStatesRequest"), message("GetStateHistoryRequest"))
Definition, Reference, DefineRequest = message("ReducerDefinition"), message("ReducerReference"), message("DefineReducerRequest")
FoldRequest, PutRequest, ResolveRequest = message("ReadForFoldRequest"), message("PutFoldSnapshotRequest"), message("ResolveTimeRequest")

SUM = Reference(inline=Definition(slots="n = SUM(data.n)"))


def temporal(a):
    return basics.Service(basics.connect(a), vault.POOL, vault.PACKAGE + "Temporal")


def numbers(a, stream, *values):
    return [append(vault.vault(a), stream, ANY, [event(data=b'{"n":%d}' % v)]) for v in values]


def state(a, stream, as_of=None, reducer=SUM, **more):
    return temporal(a).GetState(GetStateRequest(stream=stream, as_of=as_of, reducer=reducer, **more), timeout=TIMEOUT)


def define(a, reducer, slots, **more):
    operation_id = more.pop("operation_id", os.urandom(16))
    return temporal(a).DefineReducer(DefineRequest(operation_id=operation_id, name=reducer, definition=Definition(slots=slots), **more), timeout=TIMEOUT)


def truncate(a, stream, before):
    vault.vault(a).TruncateStream(message("TruncateStreamRequest")(operation_id=os.urandom(16), stream=stream, expected=ANY, before=before), timeout=TIMEOUT)


def delete(a, stream, tombstone=False):
    request = message("DeleteStreamRequest")(operation_id=os.urandom(16), stream=stream, expected=ANY, tombstone=tombstone)
    return vault.vault(a).DeleteStream(request, timeout=TIMEOUT).first_position


def every_cut(a):
    stream = name("cut")
    first, second, _ = numbers(a, stream, 1, 2, 3)
    told = state(a, stream)
    assert (told.json, told.version, told.exists) == (b'{"n":6}', 2, True) and told.state_hash == hashlib.sha256(told.json).digest()
    # Version 0 is the value that proto3 leaves out: it must not be taken for "nothing said".
    assert state(a, stream, AsOf(version=0)).json == b'{"n":1}'
    for cut in (AsOf(version=1), AsOf(position=second.last_position), AsOf(time=second.recorded_at), AsOf(before_time=second.recorded_at + 1)):
        told = state(a, stream, cut)
        assert told.json == b'{"n":3}' and told.cut.position == second.last_position, told
        again = state(a, stream, AsOf(token=told.token))
        assert (again.json, again.state_hash, again.token) == (told.json, told.state_hash, told.token)
    before = state(a, stream, AsOf(before_time=first.recorded_at))
    assert not before.exists and not before.HasField("version")
    assert state(a, stream, AsOf(occurred=0)).exists is False
    assert state(a, stream, reducer=None).json == b'{"n":3}'
    cut = temporal(a).ResolveTime(ResolveRequest(time=second.recorded_at), timeout=TIMEOUT)
    assert cut.position == second.last_position and cut.closed_time >= second.recorded_at


def an_idle_vault_is_asked_as_of_a_moment_ago(a):
    stream = name("idle")
    numbers(a, stream, 1)
    time.sleep(0.01)
    ago = time.time_ns() // 100 - 10_000
    before = state(a, stream, AsOf(time=ago))
    numbers(a, stream, 2)
    after = state(a, stream, AsOf(time=ago))
    assert before.cut.closed_time >= ago and (before.json, before.token) == (after.json, after.token)


def many_states(a):
    category = os.urandom(6).hex()
    for i in (2, 1, 0):
        numbers(a, "%s-%d" % (category, i), i)
    messages = list(temporal(a).GetStates(GetStatesRequest(category=category, reducer=SUM), timeout=TIMEOUT))
    assert messages[0].WhichOneof("content") == "cut"
    assert [(m.state.stream, m.state.json) for m in messages[1:]] == [("%s-%d" % (category, i), b'{"n":%d}' % i) for i in range(3)]
    listed = list(temporal(a).GetStates(GetStatesRequest(streams=[category + "-1", name("none")], reducer=SUM), timeout=TIMEOUT))
    assert listed[1].state.json == b'{"n":1}' and vault.REASONS[listed[2].failure.error.detail.failures[0].reason].name == "REASON_STREAM_NOT_FOUND"


def histories(a):
    stream = name("history")
    numbers(a, stream, 1, 0, 2)
    steps = list(temporal(a).GetStateHistory(HistoryRequest(stream=stream, reducer=SUM, each_change=Empty()), timeout=TIMEOUT))
    assert [(m.step.state.version, m.step.state.json) for m in steps[1:]] == [(0, b'{"n":1}'), (2, b'{"n":3}')]


def folds_by_clients(a):
    stream = name("fold")
    append(vault.vault(a), stream, NO_STREAM, [event() for _ in range(1000)])
    append(vault.vault(a), stream, ANY, [event() for _ in range(1000)])
    head, *pages = temporal(a).ReadForFold(FoldRequest(stream=stream, fold="f 1"), timeout=TIMEOUT)
    assert (head.head.exists, head.head.last_version) == (True, 1999)
    assert [e.version for m in pages for e in m.events.events] == list(range(2000))
    put = PutRequest(stream=stream, fold="f 1", first_version=0, version=1500, state=b"kept")
    assert temporal(a).PutFoldSnapshot(put, timeout=TIMEOUT).kept
    head, *pages = temporal(a).ReadForFold(FoldRequest(stream=stream, fold="f 1"), timeout=TIMEOUT)
    assert (head.head.kept_state, head.head.kept_version, pages[0].events.events[0].version) == (b"kept", 1500, 1501)


def named_reducers(a):
    reducer, once = "r" + os.urandom(6).hex(), os.urandom(16)
    first = define(a, reducer, "n = SUM(data.n)", operation_id=once, expected_version=0)
    assert first.changed and first.reducer.version == 1
    assert define(a, reducer, "n = COUNT(*)").reducer.version == 2
    assert define(a, reducer, "n = SUM(data.n)", operation_id=once, expected_version=0) == first
    assert temporal(a).GetReducer(message("GetReducerRequest")(name=reducer, version=1), timeout=TIMEOUT) == first.reducer
    assert reducer in [r.name for r in temporal(a).ListReducers(message("ListReducersRequest")(), timeout=TIMEOUT).reducers]
    stream = name("named")
    numbers(a, stream, 5)
    assert state(a, stream, reducer=Reference(name=reducer)).json == b'{"n":1}'
    assert refused("ABORTED", "DEFINITION_CONFLICT", lambda: define(a, reducer, "n = MAX(data.n)", expected_version=1))[0].version == 2
    assert refused("NOT_FOUND", "REDUCER_NOT_FOUND", lambda: state(a, stream, reducer=Reference(name=reducer, version=3)))[0].field == "reducer.name"
    bad = refused("INVALID_ARGUMENT", "BAD_REDUCER", lambda: define(a, reducer, "n = NO(1)"))[0]
    assert (bad.field, bad.text_offset) == ("definition.slots", 4)


def anchors(a):
    category, reducer = os.urandom(6).hex(), "r" + os.urandom(6).hex()
    define(a, reducer, "n = SUM(data.n)", categories=[category])
    stream = category + "-1"
    numbers(a, stream, 1, 2, 3)
    before = state(a, stream, reducer=Reference(name=reducer))
    truncate(a, stream, 2)
    after = state(a, stream, AsOf(token=before.token), Reference(name=reducer))
    assert (after.json, after.state_hash, after.token) == (before.json, before.state_hash, before.token)
    assert refused("OUT_OF_RANGE", "HISTORY_TRUNCATED", lambda: state(a, stream, AsOf(version=0), Reference(name=reducer)))[0].earliest.version == 1


def not_reached(a):
    stream = name("reach")
    numbers(a, stream, 1)
    assert refused("OUT_OF_RANGE", "VERSION_NOT_REACHED", lambda: state(a, stream, AsOf(version=1)))[0].version == 0
    assert refused("OUT_OF_RANGE", "POSITION_NOT_REACHED", lambda: state(a, stream, AsOf(position=2 ** 62)))[0].HasField("position")
    assert refused("FAILED_PRECONDITION", "AS_OF_IN_FUTURE", lambda: state(a, stream, AsOf(time=2 ** 62)))[0].closed_time > 0


def what_is_gone(a):
    stream = name("gone")
    numbers(a, stream, 1, 2, 4)
    truncate(a, stream, 1)
    assert refused("FAILED_PRECONDITION", "INCOMPLETE_HISTORY", lambda: state(a, stream))[0].earliest.version == 1
    partial = state(a, stream, allow_partial=True)
    assert (partial.json, partial.partial_from_version) == (b'{"n":6}', 1)
    at = delete(a, stream)
    deleted = state(a, stream, AsOf(position=at))
    assert (deleted.exists, deleted.deleted) == (False, True)
    delete(a, stream, tombstone=True)
    refused("FAILED_PRECONDITION", "STREAM_TOMBSTONED", lambda: state(a, stream, AsOf(position=at)))
    refused("NOT_FOUND", "STREAM_NOT_FOUND", lambda: state(a, name("none")))


def too_much(a):
    large, long = name("large"), name("long")
    append(vault.vault(a), large, NO_STREAM, [event(data=b'{"f":"%s"}' % (b"x" * 66_000))])
    assert refused("RESOURCE_EXHAUSTED", "STATE_TOO_LARGE", lambda: state(a, large, reducer=None))[0].limit.limit == "state_bytes"
    for _ in range(2):
        append(vault.vault(a), long, ANY, [event() for _ in range(1000)])
    limit = refused("RESOURCE_EXHAUSTED", "SCAN_LIMIT", lambda: state(a, long))[0].limit
    assert (limit.limit, limit.value, limit.allowed) == ("fold_events", 2000, 1024)


def invalid(a):
    stream = name("invalid")
    numbers(a, stream, 1)
    token = bytearray(state(a, stream).token)
    token[4] ^= 1
    assert refused("INVALID_ARGUMENT", "INVALID_REQUEST", lambda: state(a, stream, AsOf(token=bytes(token))))[0].field == "as_of.token"
    unknown = GetStateRequest.FromString(GetStateRequest(stream=stream).SerializeToString() + b"\xf8\x07\x01")
    assert refused("INVALID_ARGUMENT", "UNKNOWN_FIELD", lambda: temporal(a).GetState(unknown, timeout=TIMEOUT))[0].field == "127"


if __name__ == "__main__":
    basics.run([
        every_cut, an_idle_vault_is_asked_as_of_a_moment_ago, many_states, histories, folds_by_clients, named_reducers, anchors, not_reached, what_is_gone,
        too_much, invalid,
    ])
