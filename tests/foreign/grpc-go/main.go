// The official cases by grpc-go's own interop package, as tests/src/bin/interop/cases.rs asks for them, its health for probes, and its server to be
// measured.
package main

import (
	"log"
	"os"

	_ "google.golang.org/grpc/encoding/gzip"
)

const wholeStreams = "grpc-go compresses all messages of a stream or none"

func main() {
	switch os.Args[1] {
	case "client":
		call()
	case "server":
		serve()
	case "bench":
		serveBench()
	case "health":
		serveHealth(os.Args[2])
	default:
		log.Fatalf("bench, client, server or health, not %q", os.Args[1])
	}
}
