package config

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(durationPattern)
	for _, tt := range []struct {
		text string
		want time.Duration
		err  error
	}{
		{"150s", 150 * time.Second, nil}, {"0", 0, nil}, {"0s", 0, nil}, {"1h30m", 90 * time.Minute, nil}, {"1.5s", 1500 * time.Millisecond, nil},
		{"250ms", 250 * time.Millisecond, nil}, {"7d", 168 * time.Hour, nil}, {"1d12h", 36 * time.Hour, nil}, {"0.5d", 12 * time.Hour, nil}, {"3µs", 3 * time.Microsecond, nil},
		{"150", 0, errNoUnit}, {"1", 0, errNoUnit},
		{"", 0, errUnit}, {"s", 0, errUnit}, {"5 s", 0, errUnit}, {"5w", 0, errUnit}, {"-5s", 0, errUnit}, {"+5s", 0, errUnit}, {"d", 0, errUnit}, {"-1d", 0, errUnit},
		{"1h1d", 0, errUnit}, {"1e9d", 0, errUnit}, {"NaNd", 0, errUnit}, {"Infd", 0, errUnit}, {"1d-1h", 0, errUnit}, {"1dd", 0, errUnit}, {"five minutes", 0, errUnit},
		{"200000d", 0, errRange}, {"106751d24h", 0, errRange}, {"9999999999h", 0, errUnit},
	} {
		got, err := parseDuration(tt.text)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: %v, %v; want %v, %v", tt.text, got, err, tt.want, tt.err)
		}
		if err == nil && !pattern.MatchString(tt.text) {
			t.Errorf("%q does not match the pattern of the schema", tt.text)
		}
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(sizePattern)
	for _, tt := range []struct {
		text string
		want int64
		err  error
	}{
		{"10MB", 10_000_000, nil}, {"8MiB", 8 << 20, nil}, {"10485760", 10 << 20, nil}, {"0", 0, nil}, {"1 kB", 1000, nil}, {"1kib", 1024, nil}, {"2GB", 2e9, nil}, {"2gib", 2 << 30, nil}, {"-1", -1, nil}, {"7B", 7, nil}, {"7b", 7, nil},
		{"", 0, errUnit}, {"MB", 0, errUnit}, {"10M", 0, errUnit}, {"10k", 0, errUnit}, {"1.5MB", 0, errUnit}, {"-2", 0, errUnit}, {"-1B", 0, errUnit}, {"10 megs", 0, errUnit}, {"10TB", 0, errUnit}, {"1  MB", 0, errUnit}, {"1iB", 0, errUnit},
		{"99999999999999999999", 0, errRange}, {"9223372036854775807kB", 0, errRange},
	} {
		got, err := parseSize(tt.text)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: %v, %v; want %v, %v", tt.text, got, err, tt.want, tt.err)
		}
		if err == nil && !pattern.MatchString(tt.text) {
			t.Errorf("%q does not match the pattern of the schema", tt.text)
		}
	}
}

func TestFormat_ReadsBack(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "0s", 150 * time.Second: "2m30s", 24 * time.Hour: "24h", 10 * time.Minute: "10m", 10 * time.Second: "10s", 90 * time.Minute: "1h30m", time.Hour + 5*time.Second: "1h0m5s", 10 * time.Hour: "10h"} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 10e6: "10MB", 8 << 20: "8MiB", 1500: "1500", 1024: "1KiB", 2e9: "2GB", 1: "1"} {
		if got := formatSize(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Min(0).Draw(t, "duration"))
		if got, err := parseDuration(formatDuration(d)); err != nil || got != d {
			t.Fatalf("%d: %v, %v", d, got, err)
		}
		n := rapid.Int64Min(0).Draw(t, "size")
		if got, err := parseSize(formatSize(n)); err != nil || got != n {
			t.Fatalf("%d: %v, %v", n, got, err)
		}
	})
}
