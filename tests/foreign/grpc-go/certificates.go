package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log"
	"os"
	"path/filepath"
)

// material is one set of the kubelet's volume that CERTIFICATES names.
type material struct {
	identity tls.Certificate
	trusted  *x509.CertPool
}

// mounted reads the set that is mounted now; one that is swapped away meanwhile is read anew.
func mounted() material {
	for {
		found, err := read()
		if err == nil {
			return found
		}
		if !errors.Is(err, fs.ErrNotExist) {
			log.Fatal(err)
		}
	}
}

func read() (material, error) {
	volume := os.Getenv("CERTIFICATES")
	set, err := os.Readlink(filepath.Join(volume, "..data"))
	if err != nil {
		return material{}, err
	}
	file := func(name string) string { return filepath.Join(volume, set, name) }
	identity, err := tls.LoadX509KeyPair(file("tls.crt"), file("tls.key"))
	if err != nil {
		return material{}, err
	}
	bundle, err := os.ReadFile(file("ca.crt"))
	if err != nil {
		return material{}, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(bundle)
	return material{identity, trusted}, nil
}

// clientTLS shows at each handshake what is mounted then.
func clientTLS() *tls.Config {
	return &tls.Config{
		ServerName: "localhost",
		RootCAs:    mounted().trusted,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			identity := mounted().identity
			return &identity, nil
		},
	}
}

// serverTLS shows and trusts at each handshake what is mounted then.
func serverTLS() *tls.Config {
	return &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now := mounted()
			return &tls.Config{
				Certificates: []tls.Certificate{now.identity},
				ClientCAs:    now.trusted,
				ClientAuth:   tls.RequireAndVerifyClientCert,
				NextProtos:   []string{"h2"},
			}, nil
		},
		NextProtos: []string{"h2"},
	}
}
