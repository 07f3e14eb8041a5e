"""Holds what the samples say that `evercertd status` and `evercertd check` show against what they show: the certificates that they ask for
are made and laid out as the kubelet does it, a daemon looks at them, and so does somebody without one.

    python samples.py          with EVERCERTD, the program; fails where a comment tells something else
    python samples.py --write  writes the comments
    METRICS=FILE               keeps the daemon's page of metrics there
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

import yaml

SAMPLES = pathlib.Path(__file__).parents[3] / "kubernetes" / "samples"
EVERCERTD = os.environ["EVERCERTD"]
DEADLINE = 30
POD_OF_A_DEPLOYMENT = "-6f7d9c5b8-x2x7q"
UID = "2c48913c-b29f-11e7-9350-020968147796"
EXTENDED = {"server auth": "serverAuth", "client auth": "clientAuth"}
SHOWN = r"(?:#   +[^\s$].*\n)+"
BLOCK = re.compile(rf"(?m)^#   \$ evercertd status --long\n{SHOWN}(?:#   \$ evercertd check .*\n{SHOWN})?")
CHANGES = [
    (r"digest [0-9a-f]{12}", "digest …"), (r"published .* ago", "published …"), (r"(serial +)[0-9a-f]+", r"\1…"),
    (r"in \d+ \w+( \(.*?\))?", "in …"), (r"(renewal due) in .*", r"\1 …"),
]


class Pki:
    """A CA, and leaves as the samples ask for them."""

    def __init__(self, directory):
        self.directory = directory
        self.run("req", "-x509", *self.key("ca"), "-days", "1825", "-subj", "/CN=shop CA")

    def key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.crt")]

    def path(self, name):
        return self.directory / name

    def run(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    def leaf(self, spec):
        names = [f"DNS:{name}" for name in spec.get("dnsNames", [])] + [f"URI:{name}" for name in spec.get("uris", [])]
        usages = [EXTENDED[usage] for usage in spec["usages"] if usage in EXTENDED]
        assert spec["duration"] == "24h" and spec["privateKey"] == {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"}
        self.run(
            "req", "-x509", *self.key("leaf"), "-days", "1", "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"), "-subj", "/",
            # Without a subject the names are critical.
            "-addext", "subjectAltName=critical," + ",".join(names), "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=" + ",".join(usages),
        )
        return {"tls.crt": self.path("leaf.crt").read_text(), "tls.key": self.path("leaf.key").read_text(), "ca.crt": self.anchors()}

    def anchors(self):
        return self.path("ca.crt").read_text()


class Node:
    """The directories that the kubelet keeps on a node: volumes of pods, and their logs."""

    def __init__(self, directory):
        self.pods, self.logs = directory / "pods", directory / "logs"
        # The directories of the volumes, by the names of the identities.
        self.volumes = {}

    def mount(self, namespace, pod, kind, volume, files):
        uid = uuid.uuid4()
        (self.logs / f"{namespace}_{pod}_{uid}").mkdir(parents=True)
        mount = self.pods / str(uid) / "volumes" / f"kubernetes.io~{kind}" / volume
        self.volumes[f"{namespace}/{pod}/{volume}"] = mount
        swapped = mount / "..2026_08_22_10_00_00.123"
        swapped.mkdir(parents=True)
        (mount / "..data").symlink_to(swapped.name)
        for name, text in files.items():
            (swapped / name).write_text(text)
            (mount / name).symlink_to(f"..data/{name}")


def files_of(source, pki, certificates):
    """(name in the volume, text) of one source of a volume."""
    if "secret" in source:
        secret = source["secret"]
        (spec,) = [one["spec"] for one in certificates if one["spec"]["secretName"] == secret.get("secretName", secret.get("name"))]
        files = pki.leaf(spec)
        items = secret.get("items", [{"key": name, "path": name} for name in files])
        return [(item["path"], files[item["key"]]) for item in items]
    if "configMap" in source:
        assert source["configMap"]["name"] == "shop-trust"
        return [(item["path"], {"ca.crt": pki.anchors()}[item["key"]]) for item in source["configMap"]["items"]]
    if "podCertificate" in source:
        asked = source["podCertificate"]
        assert asked["keyType"] == "ECDSAP256" and asked["maxExpirationSeconds"] == 86400
        spec = {
            "duration": "24h", "usages": ["server auth", "client auth"], "uris": ["spiffe://example.org/ns/shop/sa/greeter"],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        }
        files = pki.leaf(spec)
        return [(asked["credentialBundlePath"], files["tls.key"] + files["tls.crt"])]
    return [(source["clusterTrustBundle"]["path"], pki.anchors())]


def lay_out(node, pki):
    """Mounts what the samples ask for."""
    documents = [one for path in sorted(SAMPLES.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    certificates = [one for one in documents if one["kind"] == "Certificate" and not one["spec"].get("isCA")]
    for one in certificates:
        node.mount("shop", one["metadata"]["name"], "secret", "tls", pki.leaf(one["spec"]))
    for one in (one for one in documents if one["kind"] == "Deployment"):
        for volume in one["spec"]["template"]["spec"]["volumes"]:
            kind = "projected" if "projected" in volume else "secret"
            if kind not in volume:
                continue
            sources = volume["projected"]["sources"] if kind == "projected" else [volume]
            files = dict(found for source in sources for found in files_of(source, pki, certificates))
            node.mount("shop", one["metadata"]["name"] + POD_OF_A_DEPLOYMENT, kind, volume["name"], files)


def status(directory, node):
    """The block of `evercertd status` on each identity, by its first line."""
    config = directory / "evercertd.toml"
    config.write_text(f"""
        mode = "observer"
        watch = {{ directories = [] }}
        sockets = {{ agent = "{directory}/agent/agent.sock", admin = "{directory}/admin/admin.sock" }}
        state = {{ directory = "{directory}/state" }}
        http = {{ listen = "127.0.0.1:0" }}
        kubelet = {{ directory = "{node.pods}", logs = "{node.logs}" }}
    """)
    log = directory / "log"
    with log.open("w") as stderr:
        daemon = subprocess.Popen([EVERCERTD, "run", "--config", config], stderr=stderr)
    try:
        wanted = len(list(node.pods.iterdir()))
        deadline = time.monotonic() + DEADLINE
        while True:
            done = subprocess.run([EVERCERTD, "status", "--long", "--socket", directory / "admin" / "admin.sock"], capture_output=True, text=True, check=False)
            if done.stdout.count("  generation ") == wanted:
                break
            if time.monotonic() > deadline:
                sys.exit(f"{wanted} volumes are mounted, and the daemon publishes others:\n{done.stdout}{done.stderr}{log.read_text()}")
            time.sleep(0.1)
        if metrics := os.environ.get("METRICS"):
            address = re.search(r"the HTTP socket is open address=(\S+)", log.read_text())[1]
            with urllib.request.urlopen(f"http://{address}/metrics") as page:
                pathlib.Path(metrics).write_bytes(page.read())
    finally:
        daemon.terminate()
        daemon.wait()
    _, *blocks = on_a_node(done.stdout, node).split("\n\n")
    return {block.splitlines()[0]: block for block in blocks}


def on_a_node(text, node):
    """The text with the paths that a node has."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", UID, text.replace(str(node.pods), "/var/lib/kubelet/pods"))
    return re.sub(r"(?m) +$", "", text).strip()


def check(name, node):
    """`evercertd check` of the volume of an identity, and what it prints: nothing that rejects."""
    volume = node.volumes[name]
    done = subprocess.run([EVERCERTD, "check", volume], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"evercertd check {volume} ends with {done.returncode}:\n{done.stdout}{done.stderr}")
    return on_a_node(f"$ evercertd check {volume}\n{done.stdout}", node)


def settled(text):
    """The text without what differs from run to run."""
    for pattern, instead in CHANGES:
        text = re.sub(pattern, instead, text)
    return text


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        (work / "pki").mkdir()
        node = Node(work)
        lay_out(node, Pki(work / "pki"))
        shown = {name: f"$ evercertd status --long\n{block}\n{check(name, node)}" for name, block in status(work, node).items()}

    checked, wrong = 0, []
    for path in sorted(SAMPLES.glob("*.yaml")):
        def compare(found):
            nonlocal checked
            checked += 1
            said = "\n".join(line.removeprefix("#   ") for line in found[0].splitlines())
            name = said.splitlines()[1]
            real = shown.pop(name, f"no such identity; there are {sorted(shown)}")
            if settled(said) == settled(real):
                return found[0]
            wrong.append(f"{path.name}: {name} shows\n{real}\nand not\n{said}\n")
            return "".join(f"#   {line}\n" for line in real.splitlines())

        text = path.read_text()
        written = BLOCK.sub(compare, text)
        if sys.argv[1:] == ["--write"] and written != text:
            path.write_text(written)
    if sys.argv[1:] != ["--write"] and wrong:
        sys.exit("\n".join(wrong))
    if shown:
        sys.exit(f"no sample tells of {sorted(shown)}")
    print(f"{checked} samples say what is shown")


main()
