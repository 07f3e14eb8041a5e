package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// tester is grpc-go's own test service, and what that leaves out of compression.
type tester struct {
	pb.TestServiceServer
}

func check(ctx context.Context, expected *pb.BoolValue) error {
	if seen := flagsOf(ctx).next(); expected != nil && expected.Value != seen {
		return status.Errorf(codes.InvalidArgument, "compressed is expected to be %t, not %t", expected.Value, seen)
	}
	return nil
}

func (t tester) UnaryCall(ctx context.Context, request *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if err := check(ctx, request.ExpectCompressed); err != nil {
		return nil, err
	}
	compressor := "identity"
	if request.GetResponseCompressed().GetValue() {
		compressor = "gzip"
	}
	if err := grpc.SetSendCompressor(ctx, compressor); err != nil {
		return nil, err
	}
	return t.TestServiceServer.UnaryCall(ctx, request)
}

func (t tester) StreamingInputCall(stream pb.TestService_StreamingInputCallServer) error {
	var size int
	for {
		request, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(size)})
		}
		if err != nil {
			return err
		}
		if err := check(stream.Context(), request.ExpectCompressed); err != nil {
			return err
		}
		size += len(request.GetPayload().GetBody())
	}
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(serverTLS())), grpc.StatsHandler(watcher{}))
	pb.RegisterTestServiceServer(server, tester{interop.NewTestServer()})
	features, _ := json.Marshal(map[string]any{
		"flags":   true,
		"skipped": map[string]string{"server_compressed_streaming": wholeStreams},
	})
	fmt.Printf("listening %d %s\n", listener.Addr().(*net.TCPAddr).Port, features)
	go server.Serve(listener)
	io.Copy(io.Discard, os.Stdin)
	server.GracefulStop()
	fmt.Println("{}")
}
