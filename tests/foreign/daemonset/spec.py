"""A container of a pod spec as containerd's CRI plugin tells it to runc: config.json of the OCI runtime specification."""

import json
import subprocess

from kubelet import Unsupported, field

# What containerd gives a container that drops nothing (pkg/oci).
DEFAULT_CAPABILITIES = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
).split()
# What containerd hides and closes in /proc and /sys.
MASKED = [
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi", "/proc/interrupts",
]  # fmt: skip
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROPAGATION = {None: "rprivate", "None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}

# The fields that are followed here or in kubelet.py and runtime.py, and those that change nothing on a node without a scheduler,
# an API server or a security module. Any other stops the test.
POD_FIELDS = set(
    "containers volumes hostPID hostUsers securityContext terminationGracePeriodSeconds serviceAccountName restartPolicy dnsPolicy "
    "automountServiceAccountToken nodeSelector tolerations affinity priorityClassName enableServiceLinks imagePullSecrets "
    "serviceAccount topologySpreadConstraints hostNetwork hostIPC".split()
)
CONTAINER_FIELDS = set(
    "name image imagePullPolicy command args env ports resources securityContext volumeMounts livenessProbe readinessProbe "
    "startupProbe terminationMessagePolicy workingDir".split()
)
CONTEXT_FIELDS = set(
    "runAsUser runAsGroup runAsNonRoot fsGroup supplementalGroups capabilities privileged readOnlyRootFilesystem "
    "allowPrivilegeEscalation seccompProfile seLinuxOptions fsGroupChangePolicy".split()
)
MOUNT_FIELDS = {"name", "mountPath", "readOnly", "mountPropagation"}


def of(pod, container, image, volumes, sandbox, cgroup, seccomp_program):
    """The configuration of `container`, whose volumes are at `volumes` on this machine."""
    context = {**pod.spec.get("securityContext", {}), **container.get("securityContext", {})}
    refuse_unknown(pod, container, context)
    user, group = identity_of(pod, container, context, image)
    capabilities = capabilities_of(context)
    linux = {
        "namespaces": namespaces_of(pod, sandbox),
        "cgroupsPath": cgroup,
        "resources": resources_of(container),
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
    }
    if pod.spec.get("hostUsers") is False:
        every = {"containerID": 0, "hostID": 1_000_000, "size": 65_536}
        linux |= {"uidMappings": [every], "gidMappings": [every]}
    if seccomp_of(context):
        printed = subprocess.run([seccomp_program, *capabilities], check=True, capture_output=True)
        linux["seccomp"] = json.loads(printed.stdout)
    process = {
        "user": {"uid": user, "gid": group, "additionalGids": groups_of(context, group)},
        "args": arguments_of(container, image),
        "env": environment_of(pod, container, image),
        "cwd": container.get("workingDir") or image.config.get("WorkingDir") or "/",
        # For another user than 0 the kernel empties all but the bounding set when the program starts.
        "capabilities": {kind: capabilities for kind in ("bounding", "effective", "permitted")},
        "noNewPrivileges": context.get("allowPrivilegeEscalation") is False,
    }
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": "rootfs", "readonly": bool(context.get("readOnlyRootFilesystem"))},
        "hostname": pod.name,
        "mounts": mounts_of(pod, container, image, volumes, sandbox),
        "linux": linux,
    }


def refuse_unknown(pod, container, context):
    for what, fields, known in (
        ("pod", pod.spec, POD_FIELDS),
        ("container", container, CONTAINER_FIELDS),
        ("securityContext", context, CONTEXT_FIELDS),
        *(("volumeMount", mount, MOUNT_FIELDS) for mount in container.get("volumeMounts", [])),
    ):
        unknown = set(fields) - known
        if unknown:
            raise Unsupported(f"{what} of {pod}: {', '.join(sorted(unknown))}")
    for name in ("hostNetwork", "hostIPC"):
        if pod.spec.get(name):
            raise Unsupported(f"{name} of {pod}")
    if context.get("privileged"):
        raise Unsupported(f"{pod} is privileged")


def identity_of(pod, container, context, image):
    user, _, group = image.config.get("User", "").partition(":")
    user = context.get("runAsUser", int(user or 0))
    if context.get("runAsNonRoot") and user == 0:
        raise Unsupported(f"{container['name']} of {pod} has runAsNonRoot and would run as root: the kubelet does not start it")
    return user, context.get("runAsGroup", int(group or 0))


def groups_of(context, group):
    groups = [group, *context.get("supplementalGroups", [])]
    return groups + ([context["fsGroup"]] if "fsGroup" in context else [])


def capabilities_of(context):
    asked = context.get("capabilities") or {}
    dropped = set(asked.get("drop", []))
    names = [] if "ALL" in dropped else [name for name in DEFAULT_CAPABILITIES if name not in dropped]
    if "ALL" in asked.get("add", []):
        raise Unsupported("a container with all capabilities")
    names += [name for name in asked.get("add", []) if name not in names]
    return ["CAP_" + name.removeprefix("CAP_") for name in names]


def seccomp_of(context):
    kind = (context.get("seccompProfile") or {}).get("type", "Unconfined")
    if kind not in ("RuntimeDefault", "Unconfined"):
        raise Unsupported(f"a seccomp profile of type {kind}")
    return kind == "RuntimeDefault"


def namespaces_of(pod, sandbox):
    # On nodes with cgroup v2, which is all that current kubelets support, each container has a cgroup namespace of its own.
    kinds = ["mount", "ipc", "uts", "cgroup"]
    kinds += [] if pod.spec.get("hostPID") else ["pid"]
    if pod.spec.get("hostUsers") is False:
        # Its network is made with its users, whose it has to be: it has no address.
        return [{"type": kind} for kind in [*kinds, "user", "network"]]
    return [{"type": kind} for kind in kinds] + [{"type": "network", "path": f"/run/netns/{sandbox.name}"}]


def resources_of(container):
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    # Two shares are the fewest that there are.
    shares = max(2, int(processors(requests.get("cpu", limits.get("cpu", "0"))) * 1024))
    told = {"cpu": {"shares": shares}, "devices": [{"allow": False, "access": "rwm"}]}
    if "memory" in limits:
        told["memory"] = {"limit": size(limits["memory"])}
    if "cpu" in limits:
        told["cpu"] |= {"period": 100_000, "quota": int(processors(limits["cpu"]) * 100_000)}
    return told


def processors(quantity):
    text = str(quantity)
    return int(text[:-1]) / 1000 if text.endswith("m") else float(text)


def size(quantity):
    """A quantity of memory in bytes."""
    text = str(quantity)
    for unit, factor in (("Ki", 2**10), ("Mi", 2**20), ("Gi", 2**30), ("k", 10**3), ("M", 10**6), ("G", 10**9)):
        if text.endswith(unit):
            return int(float(text[: -len(unit)]) * factor)
    return int(text)


def service_class(pod):
    """The class of service, as the path of the pod's control group has it."""
    resources = [container.get("resources") or {} for container in pod.spec["containers"]]
    asked = [value for part in resources for value in ((part.get("limits") or {}), (part.get("requests") or {}))]
    if not any(asked):
        return "besteffort/"
    whole = all(
        set(part.get("limits") or {}) == {"cpu", "memory"} and part["limits"] == part.get("requests", part["limits"])
        for part in resources
    )
    return "" if whole else "burstable/"


def arguments_of(container, image):
    command = container.get("command") or image.config.get("Entrypoint") or []
    # A command of the pod's leaves the image's arguments out.
    default = [] if container.get("command") else image.config.get("Cmd") or []
    arguments = [*command, *(container.get("args") or default)]
    if any("$(" in argument for argument in arguments):
        raise Unsupported(f"a variable in the arguments of {container['name']}")
    return arguments


def environment_of(pod, container, image):
    told = dict(entry.split("=", 1) for entry in [PATH, *(image.config.get("Env") or [])])
    told["HOSTNAME"] = pod.name
    for entry in container.get("env") or []:
        if "valueFrom" in entry:
            ((kind, source),) = entry["valueFrom"].items()
            if kind == "fieldRef":
                told[entry["name"]] = field(pod, source["fieldPath"])
            elif kind == "resourceFieldRef" and source["resource"] == "limits.memory":
                told[entry["name"]] = str(size(container["resources"]["limits"]["memory"]))
            else:
                raise Unsupported(f"{entry['name']} of {pod} is taken from {kind}")
        else:
            told[entry["name"]] = str(entry.get("value", ""))
    return [f"{name}={value}" for name, value in told.items()]


def mounts_of(pod, container, image, volumes, sandbox):
    def special(place, kind, *options):
        return {"destination": place, "type": kind, "source": kind, "options": list(options)}

    mounts = [
        special("/proc", "proc", "nosuid", "noexec", "nodev"),
        special("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        special("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        special("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        special("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        special("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        special("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
    ]

    def bind(source, place, *options):
        return {"destination": place, "type": "bind", "source": str(source), "options": ["rbind", *options]}

    read_only = bool(container.get("securityContext", {}).get("readOnlyRootFilesystem"))
    mounts += [
        bind(sandbox.pod_directory / "etc-hosts", "/etc/hosts", "rprivate", "rw"),
        bind(sandbox.directory / "hostname", "/etc/hostname", "rprivate", "ro" if read_only else "rw"),
        bind(sandbox.directory / "resolv.conf", "/etc/resolv.conf", "rprivate", "ro" if read_only else "rw"),
        bind(sandbox.pod_directory / f"containers/{container['name']}/0", "/dev/termination-log", "rprivate", "rw"),
    ]
    mounts += [bind(source, place, "rprivate", "ro") for source, place in image.mounts]
    for mount in container.get("volumeMounts") or []:
        propagation = PROPAGATION[mount.get("mountPropagation")]
        mode = "ro" if mount.get("readOnly") else "rw"
        mounts.append(bind(volumes[mount["name"]], mount["mountPath"], propagation, mode))
    return mounts
