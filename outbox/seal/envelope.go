package seal

import (
	"bytes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

const (
	version = "v1"
	adHead  = "redox-seal/1"
	wrapped = nonceSize + keySize + tagSize
	// maxEnvelope bounds an envelope, in bytes.
	maxEnvelope = len(version) + 1 + maxKeyID + 1 + (wrapped*8+5)/6
	// maxHeaders bounds sealed headers, in bytes.
	maxHeaders = 64 << 10
)

// Nonces of a data key end in one of these.
const (
	partMore    = 0
	partLast    = 1
	partHeaders = 2
)

// Headers are the sealed headers of a message or reply.
type Headers struct {
	// Headers by their names, one value each.
	Headers map[string]string `json:"headers,omitempty"`
	// Size of the body in bytes, before it is sealed. 0: there is none.
	Size int64 `json:"size,omitempty"`
	// ClearReply has the worker answer a subject that is not stored with a reply that is not sealed:
	// who asked has no ring.
	ClearReply bool `json:"clear_reply,omitempty"`
}

// sealedHeaders are Headers as they are written: those print nothing of a patient.
type sealedHeaders Headers

// DataKey encrypts, or decrypts, what belongs to one envelope. It is safe for concurrent use, but
// must encrypt one set of headers and one body alone.
type DataKey struct {
	aead  cipher.AEAD
	bytes []byte
}

// New makes a data key and its envelope. lines are the lines of the associated data.
func (r *Ring) New(lines ...string) (DataKey, string, error) {
	bytes := random(keySize + nonceSize)
	return r.wrap(bytes[:keySize:keySize], bytes[keySize:], lines)
}

// wrap makes the envelope of a data key with the key that seals.
func (r *Ring) wrap(data, nonce []byte, lines []string) (DataKey, string, error) {
	k, err := r.sealing()
	if err != nil {
		return DataKey{}, "", fmt.Errorf("seal: %w", err)
	}
	ad, err := associated(k.ID, lines)
	if err != nil {
		return DataKey{}, "", err
	}
	out := make([]byte, 0, wrapped)
	out = append(out, nonce...)
	out = k.aead.Seal(out, out, data, ad)
	return DataKey{newAEAD(data), data}, version + "." + k.ID + "." + base64.RawURLEncoding.EncodeToString(out), nil
}

// Open finds the data key in an envelope, beside the same lines with which it was made. The
// error is an [ErrAltered], [ErrUnknownKey], [ErrShredded] or [ErrAway], and holds nothing of the message.
func (r *Ring) Open(envelope string, lines ...string) (DataKey, error) {
	id, sealed, err := parse(envelope)
	if err != nil {
		return DataKey{}, err
	}
	k, err := r.opening(id)
	if err != nil {
		return DataKey{}, fmt.Errorf("seal: %w", err)
	}
	ad, err := associated(id, lines)
	if err != nil {
		return DataKey{}, err
	}
	data, err := k.aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], ad)
	if err != nil {
		return DataKey{}, altered("the envelope does not open beside this message")
	}
	return DataKey{newAEAD(data), data}, nil
}

// Rewrap makes the envelope of the same data key anew with the key that seals now. changed is false where that
// is the one which it has.
func (r *Ring) Rewrap(envelope string, lines ...string) (anew string, changed bool, err error) {
	data, err := r.Open(envelope, lines...)
	if err != nil {
		return "", false, err
	}
	if k, err := r.sealing(); err != nil {
		return "", false, fmt.Errorf("seal: %w", err)
	} else if k.ID == KeyOf(envelope) {
		return envelope, false, nil
	}
	_, anew, err = r.wrap(data.bytes, random(nonceSize), lines)
	return anew, err == nil, err
}

// KeyOf is the id of the key in an envelope; "" where it is none.
func KeyOf(envelope string) string {
	id, _, err := parse(envelope)
	if err != nil {
		return ""
	}
	return id
}

func parse(envelope string) (id string, sealed []byte, err error) {
	if len(envelope) > maxEnvelope {
		return "", nil, altered("the envelope is none")
	}
	v, rest, _ := strings.Cut(envelope, ".")
	id, text, _ := strings.Cut(rest, ".")
	if v != version {
		return "", nil, altered("the envelope is none of version 1")
	}
	sealed, err = base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !isKeyID(id) || len(sealed) != wrapped || strings.ContainsAny(text, "\r\n") {
		return "", nil, altered("the envelope is none")
	}
	return id, sealed, nil
}

// associated is the associated data of an envelope.
func associated(id string, lines []string) ([]byte, error) {
	n := len(adHead) + 1 + len(id)
	for _, line := range lines {
		n += 1 + len(line)
	}
	ad := make([]byte, 0, n)
	ad = append(append(append(ad, adHead...), '\n'), id...)
	for _, line := range lines {
		if strings.Contains(line, "\n") {
			return nil, altered("what names it has more than one line")
		}
		ad = append(append(ad, '\n'), line...)
	}
	return ad, nil
}

func altered(why string) error { return fmt.Errorf("seal: %w: %s", ErrAltered, why) }

// nonce of a part.
func nonce(number uint64, flag byte) []byte {
	n := make([]byte, nonceSize)
	for i := range 8 {
		n[nonceSize-2-i] = byte(number >> (8 * i))
	}
	n[nonceSize-1] = flag
	return n
}

// SealHeaders encrypts headers, as the value of a header.
func (k DataKey) SealHeaders(h Headers) string {
	var text []byte
	if len(h.Headers) == 0 && !h.ClearReply { // most messages
		text = append(strconv.AppendInt(append(make([]byte, 0, 64), sizeAlone...), h.Size, 10), '}')
	} else {
		var b bytes.Buffer
		to := json.NewEncoder(&b)
		to.SetEscapeHTML(false) // a query string with many & would grow beyond what a stream takes of headers
		if err := to.Encode(sealedHeaders(h)); err != nil {
			panic(err) // texts and a number
		}
		text = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	return base64.RawURLEncoding.EncodeToString(k.aead.Seal(nil, nonce(0, partHeaders), text, nil))
}

// sizeAlone begins the headers of a message that has none.
const sizeAlone = `{"size":`

// OpenHeaders is the reverse of SealHeaders. The error is an [ErrAltered].
func (k DataKey) OpenHeaders(sealed string) (h Headers, err error) {
	if len(sealed) > maxHeaders {
		return h, altered("the sealed headers are too long")
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return h, altered("the sealed headers are not base64url")
	}
	if data, err = k.aead.Open(data[:0], nonce(0, partHeaders), data, nil); err != nil {
		return h, altered("the sealed headers do not open")
	}
	if rest, ok := strings.CutPrefix(string(data), sizeAlone); ok {
		if h.Size, err = strconv.ParseInt(strings.TrimSuffix(rest, "}"), 10, 64); err == nil && h.Size >= 0 {
			return h, nil
		}
	}
	if err := json.Unmarshal(data, (*sealedHeaders)(&h)); err != nil || h.Size < 0 {
		return Headers{}, altered("the sealed headers are none of version 1")
	}
	return h, nil
}

// DataKeyOf returns a data key of these bytes, for tests of other implementations: what is sealed takes
// one from [Ring.New].
func DataKeyOf(key [keySize]byte) DataKey { return DataKey{newAEAD(key[:]), key[:]} }
