"""Whether the daemon has what its manifest gives it, and no more."""

import errno
import os
from pathlib import Path

from linux import in_mounts_of

AGENT = "/run/evercert/agent"
# linux/capability.h
NUMBERS = {"CAP_DAC_READ_SEARCH": 2, "CAP_SYS_PTRACE": 19}


def check(cluster, capabilities, shared):
    """Looks at the daemon's first process from outside: `shared` are the namespaces of the node that it is in."""
    checks, pid = cluster.checks, cluster.daemon.pid
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    mask = f"{sum(1 << NUMBERS[name] for name in capabilities):016x}"
    found = {kind: status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
    names = " and ".join(sorted(capabilities))
    expected = {"Inh": "0" * 16, "Prm": mask, "Eff": mask, "Bnd": mask, "Amb": "0" * 16}
    checks.equal(f"it has {names} in effect, and can get no other capability", found, expected)
    checks.equal("it is user 0 of the node", (status["Uid"].split()[1], status["Gid"].split()[1]), ("0", "0"))
    checks.equal("it runs under a seccomp filter", status["Seccomp"], "2")
    checks.equal("and gets no new privileges", status["NoNewPrivs"], "1")
    same = {kind for kind in ("pid", "mnt", "net", "ipc", "uts", "cgroup", "user") if namespace(pid, kind) == namespace(1, kind)}
    checks.equal(f"it shares with the node no namespaces but {' and '.join(sorted(shared))}", same, shared)

    closed = ("/", "/usr", "/etc/evercert", "/var/lib/kubelet/pods", "/var/log/pods")
    found = {path: attempt_in(pid, path) for path in closed}
    sentence = "not even root could write to its root, its configuration and the kubelet's files"
    checks.equal(sentence, found, dict.fromkeys(closed, "EROFS"))
    own = ("/run/evercert/agent", "/run/evercert-admin", "/var/lib/evercert")
    found = {path: attempt_in(pid, path) for path in own}
    checks.equal("but to its own directories", found, dict.fromkeys(own, "written"))


def check_of_greeter(cluster, container):
    """What a pod sees of the daemon."""
    pid, checks = container.pid, cluster.checks
    checks.equal("a pod that mounts the agent's directory sees its socket and a lock alone", listed(pid, AGENT), "['agent.sock', 'agent.sock.lock']")
    checks.equal("and could not put another in its place, even as root", attempt_in(pid, AGENT), "EROFS")


def listed(pid, directory):
    return in_mounts_of(pid, lambda: sorted(os.listdir(directory)))


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def attempt_in(pid, directory):
    """What comes of writing to a directory as process `pid` sees it, as root with all capabilities."""
    return in_mounts_of(pid, lambda: attempt(directory))


def attempt(directory):
    file = Path(directory, ".attempt")
    try:
        file.touch()
    except OSError as error:
        return errno.errorcode[error.errno]
    file.unlink()
    return "written"
