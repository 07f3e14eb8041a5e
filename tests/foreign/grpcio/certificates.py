"""What is mounted in the kubelet's volume that CERTIFICATES names."""

import os


def current():
    """The directory that holds the set of this moment."""
    return os.readlink(os.path.join(os.environ["CERTIFICATES"], "..data"))


def read():
    """Key, chain and bundle of one set."""
    while True:
        directory = os.path.join(os.environ["CERTIFICATES"], current())
        try:
            return [open(os.path.join(directory, name), "rb").read() for name in ("tls.key", "tls.crt", "ca.crt")]
        except FileNotFoundError:
            pass  # Swapped in between: there is a newer set.


held = None


def newer():
    """The set of this moment; None where it was given before. The C core frees the one that it replaces, under a handshake now and then, so none is
    replaced by itself."""
    global held
    before, held = held, read()
    return held if held != before else None
