// A greeter in Go as its guides secure it: TLS or mutual TLS, a bearer token per call, interceptors for unary calls and for streams,
// a table of the roles that each method asks for, and grpc.health.v1. tests/foreign/secured.sh has it talk to ours.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"os"
	"path/filepath"
)

var (
	directory = flag.String("dir", "", "the directory with tls.crt, tls.key and ca.crt")
	mutual    = flag.Bool("mtls", false, "show a certificate, and ask for one")
	address   = flag.String("addr", "", "where the server listens, or is")
	tokenFile = flag.String("token-file", "", "the client's token; the server asks for none without -key-file")
	keyFile   = flag.String("key-file", "", "the public key, PEM, that the server verifies tokens with")
	method    = flag.String("method", "SayHello", "SayHello, KeepGreeting or Check")
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("client or server?")
	}
	role := os.Args[1]
	os.Args = os.Args[1:]
	flag.Parse()
	switch role {
	case "client":
		call()
	case "server":
		serve()
	default:
		log.Fatalf("client or server, not %q", role)
	}
}

func file(name string) string { return filepath.Join(*directory, name) }

func trusted() *x509.CertPool {
	bundle, err := os.ReadFile(file("ca.crt"))
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	return pool
}

func own() []tls.Certificate {
	identity, err := tls.LoadX509KeyPair(file("tls.crt"), file("tls.key"))
	if err != nil {
		log.Fatal(err)
	}
	return []tls.Certificate{identity}
}
