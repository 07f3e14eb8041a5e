"""The greeter's messages by hand: protobuf fields of lengths and numbers below 128, one byte each."""

SAY_HELLO = "/greeter.v1.Greeter/SayHello"
KEEP_GREETING = "/greeter.v1.Greeter/KeepGreeting"


def hello(name):
    return b"\x0a" + bytes([len(name)]) + name


def keep_greeting(name, count, interval_ms):
    return hello(name) + bytes([0x10, count, 0x18, interval_ms])
