// Prints containerd's default seccomp profile, which is what RuntimeDefault means, for a process with the capabilities that are given.
package main

import (
	"encoding/json"
	"os"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func main() {
	capabilities := &specs.LinuxCapabilities{Bounding: os.Args[1:]}
	spec := &specs.Spec{Process: &specs.Process{Capabilities: capabilities}, Linux: &specs.Linux{}}
	if err := json.NewEncoder(os.Stdout).Encode(seccomp.DefaultProfile(spec)); err != nil {
		panic(err)
	}
}
