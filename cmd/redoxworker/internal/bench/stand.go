package bench

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// standAddresses is where a stand listens.
type standAddresses struct {
	NATS string `json:"nats"`
	API  string `json:"api"`
}

// stand runs NATS and the stand-in for Redox until ctx ends. Its first line of output says
// where they are.
func (b *loopCommand) stand(ctx context.Context, a *cli.App) error {
	server, err := natsdev.Start(natsdev.Options{Port: -1})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, server.Shutdown())
	}
	api := &http.Server{Handler: standAPI(b.Latency), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- api.Serve(listener) }()
	err = json.NewEncoder(a.Stdout).Encode(standAddresses{NATS: server.URL(), API: "http://" + listener.Addr().String()})
	if err == nil {
		<-ctx.Done()
	}
	err = errors.Join(err, api.Close(), server.Shutdown())
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

const (
	standToken  = `{"access_token":"bench","token_type":"Bearer","expires_in":300}`
	standAnswer = `{"Meta":{"DataModel":"PatientAdmin","EventType":"Arrival","Logs":[{"ID":"d9f5d293-7110-461e-a875-3beb089e79f3","AttemptID":"925d1617-2fe0-468c-a14c-f8c04b572c54"}]}}`
)

// standAPI answers as little as a worker needs: a simulator that checks what Redox checks
// would be a good part of what is measured.
func standAPI(latency time.Duration) http.Handler {
	answer := func(text string, latency time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if latency > 0 {
				timer := time.NewTimer(latency)
				defer timer.Stop()
				select {
				case <-timer.C:
				case <-r.Context().Done():
					return
				}
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, text)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("POST /v2/auth/token", answer(standToken, 0))
	mux.Handle("POST /endpoint", answer(standAnswer, latency))
	return mux
}
