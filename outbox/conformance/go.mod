module github.com/redoxworker/redoxworker/outbox/conformance

go 1.26.0
