package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

const (
	largeRequest  = 271828
	largeResponse = 314159
	// limit is far longer than any case takes on a busy machine.
	limit = 20 * time.Second
)

type outcome struct {
	Passed       int    `json:"passed"`
	Failed       int    `json:"failed"`
	FirstFailure string `json:"first_failure,omitempty"`
}

func dial() *grpc.ClientConn {
	conn, err := grpc.NewClient(
		os.Getenv("SERVER"),
		grpc.WithTransportCredentials(credentials.NewTLS(clientTLS())),
		grpc.WithStatsHandler(watcher{}),
	)
	if err != nil {
		panic(err)
	}
	return conn
}

func soak(channel func() (*grpc.ClientConn, func())) func(context.Context) {
	return func(ctx context.Context) {
		interop.DoSoakTest(ctx, interop.SoakTestConfig{
			RequestSize:                      largeRequest,
			ResponseSize:                     largeResponse,
			PerIterationMaxAcceptableLatency: 5 * time.Second,
			OverallTimeout:                   limit,
			ServerAddr:                       os.Getenv("SERVER"),
			NumWorkers:                       4,
			Iterations:                       20,
			ChannelForTest:                   channel,
		})
	}
}

func large() *pb.SimpleRequest {
	return &pb.SimpleRequest{
		ResponseSize: largeResponse,
		Payload:      interop.ClientNewPayload(pb.PayloadType_COMPRESSABLE, largeRequest),
	}
}

// unary makes a large call, and says whether its response was compressed.
func unary(ctx context.Context, client pb.TestServiceClient, request *pb.SimpleRequest, options ...grpc.CallOption) bool {
	ctx, seen := withFlags(ctx)
	response, err := client.UnaryCall(ctx, request, options...)
	if err != nil {
		panic(err)
	}
	if size := len(response.GetPayload().GetBody()); size != largeResponse {
		panic(fmt.Sprintf("a payload of %d bytes", size))
	}
	return seen.next()
}

func clientCompressedUnary(ctx context.Context, client pb.TestServiceClient) {
	request := large()
	request.ExpectCompressed = &pb.BoolValue{Value: true}
	if _, err := client.UnaryCall(ctx, request); status.Code(err) != codes.InvalidArgument {
		panic(fmt.Sprintf("the probe: %v", err))
	}
	unary(ctx, client, request, grpc.UseCompressor("gzip"))
	request.ExpectCompressed.Value = false
	unary(ctx, client, request)
}

func serverCompressedUnary(ctx context.Context, client pb.TestServiceClient) {
	for _, compressed := range []bool{true, false} {
		request := large()
		request.ResponseCompressed = &pb.BoolValue{Value: compressed}
		if seen := unary(ctx, client, request); seen != compressed {
			panic(fmt.Sprintf("compressed is expected to be %t, not %t", compressed, seen))
		}
	}
}

func serverCompressedStreaming(ctx context.Context, client pb.TestServiceClient) {
	ctx, seen := withFlags(ctx)
	wanted := []*pb.ResponseParameters{
		{Size: 31415, Compressed: &pb.BoolValue{Value: true}},
		{Size: 92653, Compressed: &pb.BoolValue{Value: false}},
	}
	responses, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: wanted})
	if err != nil {
		panic(err)
	}
	for _, parameters := range wanted {
		response, err := responses.Recv()
		if err != nil {
			panic(err)
		}
		size, compressed := len(response.GetPayload().GetBody()), seen.next()
		if size != int(parameters.Size) || compressed != parameters.Compressed.Value {
			panic(fmt.Sprintf("a payload of %d bytes, compressed: %t", size, compressed))
		}
	}
	if _, err := responses.Recv(); err != io.EOF {
		panic(fmt.Sprintf("after the last response: %v", err))
	}
}

// fatal takes the failures of the interop package, which would end the process, for those of a case.
type fatal struct{ grpclog.LoggerV2 }

func (fatal) FatalDepth(_ int, arguments ...any)     { panic(fmt.Sprint(arguments...)) }
func (fatal) Fatal(arguments ...any)                 { panic(fmt.Sprint(arguments...)) }
func (fatal) Fatalln(arguments ...any)               { panic(fmt.Sprint(arguments...)) }
func (fatal) Fatalf(format string, arguments ...any) { panic(fmt.Sprintf(format, arguments...)) }
func (fatal) InfoDepth(int, ...any)                  {}
func (fatal) WarningDepth(int, ...any)               {}
func (fatal) ErrorDepth(int, ...any)                 {}

func run(test func(context.Context)) (failure string) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	defer func() {
		if why := recover(); why != nil {
			failure = fmt.Sprint(why)
		}
	}()
	test(ctx)
	return ""
}

func call() {
	grpclog.SetLoggerV2(fatal{grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)})
	// The soaks tell of each call there.
	stderr := os.Stderr
	os.Stderr, _ = os.Open(os.DevNull)
	conn := dial()
	client := pb.NewTestServiceClient(conn)
	plain := func(do func(context.Context, pb.TestServiceClient, ...grpc.CallOption)) func(context.Context) {
		return func(ctx context.Context) { do(ctx, client) }
	}
	with := func(do func(context.Context, pb.TestServiceClient)) func(context.Context) {
		return func(ctx context.Context) { do(ctx, client) }
	}
	tests := []struct {
		name string
		run  func(context.Context)
	}{
		{"empty_unary", plain(interop.DoEmptyUnaryCall)},
		{"large_unary", plain(interop.DoLargeUnaryCall)},
		{"client_compressed_unary", with(clientCompressedUnary)},
		{"server_compressed_unary", with(serverCompressedUnary)},
		{"client_streaming", plain(interop.DoClientStreaming)},
		{"server_streaming", plain(interop.DoServerStreaming)},
		{"server_compressed_streaming", with(serverCompressedStreaming)},
		{"ping_pong", plain(interop.DoPingPong)},
		{"empty_stream", plain(interop.DoEmptyStream)},
		{"custom_metadata", plain(interop.DoCustomMetadata)},
		{"status_code_and_message", plain(interop.DoStatusCodeAndMessage)},
		{"special_status_message", plain(interop.DoSpecialStatusMessage)},
		{"unimplemented_method", func(ctx context.Context) { interop.DoUnimplementedMethod(ctx, conn) }},
		{"unimplemented_service", func(ctx context.Context) {
			interop.DoUnimplementedService(ctx, pb.NewUnimplementedServiceClient(conn))
		}},
		{"cancel_after_begin", plain(interop.DoCancelAfterBegin)},
		{"cancel_after_first_response", plain(interop.DoCancelAfterFirstResponse)},
		{"timeout_on_sleeping_server", plain(interop.DoTimeoutOnSleepingServer)},
		{"rpc_soak", soak(func() (*grpc.ClientConn, func()) { return conn, func() {} })},
		{"channel_soak", soak(func() (*grpc.ClientConn, func()) {
			fresh := dial()
			return fresh, func() { fresh.Close() }
		})},
	}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	outcomes := map[string]*outcome{}
	for _, test := range tests {
		outcomes[test.name] = &outcome{}
	}
	for {
		for _, test := range tests {
			found := outcomes[test.name]
			if failure := run(test.run); failure == "" {
				found.Passed++
			} else {
				found.Failed++
				if found.FirstFailure == "" {
					found.FirstFailure = failure
				}
			}
		}
		select {
		case <-ended:
			os.Stderr = stderr
			said, _ := json.Marshal(map[string]any{
				"cases":   outcomes,
				"skipped": map[string]string{"client_compressed_streaming": wholeStreams},
			})
			fmt.Println(string(bytes.TrimSpace(said)))
			return
		default:
		}
	}
}
