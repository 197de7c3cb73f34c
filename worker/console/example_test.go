package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/console"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

// A program that has people sign in by itself mounts the console among its own pages.
func Example() {
	server, err := natsdev.Start(natsdev.Options{Port: -1})
	if err != nil {
		panic(err)
	}
	defer func() { _ = server.Shutdown() }()
	conn, err := nats.Connect(server.URL())
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		panic(err)
	}
	pages, err := console.New(console.Config{JS: js, Path: "/ops/redox", Guard: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := access.User{Name: "ann", Grants: []access.Grant{{Role: access.Operator, Sources: []string{"clinic-*"}}}} // as your session says
			next.ServeHTTP(w, r.WithContext(access.With(r.Context(), who)))
		})
	}})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- pages.Run(ctx) }()

	mux := http.NewServeMux()
	mux.Handle("/ops/redox/", pages)
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/ops/redox/dead", nil))
	fmt.Println(answer.Code, answer.Header().Get("Referrer-Policy"))
	stop()
	fmt.Println(<-ended)
	// Output:
	// 503 no-referrer
	// <nil>
}
