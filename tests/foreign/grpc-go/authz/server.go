package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"strconv"
	"sync/atomic"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/authz"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
)

// The most connections that are open at once.
const mostConnections = 256

// The code of a call whose stream was reset before a status was sent.
const reset = "RESET"

// A server of all methods, under the policy that is loaded, and a connection for each peer.
type server struct {
	address     string
	interceptor atomic.Pointer[authz.StaticInterceptor]
	connections map[int]*connection
}

type plaintext struct{}

func (plaintext) AuthType() string { return "none" }

// Credentials that take the peer's word for who it is: its number.
type told struct{ infos []credentials.AuthInfo }

func (t told) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	var number uint32
	if err := binary.Read(conn, binary.BigEndian, &number); err != nil {
		return nil, nil, err
	}
	return conn, t.infos[number], nil
}

func (told) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("for servers")
}
func (told) Info() credentials.ProtocolInfo            { return credentials.ProtocolInfo{} }
func (t told) Clone() credentials.TransportCredentials { return t }
func (told) OverrideServerName(string) error           { return nil }

func serve(infos []credentials.AuthInfo) *server {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := &server{address: listener.Addr().String(), connections: make(map[int]*connection)}
	intercept := func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return s.interceptor.Load().StreamInterceptor(srv, stream, info, handler)
	}
	answer := func(any, grpc.ServerStream) error { return nil }
	server := grpc.NewServer(grpc.Creds(told{infos}), grpc.StreamInterceptor(intercept), grpc.UnknownServiceHandler(answer))
	go func() { log.Fatal(server.Serve(listener)) }()
	return s
}

// Makes a call and returns the code of its status.
func (s *server) call(c call) string {
	conn, ok := s.connections[c.Peer]
	if !ok {
		if len(s.connections) == mostConnections {
			for _, conn := range s.connections {
				conn.close()
			}
			clear(s.connections)
		}
		conn = connect(s.address, c.Peer)
		s.connections[c.Peer] = conn
	}
	code, err := conn.call(c)
	if err != nil {
		log.Fatalf("%q as peer %d: %v", c.Path, c.Peer, err)
	}
	return code
}

// An HTTP/2 connection on which any path and header can be sent.
type connection struct {
	close   func() error
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	next    uint32
}

func connect(address string, peer int) *connection {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	c := &connection{close: conn.Close, framer: http2.NewFramer(conn, conn), next: 1}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encoder = hpack.NewEncoder(&c.block)
	number := binary.BigEndian.AppendUint32(nil, uint32(peer))
	if _, err := conn.Write(append(number, http2.ClientPreface...)); err != nil {
		log.Fatal(err)
	}
	if err := c.framer.WriteSettings(); err != nil {
		log.Fatal(err)
	}
	return c
}

func (c *connection) call(call call) (string, error) {
	c.block.Reset()
	field := func(key, value string) { _ = c.encoder.WriteField(hpack.HeaderField{Name: key, Value: value}) }
	field(":method", "POST")
	field(":scheme", "http")
	field(":authority", "example.org")
	field(":path", call.Path)
	for _, header := range call.Headers {
		field(header.Key, string(header.Value))
	}
	id := c.next
	c.next += 2
	block := http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndStream: true, EndHeaders: true}
	if err := c.framer.WriteHeaders(block); err != nil {
		return "", err
	}
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return "", err
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = c.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				err = c.framer.WritePing(true, frame.Data)
			}
		case *http2.GoAwayFrame:
			err = io.ErrUnexpectedEOF
		case *http2.RSTStreamFrame:
			if frame.StreamID == id {
				return reset, nil
			}
		case *http2.MetaHeadersFrame:
			if frame.StreamID == id && frame.StreamEnded() {
				return status(frame)
			}
		}
		if err != nil {
			return "", err
		}
	}
}

func status(trailers *http2.MetaHeadersFrame) (string, error) {
	for _, field := range trailers.RegularFields() {
		if field.Name == "grpc-status" {
			code, err := strconv.ParseUint(field.Value, 10, 32)
			return codes.Code(code).String(), err
		}
	}
	return "", errors.New("no status")
}
