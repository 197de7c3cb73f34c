package redoxsim

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// filesContract is the contract of the file store and of the Platform API. The latter is the simulator's alone: a
// sandbox has no user-level key.
//
//	REDOX_SANDBOX_BLOB_URL        default https://blob.redoxengine.com; free accounts may not upload
var filesContract = []contractCase{
	{"upload", false, func(t *testing.T, p *peer) received {
		text, contentType := form("file", "sim.txt", "synthetic")
		return p.blob(t, text, contentType)
	}, want{status: []int{201, 403}}},
	{"upload without a file", false, func(t *testing.T, p *peer) received {
		return p.blob(t, "--b--\r\n", "multipart/form-data; boundary=b")
	}, want{status: []int{400, 403, 500}, not: `"URI"`}},
	{"upload answers with a URI", true, func(t *testing.T, p *peer) received {
		text, contentType := form("file", "sim.txt", "synthetic")
		return p.blob(t, text, contentType)
	}, want{status: []int{201}, contentType: "application/json", contains: `{"URI":"http`}},
	{"upload in another field", true, func(t *testing.T, p *peer) received {
		text, contentType := form("upload", "sim.txt", "synthetic")
		return p.blob(t, text, contentType)
	}, want{status: []int{400}}},
	{"message with a file that is not there", true, func(t *testing.T, p *peer) received {
		return p.post(t, p.meta("Media", "New", p.destinations())+`,"Media":{"FileContents":"https://blob.redoxengine.com/1"}}`)
	}, want{status: []int{400}, contains: `"Errors"`}},
	{"platform without a user's token", false, func(t *testing.T, p *peer) received {
		return p.do(http.MethodGet, PathPlatform+"organizations/1/logs/"+testDest, "", bearer(p.bearerToken(t)))
	}, want{status: []int{401, 403, 404}}},
	{"platform without a token", false, func(t *testing.T, p *peer) received {
		return p.do(http.MethodGet, PathPlatform+"organizations/1/logs/"+testDest, "", nil)
	}, want{status: []int{401}}},
}

// blob asks the file store.
func (p *peer) blob(t *testing.T, text, contentType string) received {
	h := with(bearer(p.bearerToken(t)), "Redox-Source-Id", p.source)
	h.Set("Content-Type", contentType)
	store := *p.rig
	if store.sim == nil {
		store.url = strings.TrimSuffix(os.Getenv("REDOX_SANDBOX_BLOB_URL"), "/")
		if store.url == "" {
			store.url = "https://blob.redoxengine.com"
		}
	}
	return store.do(http.MethodPost, PathUpload, text, h)
}
