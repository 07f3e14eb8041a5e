package main

import (
	"context"
	"sync"

	"google.golang.org/grpc/stats"
)

// flags is whether the messages that came were compressed, in their order.
type flags struct {
	lock sync.Mutex
	seen []bool
}

// next is whether the next message was; the caller has read it.
func (f *flags) next() bool {
	f.lock.Lock()
	defer f.lock.Unlock()
	seen := f.seen[0]
	f.seen = f.seen[1:]
	return seen
}

type flagsKey struct{}

func withFlags(ctx context.Context) (context.Context, *flags) {
	seen := &flags{}
	return context.WithValue(ctx, flagsKey{}, seen), seen
}

func flagsOf(ctx context.Context) *flags {
	seen, _ := ctx.Value(flagsKey{}).(*flags)
	return seen
}

// watcher notes the flags of all calls. gRPC shows no flag; what was compressed has another length on the wire.
type watcher struct{}

func (watcher) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	if flagsOf(ctx) == nil {
		ctx, _ = withFlags(ctx)
	}
	return ctx
}

func (watcher) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if payload, ok := event.(*stats.InPayload); ok {
		f := flagsOf(ctx)
		f.lock.Lock()
		defer f.lock.Unlock()
		f.seen = append(f.seen, payload.CompressedLength != payload.Length)
	}
}

func (watcher) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (watcher) HandleConn(context.Context, stats.ConnStats)                       {}
