package contract

import "bytes"

// WithoutMark returns body without a byte order mark of UTF-8, which is no part of a JSON text (RFC
// 8259, 8.1): readers of JSON ignore the mark, and a worker does not send it. The result shares
// memory with body.
func WithoutMark(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) }
