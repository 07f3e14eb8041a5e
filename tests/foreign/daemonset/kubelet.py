"""A node's directories as the kubelet keeps them: pods, their volumes and their logs."""

import os
import secrets
import shutil
import time
import uuid
from pathlib import Path

from linux import mount, unmount

PODS = "/var/lib/kubelet/pods"
LOGS = "/var/log/pods"

# The kubelet's plugins, by the field of a volume that they are for.
PLUGINS = {
    "secret": "kubernetes.io~secret",
    "projected": "kubernetes.io~projected",
    "configMap": "kubernetes.io~configmap",
    "emptyDir": "kubernetes.io~empty-dir",
    "downwardAPI": "kubernetes.io~downward-api",
    "csi": "kubernetes.io~csi",
}
# Those that keep what they hold in memory.
IN_MEMORY = ("secret", "projected")


class Unsupported(Exception):
    """A manifest asks for something that is not done here: better to stop than to leave it out."""


class Pod:
    """A pod of this node."""

    def __init__(self, manifest):
        self.metadata = manifest["metadata"]
        self.spec = manifest["spec"]
        self.namespace = self.metadata["namespace"]
        self.name = self.metadata["name"]
        self.uid = str(uuid.uuid4())
        self.address = None
        self.containers = {}

    def __str__(self):
        return f"{self.namespace}/{self.name}"


class Node:
    """The directories of a node, below one directory of this machine, and the objects that its pods refer to."""

    NAME = "node-1"

    def __init__(self, root):
        self.root = Path(root)
        self.root.mkdir(parents=True)
        # systemd shares what is mounted on a node, and the kubelet relies on that.
        mount("tmpfs", self.root, "tmpfs", options="mode=0755")
        mount(None, self.root, None, "shared")
        self.secrets = {}
        self.config_maps = {}
        # Where volumes that hold a Secret are, by namespace and name.
        self.holders = {}
        for directory in (PODS, LOGS):
            self.path(directory).mkdir(parents=True)

    def path(self, path):
        """Where `path` of the node is on this machine."""
        return self.root / str(path).lstrip("/")

    def pod_directory(self, pod):
        return self.path(PODS) / pod.uid

    def log_directory(self, pod):
        return self.path(LOGS) / f"{pod.namespace}_{pod.name}_{pod.uid}"

    def admit(self, pod):
        """Makes a pod's directories and mounts its volumes; gives where each volume is."""
        directory = self.pod_directory(pod)
        for name in ("volumes", "plugins", "containers"):
            (directory / name).mkdir(parents=True)
        (directory / "etc-hosts").write_text(f"127.0.0.1 localhost\n{pod.address} {pod.name}\n")
        for container in pod.spec.get("containers", []):
            (directory / "containers" / container["name"]).mkdir()
            (directory / "containers" / container["name"] / "0").touch()
        self.log_directory(pod).mkdir()
        group = pod.spec.get("securityContext", {}).get("fsGroup")
        return {volume["name"]: self.mount(pod, volume, group) for volume in pod.spec.get("volumes", [])}

    def mount(self, pod, volume, group=None):
        """Mounts one volume of a pod, and gives where it is."""
        name, kind = volume["name"], kind_of(volume)
        source = volume[kind] or {}
        place = self.place(pod, volume)
        if kind == "hostPath":
            return self.host_path(source, place)
        place.mkdir(parents=True)
        if kind == "csi":
            handle = f"csi-{secrets.token_hex(32)}"
            (place.parent / "vol_data.json").write_text(
                f'{{"attachmentID":"{handle}","driverName":"{source["driver"]}","nodeName":"{self.NAME}",'
                f'"specVolID":"{name}","volumeHandle":"{handle}","volumeLifecycleMode":"Ephemeral"}}'
            )
            mount("tmpfs", place, "tmpfs")
        elif kind in IN_MEMORY or (kind == "emptyDir" and source.get("medium") == "Memory"):
            mount("tmpfs", place, "tmpfs", options="size=1m" if kind in IN_MEMORY else None)
        place.chmod(0o777 if kind == "emptyDir" else 0o755)
        if kind == "emptyDir":
            if group is not None:
                os.chown(place, -1, group)
                place.chmod(0o2777)
            return place
        for secret in secrets_of(kind, source):
            self.holders.setdefault((pod.namespace, secret), []).append((pod, place, kind, source, group))
        self.fill(pod, place, kind, source, group)
        return place

    def place(self, pod, volume):
        """Where a volume of a pod is, or will be."""
        kind = kind_of(volume)
        if kind == "hostPath":
            return self.path(volume[kind]["path"])
        place = self.pod_directory(pod) / "volumes" / PLUGINS[kind] / volume["name"]
        return place / "mount" if kind == "csi" else place

    def fill(self, pod, place, kind, source, group):
        files = {}
        mode = source.get("defaultMode", 0o644)
        for path, content, own in self.contents(pod, kind, source):
            files[path] = (content, mode if own is None else own)
        write_atomically(place, files, group)

    def contents(self, pod, kind, source):
        """The files of a volume: path, content, and the mode where it has one of its own."""
        if kind == "projected":
            for part in source["sources"]:
                (inner,) = part
                if inner == "serviceAccountToken":
                    yield part[inner]["path"], b"not a token", None
                else:
                    yield from self.contents(pod, inner, part[inner])
            return
        if kind == "csi":
            objects = self.secrets[pod.namespace, source["volumeAttributes"]["secret"]]
        elif kind == "secret":
            objects = self.secrets[pod.namespace, source.get("secretName") or source["name"]]
        elif kind == "configMap":
            objects = self.config_maps[pod.namespace, source["name"]]
        elif kind == "downwardAPI":
            for item in source["items"]:
                yield item["path"], field(pod, item["fieldRef"]["fieldPath"]).encode(), item.get("mode")
            return
        else:
            raise Unsupported(f"a source of kind {kind} in a volume of {pod}")
        items = source.get("items") or [{"key": key, "path": key} for key in objects]
        for item in items:
            yield item["path"], objects[item["key"]], item.get("mode")

    def host_path(self, source, path):
        kind = source.get("type") or ""
        if kind == "DirectoryOrCreate":
            # The kubelet makes it with this mode, root's.
            path.mkdir(parents=True, exist_ok=True, mode=0o755)
        elif kind not in ("", "Directory", "Socket", "File"):
            raise Unsupported(f"a hostPath of type {kind}")
        if kind == "Directory" and not path.is_dir() or not path.exists():
            raise FileNotFoundError(f"hostPath {source['path']} is not there")
        return path

    def rotate(self, namespace, secret, files):
        """Gives a Secret other content, and rewrites the volumes that hold it, as the kubelet does within a minute or so."""
        self.secrets[namespace, secret] = files
        for holder in self.holders.get((namespace, secret), []):
            self.fill(*holder)

    def unmount(self, pod, volume):
        """Unmounts a volume as the kubelet does, once, without force, and gives the error if there was one."""
        place = self.place(pod, volume)
        try:
            unmount(place)
        except OSError as error:
            return error
        for holders in self.holders.values():
            holders[:] = [holder for holder in holders if holder[1] != place]
        shutil.rmtree(place.parent if kind_of(volume) == "csi" else place)
        return None

    def remove(self, pod):
        """Takes away a pod's volumes, directories and logs; its containers have ended."""
        for volume in pod.spec.get("volumes", []):
            if kind_of(volume) != "hostPath" and os.path.ismount(self.place(pod, volume)):
                error = self.unmount(pod, volume)
                if error:
                    raise error
        shutil.rmtree(self.pod_directory(pod))
        shutil.rmtree(self.log_directory(pod))


def kind_of(volume):
    (kind,) = (key for key in volume if key != "name")
    if kind not in PLUGINS and kind != "hostPath":
        raise Unsupported(f"a volume of kind {kind}: {volume['name']}")
    return kind


def secrets_of(kind, source):
    """The names of the Secrets that a volume holds."""
    if kind == "secret":
        return [source["secretName"]]
    if kind == "csi":
        return [source["volumeAttributes"]["secret"]]
    if kind == "projected":
        return [part["secret"]["name"] for part in source["sources"] if "secret" in part]
    return []


def field(pod, path):
    """What the downward API says of a pod."""
    known = {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": Node.NAME,
        "spec.serviceAccountName": pod.spec.get("serviceAccountName", "default"),
        "status.podIP": pod.address,
        "status.podIPs": pod.address,
        "status.hostIP": "198.18.0.1",
    }
    if path not in known:
        raise Unsupported(f"the field {path} of {pod}")
    return known[path]


def write_atomically(place, files, group=None):
    """The kubelet's AtomicWriter, in the order of newer kubelets: what users see is a link through `..data`, which is renamed over."""
    data = place / "..data"
    old = os.readlink(data) if data.is_symlink() else None
    stamp = time.strftime("..%Y_%m_%d_%H_%M_%S")
    new = place / f"{stamp}.{secrets.randbelow(10**9)}"
    new.mkdir(mode=0o700)
    new.chmod(0o755)
    for name, (content, mode) in files.items():
        file = new / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
        if group is not None:
            os.chown(file, -1, group)
            file.chmod(mode | 0o440)
    (place / "..data_tmp").symlink_to(new.name)
    os.rename(place / "..data_tmp", data)
    top = {name.split("/")[0] for name in files}
    for name in top:
        if not (place / name).is_symlink():
            (place / name).symlink_to(f"..data/{name}")
    for entry in place.iterdir():
        if not entry.name.startswith("..") and entry.name not in top:
            entry.unlink()
    if old:
        shutil.rmtree(place / old)
