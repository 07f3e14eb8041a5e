#!/usr/bin/env bash
# Checks the units under systemd/: `systemd-analyze verify` has to say nothing (it exits 0 on unknown keys), the
# exposure has to stay under a bound, and sysusers.d and tmpfiles.d have to parse. Root is needed only to install
# systemd where it is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

# In tenths. 1.5: nothing but reading is allowed, but as root, with CAP_DAC_READ_SEARCH, and seeing all processes and, by
# CAP_SYS_PTRACE, their namespaces.
THRESHOLD=${EVERCERT_EXPOSURE:-15}

. tests/foreign/needs.bash
needs systemd-analyze=systemd

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The program need not be installed for its unit to be checked; /bin/true stands in.
root=$work/units
mkdir -p "$root"
cp systemd/*.service systemd/*.socket "$root"
sed -i -E 's#^(ExecStart|ExecReload)=/usr/bin/evercertd .*#\1=/bin/true#' "$root/evercertd.service"

version=$(systemd-analyze --version | awk 'NR == 1 { print $2 }')

verify() {
    local said
    said=$(SYSTEMD_UNIT_PATH="$root:" systemd-analyze verify --man=no "$@" 2>&1) || { echo "$said"; return 1; }
    if [ -n "$said" ]; then
        echo "$said"
        return 1
    fi
}
verify "$root"/evercertd.service "$root"/evercertd-*.socket
echo "systemd-analyze $version verify: silent"

systemd-analyze security --offline=true --no-pager --threshold="$THRESHOLD" "$root/evercertd.service" >"$work/security" || {
    cat "$work/security"
    exit 1
}
tail -n 1 "$work/security"

for kind in sysusers tmpfiles; do
    tool=systemd-$kind
    command -v "$tool" >/dev/null || { echo "$tool is not here: install systemd's"; exit 1; }
    mkdir -p "$work/root/etc"
    arguments=(--root="$work/root")
    [ "$kind" = tmpfiles ] && arguments+=(--create)
    said=$("$tool" "${arguments[@]}" - <"systemd/$kind.d/evercert.conf" 2>&1) || { echo "$said"; exit 1; }
done
grep -q "^evercert-admin:" "$work/root/etc/group" || { echo "sysusers.d made no group evercert-admin"; exit 1; }
test -d "$work/root/run/evercert/agent"
echo "sysusers.d and tmpfiles.d: applied"
printf '3 passed, 0 failed\n'
