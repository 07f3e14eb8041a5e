"""grpcio as the client of the official cases, as tests/src/bin/interop/cases.rs asks for it."""

import json
import os
import queue
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import certificates
import grpc
import testing_pb2 as pb
import testing_pb2_grpc

LARGE_REQUEST, LARGE_RESPONSE = 271828, 314159
REQUESTS, RESPONSES = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
# Far longer than any case takes on a busy machine.
LIMIT = 20
SOAK, SOAK_WORKERS, SOAK_LIMIT = 20, 4, 5
INVISIBLE = "grpcio does not show whether a message was compressed"
PARTLY = {"server_compressed_unary": INVISIBLE, "server_compressed_streaming": INVISIBLE}
SKIPPED = {"client_compressed_streaming": "grpcio compresses all messages of a client's stream or none"}


def payload(size):
    return pb.Payload(body=bytes(size))


def large(**more):
    return pb.SimpleRequest(response_size=LARGE_RESPONSE, payload=payload(LARGE_REQUEST), **more)


def exchange(request, response):
    return pb.StreamingOutputCallRequest(
        payload=payload(request), response_parameters=[pb.ResponseParameters(size=response)]
    )


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"{wanted!r} was expected, and {found!r} came")


def refused(code, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except grpc.RpcError as error:
        equal(error.code(), code)
        return error
    raise AssertionError(f"{code} was expected, and there was no error")


def sizes(responses):
    return tuple(len(response.payload.body) for response in responses)


class Requests:
    """Requests that are sent when they are there; `None` is the end."""

    def __init__(self):
        self.queue = queue.Queue()

    def __iter__(self):
        return iter(self.queue.get, None)


class Cases:
    def __init__(self):
        self.channel = dial()
        self.stub = testing_pb2_grpc.TestServiceStub(self.channel)

    def empty_unary(self):
        self.stub.EmptyCall(pb.Empty(), timeout=LIMIT)

    def unary(self, request, stub=None, **named):
        response = (stub or self.stub).UnaryCall(request, timeout=LIMIT, **named)
        equal(len(response.payload.body), LARGE_RESPONSE)

    def large_unary(self):
        self.unary(large())

    def client_compressed_unary(self):
        expecting = large(expect_compressed=pb.BoolValue(value=True))
        refused(grpc.StatusCode.INVALID_ARGUMENT, self.stub.UnaryCall, expecting, timeout=LIMIT)
        self.unary(expecting, compression=grpc.Compression.Gzip)
        self.unary(large(expect_compressed=pb.BoolValue(value=False)))

    def server_compressed_unary(self):
        for value in (True, False):
            self.unary(large(response_compressed=pb.BoolValue(value=value)))

    def client_streaming(self):
        requests = (pb.StreamingInputCallRequest(payload=payload(size)) for size in REQUESTS)
        equal(self.stub.StreamingInputCall(requests, timeout=LIMIT).aggregated_payload_size, sum(REQUESTS))

    def server_streaming(self):
        wanted = [pb.ResponseParameters(size=size) for size in RESPONSES]
        request = pb.StreamingOutputCallRequest(response_parameters=wanted)
        equal(sizes(self.stub.StreamingOutputCall(request, timeout=LIMIT)), RESPONSES)

    def server_compressed_streaming(self):
        wanted = [
            pb.ResponseParameters(size=size, compressed=pb.BoolValue(value=value))
            for value, size in ((True, 31415), (False, 92653))
        ]
        request = pb.StreamingOutputCallRequest(response_parameters=wanted)
        equal(sizes(self.stub.StreamingOutputCall(request, timeout=LIMIT)), (31415, 92653))

    def ping_pong(self):
        requests = Requests()
        responses = self.stub.FullDuplexCall(iter(requests), timeout=LIMIT)
        for request, response in zip(REQUESTS, RESPONSES):
            requests.queue.put(exchange(request, response))
            equal(len(next(responses).payload.body), response)
        requests.queue.put(None)
        equal(sizes(responses), ())

    def empty_stream(self):
        equal(sizes(self.stub.FullDuplexCall(iter(()), timeout=LIMIT)), ())

    def custom_metadata(self):
        initial, trailing = "test_initial_metadata_value", b"\xab\xab\xab"
        metadata = ((INITIAL, initial), (TRAILING, trailing))
        request = pb.SimpleRequest(response_size=1, payload=payload(1))
        _, unary = self.stub.UnaryCall.with_call(request, metadata=metadata, timeout=LIMIT)
        duplex = self.stub.FullDuplexCall(iter([exchange(1, 1)]), metadata=metadata, timeout=LIMIT)
        equal(sizes(duplex), (1,))
        for call in (unary, duplex):
            equal(dict(call.initial_metadata())[INITIAL], initial)
            equal(dict(call.trailing_metadata())[TRAILING], trailing)

    def status_code_and_message(self):
        status = pb.EchoStatus(code=2, message="test status message")
        unary = pb.SimpleRequest(response_status=status)
        error = refused(grpc.StatusCode.UNKNOWN, self.stub.UnaryCall, unary, timeout=LIMIT)
        equal(error.details(), status.message)
        duplex = self.stub.FullDuplexCall(iter([pb.StreamingOutputCallRequest(response_status=status)]), timeout=LIMIT)
        equal(refused(grpc.StatusCode.UNKNOWN, next, duplex).details(), status.message)

    def special_status_message(self):
        request = pb.SimpleRequest(response_status=pb.EchoStatus(code=2, message=SPECIAL))
        equal(refused(grpc.StatusCode.UNKNOWN, self.stub.UnaryCall, request, timeout=LIMIT).details(), SPECIAL)

    def unimplemented_method(self):
        self.unimplemented("/grpc.testing.TestService/UnimplementedCall")

    def unimplemented_service(self):
        self.unimplemented("/grpc.testing.UnimplementedService/UnimplementedCall")

    def unimplemented(self, path):
        refused(grpc.StatusCode.UNIMPLEMENTED, self.channel.unary_unary(path), b"", timeout=LIMIT)

    def cancel_after_begin(self):
        requests = Requests()
        call = self.stub.StreamingInputCall.future(iter(requests), timeout=LIMIT)
        call.cancel()
        equal((call.cancelled(), call.code()), (True, grpc.StatusCode.CANCELLED))
        requests.queue.put(None)

    def cancel_after_first_response(self):
        requests = Requests()
        call = self.stub.FullDuplexCall(iter(requests), timeout=LIMIT)
        requests.queue.put(exchange(REQUESTS[0], RESPONSES[0]))
        equal(len(next(call).payload.body), RESPONSES[0])
        call.cancel()
        refused(grpc.StatusCode.CANCELLED, next, call)
        requests.queue.put(None)

    def timeout_on_sleeping_server(self):
        requests = Requests()
        requests.queue.put(pb.StreamingOutputCallRequest(payload=payload(27182)))
        call = self.stub.FullDuplexCall(iter(requests), timeout=0.001)
        refused(grpc.StatusCode.DEADLINE_EXCEEDED, next, call)
        requests.queue.put(None)

    def rpc_soak(self):
        self.soak(lambda: self.unary(large()))

    def channel_soak(self):
        def call():
            with dial() as channel:
                self.unary(large(), testing_pb2_grpc.TestServiceStub(channel))

        self.soak(call)

    def soak(self, call):
        def timed(_):
            start = time.monotonic()
            call()
            took = time.monotonic() - start
            if took > SOAK_LIMIT:
                raise AssertionError(f"a call took {took} s")

        with ThreadPoolExecutor(SOAK_WORKERS) as workers:
            list(workers.map(timed, range(SOAK)))


def dial():
    """A channel with what is mounted now: it cannot take up anything else later."""
    key, chain, bundle = certificates.read()
    # Channels of the same process and arguments would share a connection. And a call that meets a GOAWAY before a byte of it is sent moves to
    # the next connection only if its request fits this buffer, whose default is smaller than a large request.
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.per_rpc_retry_buffer_size", 1 << 20))
    return grpc.secure_channel(os.environ["SERVER"], grpc.ssl_channel_credentials(bundle, key, chain), options)


names = [name for name in vars(Cases) if name[0] != "_" and name not in ("unary", "unimplemented", "soak")]
outcomes = {name: {"passed": 0, "failed": 0, "first_failure": None} for name in names}
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
mounted, cases = certificates.current(), Cases()
while True:
    for name in names:
        if certificates.current() != mounted:
            cases.channel.close()
            mounted, cases = certificates.current(), Cases()
        outcome = outcomes[name]
        try:
            getattr(cases, name)()
            outcome["passed"] += 1
        except Exception as error:
            outcome["failed"] += 1
            outcome["first_failure"] = outcome["first_failure"] or repr(error)
    if ended.is_set():
        break
cases.channel.close()
print(json.dumps({"cases": outcomes, "skipped": SKIPPED, "partly": PARTLY}), flush=True)
