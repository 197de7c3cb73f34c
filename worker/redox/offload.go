package redox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/outbox"
)

// Offload says whether large files inside data-model and FHIR messages are uploaded first and
// replaced by their URI, as Redox recommends over 200 KB (Redox, Send a file). It concerns base64
//
//   - in Media.FileContents, in Note.FileContents with ContentType "Base64 Encoded", and in
//     Orders[].Results[].Value with ValueType "Encapsulated Data", where the URI takes its place;
//   - in the data of what is an Attachment in FHIR R4, also in a Bundle and in contained resources,
//     where "data" becomes "url", and the base64 the URI. Size, hash and contentType are those of
//     the file, and stay.
//
// All other bytes of the message stay as they are. Base64 is read in each form that RFC 2045 and
// RFC 4648 have. The same file at two places is uploaded twice: nothing says that Redox lets one
// URI be used twice.
//
// For FHIR, Redox documents this of DocumentReference (Redox, Send a file via the FHIR API), and
// says that the file goes to the endpoint for files by way of Binary; the address it has for that
// was not to be found, so that it is BlobURL here, as for data models. That Redox fetches what the
// attachments of other resources refer to is FHIR's rule, and documented nowhere: try it before
// messages depend on it.
//
// Messages of a source with NoSlugGuard keep their files: they go to another FHIR server.
//
// What could be a file and stays in its message is counted by redoxworker_redox_files_left_total,
// by reason, at each attempt.
type Offload struct {
	// Enabled switches it on. Default off.
	Enabled bool
	// Over is the size in bytes of the file itself above which it is uploaded. Default
	// 200,000.
	Over int64
	// Uploads remembers what was uploaded. nil means that nothing is: a message that comes
	// again uploads its files again.
	Uploads Uploads
}

// Uploads remembers the URIs of files that were uploaded for messages, so that a message
// that comes again, after a crash or a failure, does not upload them a second time. It
// must be safe for concurrent use. The error must hold no secret.
type Uploads interface {
	// Uploaded returns the URI that Keep was given for a file of the source; "" when
	// there is none. file is 64 hex digits.
	Uploaded(ctx context.Context, source, file string) (uri string, err error)
	// Keep stores the URI for at least as long as the message may come again.
	Keep(ctx context.Context, source, file, uri string) error
}

// maxMessage bounds a data-model or FHIR message as it arrives: with offload it may hold one file
// of the largest size, in base64, besides all that may be sent.
func (c *Client) maxMessage() int64 {
	switch {
	case !c.cfg.Offload.Enabled || c.cfg.MaxBody < 0:
		return c.cfg.MaxBody
	case c.cfg.MaxFile < 0:
		return -1
	}
	return c.cfg.MaxBody + (c.cfg.MaxFile+2)/3*4
}

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

func (o Offload) validate() error {
	if o.Over < 0 {
		return errors.New("redox: Offload.Over: " + strconv.FormatInt(o.Over, 10) + "; use 1 or more")
	}
	return nil
}
