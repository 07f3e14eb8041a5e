package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// roles says who may call what.
var roles = map[string][]string{
	"/greeter.v1.Greeter/SayHello":     {"greeter:call", "admin"},
	"/greeter.v1.Greeter/KeepGreeting": {"admin"},
}

type claims struct {
	Roles []string `json:"roles"`
	jwt.RegisteredClaims
}

// admit is what both interceptors do.
func admit(ctx context.Context, method string) error {
	if method == healthpb.Health_Check_FullMethodName || *keyFile == "" {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	sent := md.Get("authorization")
	if len(sent) != 1 {
		return status.Error(codes.Unauthenticated, "no token")
	}
	found := claims{}
	_, err := jwt.ParseWithClaims(strings.TrimPrefix(sent[0], "Bearer "), &found,
		func(*jwt.Token) (any, error) { return verificationKey() },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer("https://issuer.example.org"),
		jwt.WithAudience("greeter"), jwt.WithExpirationRequired())
	if err != nil {
		return status.Error(codes.Unauthenticated, "invalid token")
	}
	if !slices.ContainsFunc(roles[method], func(role string) bool { return slices.Contains(found.Roles, role) }) {
		return status.Error(codes.PermissionDenied, "not allowed")
	}
	return nil
}

func verificationKey() (any, error) {
	pem, err := os.ReadFile(*keyFile)
	if err != nil {
		return nil, err
	}
	return jwt.ParseECPublicKeyFromPEM(pem)
}

func serve() {
	config := &tls.Config{Certificates: own(), MinVersion: tls.VersionTLS13}
	if *mutual {
		config.ClientCAs, config.ClientAuth = trusted(), tls.RequireAndVerifyClientCert
	}
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(config)),
		grpc.ForceServerCodecV2(codec{}),
		grpc.UnaryInterceptor(func(ctx context.Context, asked any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := admit(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return next(ctx, asked)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := admit(stream.Context(), info.FullMethod); err != nil {
				return err
			}
			return next(server, stream)
		}),
	)
	server.RegisterService(&greeter, nil)
	healthpb.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	log.Fatal(server.Serve(listener))
}
