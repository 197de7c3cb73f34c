package contract

import (
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

// APIPrefix returns the prefix of the subjects of the JetStream API as js reaches it, with a dot at
// the end. In a domain, or through an account's import under another name, it differs from "$JS.API.".
func APIPrefix(js jetstream.JetStream) string { return jsapi.APIPrefix(js) }

// BucketSubject is where a key of a bucket is written that cannot be put, for example because it has
// a TTL, also where js has another [APIPrefix] than most.
func BucketSubject(js jetstream.JetStream, bucket, key string) string {
	return jsapi.BucketSubject(js, bucket, key)
}
