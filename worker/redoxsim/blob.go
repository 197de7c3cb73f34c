package redoxsim

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

// Blob is a file in the simulated file store.
type Blob struct {
	URI string `json:"uri"`
	// Source is the source it belongs to, Owner the client id or API key whose token uploaded it. Only that source, or
	// without a source that key, may refer to it (Redox, Sending files).
	Source string    `json:"source,omitempty"`
	Owner  string    `json:"owner"`
	Size   int64     `json:"size"` // bytes
	SHA256 Digest    `json:"sha256"`
	At     time.Time `json:"at"`
	Seq    uint64    `json:"seq"` // of the arrival
	// Uses counts the messages taken that refer to it.
	Uses int `json:"uses"`
}

// blobStore is the files and the figures about them. Its zero value is empty.
type blobStore struct {
	mu        sync.Mutex
	last      uint64
	list      []*storedBlob
	byURI     map[string]*storedBlob
	seen      map[string]bool // source and digest
	uploads   uint64
	reuploads uint64
	bytes     uint64
}

type storedBlob struct {
	Blob
	content []byte // with Server.KeepBodies
}

// firstBlob is where the numbers of files begin, near one that was recorded.
const firstBlob = 14_652_613

// addBlob keeps a file and returns its URI.
func (s *Server) addBlob(x *exchange) string {
	base := s.BlobURL
	if base == "" {
		base = schemeOf(x.r) + x.r.Host
	}
	b := &s.blobs
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	kept := &storedBlob{content: x.upload.content, Blob: Blob{
		URI: strings.TrimRight(base, "/") + "/" + strconv.FormatUint(firstBlob+b.last, 10), Source: x.source, Owner: x.token.owner,
		Size: x.upload.size, SHA256: x.upload.digest, At: s.now(), Seq: x.seq,
	}}
	b.uploads++
	b.bytes += uint64(kept.Size)
	if b.byURI == nil {
		b.byURI, b.seen = map[string]*storedBlob{}, map[string]bool{}
	}
	content := kept.Source + " " + kept.SHA256.String()
	if b.seen[content] {
		b.reuploads++
	}
	b.seen[content] = true
	b.list, b.byURI[kept.URI] = append(b.list, kept), kept
	return kept.URI
}

func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://"
	}
	return "http://"
}

// Blobs returns the files in the order in which they were uploaded.
func (s *Server) Blobs() []Blob {
	b := &s.blobs
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Blob, len(b.list))
	for i, kept := range b.list {
		list[i] = kept.Blob
	}
	return list
}

// BlobContent returns the content of a file, which is kept only with [Server.KeepBodies].
func (s *Server) BlobContent(uri string) ([]byte, bool) {
	b := &s.blobs
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.byURI[uri]
	if kept == nil || kept.content == nil {
		return nil, false
	}
	return kept.content, true
}

// judgeFiles refuses references to files that are not there or belong to somebody else.
func (s *Server) judgeFiles(x *exchange) *complaint {
	b := &s.blobs
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, uri := range fileReferences(x.msg) {
		kept := b.byURI[uri]
		switch {
		case kept == nil:
			return malformed("A file that the message refers to was never uploaded")
		case kept.Source != "" && kept.Source != x.source, kept.Source == "" && kept.Owner != x.token.owner:
			return &complaint{http.StatusForbidden, "A file that the message refers to belongs to another source", "DataModels", ""}
		}
	}
	return nil
}

// useFiles counts the references of a message that was taken.
func (s *Server) useFiles(m *message) {
	b := &s.blobs
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, uri := range fileReferences(m) {
		if kept := b.byURI[uri]; kept != nil {
			kept.Uses++
		}
	}
}

// fileReferences are the addresses in the places where a message may have one instead of a file's content: FileContents
// of Media and of a note, and values of results (Redox, Transferring files).
func fileReferences(m *message) []string {
	var found []string
	add := func(value []byte) {
		if len(value) > 4096 { // that is content
			return
		}
		if text, ok := jsonread.Text(value); ok && (strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://")) {
			found = append(found, text)
		}
	}
	switch m.dataModel {
	case "Media":
		add(m.at("Media", "FileContents"))
	case "Notes":
		add(m.at("Note", "FileContents"))
	case "Results":
		orders, _ := jsonread.Elements(m.at("Orders"))
		for _, o := range orders {
			order, _ := jsonread.Object(o)
			value, _, _ := order.Lookup("Results")
			results, _ := jsonread.Elements(value)
			for _, r := range results {
				result, _ := jsonread.Object(r)
				if kind, _ := result.Text("ValueType"); kind == "Encapsulated Data" {
					value, _, _ := result.Lookup("Value")
					add(value)
				}
			}
		}
	}
	return found
}

// at is the value at a path of member names, nil when there is none.
func (m *message) at(path ...string) []byte {
	list := m.top
	var value []byte
	for _, name := range path {
		value, _, _ = list.Lookup(name)
		list, _ = jsonread.Object(value)
	}
	return value
}

// figures are how many files were uploaded, how many of them had been before, and their bytes.
func (b *blobStore) figures() (uploads, reuploads, size uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.uploads, b.reuploads, b.bytes
}

func (b *blobStore) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uploads, b.reuploads, b.bytes = 0, 0, 0
}
