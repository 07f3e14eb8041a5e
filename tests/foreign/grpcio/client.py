"""A grpcio client of the greeter, as tests/src/bin/interop/foreign.rs asks for it."""

import json
import os
import select
import sys
import threading

import certificates
import grpc
import wire

outcome = {"calls": 0, "streams": 0, "replies": 0, "failed": 0, "first_failure": None}
lock = threading.Lock()


def count(**more):
    with lock:
        for name, number in more.items():
            outcome[name] += number


def fail(why):
    with lock:
        outcome["failed"] += 1
        outcome["first_failure"] = outcome["first_failure"] or why


class Load:
    """Unary calls without a pause, short streams and long ones, on one channel."""

    def __init__(self):
        key, chain, bundle = certificates.read()
        self.channel = grpc.secure_channel(os.environ["SERVER"], grpc.ssl_channel_credentials(bundle, key, chain))
        self.say_hello = self.channel.unary_unary(wire.SAY_HELLO)
        self.keep_greeting = self.channel.unary_stream(wire.KEEP_GREETING)
        self.stopping = False
        loops = 3 * [self.call] + [lambda: self.stream(20), lambda: self.stream(60)]
        self.threads = [threading.Thread(target=self.until_stopped, args=(loop,)) for loop in loops]
        for thread in self.threads:
            thread.start()

    def until_stopped(self, loop):
        while not self.stopping:
            try:
                loop()
            except grpc.RpcError as error:
                fail(f"{error.code()}: {error.details()}")

    def call(self):
        reply = self.say_hello(wire.hello(b"grpcio"), timeout=20)
        if reply != wire.hello(b"Hello grpcio!"):
            fail(f"another reply: {reply!r}")
        count(calls=1)

    def stream(self, interval_ms):
        replies = sum(1 for _ in self.keep_greeting(wire.keep_greeting(b"grpcio", 100, interval_ms), timeout=60))
        if replies != 100:
            fail(f"{100 - replies} of 100 replies are missing")
        count(streams=1, replies=replies)

    def stop(self):
        """Lets what runs finish."""
        self.stopping = True
        for thread in self.threads:
            thread.join()
        self.channel.close()


mounted = certificates.current()
load = Load()
while not select.select([sys.stdin], [], [], 0.02)[0]:
    if certificates.current() != mounted:
        mounted = certificates.current()
        superseded, load = load, Load()
        superseded.stop()
        print("moved", flush=True)
load.stop()
print(json.dumps(outcome), flush=True)
