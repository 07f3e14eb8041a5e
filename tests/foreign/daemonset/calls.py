"""A greeter that is called again and again, over whatever happens to the daemon; and questions to the daemon."""

import subprocess
import tempfile
import time
from pathlib import Path

from checks import Failed

PORT = 50051
# Where nobody listens yet who runs beside a greeter.
FREE = "127.0.0.1:50061"


class Calls:
    """A server and a client in pods of their own. The client ends at the first call that fails."""

    def __init__(self, cluster, env_of_client=()):
        self.checks = cluster.checks
        sample, address = cluster.sample, cluster.runtime.next_address()
        cluster.secret(sample.namespace, "greeter-server", "greeter.shop.svc", address)
        self.server = cluster.greeter("greeter-server", sample.pod("greeter-server", user=20_001))
        cluster.secret(sample.namespace, "greeter-client", "client.shop.svc")
        asking = [f"https://{address}:{PORT}", "--times", "0", "--every", "10ms"]
        client = sample.pod("greeter-client", 20_002, asking, env_of_client)
        self.client = cluster.greeter("greeter-client", client)
        self.checks.until("a greeter is called, from pod to pod, over mutual TLS", lambda: self.count() > 10)

    def containers(self):
        return {str(one.pod): one for one in (self.server, self.client)}

    def count(self):
        """How many calls have been answered. None has failed: see to it whenever this is asked."""
        for name, container in self.containers().items():
            if not container.is_running():
                raise Failed(f"{name} has ended, as a call failed: {container.output()[-2000:]}")
        return self.client.output().count("Hello world!\n")

    def go_on(self, sentence):
        """Calls are answered from now on, too."""
        before = self.count()
        self.checks.until(sentence, lambda: self.count() > before + 50)


class Question:
    """A program with the SDK that asks the daemon for an identity."""

    ANSWERS = ("greeting on", "does not know it", "does not permit it")

    def __init__(self, command):
        self.command = [str(part) for part in command]

    @classmethod
    def of_container(cls, container, identity):
        """Asked in a container, as by kubectl exec."""
        setting = f"EVERCERT_IDENTITY={identity}"
        return cls(container.runtime.command("exec", "--env", setting, container.id, "/app/greeter-server", FREE))

    @classmethod
    def of_user(cls, cluster, user, identity):
        """Asked by a process of the node."""
        settings = (f"EVERCERT_IDENTITY={identity}", f"EVERCERT_SOCKET={cluster.agent_socket()}")
        program = cluster.images["greeter-server"].root / "app/greeter-server"
        return cls(["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "env", *settings, program, FREE])

    def answer(self, seconds=20):
        """Which of the answers it gets; then it is ended."""
        with tempfile.NamedTemporaryFile() as said:
            asking = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            deadline = time.monotonic() + seconds
            try:
                while True:
                    ended = asking.poll() is not None
                    text = Path(said.name).read_text()
                    for answer in self.ANSWERS:
                        if answer in text:
                            return answer
                    if ended or time.monotonic() > deadline:
                        raise Failed(f"no answer to {' '.join(self.command)}: {text}")
                    time.sleep(0.02)
            finally:
                asking.terminate()
                asking.wait()
