"""One node with its pods, and the DaemonSet's pod on it."""

import json
import os
import secrets
import urllib.request

import pki
from checks import Checks, Failed
from kubelet import Node, Pod
from linux import in_mounts_of
from runtime import Runtime
from spec import size

PODS = 50
NAMESPACES = ("shop", "payments", "search")
AGENT_DIRECTORY = "/run/evercert/agent"
METRICS = 9793


class Cluster:
    """The node, an authority, and the Secrets and pods made with it."""

    def __init__(self, directory, seccomp_program, made, images, sample):
        self.node = Node(directory / "node")
        self.runtime = Runtime(self.node, directory / "containers", seccomp_program, made)
        self.images = images
        self.sample = sample
        self.authority = pki.Authority("root.example.org")
        self.checks = Checks()
        self.daemon = None
        for namespace in NAMESPACES:
            self.node.config_maps[namespace, "kube-root-ca.crt"] = {"ca.crt": b"the API server's\n"}
        # As the sample of trust-manager's does it.
        self.node.config_maps[sample.namespace, "shop-trust"] = {"ca.crt": self.authority.pem()}

    def secret(self, namespace, name, dns_name, address=None):
        """Makes a Secret, or renews it wherever it is mounted, and gives the fingerprint of its leaf."""
        files = self.authority.issue(dns_name, address)
        self.node.rotate(namespace, name, files)
        return pki.fingerprint(files)

    def bare_pod(self, number):
        """A pod of which there are only its directories: its volumes are all that the daemon looks at."""
        namespace, name = NAMESPACES[number % len(NAMESPACES)], f"api-{number}"
        self.secret(namespace, name, f"{name}.{namespace}.svc")
        pod = Pod({"metadata": {"name": name, "namespace": namespace}, "spec": {"volumes": volumes(number, name)}})
        self.node.admit(pod)
        return pod

    def greeter(self, program, pod):
        """Starts a pod with this program of the greeters, and gives its container."""
        return self.runtime.run_pod(pod, {"greeter": self.images[program]})

    def deploy(self, chart):
        """Starts a pod of the DaemonSet."""
        for name, content in chart.config_maps.items():
            self.node.config_maps[chart.namespace, name] = content
        self.daemon = self.runtime.run_pod(chart.pod(), {"evercertd": self.images["evercertd"]})

    def restart(self):
        """Starts the daemon's container again, in the same pod."""
        self.daemon = self.runtime.restart(self.daemon.pod, {"evercertd": self.images["evercertd"]})

    def probed(self, *kinds):
        """Waits until the daemon answers these probes well; all, where none is named."""

        def look(kind):
            if not self.daemon.is_running():
                raise Failed(f"the daemon has ended:\n{self.daemon.output()}")
            return self.daemon.probe(kind) == 200

        for kind in kinds or ("startupProbe", "livenessProbe", "readinessProbe"):
            self.checks.until(f"the {kind} is answered with 200", lambda: look(kind))

    def status(self):
        """What `evercertd status --json` prints, as by kubectl exec."""
        _, printed, error = self.daemon.execute(*self.command("status", "--json"))
        if not printed:
            raise Failed(f"the status cannot be had: {error}")
        return json.loads(printed)

    def command(self, *arguments):
        """A command of the daemon's program, as it is called in its container."""
        return [self.images["evercertd"].config["Entrypoint"][0], *arguments]

    def identities(self):
        """The identities of pods, by the pod's namespace and name and their own."""
        of_pods = [one for one in self.status()["identities"] if one["scope"] == "pod"]
        return {f"{one['pod']['namespace']}/{one['pod']['name']}/{one['name']}": one for one in of_pods}

    def generation(self, name):
        """That of an identity of a pod; nothing where there is none."""
        return self.identities().get(name, {}).get("generation")

    def metrics(self):
        with urllib.request.urlopen(f"http://{self.daemon.pod.address}:{METRICS}/metrics", timeout=5) as response:
            return response.read().decode()

    def agent_socket(self):
        return self.node.path(AGENT_DIRECTORY) / "agent.sock"

    def socket_is_seen(self, containers):
        """Whether pods find the daemon's socket of now in the directory that they mounted before it was made."""
        inode = str(self.agent_socket().stat().st_ino)
        path = f"{AGENT_DIRECTORY}/agent.sock"
        seen = [in_mounts_of(container.pid, lambda: os.stat(path).st_ino) for container in containers]
        self.checks.equal("pods that were there before see the new socket", seen, [inode] * len(seen))

    def memory(self):
        now, most, limit = self.daemon.memory()
        expected = size(self.daemon.template["resources"]["limits"]["memory"])
        self.checks.equal("its memory is limited as the manifest says", limit, expected)
        told = f"it uses {now / 2**20:.1f} MiB of {limit // 2**20} with {PODS} pods, and used {most / 2**20:.1f} at the most"
        self.checks.holds(told, most < limit / 2)


def volumes(number, secret):
    """The volumes of a pod: one with a certificate, of the kind that `number` chooses, and that of its service account."""
    in_directory = [{"key": name, "path": f"server/{name}"} for name in ("tls.crt", "tls.key", "ca.crt")]
    kinds = (
        {"secret": {"secretName": secret}},
        {"projected": {"sources": [{"secret": {"name": secret, "items": in_directory}}]}},
        {"csi": {"driver": "csi.cert-manager.io", "readOnly": True, "volumeAttributes": {"secret": secret}}},
    )
    account = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    return [
        {"name": "tls", **kinds[number % len(kinds)]},
        {"name": f"kube-api-access-{secrets.token_hex(3)[:5]}", "projected": {"sources": account, "defaultMode": 0o644}},
    ]


def identity_name(number):
    """What the identity in the volume "tls" of a bare pod is called."""
    return "tls/server" if number % 3 == 1 else "tls"
