package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// scriptCollector is a collector of traces, over HTTP and gRPC.
type scriptCollector struct {
	otlp.UnimplementedTraceServiceServer
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed when there are more
}

// Export takes spans.
func (c *scriptCollector) Export(_ context.Context, in *otlp.ExportTraceServiceRequest) (*otlp.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range in.GetResourceSpans() {
		about := ""
		for _, a := range of.GetResource().GetAttributes() {
			about += " " + a.GetKey() + "=" + a.GetValue().GetStringValue()
		}
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				line := fmt.Sprintf("%s trace=%s span=%s parent=%s", s.GetName(), hex.EncodeToString(s.GetTraceId()), hex.EncodeToString(s.GetSpanId()), hex.EncodeToString(s.GetParentSpanId()))
				for _, a := range s.GetAttributes() {
					line += fmt.Sprintf(" %s=%v", a.GetKey(), a.GetValue())
				}
				c.lines = append(c.lines, line+about)
			}
		}
	}
	close(c.more)
	c.more = make(chan struct{})
	return &otlp.ExportTraceServiceResponse{}, nil
}

// ServeHTTP takes spans by POST /v1/traces.
func (c *scriptCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in otlp.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(body, &in)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	_, _ = c.Export(r.Context(), &in)
}

// collectorCmd starts a collector at $COLLECTOR: collector http, grpc, or hangs, which answers nobody.
func collectorCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "collector", neg, len(args) == 1)
	state := stateOf(ts)
	state.collector = &scriptCollector{more: make(chan struct{})}
	switch args[0] {
	case "grpc":
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		server := grpc.NewServer()
		otlp.RegisterTraceServiceServer(server, state.collector)
		go func() { _ = server.Serve(listener) }()
		ts.Defer(server.Stop)
		ts.Setenv("COLLECTOR", "http://"+listener.Addr().String())
	case "hangs":
		gone := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-gone }))
		ts.Defer(server.Close)
		ts.Defer(func() { close(gone) })
		ts.Setenv("COLLECTOR", server.URL)
	default:
		server := httptest.NewServer(state.collector)
		ts.Defer(server.Close)
		ts.Setenv("COLLECTOR", server.URL)
	}
}

// spansCmd waits until so many spans have come, and writes them to a file.
func spansCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "spans", neg, len(args) == 2)
	c, want := stateOf(ts).collector, scriptInt(ts, args[0])
	late := time.NewTimer(scriptPatience)
	defer late.Stop()
	for {
		c.mu.Lock()
		lines, more := c.lines, c.more
		c.mu.Unlock()
		if len(lines) >= want {
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(lines, "\n")+"\n"), 0o600))
			return
		}
		select {
		case <-more:
		case <-late.C:
			ts.Fatalf("%d of %d spans have come:\n%s", len(lines), want, strings.Join(lines, "\n"))
		}
	}
}
