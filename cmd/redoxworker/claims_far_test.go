package main

import (
	"crypto/sha256"
	"io"
	"mime/multipart"
	"net/http"
	"sync"

	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// largeFar is a Redox that answers no message before it has so many of them. Tokens are
// the simulator's.
type largeFar struct {
	sim      *redoxsim.Server
	answer   []byte // to messages
	together int

	mu   sync.Mutex
	sums map[[32]byte]bool
	all  chan struct{} // closed when so many are there
}

func (f *largeFar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, status := f.answer, http.StatusOK
	var body io.Reader = r.Body
	switch {
	case r.URL.Path == "/upload":
		answer, status = []byte(`{"URI":"https://blob.example/1"}`), http.StatusCreated
		form, err := r.MultipartReader()
		var part *multipart.Part
		if err == nil {
			part, err = form.NextPart()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = part
	case r.URL.Path != "/endpoint":
		f.sim.ServeHTTP(w, r)
		return
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.took([32]byte(sum.Sum(nil)))
	select {
	case <-f.all:
	case <-r.Context().Done():
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

func (f *largeFar) took(sum [32]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.sums)
	f.sums[sum] = true
	if before < f.together && len(f.sums) >= f.together {
		close(f.all)
	}
}
