package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	pb "google.golang.org/grpc/health/grpc_health_v1"
)

// slow never answers for the service of that name.
type slow struct{ *health.Server }

func (s slow) Check(ctx context.Context, request *pb.HealthCheckRequest) (*pb.HealthCheckResponse, error) {
	if request.Service == "slow" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Server.Check(ctx, request)
}

// serveHealth serves grpc-go's health without TLS, with TLS and with client certificates, of the files in a directory, and says where. A
// fourth server of plain gRPC has no health.
func serveHealth(directory string) {
	at := func(name string) string { return filepath.Join(directory, name) }
	own, err := tls.LoadX509KeyPair(at("tls.crt"), at("tls.key"))
	if err != nil {
		log.Fatal(err)
	}
	pem, err := os.ReadFile(at("ca.crt"))
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	serverTLS := &tls.Config{Certificates: []tls.Certificate{own}}
	mutualTLS := &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}

	statuses := health.NewServer()
	statuses.SetServingStatus("up", pb.HealthCheckResponse_SERVING)
	statuses.SetServingStatus("down", pb.HealthCheckResponse_NOT_SERVING)
	statuses.SetServingStatus("unknown", pb.HealthCheckResponse_UNKNOWN)
	servers := []*grpc.Server{
		grpc.NewServer(),
		grpc.NewServer(grpc.Creds(credentials.NewTLS(serverTLS))),
		grpc.NewServer(grpc.Creds(credentials.NewTLS(mutualTLS))),
		grpc.NewServer(),
	}
	for number, server := range servers {
		if number < 3 {
			pb.RegisterHealthServer(server, slow{statuses})
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s ", listener.Addr())
		go func() { log.Fatal(server.Serve(listener)) }()
	}
	fmt.Println()
	time.Sleep(time.Hour)
}
