package redoxsim

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
)

// upload is a file as it came in. Its content is kept only with [Server.KeepBodies].
type upload struct {
	size    int64
	digest  Digest
	content []byte
}

// uploadSlack is how much a multipart body may be longer than its file.
const uploadSlack = 64 << 10

// watched is a body that remembers how much was read and whether the client broke off.
type watched struct {
	r   io.Reader
	n   int64
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// tailReader remembers the last bytes read: more than a multipart.Reader reads ahead.
type tailReader struct {
	r    io.Reader
	last []byte
}

func (t *tailReader) Read(p []byte) (int, error) {
	const size = 8 << 10
	n, err := t.r.Read(p)
	t.last = append(t.last, p[max(0, n-size):n]...)
	if extra := len(t.last) - size; extra > 0 {
		t.last = append(t.last[:0], t.last[extra:]...)
	}
	return n, err
}

// fileSink takes a file in: its length, its digest and, when it is to be kept, its content.
type fileSink struct {
	hash hash.Hash
	keep bool
	u    upload
}

func (s *fileSink) Write(p []byte) (int, error) {
	s.u.size += int64(len(p))
	if s.keep {
		s.u.content = append(s.u.content, p...)
	}
	return s.hash.Write(p)
}

// readUpload reads a multipart body as it streams in, so that 30 MB are never held. Only an error of the connection is
// an error; what is wrong with the body becomes a complaint.
func (x *exchange) readUpload() error {
	body := &watched{r: x.r.Body}
	limit := x.s.maxUpload()
	u, c := parseUpload(body, x.r.Header.Get("Content-Type"), limit, x.s.KeepBodies)
	if c != nil && body.err == nil { // the rest is thrown away so that the client gets to see the answer
		_, _ = io.Copy(io.Discard, io.LimitReader(body, 8*max(limit, 0)+1<<20))
	}
	x.upload, x.complaint = u, c
	x.note(func(a *Arrival) { a.BodySize, a.FileSize = body.n, u.size })
	return body.err
}

// parseUpload reads a body of one part, a file in the field "file". What Redox makes of other forms is not documented;
// they are refused (inferred): further parts, no file name, an encoded part, an empty file.
func parseUpload(body io.Reader, contentType string, limit int64, keep bool) (*upload, *complaint) {
	none := &upload{}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "multipart/form-data" || params["boundary"] == "" {
		return none, malformed("Content-Type is not multipart/form-data with a boundary")
	}
	if limit >= 0 {
		body = io.LimitReader(body, limit+uploadSlack)
	}
	tail := &tailReader{r: body}
	form := multipart.NewReader(tail, params["boundary"])
	part, err := form.NextRawPart()
	if err != nil {
		return none, malformed("The body is not multipart/form-data, or has no part")
	}
	switch {
	case part.FormName() != "file":
		return none, malformed("The first field is not named file")
	case part.FileName() == "":
		return none, malformed("The field file has no filename")
	case part.Header.Get("Content-Transfer-Encoding") != "": // RFC 7578, 4.7: deprecated
		return none, malformed("The file has a Content-Transfer-Encoding")
	}
	sink := &fileSink{hash: sha256.New(), keep: keep}
	src := io.Reader(part)
	if limit >= 0 {
		src = io.LimitReader(part, limit+1)
	}
	_, err = io.Copy(sink, src)
	u := &sink.u
	sink.hash.Sum(u.digest[:0])
	switch {
	case limit >= 0 && u.size > limit:
		u.content = nil
		return u, &complaint{http.StatusRequestEntityTooLarge, "Payload Too Large", "", ""}
	case err != nil:
		return u, malformed("The file has no end")
	case u.size == 0:
		return u, malformed("The file is empty")
	}
	if _, err := form.NextRawPart(); !errors.Is(err, io.EOF) {
		return u, malformed("There is more than one part")
	}
	if !bytes.Contains(tail.last, []byte("--"+params["boundary"]+"--")) { // multipart.Reader does without
		return u, malformed("The form has no end")
	}
	return u, nil
}

// identifyUpload reads the token and counts the attempt. A file is named by its content.
func (x *exchange) identifyUpload() {
	x.msg = &message{}
	x.bearer(orgKey, legacyKey)
	x.findSource()
	x.count()
}

// serveUpload keeps a file (Redox, Send a file via the Data Model API).
func (s *Server) serveUpload(x *exchange) answer {
	if x.state != TokenValid {
		return unauthorized("the token is " + string(x.state))
	}
	c := x.complaint
	if c == nil && x.r.Header.Get("Content-Encoding") != "" {
		c = malformed("Content-Encoding is not supported")
	}
	if c == nil {
		c = s.judgeSource(x, sourceRule{field: "header Redox-Source-Id"})
	}
	if c != nil {
		return s.complain(x, c)
	}
	uri := s.addBlob(x)
	a := jsonAnswer(http.StatusCreated, struct{ URI string }{uri})
	a.accepted = true
	return a
}

func (s *Server) maxUpload() int64 {
	if s.MaxUpload == 0 {
		return 30_000_000
	}
	return s.MaxUpload
}
