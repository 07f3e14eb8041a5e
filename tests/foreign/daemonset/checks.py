"""How checks are told: a sentence for each that holds, and the end at the first that does not."""

import time


class Failed(Exception):
    """A check does not hold."""


class Checks:
    def __init__(self):
        self.passed = 0

    def holds(self, sentence, truth, details=""):
        if not truth:
            raise Failed(f"{sentence}\n{details}")
        self.passed += 1
        print(f"ok: {sentence}", flush=True)

    def equal(self, sentence, found, expected):
        self.holds(sentence, found == expected, f"found:    {found}\nexpected: {expected}")

    def until(self, sentence, look, seconds=20):
        """Waits until `look` gives something, and gives that."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > deadline:
                raise Failed(f"waited {seconds} s in vain: {sentence}")
            time.sleep(0.05)
        self.holds(sentence, True)
        return found
