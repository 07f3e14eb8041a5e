package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// bearer is a token for every call, and never over plaintext.
type bearer struct{ token string }

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

// call makes one call and prints its status, and after it what was answered.
func call() {
	config := &tls.Config{RootCAs: trusted(), ServerName: "localhost", MinVersion: tls.VersionTLS13}
	if *mutual {
		config.Certificates = own()
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{})),
	}
	if *tokenFile != "" {
		token, err := os.ReadFile(*tokenFile)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, grpc.WithPerRPCCredentials(bearer{strings.TrimSpace(string(token))}))
	}
	connection, err := grpc.NewClient(*address, options...)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answer, err := ask(ctx, connection)
	fmt.Println(status.Code(err), answer)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func ask(ctx context.Context, connection *grpc.ClientConn) (string, error) {
	switch *method {
	case "SayHello":
		reply := message{}
		err := connection.Invoke(ctx, "/greeter.v1.Greeter/SayHello", &message{name: "Go"}, &reply)
		return reply.name, err
	case "KeepGreeting":
		stream, err := connection.NewStream(ctx, &keepGreeting, "/greeter.v1.Greeter/KeepGreeting")
		if err != nil {
			return "", err
		}
		if err := stream.SendMsg(&message{name: "Go", count: 3}); err != nil && err != io.EOF {
			return "", err
		}
		if err := stream.CloseSend(); err != nil {
			return "", err
		}
		for replies := 0; ; replies++ {
			if err := stream.RecvMsg(&message{}); err == io.EOF {
				return fmt.Sprint(replies, " replies"), nil
			} else if err != nil {
				return "", err
			}
		}
	case "Check":
		reply, err := health.NewHealthClient(connection).Check(ctx, &health.HealthCheckRequest{})
		return reply.GetStatus().String(), err
	}
	log.Fatalf("there is no method %q", *method)
	return "", nil
}
