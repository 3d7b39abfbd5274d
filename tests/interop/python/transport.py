"""The transport as grpcio sees it: the official interop cases restated on the echo service, and more."""
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

import basics
from basics import TIMEOUT, fails_with

ECHO = "eventvault.test.v1.Echo"
POOL = basics.load(basics.ECHO_PROTO_ROOT, "echo.proto")
WHITESPACE = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"


def echo(arguments, options=()):
    service = basics.Service(basics.connect(arguments, options), POOL, ECHO)
    return service, service.type("eventvault.test.v1.EchoRequest")


def empty_unary(a):
    service, Request = echo(a)
    assert service.Unary(Request(), timeout=TIMEOUT).payload == b""


def large_unary(a):
    service, Request = echo(a)
    answer = service.Unary(Request(payload=bytes(271828), response_sizes=[314159]), timeout=TIMEOUT)
    assert len(answer.payload) == 314159


def client_streaming(a):
    service, Request = echo(a)
    answer = service.ClientStream((Request(payload=bytes(n)) for n in (27182, 8, 1828, 45904)), timeout=TIMEOUT)
    assert (answer.messages, answer.bytes) == (4, 74922)


def server_streaming(a):
    service, Request = echo(a)
    sizes = [31415, 9, 2653, 58979]
    answers = service.ServerStream(Request(response_sizes=sizes), timeout=TIMEOUT)
    assert [len(m.payload) for m in answers] == sizes


def ping_pong(a):
    service, Request = echo(a)
    pairs = [(27182, 31415), (8, 9), (1828, 2653), (45904, 58979)]
    state = {"next": 0}

    # Each request is made only when the answer to the one before it has been read.
    def requests():
        for sent, (size, wanted) in enumerate(pairs):
            while state["next"] < sent:
                time.sleep(0.001)
            yield Request(payload=bytes(size), response_sizes=[wanted])

    for answer, (_, wanted) in zip(service.Duplex(requests(), timeout=TIMEOUT), pairs):
        assert len(answer.payload) == wanted
        state["next"] += 1
    assert state["next"] == 4


def empty_stream(a):
    service, _ = echo(a)
    assert list(service.Duplex(iter(()), timeout=TIMEOUT)) == []


def cancel_after_begin(a):
    service, _ = echo(a)
    call = service.ClientStream.future(blocking(), timeout=TIMEOUT)
    call.cancel()
    assert call.cancelled()


def cancel_after_first_response(a):
    service, Request = echo(a)
    call = service.ServerStream(Request(response_sizes=[1000], repeat=1 << 40), timeout=TIMEOUT)
    next(call)
    call.cancel()
    fails_with(grpc.StatusCode.CANCELLED, lambda: list(call))


def timeout_on_sleeping_server(a):
    service, Request = echo(a)
    fails_with(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: service.Unary(Request(delay_ms=60000), timeout=0.2))
    fails_with(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(service.ServerStream(Request(response_sizes=[1], delay_ms=100, repeat=1000), timeout=0.5)))


def custom_metadata(a):
    service, Request = echo(a)
    metadata = (("x-echo-initial", "test_initial_metadata_value"), ("x-echo-trailing-bin", b"\xab\xab\xab"))
    _, call = service.Unary.with_call(Request(text="x"), metadata=metadata, timeout=TIMEOUT)
    assert ("x-echo-initial", "test_initial_metadata_value") in [tuple(m) for m in call.initial_metadata()]
    assert ("x-echo-trailing-bin", b"\xab\xab\xab") in [tuple(m) for m in call.trailing_metadata()]
    stream = service.Duplex(iter([Request(text="x")]), metadata=metadata, timeout=TIMEOUT)
    assert [m.text for m in stream] == ["x"]
    assert ("x-echo-initial", "test_initial_metadata_value") in [tuple(m) for m in stream.initial_metadata()]
    assert ("x-echo-trailing-bin", b"\xab\xab\xab") in [tuple(m) for m in stream.trailing_metadata()]


def status_code_and_message(a):
    service, Request = echo(a)
    failing = Request(fail={"code": 2, "message": "test status message", "detail": b"\x00\x01\xff"})
    for action in (lambda: service.Unary(failing, timeout=TIMEOUT), lambda: list(service.Duplex(iter([failing]), timeout=TIMEOUT))):
        error = fails_with(grpc.StatusCode.UNKNOWN, action)
        assert error.details() == "test status message", error.details()
        assert ("echo-detail-bin", b"\x00\x01\xff") in [tuple(m) for m in error.trailing_metadata()]


def special_status_message(a):
    service, Request = echo(a)
    error = fails_with(grpc.StatusCode.UNKNOWN, lambda: service.Unary(Request(fail={"code": 2, "message": WHITESPACE}), timeout=TIMEOUT))
    assert error.details() == WHITESPACE, repr(error.details())


def status_after_messages(a):
    service, Request = echo(a)
    call = service.ServerStream(Request(response_sizes=[1, 2], fail={"code": 15, "message": "damaged"}), timeout=TIMEOUT)
    assert [len(next(call).payload), len(next(call).payload)] == [1, 2]
    assert fails_with(grpc.StatusCode.DATA_LOSS, lambda: next(call)).details() == "damaged"


def every_status_code(a):
    service, Request = echo(a)
    for code in grpc.StatusCode:
        if code != grpc.StatusCode.OK:
            fails_with(code, lambda: service.Unary(Request(fail={"code": code.value[0]}), timeout=TIMEOUT))


def unimplemented_method(a):
    service, Request = echo(a)
    fails_with(grpc.StatusCode.UNIMPLEMENTED, lambda: service.Missing(Request(), timeout=TIMEOUT))


def unimplemented_service(a):
    service = basics.Service(basics.connect(a), POOL, ECHO, alias="eventvault.test.v1.Nobody")
    Request = service.type("eventvault.test.v1.EchoRequest")
    fails_with(grpc.StatusCode.UNIMPLEMENTED, lambda: service.Unary(Request(), timeout=TIMEOUT))


def gzip(a):
    service, Request = echo(a)
    payload = bytes(500000)
    for compression in (grpc.Compression.Gzip, grpc.Compression.NoCompression):
        for compress in (True, False):
            request = Request(payload=payload, compress=compress)
            assert service.Unary(request, compression=compression, timeout=TIMEOUT).payload == payload
            answers = list(service.Duplex(iter([request, request]), compression=compression, timeout=TIMEOUT))
            assert [m.payload for m in answers] == [payload, payload]


def deflate_is_refused(a):
    service, Request = echo(a)
    fails_with(grpc.StatusCode.UNIMPLEMENTED, lambda: service.Unary(Request(payload=bytes(10000)), compression=grpc.Compression.Deflate, timeout=TIMEOUT))


def large_messages(a):
    service, Request = echo(a, (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)))
    payload = bytes(12 << 20)
    assert service.Unary(Request(payload=payload), timeout=TIMEOUT).payload == payload
    fails_with(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: service.Unary(Request(payload=bytes(17 << 20)), timeout=TIMEOUT))
    assert service.Unary(Request(text="alive"), timeout=TIMEOUT).text == "alive"
    answer = service.ClientStream((Request(payload=bytes(1 << 20)) for _ in range(48)), timeout=TIMEOUT)
    assert answer.bytes == 48 << 20


def concurrent_calls(a):
    service, Request = echo(a)
    calls = [service.Unary.future(Request(text=str(i), delay_ms=1), timeout=TIMEOUT) for i in range(1000)]
    assert [c.result().text for c in calls] == [str(i) for i in range(1000)]


def health(a):
    pool = basics.load(basics.REPOSITORY_PROTO_ROOT, "grpc/health/v1/health.proto")
    service = basics.Service(basics.connect(a), pool, "grpc.health.v1.Health")
    Request = service.type("grpc.health.v1.HealthCheckRequest")
    assert service.Check(Request(), timeout=TIMEOUT).status == 1
    fails_with(grpc.StatusCode.NOT_FOUND, lambda: service.Check(Request(service="nobody"), timeout=TIMEOUT))
    watch = service.Watch(Request(service="nobody"), timeout=TIMEOUT)
    assert next(watch).status == 3
    watch.cancel()


def reflection(a):
    pool = basics.load(basics.REPOSITORY_PROTO_ROOT, "grpc/reflection/v1/reflection.proto")
    channel = basics.connect(a)
    for alias in ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"):
        service = basics.Service(channel, pool, "grpc.reflection.v1.ServerReflection", alias=alias)
        Request = service.type("grpc.reflection.v1.ServerReflectionRequest")

        def ask(**what):
            return next(service.ServerReflectionInfo(iter([Request(**what)]), timeout=TIMEOUT))

        services = [s.name for s in ask(list_services="*").list_services_response.service]
        assert ECHO in services and "grpc.health.v1.Health" in services, services
        assert ask(file_containing_symbol="no.such.Symbol").error_response.error_code == 5
        assert ask(file_by_filename="no.proto").error_response.error_code == 5
        assert len(ask(file_by_filename="echo.proto").file_descriptor_response.file_descriptor_proto) == 1
        for symbol in (ECHO, ECHO + ".Unary", "eventvault.test.v1.EchoRequest.payload"):
            files = ask(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto
            found = descriptor_pool.DescriptorPool()
            for file in files:
                found.Add(descriptor_pb2.FileDescriptorProto.FromString(file))
            dynamic = basics.Service(channel, found, ECHO)
            assert dynamic.Unary(dynamic.type("eventvault.test.v1.EchoRequest")(text="dynamic"), timeout=TIMEOUT).text == "dynamic"


def blocking():
    time.sleep(0.2)
    return
    yield


if __name__ == "__main__":
    basics.run([
        empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream, cancel_after_begin,
        cancel_after_first_response, timeout_on_sleeping_server, custom_metadata, status_code_and_message,
        special_status_message, status_after_messages, every_status_code, unimplemented_method, unimplemented_service,
        gzip, deflate_is_refused, large_messages, concurrent_calls, health, reflection,
    ])
