package bulkexport

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// stateName is where it stands how far an export is.
const stateName = "export.json"

// phase is how far an export is.
type phase string

const (
	fresh     phase = ""          // nothing was published
	asked     phase = "asked"     // the message that begins it has its id, and may be published
	unknown   phase = "unknown"   // it was sent, and no answer said what came of it
	running   phase = "running"   // the server has it, at an address
	ready     phase = "ready"     // its files are known
	complete  phase = "complete"  // and are here
	cancelled phase = "cancelled" // and nothing more is to be had
)

// stateVersion is that of the form of a state.
const stateVersion = 1

// state is how far an export is, as it is written down. Links of the server may be secrets.
type state struct {
	Version     int       `json:"version"`
	Fingerprint string    `json:"fingerprint"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Phase       phase     `json:"phase"`
	Asked       time.Time `json:"asked,omitzero"` // when it was begun
	Until       time.Time `json:"until,omitzero"` // the message that begins it is not sent later
	Attempts    int       `json:"attempts,omitempty"`
	Status      string    `json:"status,omitempty"` // where it is asked about
	Polls       int       `json:"polls,omitempty"`
	After       time.Time `json:"after,omitzero"` // it is not asked about before
	Expires     string    `json:"expires,omitempty"`
	Time        string    `json:"transaction_time,omitempty"`
	Removed     bool      `json:"removed,omitempty"` // the server was told to forget it
	Files       []file    `json:"files,omitempty"`

	run string // of this process: no id of an earlier one comes again
}

// load reads the state, or makes that of an export that was not begun.
func (e *Export) load(ctx context.Context) (*state, error) {
	data, err := e.config.Store.load(ctx, stateName)
	if err != nil {
		return nil, fmt.Errorf("bulkexport: read %s: %w", stateName, err)
	}
	mark := e.config.Request.fingerprint(e.config.Source)
	s := &state{Version: stateVersion, Fingerprint: mark, Source: e.config.Source, ID: outbox.NewID(), run: outbox.NewID()}
	if data == nil {
		return s, nil
	}
	if err := json.Unmarshal(data, s); err != nil || s.Version != stateVersion || s.ID == "" {
		return nil, fmt.Errorf("bulkexport: %s is none of this version: use an empty place", stateName)
	}
	if s.Fingerprint != mark {
		return nil, fmt.Errorf("bulkexport: %w (of source %s), of another path or with other parameters: use an empty place", ErrOther, s.Source)
	}
	return s, nil
}

// save writes the state down.
func (e *Export) save(ctx context.Context, s *state) error {
	data, err := json.MarshalIndent(s, "", " ")
	if err == nil {
		err = e.config.Store.save(ctx, stateName, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("bulkexport: write %s: %w", stateName, err)
	}
	return nil
}

// take takes the manifest over. A second one, of which fresh links are wanted, has to name the same
// files in the same order.
func (s *state) take(m *manifest) error {
	if s.Files != nil {
		same := len(s.Files) == len(m.files)
		for i := 0; same && i < len(m.files); i++ {
			same = s.Files[i].Name == m.files[i].Name && samePlace(s.Files[i].URL, m.files[i].URL)
		}
		if !same {
			return fmt.Errorf("bulkexport: the server lists other files than before: %w", ErrGone)
		}
	}
	s.Phase, s.Time, s.Files = ready, m.time, m.files
	return nil
}

// ended is the error of a phase in which nothing more can be had.
func (s *state) ended() error {
	switch s.Phase {
	case unknown:
		return fmt.Errorf("bulkexport: %w", ErrUnknown)
	case cancelled:
		return fmt.Errorf("bulkexport: %w", ErrCancelled)
	}
	return nil
}
