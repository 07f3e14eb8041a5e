package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"google.golang.org/grpc/encoding"
)

// message is each of the greeter's: a text, and a number where it has one (examples/proto/greeter.proto).
type message struct {
	name  string
	count uint64
}

// codec writes the greeter's messages without generated code, and leaves all others to protobuf's.
type codec struct{}

func (codec) Name() string { return proto.Name }

func (codec) Marshal(value any) (mem.BufferSlice, error) {
	m, ok := value.(*message)
	if !ok {
		return encoding.GetCodecV2(proto.Name).Marshal(value)
	}
	wire := protowire.AppendTag(nil, 1, protowire.BytesType)
	wire = protowire.AppendString(wire, m.name)
	if m.count > 0 {
		wire = protowire.AppendTag(wire, 2, protowire.VarintType)
		wire = protowire.AppendVarint(wire, m.count)
	}
	return mem.BufferSlice{mem.SliceBuffer(wire)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, value any) error {
	m, ok := value.(*message)
	if !ok {
		return encoding.GetCodecV2(proto.Name).Unmarshal(data, value)
	}
	for wire := data.Materialize(); len(wire) > 0; {
		number, kind, length := protowire.ConsumeTag(wire)
		if length < 0 {
			return protowire.ParseError(length)
		}
		wire = wire[length:]
		switch number {
		case 1:
			m.name, length = protowire.ConsumeString(wire)
		case 2:
			m.count, length = protowire.ConsumeVarint(wire)
		default:
			length = protowire.ConsumeFieldValue(number, kind, wire)
		}
		if length < 0 {
			return protowire.ParseError(length)
		}
		wire = wire[length:]
	}
	return nil
}

var keepGreeting = grpc.StreamDesc{
	StreamName:    "KeepGreeting",
	ServerStreams: true,
	Handler: func(_ any, stream grpc.ServerStream) error {
		asked := message{}
		if err := stream.RecvMsg(&asked); err != nil {
			return err
		}
		for range asked.count {
			if err := stream.SendMsg(&message{name: greeting(asked.name)}); err != nil {
				return err
			}
		}
		return nil
	},
}

var greeter = grpc.ServiceDesc{
	ServiceName: "greeter.v1.Greeter",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "SayHello",
		Handler: func(server any, ctx context.Context, read func(any) error, chain grpc.UnaryServerInterceptor) (any, error) {
			asked := message{}
			if err := read(&asked); err != nil {
				return nil, err
			}
			say := func(context.Context, any) (any, error) { return &message{name: greeting(asked.name)}, nil }
			info := &grpc.UnaryServerInfo{Server: server, FullMethod: "/greeter.v1.Greeter/SayHello"}
			if chain == nil {
				return say(ctx, &asked)
			}
			return chain(ctx, &asked, info, say)
		},
	}},
	Streams: []grpc.StreamDesc{keepGreeting},
}

func greeting(name string) string { return fmt.Sprintf("Hello %s!", name) }
