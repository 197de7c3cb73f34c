package redox

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// file makes the request that uploads the body of a message to the file store. The answer
// names the file by its URI; what it was called goes with the media type alone.
func (c *Client) file(ctx context.Context, out *call, m *outbox.Message) *Error {
	f := fileOf(m)
	if err := c.guardFile(f); err != nil {
		return err
	}
	if !validHeaderValue(m.ContentType) {
		return poison("Content-Type has characters that no header may have")
	}
	out.sourceID, out.names = out.sender.idHeader, true
	if err := c.uploads(ctx, out, m, f); err != nil {
		return err
	}
	return c.passOn(m, out.header)
}

// file is what is uploaded.
type file struct {
	size  int64
	media string                              // media type; "" means unknown
	open  func(context.Context) io.ReadCloser // from the start, once for each sending
}

// fileOf is the body of a message, in memory or in the object store.
func fileOf(m *outbox.Message) file {
	if open := m.OpenBody; open != nil {
		return file{size: m.BodySize, media: m.ContentType, open: func(ctx context.Context) io.ReadCloser { return &storedFile{ctx: ctx, find: open} }}
	}
	body := m.Body // not m: it would be on the heap for messages of every kind
	return file{size: int64(len(body)), media: m.ContentType, open: func(context.Context) io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }}
}

// storedFile reads a body from the object store. It is looked for at the first Read, when
// the request is under way. That it cannot be read breaks the request off; the worker
// knows why.
type storedFile struct {
	ctx  context.Context // of the sending, and of its time limit: io.Reader has none
	find func(context.Context) (io.ReadCloser, error)
	body io.ReadCloser
	err  error
}

// Read turns a panic into an error: net/http calls it in a goroutine of its own.
func (f *storedFile) Read(p []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			n, err = 0, fmt.Errorf("reading the body panicked with a %T", p)
		}
	}()
	if f.body == nil && f.err == nil {
		f.body, f.err = f.find(f.ctx)
	}
	if f.err != nil {
		return 0, f.err
	}
	return f.body.Read(p)
}

func (f *storedFile) Close() (err error) {
	if f.body == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("closing the body panicked with a %T", p)
		}
	}()
	return f.body.Close()
}

func (c *Client) guardFile(f file) *Error {
	switch {
	case f.size == 0:
		return poison("the file is empty")
	case c.cfg.MaxFile >= 0 && f.size > c.cfg.MaxFile:
		return tooLarge("file", f.size, c.cfg.MaxFile)
	}
	return nil
}

// uploads makes out upload a file: a form of one field, "file" (Redox, Files). Only head and
// end of the form are made; the file is read while it is sent.
func (c *Client) uploads(ctx context.Context, out *call, m *outbox.Message, f file) *Error {
	out.method, out.url = http.MethodPost, c.targets.upload
	boundary := rand.Text() + rand.Text() // 260 random bits: it is in no file
	media := f.media
	if media == "" {
		media = "application/octet-stream"
	}
	head := "--" + boundary + "\r\n" +
		`Content-Disposition: form-data; name="file"; filename="file` + extension(media) + `"` + "\r\n" +
		"Content-Type: " + media + "\r\n\r\n"
	end := "\r\n--" + boundary + "--\r\n"
	out.stream = &stream{
		size: int64(len(head)) + f.size + int64(len(end)),
		open: func(ctx context.Context) io.ReadCloser {
			content := f.open(ctx)
			return upload{io.MultiReader(strings.NewReader(head), content, strings.NewReader(end)), content}
		},
	}
	var err *Error
	out.header, err = c.header(ctx, &outbox.Message{
		Accept: jsonType[0], TraceParent: m.TraceParent, TraceState: m.TraceState,
	}, out.sourceID, jsonOnly)
	if err == nil {
		out.header["Content-Type"] = []string{"multipart/form-data; boundary=" + boundary}
	}
	return err
}

// upload reads head, file and end; what is to be closed is the file.
type upload struct {
	io.Reader
	io.Closer
}

// fileURI is the URI in the answer to an upload, "" where it has none. It is opaque: Redox
// has changed its form (Redox, Files).
func fileURI(body []byte) string {
	s := jsonscan.Scan(httpanswer.WithoutMark(body), jsonscan.LenientJSON...)
	defer s.Release()
	var uri string
	_ = s.Each(func(name jsontext.Value) error {
		v, err := s.Read()
		if jsonscan.Is(name, "URI") && v.Kind() == '"' {
			uri = jsonscan.Unquote(v)
		}
		return err
	})
	if len(uri) > maxURI || strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return uri
}

const maxURI = 2048

// mediaTypes are the media types of files by the extension that Redox's FileType and file
// names have. A file is named file.<extension>: its own name may be a patient's.
var mediaTypes = map[string]string{
	"pdf": "application/pdf", "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif",
	"tif": "image/tiff", "tiff": "image/tiff", "bmp": "image/bmp", "txt": "text/plain", "rtf": "application/rtf",
	"html": "text/html", "xml": "application/xml", "json": "application/json", "csv": "text/csv", "dcm": "application/dicom",
	"doc": "application/msword", "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"mp3": "audio/mpeg", "mp4": "video/mp4", "wav": "audio/wav", "zip": "application/zip",
}

// extension of a media type, with its dot; "" for one that is not known.
func extension(media string) string {
	kind, _, err := mime.ParseMediaType(media)
	if err != nil {
		return ""
	}
	best := ""
	for ext, m := range mediaTypes {
		if m == kind && (best == "" || len(ext) < len(best) || len(ext) == len(best) && ext < best) {
			best = ext
		}
	}
	if best == "" {
		return ""
	}
	return "." + best
}
