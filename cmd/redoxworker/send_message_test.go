package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for text, want := range map[string]time.Time{
			"90s":                       now.Add(90 * time.Second),
			"1h30m":                     now.Add(90 * time.Minute),
			"2026-01-31T12:00:00Z":      time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
			"2026-01-31T12:00:00+02:00": time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC),
		} {
			var d deadline
			if err := d.UnmarshalText([]byte(text)); err != nil || !d.Equal(want) {
				t.Errorf("%s: %v, %v; want %v", text, d, err, want)
			}
		}
		for _, text := range []string{"", "0s", "-5s", "tomorrow", "2026-01-31", "12"} {
			var d deadline
			if err := d.UnmarshalText([]byte(text)); err == nil {
				t.Errorf("%q was taken for %v", text, d)
			}
		}
	})
}

func TestMessageFlags_Body(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind outbox.Kind
		in   io.Reader
		want string
	}{
		"an array":        {outbox.KindDataModel, strings.NewReader(" [1]"), "the body is not a JSON object"},
		"at the limit":    {outbox.KindDataModel, strings.NewReader(`{"a":1234}`), ""},
		"over the limit":  {outbox.KindDataModel, strings.NewReader(`{"a":12345}`), "outbox: body is over 10 bytes, the limit redox.max_file"},
		"not JSON":        {outbox.KindDataModel, strings.NewReader(`{"a":zzz}`), "the body is not valid JSON in UTF-8, at byte 6"},
		"cut off":         {outbox.KindDataModel, strings.NewReader(`{"a":`), "the body is not valid JSON in UTF-8, at byte 6"},
		"empty":           {outbox.KindDataModel, strings.NewReader(``), "the body is empty; a data-model message is a JSON document"},
		"fhir, cut off":   {outbox.KindFHIR, strings.NewReader(`{"a":`), "the body is not valid JSON in UTF-8, at byte 6"},
		"empty, a read":   {outbox.KindFHIR, strings.NewReader(``), ""},
		"file, not JSON":  {outbox.KindFile, strings.NewReader("%PDF"), ""},
		"cannot be read":  {outbox.KindFile, iotest.ErrReader(errors.New("gone")), "reading the body: gone"},
		"file, too large": {outbox.KindFile, strings.NewReader("12345678901"), "outbox: body is over 10 bytes, the limit redox.max_file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := messageFlags{Kind: string(tc.kind)}.body(tc.in, 10, "redox.max_file")
			if got := errorText(err); got != tc.want {
				t.Errorf("error %q, want %q", got, tc.want)
			}
		})
	}
}

func TestMessageFlags_WhatAFileIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		flags messageFlags
		want  string
	}{
		{messageFlags{Kind: "file", File: "/tmp/Timothy Bixby.PDF"}, "application/pdf"},
		{messageFlags{Kind: "file", File: "scan.jpeg"}, "image/jpeg"},
		{messageFlags{Kind: "file", File: "-"}, ""},
		{messageFlags{Kind: "file", File: "a.pdf", ContentType: "text/x"}, "text/x"},
		{messageFlags{Kind: "fhir", File: "bundle.json"}, ""},
		{messageFlags{Kind: "data-model", File: "a.pdf"}, ""},
		{messageFlags{Kind: "fhir", ContentType: "application/fhir+json; v=1"}, "application/fhir+json; v=1"},
	} {
		if got := tc.flags.message("clinic-a").ContentType; got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.flags, got, tc.want)
		}
	}
}

// unreadable fails a test that reads it.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("standard input was read")
	return 0, io.EOF
}

func TestMessageFlags_ReadsHaveNoBody(t *testing.T) {
	t.Parallel()
	c := config.Defaults()
	for _, f := range []messageFlags{{Kind: "fhir", Method: "GET"}, {Kind: "platform", Method: "HEAD"}, {Kind: "fhir", Method: "DELETE"}} {
		var m outbox.Message
		if err := f.fill(t.Context(), &cli.App{Stdin: unreadable{t}}, &c, &m); err != nil || m.Body != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
	m := outbox.Message{Kind: outbox.KindFHIR}
	if err := (messageFlags{Kind: "fhir", Method: "POST", Path: "h/Development/Patient/_search"}).fill(t.Context(), &cli.App{Stdin: strings.NewReader("a=b")}, &c, &m); err != nil || string(m.Body) != "a=b" {
		t.Errorf("%v, %q", err, m.Body)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestSendCommand_OutgoingLanes(t *testing.T) {
	t.Parallel()
	s := sendCommand{messageFlags: messageFlags{ID: "id", Kind: "fhir", Method: "PUT", Path: "p", ContentType: "a/b", Accept: "c/d"}, ReplyTo: "_INBOX.x"}
	s.Deadline.Time = time.Unix(1, 0)
	m := s.outgoing("clinic-a")
	if m.Lane != contract.LaneSend || m.ID != "id" || m.Source != "clinic-a" || m.Kind != outbox.KindFHIR || m.Method != "PUT" ||
		m.Path != "p" || m.ContentType != "a/b" || m.Accept != "c/d" || m.ReplyTo != "_INBOX.x" || !m.Deadline.Equal(time.Unix(1, 0)) {
		t.Errorf("a flag did not get through: %+v", m)
	}
	s.OrderKey = "k"
	if m := s.outgoing("clinic-a"); m.Lane != contract.LaneOrdered || m.OrderKey != "k" {
		t.Errorf("lane %s", m.Lane)
	}
}

// One header and as many as there may be are taken; what is refused is not quoted.
func TestMessageFlags_Headers(t *testing.T) {
	t.Parallel()
	c := &config.Config{}
	c.Redox.Headers = []string{"Prefer", "x-*"}
	var most []string
	for i := range 32 {
		name := fmt.Sprintf("X-H%c%c", 'A'+i/26, 'a'+i%26)
		most = append(most, name+": "+strings.Repeat("v", 8192/32-len(name)))
	}
	for n, lines := range map[int][]string{0: nil, 1: {"Prefer:return=minimal"}, 2: {"prefer: a: b", "X-User-Id:  Ada Example "}, 32: most} {
		f := messageFlags{Header: lines}
		if err := f.checkHeaders(c); err != nil || len(f.message("a").Header) != n {
			t.Errorf("%d headers: %v, %v", n, f.message("a").Header, err)
		}
	}
	if got := (messageFlags{Header: []string{"prefer: a: b"}}).header().Get("Prefer"); got != "a: b" {
		t.Errorf("a value with a colon: %q", got)
	}
	for want, lines := range map[string][]string{
		"it has no colon": {"SECRET"}, "is empty": {"Prefer:"}, "is given more than once": {"Prefer: SECRET", "prefer: SECRET"},
		"Host is never set": {"Host: SECRET"}, "If-Match is not among": {"If-Match: SECRET"}, "longer than 8192": append([]string{"Prefer: SECRET"}, most[1:]...),
		"more than 32": append([]string{"Prefer: SECRET"}, most...), "outside printable ASCII": {"Prefer: SECRET\nHost: x"},
	} {
		if want == "longer than 8192" {
			lines = append(lines, "X-More: "+strings.Repeat("v", 300))[1:]
		}
		err := messageFlags{Header: lines}.checkHeaders(c)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
