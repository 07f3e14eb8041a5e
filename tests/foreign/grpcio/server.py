"""A grpcio server of the greeter that reloads its certificates, as tests/src/bin/interop/foreign.rs asks for it."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import certificates
import grpc

handshakes = 0


def configuration():
    newer = certificates.newer()
    if newer is None:
        return None
    key, chain, bundle = newer
    return grpc.ssl_server_certificate_configuration([(key, chain)], bundle)


def fetch():
    """Asked for at each handshake."""
    global handshakes
    handshakes += 1
    return configuration()


def greeting(request):
    name = request[2 : 2 + request[1]]
    return b"\x0a" + bytes([len(name) + 7]) + b"Hello " + name + b"!"


def say_hello(request, context):
    return greeting(request)


def keep_greeting(request, context):
    fields = request[2 + request[1] :]
    # Absent fields are zero: here the caller always gives both.
    count, interval_ms = fields[1], fields[3]
    for _ in range(count):
        yield greeting(request)
        time.sleep(interval_ms / 1000)


methods = {
    "SayHello": grpc.unary_unary_rpc_method_handler(say_hello),
    "KeepGreeting": grpc.unary_stream_rpc_method_handler(keep_greeting),
}
server = grpc.server(ThreadPoolExecutor(16))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("greeter.v1.Greeter", methods),))
credentials = grpc.dynamic_ssl_server_credentials(configuration(), fetch, require_client_authentication=True)
port = server.add_secure_port("127.0.0.1:0", credentials)
server.start()
print("listening", port, flush=True)
sys.stdin.read()
server.stop(5).wait()
print(json.dumps({"handshakes": handshakes}), flush=True)
