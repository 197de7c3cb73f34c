package outbox

import (
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

// APIPrefix begins the subjects of the JetStream API as js reaches it, and ends in a dot: in a domain,
// or by an account's import under another name, it is another than "$JS.API.".
func APIPrefix(js jetstream.JetStream) string { return jsapi.APIPrefix(js) }

// BucketSubject is where a key of a bucket is written that cannot be put, for example because it has
// a TTL, also where js has another [APIPrefix] than most.
func BucketSubject(js jetstream.JetStream, bucket, key string) string {
	return jsapi.BucketSubject(js, bucket, key)
}
