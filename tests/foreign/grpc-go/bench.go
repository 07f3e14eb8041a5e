package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// serveBench serves grpc-go's own test service with what is mounted at the start, without resumption as the others that it is measured beside.
func serveBench() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	now := mounted()
	config := &tls.Config{
		Certificates:           []tls.Certificate{now.identity},
		ClientCAs:              now.trusted,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"h2"},
		SessionTicketsDisabled: true,
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	pb.RegisterTestServiceServer(server, interop.NewTestServer())
	fmt.Println(listener.Addr())
	go server.Serve(listener)
	io.Copy(io.Discard, os.Stdin)
}
