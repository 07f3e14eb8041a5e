"""The mode "observer": one capability, nothing of the node but files, and pods that open their own mounts."""

import copy
import os

import privileges
from calls import Calls
from cluster import NAMESPACES, PODS, identity_name

# The greeters are two of the pods.
BARE = PODS - 2
ANOTHER_USER = 12_345
# One of each kind of volume has its key for another user alone, as a CSI driver may lay it out.
KEPT = (0, 1, 2)
CHECKSUM = "checksum/config"


def run(cluster, chart, changed):
    other_configuration(cluster, chart, changed)
    pods = [cluster.bare_pod(number) for number in range(BARE)]
    for number in KEPT:
        keep_from_others(cluster, pods[number])
    without_capability(cluster, chart)
    discovery(cluster, chart)
    privileges.check(cluster, {"CAP_DAC_READ_SEARCH"}, shared={"user"})
    uid = {"name": "EVERCERT_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    # The server's pod is told by what it serves, as the sample does, and the client's by its UID.
    calls = Calls(cluster, [{"name": "EVERCERT_IDENTITY", "value": "tls"}, uid])
    privileges.check_of_greeter(cluster, calls.server)
    reports(cluster, calls, attested=False)
    rotation(cluster, calls)
    volumes_come_and_go(cluster, pods)
    upgrade(cluster, calls, changed, attested=False)
    reboot(cluster, calls)
    cluster.memory()


def identity(number):
    return f"{NAMESPACES[number % len(NAMESPACES)]}/api-{number}/{identity_name(number)}"


def keep_from_others(cluster, pod):
    key = next(cluster.node.place(pod, pod.spec["volumes"][0]).glob("..data/**/tls.key"))
    os.chown(key, ANOTHER_USER, ANOTHER_USER)
    key.chmod(0o600)


def other_configuration(cluster, chart, changed):
    """Whether the pods of a DaemonSet are replaced when its configuration changes, and when nothing does."""
    before, after = copy.deepcopy(chart.template), copy.deepcopy(changed.template)
    hashes = {template["metadata"]["annotations"].pop(CHECKSUM) for template in (before, after)}
    cluster.checks.equal("another configuration is another pod, by its hash", len(hashes), 2)
    cluster.checks.equal("and by nothing else", after, before)


def without_capability(cluster, chart):
    cluster.deploy(chart.without("DAC_READ_SEARCH"))
    cluster.probed("startupProbe")
    readable = {identity(number) for number in range(BARE) if number not in KEPT}
    cluster.checks.until(
        "without its capability it publishes what root may read, and no key that is another user's alone",
        lambda: {name for name, one in cluster.identities().items() if one["generation"]} == readable,
    )
    cluster.checks.holds("it stops at SIGTERM", cluster.runtime.remove_pod(cluster.daemon.pod))


def discovery(cluster, chart):
    checks = cluster.checks
    cluster.deploy(chart)
    cluster.probed()
    found = cluster.identities()
    checks.equal(f"{BARE} pods' certificates are found, each by its pod's name", set(found), {identity(n) for n in range(BARE)})
    checks.equal("all are published, also keys that are another user's alone", {one["generation"] for one in found.values()}, {1})
    checks.equal("and none has a finding", [one["findings"] for one in found.values() if one["findings"]], [])
    lines = cluster.metrics().splitlines()
    published = [line for line in lines if line.startswith("evercert_identity_published{") and line.endswith(" 1")]
    checks.equal("the metrics show each of them", len(published), BARE)


def reports(cluster, calls, attested, again=""):
    """Whether each greeter is shown at its pod's identity, once, with what it serves, and as known by the kernel or by its word."""
    names = [f"{pod}/tls" for pod in calls.containers()]

    def shown(found, name):
        subscribers = found.get(name, {}).get("subscribers", [])
        states = [(one["state"] in ("current", "settled"), one["unattested"]) for one in subscribers]
        return states == [(True, not attested)]

    def are_shown():
        found = cluster.identities()
        return all(shown(found, name) for name in names)

    how = "as attested" if attested else "as unattested"
    cluster.checks.until(f"the greeters' reports are shown, {how}{again}", are_shown)


def rotation(cluster, calls):
    checks = cluster.checks
    old = cluster.identities()
    fingerprint = cluster.secret("search", "api-5", "api-5.search.svc")
    leaf = lambda: cluster.identities()[identity(5)]["leaf"]["sha256"]
    checks.until("a rotation is seen", lambda: leaf() == fingerprint)
    now = cluster.identities()
    changed = {name: now[name]["generation"] for name in old if now[name]["generation"] != old[name]["generation"]}
    checks.equal("and is that of one identity", changed, {identity(5): 2})
    server = calls.server.pod
    cluster.secret(server.namespace, server.name, "greeter.shop.svc", server.address)
    checks.until("a greeter's is seen, too", lambda: cluster.generation(f"{server}/tls") == 2)
    reports(cluster, calls, attested=False, again=", with what they serve then")
    calls.go_on("and no call fails over it")


def volumes_come_and_go(cluster, pods):
    checks = cluster.checks
    errors = [cluster.node.unmount(pod, pod.spec["volumes"][0]) for pod in pods[:9]]
    checks.equal("volumes that are watched are unmounted at the first try, nine of nine", errors, [None] * 9)
    gone = {identity(number) for number in range(9)}
    checks.until("and their identities go with them", lambda: not gone & set(cluster.identities()))
    new = cluster.bare_pod(BARE)
    checks.until("a volume that is mounted while the daemon runs is found", lambda: cluster.generation(identity(BARE)) == 1)
    cluster.node.remove(new)
    checks.until("and gone with its pod", lambda: identity(BARE) not in cluster.identities())
    cluster.probed("readinessProbe")


def upgrade(cluster, calls, changed, attested):
    """As a DaemonSet with maxSurge 0 does it: the old container ends, then a new pod is started."""
    checks = cluster.checks
    before = calls.count()
    checks.holds("the old container ends at SIGTERM", cluster.runtime.remove_pod(cluster.daemon.pod))
    calls.go_on("calls go on without a daemon")
    cluster.deploy(changed)
    cluster.probed()
    cluster.socket_is_seen(calls.containers().values())
    reports(cluster, calls, attested, again=", by the new daemon")
    calls.go_on("and calls go on")
    checks.holds(f"{calls.count() - before} calls were made over the upgrade, and 0 failed", True)


def reboot(cluster, calls):
    checks = cluster.checks
    names = set(cluster.identities())
    cluster.daemon.kill()
    checks.holds("a node that loses its power leaves the socket's file behind", cluster.agent_socket().is_socket())
    cluster.restart()
    cluster.probed()
    checks.equal("all is found again, by its name", set(cluster.identities()), names)
    cluster.socket_is_seen(calls.containers().values())
    reports(cluster, calls, attested=False, again=", after it")
