package redox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/outbox"
)

// offload uploads the large files of a message that is to be sent, and returns what replaces
// them; dataModel is nil for FHIR. Of the message itself nothing is sent: an upload whose outcome
// is unknown leaves behind a file that nobody refers to, and is no unknown outcome of the message.
// With an error, the reply in send is that to the upload.
func (c *Client) offload(ctx context.Context, send *call, m *outbox.Message, dataModel jsontext.Value) ([]edit, *Error) {
	found, err := attachments(m.Body, dataModel, c.cfg.Offload.Over)
	if err != nil {
		return nil, err
	}
	for _, why := range leftReasons {
		if n := found.left[why]; n > 0 {
			c.leave(ctx, send, why, n)
		}
	}
	edits := make([]edit, 0, 2*len(found.files)+1) // and the Source ID
	for _, f := range found.files {
		uri, err := c.uploadOnce(ctx, send, m, f)
		if err != nil {
			switch err.class {
			case ClassContract:
				c.leave(ctx, send, leftTooLarge, 1)
			case ClassRefused:
				c.leave(ctx, send, leftRefused, 1)
			}
			err.detail = "uploading a file of the message: " + err.detail
			return nil, err
		}
		if f.name.end > 0 {
			edits = append(edits, edit{f.name.start, f.name.end, []byte(`"url"`)})
		}
		quoted, _ := jsontext.AppendQuote(nil, uri) // visible ASCII: see fileURI
		edits = append(edits, edit{f.start, f.end, quoted})
	}
	return edits, nil
}

// leave counts files that stay in their message.
func (c *Client) leave(ctx context.Context, send *call, why leftReason, n int) {
	c.metrics.left[why].Add(float64(n))
	c.log.WarnContext(ctx, "what may be a file stays in its message", "source", send.sender.name, "message_id", send.message, "reason", string(why), "files", n)
}

// uploadOnce uploads a file of a message, unless that is known to have been done.
// A crash between the answer and the note of it costs a second upload, nothing else.
func (c *Client) uploadOnce(ctx context.Context, send *call, m *outbox.Message, f attachment) (string, *Error) {
	s := send.sender
	store, key := c.cfg.Offload.Uploads, uploadKey(s, m, send.sourceID, f.start)
	if store != nil {
		uri, err := store.Uploaded(ctx, s.name, key)
		switch {
		case ctx.Err() != nil:
			return "", notSent("the attempt was cancelled before anything was sent", "", context.Cause(ctx))
		case err != nil:
			return "", notSent("it could not be looked up whether that was done already", "", err)
		case uri != "":
			c.metrics.remembered.Inc()
			return uri, nil
		}
	}
	uri, failed := c.upload(ctx, send, m, f)
	if failed != nil {
		return "", failed
	}
	c.metrics.uploaded.Inc()
	if store == nil {
		return uri, nil
	}
	if err := store.Keep(ctx, s.name, key, uri); err != nil {
		// The message goes on: not to send it would not bring the note back.
		c.log.WarnContext(ctx, "the upload of a file was not noted; should its message come again, so will the upload",
			"source", s.name, "message_id", m.ID, "error", err)
	}
	return uri, nil
}

func (c *Client) upload(ctx context.Context, send *call, m *outbox.Message, f attachment) (string, *Error) {
	whole := file{size: f.Size, media: f.media, open: func(context.Context) io.ReadCloser { return io.NopCloser(f.Open()) }}
	if err := c.guardFile(whole); err != nil {
		return "", err
	}
	// It is no request: errors in a 2xx refuse it, whatever the lane.
	out := call{sender: send.sender, message: m.ID, sourceID: send.sourceID, asked: send.asked, harmless: true}
	uri, err := c.uploaded(ctx, &out, m, whole)
	if err != nil {
		send.reply = out.reply
	}
	return uri, err
}

// uploaded uploads a file and answers its URI.
func (c *Client) uploaded(ctx context.Context, out *call, m *outbox.Message, f file) (string, *Error) {
	if err := c.uploads(ctx, out, m, f); err != nil {
		return "", err
	}
	if err := c.exchange(ctx, out); err != nil {
		return "", err
	}
	if err := c.classify(ctx, out); err != nil {
		return "", err
	}
	r := &out.reply
	uri := fileURI(r.Body)
	if uri == "" {
		return "", &Error{class: ClassUnavailable, status: r.Status, traceID: r.traceID, written: true, detail: "the answer names no URI"}
	}
	return uri, nil
}

// uploadKey names a file of a message in the store, by where it stands in the body: its
// number among those that are uploaded would be another one's under another Offload.Over.
// A file belongs to the source whose token uploaded it (Redox, Files), so that another
// Source ID or key means another file. An id and a sequence name one message for ever.
func uploadKey(s *sender, m *outbox.Message, sourceID []string, at int) string {
	h := sha256.New()
	for _, part := range append([]string{s.name, s.Key, m.ID, strconv.FormatUint(m.Sequence, 10), strconv.Itoa(at)}, sourceID...) {
		_, _ = io.WriteString(h, strconv.Itoa(len(part))+":"+part) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}
