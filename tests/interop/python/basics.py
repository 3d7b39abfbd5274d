"""Shared by the interop scripts: proto files without generated code, a channel, named cases.

Proto files are compiled by protoc into a descriptor set at start, so that nothing generated is kept and no module
name can clash with grpcio's own package `grpc`.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import traceback

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

HERE = os.path.dirname(os.path.abspath(__file__))
ECHO_PROTO_ROOT = os.path.join(HERE, "..", "proto")
REPOSITORY_PROTO_ROOT = os.path.join(HERE, "..", "..", "..", "proto")

# No call may hang a test run.
TIMEOUT = 30


def message_class(descriptor, pool):
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def load(root, *files):
    """Returns a pool with the proto files and all that they import."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "set")
        subprocess.run(["protoc", "-I" + root, "--include_imports", "--descriptor_set_out=" + out, *files], check=True)
        with open(out, "rb") as f:
            files = descriptor_pb2.FileDescriptorSet.FromString(f.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


class Service:
    """Callables for the methods of a service, and its message classes by `types`."""

    def __init__(self, channel, pool, name, alias=None):
        self._pool = pool
        descriptor = pool.FindServiceByName(name)
        for method in descriptor.methods:
            # Older runtimes do not show the streaming flags on the descriptor itself.
            proto = descriptor_pb2.MethodDescriptorProto()
            method.CopyToProto(proto)
            kind = ("stream" if proto.client_streaming else "unary") + "_" + ("stream" if proto.server_streaming else "unary")
            call = getattr(channel, kind)(
                "/%s/%s" % (alias or name, method.name),
                request_serializer=message_class(method.input_type, pool).SerializeToString,
                response_deserializer=message_class(method.output_type, pool).FromString,
            )
            setattr(self, method.name, call)

    def type(self, name):
        return message_class(self._pool.FindMessageTypeByName(name), self._pool)


def connect(arguments, options=()):
    if arguments.ca:
        with open(arguments.ca, "rb") as f:
            credentials = grpc.ssl_channel_credentials(root_certificates=f.read())
        return grpc.secure_channel(arguments.address, credentials, options=options)
    return grpc.insecure_channel(arguments.address, options=options)


def fails_with(code, action):
    """Runs what must fail with a status; returns the error."""
    try:
        result = action()
    except grpc.RpcError as error:
        assert error.code() == code, "expected %s, got %s: %s" % (code, error.code(), error.details())
        return error
    raise AssertionError("expected %s, got %r" % (code, result))


def run(cases, when_named=()):
    """
    Runs the functions of a list, each with the parsed arguments; exits with 0 if all passed. Those of the second list
    need a server in a state of their own and run only when named.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--ca")
    parser.add_argument("--pid", type=int, help="process of the server, for cases that stop it")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    chosen = [c for c in [*cases, *when_named] if c.__name__ in arguments.names] if arguments.names else cases
    unknown = set(arguments.names) - {c.__name__ for c in chosen}
    if unknown:
        parser.error("no such case: " + ", ".join(sorted(unknown)))
    failed = 0
    for case in chosen:
        try:
            case(arguments)
            print("ok    ", case.__name__, flush=True)
        except Exception:  # a case may fail in any way; the others still run
            failed += 1
            print("FAILED", case.__name__, flush=True)
            traceback.print_exc(file=sys.stdout)
    print("grpcio %s: %d of %d cases failed" % (grpc.__version__, failed, len(chosen)), flush=True)
    sys.exit(1 if failed else 0)
