package jsapi

import (
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// Codes of the JetStream API (nats-server 2.15, errors.json).
const (
	codeAccountResources      jetstream.ErrorCode = 10002
	codeNoPeers               jetstream.ErrorCode = 10005
	CodeNotAvailable          jetstream.ErrorCode = 10008
	codeNotLeader             jetstream.ErrorCode = 10009
	CodeInsufficientResources jetstream.ErrorCode = 10023
	CodeMaxConsumers          jetstream.ErrorCode = 10026
	codeMaxStreams            jetstream.ErrorCode = 10027
	codeMemoryResources       jetstream.ErrorCode = 10028
	codeStorageResources      jetstream.ErrorCode = 10047
	CodeStreamCreate          jetstream.ErrorCode = 10049
	CodeMessageTooLarge       jetstream.ErrorCode = 10054
	CodeStreamName            jetstream.ErrorCode = 10058
	codeSubjectOverlap        jetstream.ErrorCode = 10065
	codeWrongLastSequence     jetstream.ErrorCode = 10071
	CodeNotClustered          jetstream.ErrorCode = 10074
	CodeStoreFailed           jetstream.ErrorCode = 10077
	codeWrongLastSequenceRace jetstream.ErrorCode = 10164
)

// Code returns the JetStream error code inside err, 0 if there is none.
func Code(err error) jetstream.ErrorCode {
	var e jetstream.JetStreamError
	if errors.As(err, &e) && e.APIError() != nil {
		return e.APIError().ErrorCode
	}
	return 0
}

// AlreadyStored reports whether err is the server's answer to a write that
// expected an empty subject and found it taken: an earlier write succeeded.
func AlreadyStored(err error) bool {
	code := Code(err)
	return code == codeWrongLastSequence || code == codeWrongLastSequenceRace
}

// NoRoom reports whether err says that the stream, or the account's storage, has reached its
// limit.
func NoRoom(err error) bool {
	switch Code(err) {
	case CodeStoreFailed, codeAccountResources, CodeInsufficientResources, codeMemoryResources, codeStorageResources:
		return true
	}
	return false
}
