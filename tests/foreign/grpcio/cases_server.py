"""grpcio as the server of the official cases, as tests/src/bin/interop/cases.rs asks for it."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import certificates
import grpc
import testing_pb2 as pb
import testing_pb2_grpc

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


def payload(size):
    return pb.Payload(body=bytes(size))


def echo(context):
    metadata = dict(context.invocation_metadata())
    if INITIAL in metadata:
        context.send_initial_metadata(((INITIAL, metadata[INITIAL]),))
    if TRAILING in metadata:
        context.set_trailing_metadata(((TRAILING, metadata[TRAILING]),))


CODES = {code.value[0]: code for code in grpc.StatusCode}


def heed(status, context):
    if status.code:
        context.abort(CODES[status.code], status.message)


class Tester(testing_pb2_grpc.TestServiceServicer):
    def EmptyCall(self, request, context):
        return pb.Empty()

    def UnaryCall(self, request, context):
        compressed = request.response_compressed.value
        context.set_compression(grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression)
        echo(context)
        heed(request.response_status, context)
        return pb.SimpleResponse(payload=payload(request.response_size))

    def responses(self, request, context):
        for parameters in request.response_parameters:
            time.sleep(parameters.interval_us / 1e6)
            if not parameters.compressed.value:
                context.disable_next_message_compression()
            yield pb.StreamingOutputCallResponse(payload=payload(parameters.size))

    def StreamingOutputCall(self, request, context):
        if any(parameters.compressed.value for parameters in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        yield from self.responses(request, context)

    def StreamingInputCall(self, requests, context):
        size = sum(len(request.payload.body) for request in requests)
        return pb.StreamingInputCallResponse(aggregated_payload_size=size)

    def FullDuplexCall(self, requests, context):
        echo(context)
        for request in requests:
            heed(request.response_status, context)
            yield from self.responses(request, context)


def configuration():
    newer = certificates.newer()
    if newer is None:
        return None
    key, chain, bundle = newer
    return grpc.ssl_server_certificate_configuration([(key, chain)], bundle)


server = grpc.server(ThreadPoolExecutor(16))
testing_pb2_grpc.add_TestServiceServicer_to_server(Tester(), server)
# Asked for at each handshake.
credentials = grpc.dynamic_ssl_server_credentials(configuration(), configuration, require_client_authentication=True)
port = server.add_secure_port("127.0.0.1:0", credentials)
server.start()
invisible = "grpcio does not show whether a message was compressed, so there is no probe"
partly = {"client_compressed_unary": invisible, "client_compressed_streaming": invisible}
print("listening", port, json.dumps({"flags": False, "skipped": {}, "partly": partly}), flush=True)
sys.stdin.read()
server.stop(5).wait()
print("{}", flush=True)
