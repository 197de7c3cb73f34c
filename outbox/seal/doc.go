// Package seal encrypts what a message has of a patient, so that it cannot be read where it
// rests: in streams, the object store, dead letters, replies and rows of the SQL outbox.
//
// # Format, version 1
//
// What is sealed gets a data key of its own, 32 random bytes. It is encrypted, with everything that
// names the message as associated data, by a key of the ring, and travels in a header, the
// envelope:
//
//	v1.<key id>.<base64url, without padding, of nonce (12 bytes) | encrypted data key (32) | tag (16)>
//
// All encryption is AES-256-GCM with tags of 16 bytes. The associated data of the envelope is a
// text of lines, each but the last ended by "\n": redox-seal/1, the key id, and the lines of what is
// sealed, which outbox/CONTRACT.md lists for messages and replies. So an envelope opens
// beside its own message alone. Nothing else has associated data: what is encrypted with a data
// key belongs to it.
//
// With the data key two things are encrypted:
//
//   - the sealed headers, one JSON object (see [Headers]) that also says how long the body is, under the nonce 00…00 02;
//     in a header, in base64url without padding
//   - the body in parts of 65,536 bytes, the last one shorter or equal, each followed by its tag. The
//     nonce of a part is its number, from 0, in 11 bytes, the first the highest, and one byte that is
//     1 for the last part, else 0. This is the STREAM construction: parts that are missing, moved or
//     cut off are noticed before the end, and no more than one part is held in memory. An empty
//     body has no parts.
//
// A data key is never used for anything else, so that no nonce comes twice under one. Of a key of the
// ring the nonces are random: it should seal at most 2^32 messages.
//
// Other formats were weighed. That of age (C2SP, age-encryption.org/v1) has the same parts, but no associated
// data, and recipients of other kinds than its own exist in few of its implementations; Tink's has both, and
// links protobuf into every publisher; XChaCha20-Poly1305 is missing in WebCrypto, Node.js and
// Python's cryptography. AES-256-GCM is in all of them and in Go's standard library, where it has
// a FIPS 140-3 mode.
//
// # The ring
//
// A ring is a file of keys; [Open] follows it. The key whose time to seal came last seals, every
// one opens. A rotation adds a key that begins to seal some minutes later, when all who open have it. A key
// that was shredded leaves its name behind, so that what it sealed can be told from what is
// damaged.
//
// A data key does not change when its envelope is made anew with another key of the ring: see
// [Ring.Rewrap]. That is how dead letters follow a rotation, without their bodies being touched.
package seal
