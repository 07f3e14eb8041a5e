"""The mode "publisher": it sees the node's processes, and gives each pod what is mounted in it and nothing else."""

import os
import subprocess

import observer
import privileges
from calls import FREE, PORT, Calls, Question
from cluster import AGENT_DIRECTORY, PODS
from tls import shown_by

# A volume besides "tls", which one pod alone has.
ALONE = "ledger"
# Of the node, by the values of the chart: for the pod of the client, and for whom the key file's mode lets in.
FOR_A_POD, FOR_READERS = "for-a-pod", "for-readers"
NOBODYS_USER = 30_001
ADMIN_SOCKET = "/run/evercert-admin/admin.sock"


def run(cluster, chart, changed):
    pods = [cluster.bare_pod(number) for number in range(PODS - 2)]
    cluster.secret(pods[0].namespace, ALONE, "ledger.example.org")
    cluster.node.mount(pods[0], {"name": ALONE, "secret": {"secretName": ALONE}})
    identities_of_the_node(cluster)
    without_capability(cluster, chart)
    cluster.deploy(chart)
    cluster.probed()
    privileges.check(cluster, {"CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"}, shared={"user", "pid"})
    calls = Calls(cluster)
    own_volumes(cluster, calls)
    nothing_else(cluster, calls)
    users_of_its_own(cluster)
    root = pod_of_root(cluster)
    admin_socket(cluster, root)
    lock_the_next_out(root)
    observer.upgrade(cluster, calls, changed, attested=True)
    said = cluster.daemon.output()
    cluster.checks.holds("a daemon starts although a pod holds the lock, and says so", "passed over" in said, said)
    cluster.memory()


def identities_of_the_node(cluster):
    directory = cluster.node.path("/etc/node-tls")
    directory.mkdir(parents=True)
    for name, content in cluster.authority.issue("node.example.org").items():
        (directory / name).write_bytes(content)
    (directory / "tls.key").chmod(0o600)


def without_capability(cluster, chart):
    cluster.deploy(chart.without("SYS_PTRACE"))
    cluster.probed()
    answer = Question.of_user(cluster, 0, FOR_READERS).answer()
    sentence = "without SYS_PTRACE it cannot tell processes of the node from those in containers, and gives them nothing"
    cluster.checks.equal(sentence, answer, "does not permit it")
    cluster.checks.holds("it stops at SIGTERM", cluster.runtime.remove_pod(cluster.daemon.pod))


def own_volumes(cluster, calls):
    checks = cluster.checks
    observer.reports(cluster, calls, attested=True)
    for name, container in calls.containers().items():
        (one,) = cluster.identities()[f"{name}/tls"]["subscribers"]
        found = (one["pod"]["uid"], one["uid"], one["deliver"])
        checks.equal(f"{name} is known by its pod, and handed the key", found, (container.pod.uid, container.user, "full"))
    server = calls.server.pod
    leaf = cluster.identities()[f"{server}/tls"]["leaf"]["sha256"]
    checks.equal("the greeter shows the certificate of its own volume", shown_by(server.address, PORT), leaf)
    renewed = cluster.secret(server.namespace, server.name, "greeter.shop.svc", server.address)
    checks.until("and the new one when that is renewed", lambda: shown_by(server.address, PORT) == renewed)
    calls.go_on("and no call fails over it")


def nothing_else(cluster, calls):
    checks = cluster.checks
    for container, name, answer, sentence in (
        (calls.server, ALONE, "does not know it", "a pod that asks for another pod's volume is told that there is none"),
        (calls.client, FOR_A_POD, "greeting on", "an identity of the node is for the pod that is allowed to have it"),
        (calls.server, FOR_A_POD, "does not permit it", "and for no other"),
    ):
        checks.equal(sentence, Question.of_container(container, name).answer(), answer)
    for user, name, answer, sentence in (
        (NOBODYS_USER, "tls", "does not know it", "a process of the node that no rule is for gets nothing of a pod"),
        (NOBODYS_USER, ALONE, "does not know it", "whatever it asks for"),
        (NOBODYS_USER, FOR_A_POD, "does not permit it", "nor what is for a pod"),
        (0, ALONE, "does not know it", "nor does root get what is a pod's"),
        (0, FOR_READERS, "greeting on", "it gets an identity whose key file it may read"),
        (NOBODYS_USER, FOR_READERS, "does not permit it", "and none whose key file it may not read"),
    ):
        checks.equal(sentence, Question.of_user(cluster, user, name).answer(), answer)


def users_of_its_own(cluster):
    """A pod with hostUsers: false, in which the daemon's user has no name, whatever its mounts are mapped to."""
    cluster.secret("shop", "greeter-alone", "alone.shop.svc")
    env = [{"name": "EVERCERT_SOCKET_OWNER", "value": "65534"}]
    pod = cluster.sample.pod("greeter-alone", 1_000, [FREE], env, hostUsers=False, terminationGracePeriodSeconds=5)
    greeter = cluster.greeter("greeter-server", pod)
    cluster.checks.until("a pod with users of its own gets its own, too", lambda: "greeting on" in greeter.output())
    answer = Question.of_container(greeter, FOR_READERS).answer()
    cluster.checks.equal("and as root of its own nothing of the node", answer, "does not permit it")
    cluster.runtime.remove_pod(pod)


def pod_of_root(cluster):
    """A pod that runs as root. It has the directory of the admin socket besides, as no pod has that is not given it."""
    cluster.secret("shop", "greeter-root", "root.shop.svc")
    directory = os.path.dirname(ADMIN_SOCKET)
    admin = {"name": "admin", "hostPath": {"path": directory, "type": "Directory"}}
    greeter = cluster.greeter("greeter-server", cluster.sample.pod("greeter-root", 0, [FREE], more_volumes=[(admin, directory)]))
    cluster.checks.until("a pod may run as root", lambda: "greeting on" in greeter.output())
    answer = Question.of_container(greeter, FOR_READERS).answer()
    cluster.checks.equal("and is not taken for root of the node", answer, "does not permit it")
    return greeter


def admin_socket(cluster, root):
    checks = cluster.checks
    status, printed, error = cluster.daemon.execute(*cluster.command("status"))
    checks.holds("the status is shown in the daemon's own pod, as to kubectl exec", status == 0 and "0 rejected" in printed, error)
    command = [cluster.images["evercertd"].program(), "status", "--socket", cluster.node.path(ADMIN_SOCKET)]
    done = subprocess.run(command, capture_output=True, text=True)
    checks.holds("and to root of the node", done.returncode == 0 and "0 rejected" in done.stdout, done.stderr)
    for command in ("status", "trust list", "reload"):
        status, printed, error = root.execute("/app/evercertd", *command.split())
        refused = status != 0 and "not for callers from pods" in error
        checks.holds(f"a pod that has the admin socket is refused `evercertd {command}`", refused, printed + error)


def lock_the_next_out(root):
    """Has a pod of root wait for the lock beside the agent's socket, which it gets as soon as the daemon lets go of it."""
    script = f"exec 9<{AGENT_DIRECTORY}/agent.sock.lock && flock --exclusive 9 && exec sleep 600"
    subprocess.run(root.runtime.command("exec", "--detach", root.id, "/bin/sh", "-c", script), check=True)
