#!/usr/bin/env bash
# `evercertd check --format sarif` held against the schema of SARIF 2.1.0 and the further rules of the standard, by Microsoft's validator, whose package has the
# schema, over inputs that are clean, warned of, rejected, unreadable, and told of for later. EVERCERTD=PROGRAM spares the build.
set -euo pipefail
cd "$(dirname "$0")/../.."

# MIT; its program is for x86-64, and is fetched for the test alone.
VALIDATOR=@microsoft/sarif-multitool-linux@5.7.0

. tests/foreign/needs.bash
. tests/foreign/checks.bash
needs openssl=openssl python3=python3
needs_npm

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
needs_evercertd
venv_into "$work/venv" jsonschema==4.26.0 rfc3986-validator==0.1.1
# Its one script of installation makes the program executable, which is done here.
npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$work" "$VALIDATOR"
tool=$work/node_modules/${VALIDATOR%@*}
chmod u+x "$tool/Sarif.Multitool"
# It is a .NET program, for which not every machine has the tables of languages.
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1

# An identity that is well, one whose chain holds its root, one that is a CA's certificate with another's key, and names that a URI cannot hold as they are.
certs="$work/certs of a node"
mkdir -p "$certs"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/ca.key" -out "$work/ca.crt" -days 30 -subj '/CN=Test CA' 2>/dev/null
for name in clean 'wärned?' rejected; do
    mkdir "$certs/$name"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$certs/$name/tls.key" -out "$certs/$name/tls.crt" -days 20 \
        -CA "$work/ca.crt" -CAkey "$work/ca.key" -subj /CN=server.example.org -addext subjectAltName=DNS:server.example.org \
        -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth,clientAuth 2>/dev/null
    cp "$work/ca.crt" "$certs/$name/ca.crt"
done
cp "$work/ca.crt" "$certs/rejected/tls.crt"
{ echo; cat "$work/ca.crt"; } >>"$certs/wärned?/tls.crt"
cp "$work/ca.crt" "$work/key.pem"

# What is wrong with a report: the schema's word, then the validator's.
conforms() { # conforms REPORT
    "$work/venv/bin/python" - "$tool/sarif-2.1.0.json" "$1" <<'PYTHON' && "$tool/Sarif.Multitool" validate "$1" --json-schema "$tool/sarif-2.1.0.json" \
        --output "$1.judged" --log ForceOverwrite >"$1.said" && ! grep ': error ' "$1.said" && grep 'Analysis completed successfully' "$1.said"
import json, sys
import jsonschema

schema, report = (json.load(open(path)) for path in sys.argv[1:])
kind = jsonschema.validators.validator_for(schema)
kind.check_schema(schema)
faults = list(kind(schema, format_checker=kind.FORMAT_CHECKER).iter_errors(report))
for fault in faults:
    print(f"{fault.json_path}: {fault.message}")
sys.exit(bool(faults))
PYTHON
}
judged() { # judged STATUS RESULTS ARGUMENT…: a report with at least so many results, and this exit status
    local status=0 wanted=$1 results=$2
    shift 2
    "$EVERCERTD" check --format sarif "$@" >"$work/report.sarif" || status=$?
    [ "$status" = "$wanted" ] || { echo "exit status $status"; return 1; }
    python3 -c 'import json, sys; count = len(json.load(open(sys.argv[1]))["runs"][0]["results"]); sys.exit(f"{count} results" if count < int(sys.argv[2]) else 0)' \
        "$work/report.sarif" "$results" && conforms "$work/report.sarif"
}
spoiled() { # spoiled EXPRESSION: a report that was spoiled by it does not conform
    python3 -c 'import json, sys
report = json.load(open(sys.argv[1])); result = report["runs"][0]["results"][0]
exec(sys.argv[2])
json.dump(report, open(sys.argv[3], "w"))' "$work/report.sarif" "$1" "$work/spoiled.sarif" && ! conforms "$work/spoiled.sarif"
}
from_there() { (cd "$certs" && "$@"); }
check 'what is clean' judged 0 0 "$certs/clean"
check 'what is warned of, or only worth knowing' judged 0 1 "$certs/wärned?"
check 'what cannot be read' judged 3 1 "$work/nowhere" "$work/key.pem"
check 'what fails later' judged 2 1 "$certs/clean" --until +400d
check 'names that are relative to where the command runs' from_there judged 2 2 .
check 'what is rejected' judged 2 2 "$certs" --host other.example.org
check 'a level that there is not is found' spoiled 'result["level"] = "fatal"'
check 'a property that there is not is found' spoiled 'result["colour"] = "red"'
check 'a line before the first is found' spoiled 'result["locations"][0]["physicalLocation"]["region"] = {"startLine": 0}'
check 'a path that is no URI is found' spoiled 'result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] = "a b%"'
summary
