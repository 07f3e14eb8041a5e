"""A greeter in Python as gRPC's guides secure it: TLS or mutual TLS, a bearer token per call, an interceptor that checks it and the
roles that each method asks for, and grpc.health.v1. tests/foreign/secured.sh has it talk to ours."""

import argparse
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import jwt
import wire
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

ROLES = {
    "/greeter.v1.Greeter/SayHello": {"greeter:call", "admin"},
    "/greeter.v1.Greeter/KeepGreeting": {"admin"},
}

parser = argparse.ArgumentParser()
parser.add_argument("role", choices=["client", "server"])
parser.add_argument("--dir", type=pathlib.Path, required=True)
parser.add_argument("--mtls", action="store_true")
parser.add_argument("--addr", required=True)
parser.add_argument("--token-file", type=pathlib.Path)
parser.add_argument("--key-file", type=pathlib.Path)
parser.add_argument("--method", default="SayHello")
args = parser.parse_args()


def file(name):
    return (args.dir / name).read_bytes()


def greeting(request):
    name = request[2 : 2 + request[1]]
    return b"\x0a" + bytes([len(name) + 7]) + b"Hello " + name + b"!"


def keep_greeting(request, context):
    for _ in range(request[2 + request[1] :][1]):
        yield greeting(request)


class Admission(grpc.ServerInterceptor):
    """For unary calls and streams alike: grpcio has one hook for both."""

    def intercept_service(self, continuation, details):
        why = None if details.method == "/grpc.health.v1.Health/Check" else self.denial(details)
        return continuation(details) if why is None else refusal(details.method, *why)

    def denial(self, details):
        sent = [value for name, value in details.invocation_metadata if name == "authorization"]
        if len(sent) != 1:
            return grpc.StatusCode.UNAUTHENTICATED, "no token"
        try:
            claims = jwt.decode(
                sent[0].removeprefix("Bearer "),
                args.key_file.read_text(),
                algorithms=["ES256"],
                audience="greeter",
                issuer="https://issuer.example.org",
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.InvalidTokenError:
            return grpc.StatusCode.UNAUTHENTICATED, "invalid token"
        if not ROLES.get(details.method, set()) & set(claims.get("roles", [])):
            return grpc.StatusCode.PERMISSION_DENIED, "not allowed"
        return None


def refusal(method, code, details):
    def refuse(_, context):
        context.abort(code, details)

    is_stream = method.endswith("KeepGreeting")
    return (grpc.unary_stream_rpc_method_handler if is_stream else grpc.unary_unary_rpc_method_handler)(refuse)


def serve():
    chain = [(file("tls.key"), file("tls.crt"))]
    bundle = file("ca.crt") if args.mtls else None
    credentials = grpc.ssl_server_credentials(chain, root_certificates=bundle, require_client_auth=args.mtls)
    server = grpc.server(ThreadPoolExecutor(8), interceptors=[Admission()] if args.key_file else [])
    methods = {
        "SayHello": grpc.unary_unary_rpc_method_handler(lambda request, _: greeting(request)),
        "KeepGreeting": grpc.unary_stream_rpc_method_handler(keep_greeting),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("greeter.v1.Greeter", methods),))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port(args.addr, credentials)
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


def call():
    own = (file("tls.key"), file("tls.crt")) if args.mtls else (None, None)
    credentials = grpc.ssl_channel_credentials(file("ca.crt"), *own)
    if args.token_file:
        # Call credentials: the core refuses to send them over plaintext.
        token = grpc.access_token_call_credentials(args.token_file.read_text().strip())
        credentials = grpc.composite_channel_credentials(credentials, token)
    with grpc.secure_channel(args.addr, credentials) as channel:
        try:
            print("OK", ask(channel))
        except grpc.RpcError as error:
            print("".join(word.capitalize() for word in error.code().name.split("_")))
            print(error.details(), file=sys.stderr)


def ask(channel):
    match args.method:
        case "SayHello":
            reply = channel.unary_unary(wire.SAY_HELLO)(wire.hello(b"Python"), timeout=20)
            return reply[2:].decode()
        case "KeepGreeting":
            stream = channel.unary_stream(wire.KEEP_GREETING)
            return f"{len(list(stream(wire.keep_greeting(b'Python', 3, 1), timeout=20)))} replies"
        case "Check":
            reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
            return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)


serve() if args.role == "server" else call()
