"""Containers by runc: images, the sandboxes of pods and their network, probes."""

import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import spec
from kubelet import Unsupported
from linux import mount, run

BRIDGE = "pods0"
# Addresses for benchmarks (RFC 2544): nobody's.
ADDRESS = "198.18.0.{}"

# What a layout calls an image.
NAME = "org.opencontainers.image.ref.name"


class Image:
    """The root file system of a container and the image's configuration."""

    def __init__(self, root, config, mounts=()):
        self.root = root
        self.config = config
        # What is shown besides, read-only: pairs of a place on this machine and one in the container.
        self.mounts = mounts

    @classmethod
    def of_layout(cls, layout, root):
        """The one image of an OCI layout, unpacked at `root`."""
        blob = lambda descriptor: json.loads((layout / "blobs" / descriptor["digest"].replace(":", "/")).read_text())
        (descriptor,) = json.loads((layout / "index.json").read_text())["manifests"]
        run("umoci", "raw", "unpack", "--image", f"{layout}:{descriptor['annotations'][NAME]}", root)
        return cls(root, blob(blob(descriptor)["config"]).get("config", {}))

    def program(self):
        """Where what it starts is on this machine."""
        return self.root / self.config["Entrypoint"][0].lstrip("/")

    @classmethod
    def of_programs(cls, programs, root):
        """An image for each of these programs, by its name: all of them are in /app, over this machine's libraries."""
        (root / "app").mkdir(parents=True)
        (root / "usr").mkdir()
        for name in ("bin", "lib", "lib64", "sbin"):
            if Path("/", name).is_symlink():
                (root / name).symlink_to(f"usr/{name}")
        for program in programs:
            shutil.copy(program, root / "app")
        return {program.name: cls(root, {"Entrypoint": [f"/app/{program.name}"]}, [("/usr", "/usr")]) for program in programs}


class Sandbox:
    """What the containers of a pod share: a network with an address, and the files about it."""

    def __init__(self, pod, number, directory, pod_directory):
        self.name = f"pod-{number}"
        self.directory = directory
        self.pod_directory = pod_directory
        directory.mkdir(parents=True)
        (directory / "hostname").write_text(f"{pod.name}\n")
        (directory / "resolv.conf").write_text("")
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", f"veth{number}", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "link", "set", f"veth{number}", "master", BRIDGE, "up")
        run("ip", "-n", self.name, "addr", "add", f"{pod.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", self.name, "link", "set", device, "up")

    def remove(self):
        run("ip", "netns", "delete", self.name)


class Container:
    """A running container."""

    def __init__(self, runtime, pod, template):
        self.runtime = runtime
        self.pod = pod
        self.template = template
        self.id = secrets.token_hex(32)
        # Not where the kubelet has it, from where it goes with the pod.
        self.log = runtime.directory / f"{self.id}.log"
        self.bundle = runtime.directory / self.id
        self.cgroup = f"/kubepods/{spec.service_class(pod)}pod{pod.uid}/{self.id}"
        self.config = None

    def start(self, image, volumes, sandbox):
        self.config = spec.of(
            self.pod, self.template, image, volumes, sandbox, self.cgroup, self.runtime.seccomp_program
        )
        for name in ("rootfs", "upper", "work"):
            (self.bundle / name).mkdir(parents=True)
        layers = f"lowerdir={image.root},upperdir={self.bundle}/upper,workdir={self.bundle}/work"
        mount("overlay", self.bundle / "rootfs", "overlay", options=layers)
        if "uidMappings" in self.config["linux"]:
            # The first process makes the places of its mounts as its own root.
            first = self.config["linux"]["uidMappings"][0]["hostID"]
            os.chown(self.bundle / "rootfs", first, first)
        (self.bundle / "config.json").write_text(json.dumps(self.config))
        with open(self.log, "wb") as log:
            self.runtime.made.write(f"{self.id} {self.cgroup}\n")
            self.runtime.made.flush()
            command = self.runtime.command("run", "--detach", "--bundle", self.bundle, self.id)
            if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode != 0:
                raise RuntimeError(f"runc does not run {self.pod}: {self.log.read_text()}")
        return self

    @property
    def user(self):
        return self.config["process"]["user"]["uid"]

    def state(self):
        done = subprocess.run(self.runtime.command("state", self.id), capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else {"status": "gone", "pid": 0}

    @property
    def pid(self):
        """The number of its first process on the node."""
        return self.state()["pid"]

    def is_running(self):
        return self.state()["status"] == "running"

    def execute(self, *command):
        """A command in the container, as kubectl exec runs it; gives its status, and what it printed."""
        done = subprocess.run(self.runtime.command("exec", self.id, *command), capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def output(self):
        return self.log.read_text(errors="replace")

    def memory(self):
        """Its memory in bytes as the control group counts it: now, at the most, and the limit."""
        told = json.loads(run(*self.runtime.command("events", "--stats", self.id)))["data"]["memory"]["usage"]
        return told["usage"], told.get("max") or told["usage"], told["limit"]

    def stop(self, seconds):
        """As the kubelet stops it: SIGTERM, and SIGKILL when the pod's time for its end is over. Tells whether SIGTERM sufficed."""
        in_time = self.ends_at(signal.SIGTERM, seconds)
        self.delete()
        return in_time

    def kill(self):
        """As it ends with a node that loses its power."""
        self.ends_at(signal.SIGKILL, 10)
        self.delete()

    def ends_at(self, number, seconds):
        subprocess.run(self.runtime.command("kill", self.id, int(number)), capture_output=True)
        deadline = time.monotonic() + seconds
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.is_running()

    def delete(self):
        run(*self.runtime.command("delete", "--force", self.id))

    def probe(self, kind):
        """Asks what this probe asks, as the kubelet does."""
        target = self.template[kind]["httpGet"]
        return self.get(target["path"], target)

    def get(self, path, target):
        """The status that is answered at the port and scheme of `target`, or the error."""
        port = target["port"]
        if isinstance(port, str):
            (port,) = [known["containerPort"] for known in self.template["ports"] if known["name"] == port]
        if target.get("scheme", "HTTP") != "HTTP":
            raise Unsupported(f"a probe of {self.pod} by {target['scheme']}")
        connection = http.client.HTTPConnection(self.pod.address, port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return error
        finally:
            connection.close()


class Runtime:
    """runc with a state of its own, and the network of a node."""

    def __init__(self, node, directory, seccomp_program, made):
        self.node = node
        self.directory = Path(directory)
        self.directory.mkdir()
        mount("tmpfs", self.directory, "tmpfs")
        self.seccomp_program = seccomp_program
        # A file of what has to be taken away afterwards, whatever happens.
        self.made = open(made, "a")
        self.sandboxes = 1
        # `ip netns` keeps names there, which are nobody's but this node's.
        mount("tmpfs", "/run", "tmpfs")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", f"{ADDRESS.format(1)}/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")

    def command(self, *arguments):
        return ["runc", "--root", str(self.directory / "runc"), *map(str, arguments)]

    def next_address(self):
        """The address of the pod that is started next."""
        return ADDRESS.format(self.sandboxes + 1)

    def run_pod(self, pod, images):
        """Starts a pod whose containers take these images, by name, and gives its one container."""
        if len(pod.spec["containers"]) != 1 or pod.spec.get("initContainers"):
            raise Unsupported(f"{pod} has more than one container")
        (template,) = pod.spec["containers"]
        pod.address = self.next_address()
        self.sandboxes += 1
        volumes = self.node.admit(pod)
        directory = self.directory / f"sandbox-{self.sandboxes}"
        pod.sandbox = Sandbox(pod, self.sandboxes, directory, self.node.pod_directory(pod))
        (self.node.log_directory(pod) / template["name"]).mkdir()
        container = Container(self, pod, template)
        pod.containers[template["name"]] = container
        return container.start(images[template["name"]], volumes, pod.sandbox)

    def restart(self, pod, images):
        """Starts a pod's container again, whose volumes are still there."""
        (template,) = pod.spec["containers"]
        volumes = {volume["name"]: self.node.place(pod, volume) for volume in pod.spec.get("volumes", [])}
        container = Container(self, pod, template)
        pod.containers[template["name"]] = container
        return container.start(images[template["name"]], volumes, pod.sandbox)

    def remove_pod(self, pod):
        """Ends a pod: its containers, its network, its volumes."""
        seconds = pod.spec.get("terminationGracePeriodSeconds", 30)
        in_time = all([container.stop(seconds) for container in pod.containers.values() if container.config])
        pod.sandbox.remove()
        self.node.remove(pod)
        return in_time
