package main

import (
	"bytes"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
)

func TestPrintReply(t *testing.T) {
	t.Parallel()
	delivered := outbox.Reply{MessageID: "m", Settlement: outbox.Delivered, Status: 200, Attempts: 1, LogIDs: []string{"l1", "l2"}, ContentType: "application/json", Body: []byte("{\"a\": \"<&>\",\n \"b\":1e400}\n")}
	flagged := delivered
	flagged.Error = "answered with errors"
	for name, tc := range map[string]struct {
		reply          outbox.Reply
		json           bool
		replyTo        string
		stdout, stderr string
		fails          bool
	}{
		"bytes": {
			reply: delivered, stdout: string(delivered.Body),
			stderr: "m: delivered, status 200, 1 attempt, log ids l1 l2\n",
		},
		"durable": {
			reply: delivered, replyTo: "redox.reply.a.m", stdout: string(delivered.Body),
			stderr: "m: delivered, status 200, 1 attempt, log ids l1 l2, kept at redox.reply.a.m\n",
		},
		"flagged": {
			reply: flagged, stdout: string(delivered.Body), fails: true,
			stderr: "m: delivered, status 200, 1 attempt, log ids l1 l2: answered with errors\n",
		},
		"never sent": {
			reply: outbox.Reply{MessageID: "m", Settlement: outbox.Expired, Error: "deadline passed"}, fails: true,
			stderr: "m: expired, 0 attempts: deadline passed\n",
		},
		"json": {
			reply: delivered, json: true, replyTo: "redox.reply.a.m",
			stdout: `{"id":"m","settlement":"delivered","ok":true,"status":200,"attempts":1,"log_ids":["l1","l2"],` +
				`"content_type":"application/json","reply_to":"redox.reply.a.m","body":{"a":"<&>","b":1e400}}` + "\n",
		},
		"json, headers": {
			reply: outbox.Reply{MessageID: "m", Settlement: outbox.Delivered, Status: 202, Header: http.Header{"Content-Location": {"/e/1"}, "Etag": {`W/"1"`}, "Retry-After": {"7"}}, Body: []byte("{}")},
			json:  true,
			stdout: `{"id":"m","settlement":"delivered","ok":true,"status":202,"attempts":0,` +
				`"headers":{"Content-Location":"/e/1","ETag":"W/\"1\"","Retry-After":"7"},"body":{}}` + "\n",
		},
		"json, failed": {
			reply: outbox.Reply{MessageID: "m", Settlement: outbox.Rejected, Status: 403, Attempts: 2, Error: "status 403"}, json: true, fails: true,
			stdout: `{"id":"m","settlement":"rejected","ok":false,"status":403,"attempts":2,"error":"status 403"}` + "\n",
		},
		"json, text": {
			reply: outbox.Reply{MessageID: "m", Settlement: outbox.Delivered, Body: []byte("grüß <b>")}, json: true,
			stdout: `{"id":"m","settlement":"delivered","ok":true,"attempts":0,"body_text":"grüß <b>"}` + "\n",
		},
		"json, bytes": {
			reply: outbox.Reply{MessageID: "m", Settlement: outbox.Delivered, Body: []byte{0xff, 0}}, json: true,
			stdout: `{"id":"m","settlement":"delivered","ok":true,"attempts":0,"body_base64":"/wA="}` + "\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			err := printReply(&cli.App{Stdout: &stdout, Stderr: &stderr, Globals: cli.Globals{JSON: tc.json}}, tc.reply, tc.replyTo)
			if errors.Is(err, cli.ErrReported) != tc.fails || err != nil && !tc.fails {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff([2]string{tc.stdout, tc.stderr}, [2]string{stdout.String(), stderr.String()}); diff != "" {
				t.Errorf("stdout and stderr (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrintReply_WriteErrors(t *testing.T) {
	t.Parallel()
	for _, json := range []bool{false, true} {
		a := &cli.App{Stdout: brokenWriter{}, Stderr: new(bytes.Buffer), Globals: cli.Globals{JSON: json}}
		if err := printReply(a, outbox.Reply{Settlement: outbox.Delivered, Body: []byte("{}")}, ""); err == nil || errors.Is(err, cli.ErrReported) {
			t.Errorf("json %t: error %v", json, err)
		}
	}
}
