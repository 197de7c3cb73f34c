// Package outboxtest is where tests of package outbox and of those beneath it begin: servers of
// their own, alone or as a cluster, with the streams that they need.
package outboxtest
