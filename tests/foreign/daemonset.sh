#!/usr/bin/env bash
# The chart's DaemonSet really run, in both modes: helm renders it, and its pod becomes a runc container (namespaces, mounts and their
# propagation, capabilities, containerd's seccomp profile, limits) of the image that packaging/ makes, on a node with the kubelet's
# directories of 50 pods. The samples' greeters run beside it in containers of their own. Needs root. All of it is in namespaces of its own, but
# for control groups below /kubepods, which are taken away again.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The longest that one case may take, in seconds: far longer than it does.
LIMIT=300

if [ "$(id -u)" != 0 ]; then
    echo 'daemonset.sh runs containers: run it as root'
    exit 1
fi
. tests/foreign/needs.bash
needs runc=runc ip=iproute2 umoci=umoci jq=jq

work=$(mktemp -d)
# Other users run programs in it.
chmod 0755 "$work"
: >"$work/made"
hierarchies() { awk '/ - cgroup2? /{ print $5 }' /proc/self/mountinfo; }
above=$(for hierarchy in $(hierarchies); do find "$hierarchy"/kubepods -maxdepth 1 -type d 2>/dev/null || true; done)
cleanup() {
    local id path hierarchy directory
    # The processes have ended with their PID namespace, and the mounts with their namespace.
    while read -r id path; do
        for hierarchy in $(hierarchies); do
            directory=$hierarchy$path
            for _ in $(seq 1 50); do
                [ ! -d "$directory" ] || rmdir "$directory" 2>/dev/null || { sleep 0.1 && continue; }
                break
            done
            rmdir "${directory%/*}" 2>/dev/null || true
        done
    done <"$work/made"
    for hierarchy in $(hierarchies); do
        for directory in "$hierarchy"/kubepods/{burstable,besteffort} "$hierarchy/kubepods"; do
            grep -qxF "$directory" <<<"$above" || rmdir "$directory" 2>/dev/null || true
        done
    done
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT

venv_into "$work/venv" pyyaml==6.0.4 cryptography==50.0.2
. tests/foreign/go.bash
go_by_venv "$work/venv"
go build -C tests/foreign/daemonset/seccomp -buildvcs=false -o "$work/seccomp" .

. tests/foreign/helm.bash
helm_into "$work"
export HELM_CACHE_HOME=$work/.helm HELM_CONFIG_HOME=$work/.helm HELM_DATA_HOME=$work/.helm
render() { # render FILE VALUES [ARGUMENTS…]
    local file=$1 values=$2
    shift 2
    "$work/helm" template evercertd kubernetes/chart \
        --namespace evercert --values "tests/foreign/daemonset/values/$values.yaml" "$@" >"$work/$file.yaml"
}

cargo build -q --release --workspace --bin greeter-server --bin greeter-client
packaging/image.sh "$work/image" >/dev/null

export PYTHONDONTWRITEBYTECODE=1
passed=0
for case in observer publisher secured; do
    render "$case" "$case"
    render "$case-changed" "$case" --set config.watch.tick=5s
    mkdir "$work/$case"
    # Its first process reaps those that nobody waits for, as a node's does.
    timeout --kill-after=10 "$LIMIT" unshare --mount --propagation private --net --ipc --uts --pid --fork --kill-child --mount-proc \
        bash -c '"$@"; exit $?' init "$work/venv/bin/python" tests/foreign/daemonset/main.py "$case" \
        --directory "$work/$case" --chart "$work/$case.yaml" --changed "$work/$case-changed.yaml" \
        --sample "kubernetes/samples/${case/secured/observer}.yaml" --image "$work/image" --programs "${CARGO_TARGET_DIR:-target}/release" \
        --seccomp "$work/seccomp" --made "$work/made" --passed "$work/passed"
    passed=$((passed + $(cat "$work/passed")))
done

echo 'not tried: AppArmor and SELinux, which are the machine'"'"'s, and the score for the OOM killer, which not every root may lower'
printf '%s passed, 0 failed\n' "$passed"
