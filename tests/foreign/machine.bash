# Sourced: a machine that systemd really boots (Debian 13 in systemd-nspawn), and the checks that scripts make in it. Needs root.
# EVERCERT_ROOTFS names a root file system to keep and use again; making one takes a minute or two.

if [ "$(id -u)" != 0 ]; then
    echo "${0##*/} boots a container: run it as root"
    exit 1
fi
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

. tests/foreign/needs.bash
needs systemd-nspawn=systemd-container debootstrap=debootstrap openssl=openssl

work=$(mktemp -d)
root=$work/root
nspawn=
cleanup() {
    if [ -n "$nspawn" ]; then
        kill "$nspawn" 2>/dev/null || true
        wait "$nspawn" 2>/dev/null || true
    fi
    findmnt -rno TARGET | grep "^$work/" | tac | xargs -r umount -l
    rm -rf "$work"
}
trap cleanup EXIT

# What every script finds as it was made: what it installs goes to a layer above, which goes away with it.
base=${EVERCERT_ROOTFS:-$target/machine/trixie}
if [ ! -x "$base/usr/bin/curl" ] || [ ! -x "$base/usr/bin/rpm" ]; then
    rm -rf "$base.new"
    mkdir -p "$base.new"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,libnss-systemd,procps,iproute2,curl,rpm trixie "$base.new" \
        >"$work/debootstrap.log" || { tail "$work/debootstrap.log"; exit 1; }
    rm -rf "$base"
    mv "$base.new" "$base"
fi
mkdir "$root" "$work/upper" "$work/lower"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/lower" "$root"

authority() { # authority DIRECTORY: a CA's certificate and key, as ca.crt and ca.key
    mkdir -p "$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/ca.key" -out "$1/ca.crt" -days 30 \
        -subj '/CN=Test CA' 2>/dev/null
}
issue() { # issue AUTHORITY DIRECTORY NAME: a set of NAME, as cert-manager mounts it
    mkdir -p "$2"
    cp "$1/ca.crt" "$2/ca.crt"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$2/tls.key" -out "$2/tls.crt" -days 7 \
        -CA "$1/ca.crt" -CAkey "$1/ca.key" -subj "/CN=$3" -addext "subjectAltName=DNS:$3" -addext 'basicConstraints=critical,CA:FALSE' 2>/dev/null
}

boot() {
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn -q -b -D "$root" --register=no --keep-unit --private-network \
        </dev/null >"$work/boot.log" 2>&1 &
    nspawn=$!
}
machine() { # machine COMMAND…: in the machine
    nsenter -t "$(pgrep -P "$nspawn" | head -n 1)" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
also=() # What else a failure shows the journal of, as -u NAME
failed() {
    echo "FAILED: $1"
    if [ -n "$nspawn" ]; then
        machine journalctl -b --no-pager -n 40 -u evercertd "${also[@]}" || tail "$work/boot.log"
    fi
    exit 1
}
passed=0
check() { # check SENTENCE COMMAND…
    local sentence=$1
    shift
    "$@" >"$work/out" 2>&1 || { cat "$work/out"; failed "$sentence"; }
    passed=$((passed + 1))
    echo "ok: $sentence"
}
wait_for() { # wait_for SECONDS SENTENCE COMMAND…
    local deadline=$((SECONDS + $1)) sentence=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || failed "$sentence"
        sleep 0.1
    done
    passed=$((passed + 1))
    echo "ok: $sentence"
}
fails() { ! "$@"; }
status_says() { machine systemctl show -P StatusText evercertd | grep -F "$1" >/dev/null; }
property() { machine systemctl show -P "$1" evercertd; }
journal_says() { machine journalctl -b --no-pager -u evercertd | grep -F "$1" >/dev/null; }
sockets_are() { [ "$(machine systemctl is-active evercertd-agent.socket evercertd-admin.socket evercertd-metrics.socket | sort -u)" = "$1" ]; }
