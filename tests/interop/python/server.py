"""The echo service on grpcio, for EventVault's own client to call. Prints its port when it serves; ends with stdin."""
import sys
import time
from concurrent import futures

import grpc

import basics

POOL = basics.load(basics.ECHO_PROTO_ROOT, "echo.proto")
Request = basics.message_class(POOL.FindMessageTypeByName("eventvault.test.v1.EchoRequest"), POOL)
Response = basics.message_class(POOL.FindMessageTypeByName("eventvault.test.v1.EchoResponse"), POOL)


def prepare(request, context):
    metadata = {key: value for key, value in context.invocation_metadata()}
    if "x-echo-initial" in metadata:
        context.send_initial_metadata((("x-echo-initial", metadata["x-echo-initial"]),))
    if "x-echo-trailing-bin" in metadata:
        context.set_trailing_metadata((("x-echo-trailing-bin", metadata["x-echo-trailing-bin"]),))
    if request.compress:
        context.set_compression(grpc.Compression.Gzip)


def fail_if_asked(request, context):
    if request.HasField("fail"):
        if request.fail.detail:
            context.set_trailing_metadata((("echo-detail-bin", request.fail.detail),))
        code = next(c for c in grpc.StatusCode if c.value[0] == request.fail.code)
        context.abort(code, request.fail.message)


def answers(request, context):
    for i in range(max(request.repeat, 1)):
        for size in request.response_sizes:
            if not context.is_active():
                return
            time.sleep(request.delay_ms / 1000)
            yield Response(payload=bytes(size), messages=i)
    if not request.response_sizes and (request.payload or request.text):
        yield Response(payload=request.payload, text=request.text)
    fail_if_asked(request, context)


def unary(request, context):
    prepare(request, context)
    time.sleep(request.delay_ms / 1000)
    fail_if_asked(request, context)
    payload = bytes(request.response_sizes[0]) if request.response_sizes else request.payload
    return Response(payload=payload, text=request.text)


def server_stream(request, context):
    prepare(request, context)
    yield from answers(request, context)


def client_stream(requests, context):
    response = Response()
    for request in requests:
        response.messages += 1
        response.bytes += len(request.payload)
        fail_if_asked(request, context)
    return response


def duplex(requests, context):
    first = True
    for request in requests:
        if first:
            prepare(request, context)
            first = False
        yield from answers(request, context)


def handler(kind, function):
    return kind(function, request_deserializer=Request.FromString, response_serializer=Response.SerializeToString)


server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=(("grpc.max_receive_message_length", 16 << 20),))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("eventvault.test.v1.Echo", {
    "Unary": handler(grpc.unary_unary_rpc_method_handler, unary),
    "ServerStream": handler(grpc.unary_stream_rpc_method_handler, server_stream),
    "ClientStream": handler(grpc.stream_unary_rpc_method_handler, client_stream),
    "Duplex": handler(grpc.stream_stream_rpc_method_handler, duplex),
}),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(None)
