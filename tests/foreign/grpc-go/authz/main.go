// What grpc-go decides: reads leaves, policies and calls, loads each policy with package authz and makes the calls to a server of its own
// over HTTP/2, on connections whose credentials say that the peer showed this leaf. Writes what each leaf is called, and then a line for
// each policy.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sync/atomic"

	"google.golang.org/grpc/authz"
	"google.golang.org/grpc/authz/audit"
	"google.golang.org/grpc/credentials"
)

// A leaf by its DER, or none; without TLS there is none either.
type peerKind struct {
	TLS  bool   `json:"tls"`
	Leaf []byte `json:"leaf"`
}

type header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

type call struct {
	Peer    int      `json:"peer"`
	Path    string   `json:"path"`
	Headers []header `json:"headers"`
}

type policyCase struct {
	Policy []byte `json:"policy"`
	Calls  []call `json:"calls"`
}

type input struct {
	Peers []peerKind   `json:"peers"`
	Cases []policyCase `json:"cases"`
}

// The names of a leaf that count, or why Go does not read it.
type names struct {
	Names []string `json:"names"`
	Error string   `json:"error"`
}

type decision struct {
	Code  string  `json:"code"`
	Event []event `json:"events"`
}

type event struct {
	Rule       string `json:"rule"`
	Authorized bool   `json:"authorized"`
}

type verdict struct {
	Error     string     `json:"error"`
	Decisions []decision `json:"decisions"`
}

// The events of the call that is being decided: one at a time is.
var events atomic.Pointer[[]event]

// A logger under the name of the only one that there is, in its place.
type recorder struct{ audit.LoggerConfig }

func (recorder) Name() string                                                    { return "stdout_logger" }
func (r recorder) ParseLoggerConfig(json.RawMessage) (audit.LoggerConfig, error) { return r, nil }
func (r recorder) Build(audit.LoggerConfig) audit.Logger                         { return r }
func (recorder) Log(e *audit.Event) {
	list := append(*events.Load(), event{e.MatchedRule, e.Authorized})
	events.Store(&list)
}

func main() {
	audit.RegisterLoggerBuilder(recorder{})
	var in input
	if err := json.NewDecoder(bufio.NewReader(os.Stdin)).Decode(&in); err != nil {
		log.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	infos := make([]credentials.AuthInfo, len(in.Peers))
	called := make([]names, len(in.Peers))
	for i, peer := range in.Peers {
		infos[i], called[i] = know(peer)
	}
	write(out, called)

	server := serve(infos)
	for _, c := range in.Cases {
		write(out, decide(server, c))
	}
}

func write(out *json.Encoder, line any) {
	if err := out.Encode(line); err != nil {
		log.Fatal(err)
	}
}

// What the credentials of a connection of this peer say. A leaf that Go does not read ends a handshake, so nothing is asked for its peer.
func know(peer peerKind) (credentials.AuthInfo, names) {
	switch {
	case !peer.TLS:
		return plaintext{}, names{}
	case len(peer.Leaf) == 0:
		return credentials.TLSInfo{}, names{}
	}
	leaf, err := x509.ParseCertificate(peer.Leaf)
	if err != nil {
		return nil, names{Error: err.Error()}
	}
	known := names{}
	switch {
	case len(leaf.URIs) > 0:
		for _, uri := range leaf.URIs {
			known.Names = append(known.Names, uri.String())
		}
	case len(leaf.DNSNames) > 0:
		known.Names = leaf.DNSNames
	default:
		known.Names = []string{leaf.Subject.String()}
	}
	return credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}}, known
}

func decide(server *server, c policyCase) (v verdict) {
	interceptor, err := load(string(c.Policy))
	if err != nil {
		return verdict{Error: err.Error()}
	}
	server.interceptor.Store(interceptor)
	for _, call := range c.Calls {
		events.Store(&[]event{})
		code := server.call(call)
		v.Decisions = append(v.Decisions, decision{code, *events.Load()})
	}
	return v
}

// Package authz panics on a logger that is null.
func load(policy string) (interceptor *authz.StaticInterceptor, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	return authz.NewStatic(policy)
}
