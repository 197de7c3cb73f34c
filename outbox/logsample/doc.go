// Package logsample keeps a log readable while much fails at once, however many messages,
// sources or keys it concerns.
//
// [Handler] is for lines about one thing each, such as a message that will be tried again:
// a burst of a kind passes, and from then on one line a minute says how many more there
// were. [Trouble] is for a state that many are in at once, such as consumers that cannot be
// pulled from: it has one line when it begins, changes or ends, and one a minute meanwhile.
//
// The worker, the quota governor and the gateway put a Handler around the logger they are
// given. Put one around yours to have it count over all of them, and over the token caches:
//
//	logger := slog.New(logsample.NewHandler(slog.NewJSONHandler(os.Stderr, nil)))
package logsample
