package redoxsim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// sink is a ResponseWriter that costs nothing.
type sink struct {
	h      http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

func benchmarkHandler(b *testing.B, s *Server, size int) {
	token := s.NewToken(testClient, 0)
	frame := len(body("Results.New", "", `"x":""`))
	text := []byte(body("Results.New", "", `"x":"`+strings.Repeat("y", size-frame)+`"`))
	h := with(bearer(token), "Redox-Source-Id", testSource)
	b.ReportAllocs()
	b.SetBytes(int64(size))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := http.NewRequest(http.MethodPost, PathEndpoint, io.NopCloser(bytes.NewReader(text)))
			if err != nil {
				b.Error(err)
				return
			}
			r.Header, r.RemoteAddr = h, "127.0.0.1:1"
			w := &sink{h: http.Header{}}
			s.ServeHTTP(w, r)
			if w.status != 200 {
				b.Errorf("status %d", w.status)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

func BenchmarkHandler(b *testing.B) {
	for _, size := range []int{1_000, 20_000} {
		b.Run(fmt.Sprintf("%dB/record", size), func(b *testing.B) { benchmarkHandler(b, &Server{}, size) })
		b.Run(fmt.Sprintf("%dB/norecord", size), func(b *testing.B) { benchmarkHandler(b, &Server{NoRecord: true}, size) })
	}
}

func BenchmarkParseMessage(b *testing.B) {
	text := []byte(body("Results.New", "", `"Orders":[`+strings.Repeat(`{"ID":"1","Results":[{"Value":"12.5","Units":"mg"}]},`, 300)+`{}]`))
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, c := parseMessage(text); c != nil {
			b.Fatal(c.text)
		}
	}
}
