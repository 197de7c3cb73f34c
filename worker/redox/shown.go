package redox

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// What the types of this package print as, where a secret or patient data may be in them.

// shownTransport is what of a TransportConfig may be shown: its proxy without user and password.
type shownTransport struct {
	CAFile            string        `json:"ca_file,omitempty"`
	RootCAs           bool          `json:"root_cas,omitempty"`
	ClientCertificate bool          `json:"client_certificate,omitempty"`
	Proxy             string        `json:"proxy,omitempty"`
	Concurrency       int           `json:"concurrency,omitempty"`
	MaxDials          int           `json:"max_dials,omitempty"`
	IdleTimeout       time.Duration `json:"idle_timeout,omitempty"`
	MaxConnectionAge  time.Duration `json:"max_connection_age,omitempty"`
	HTTP2             HTTP2         `json:"http2,omitempty"`
}

func (c TransportConfig) shown() shownTransport {
	s := shownTransport{CAFile: c.CAFile, RootCAs: c.RootCAs != nil, ClientCertificate: c.ClientCertificate != nil,
		Concurrency: c.Concurrency, MaxDials: c.MaxDials, IdleTimeout: c.IdleTimeout, MaxConnectionAge: c.MaxConnectionAge, HTTP2: c.HTTP2.shown()}
	switch u, err := url.Parse(c.ProxyURL); {
	case c.ProxyURL == "" || c.ProxyURL == "none":
		s.Proxy = c.ProxyURL
	case err != nil || u.Host == "":
		s.Proxy = "(not a URL)"
	default:
		s.Proxy = u.Scheme + "://" + u.Host
	}
	return s
}

// Format prints c without user and password of the proxy, whatever the verb.
func (c TransportConfig) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%+v", c.shown()) }

// LogValue is what Format prints.
func (c TransportConfig) LogValue() slog.Value { return slog.AnyValue(c.shown()) }

// MarshalJSON is what Format prints, as an object.
func (c TransportConfig) MarshalJSON() ([]byte, error) { return json.Marshal(c.shown()) }

// shownMeta is a Meta whose names are words.
type shownMeta struct {
	DataModel    string `json:"data_model,omitempty"`
	EventType    string `json:"event_type,omitempty"`
	Test         bool   `json:"test,omitempty"`
	Destinations int    `json:"destinations"`
}

func (m Meta) shown() shownMeta {
	return shownMeta{DataModel: contract.SafeName(m.DataModel), EventType: contract.SafeName(m.EventType), Test: m.Test, Destinations: m.Destinations}
}

// Format prints m with its names as [contract.SafeName] shows them, without the Source ID that
// the body has, whatever the verb.
func (m Meta) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%+v", m.shown()) }

// LogValue is what Format prints.
func (m Meta) LogValue() slog.Value { return slog.AnyValue(m.shown()) }

// MarshalJSON is what Format prints, as an object.
func (m Meta) MarshalJSON() ([]byte, error) { return json.Marshal(m.shown()) }

// Format prints what Error returns, whatever the verb: what the transport said stays inside.
func (e *Error) Format(f fmt.State, verb rune) {
	text := e.Error()
	if verb == 'q' {
		text = strconv.Quote(text)
	}
	_, _ = io.WriteString(f, text)
}
