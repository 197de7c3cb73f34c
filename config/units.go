package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Patterns of the texts that parseDuration and parseSize take, for the schema.
const (
	number          = `([0-9]+(\.[0-9]*)?|\.[0-9]+)`
	durationPattern = `^(0|` + number + `d|(` + number + `d)?(` + number + `(ns|us|µs|μs|ms|s|m|h))+)$`
	sizePattern     = `^[0-9]+ ?([kKmMgG][iI]?)?[bB]$|^[0-9]+$|^-1$`
)

var (
	errNoUnit = errors.New("has no unit")
	errUnit   = errors.New("is not a value with a known unit")
	errRange  = errors.New("is out of range")
)

const day = 24 * time.Hour

// parseDuration reads what time.ParseDuration reads, and days (1d, 1d12h), but
// nothing negative.
func parseDuration(text string) (time.Duration, error) {
	if isDigits(text) && strings.Trim(text, "0") != "" {
		return 0, errNoUnit
	}
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "", text
	}
	var sum time.Duration
	if found {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || strings.ContainsAny(days, "+-eExXpPiInN_") {
			return 0, errUnit
		}
		if n*float64(day) >= math.MaxInt64 {
			return 0, errRange
		}
		sum = time.Duration(n * float64(day))
		if rest == "" {
			return sum, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || strings.ContainsAny(rest, "+-") {
		return 0, errUnit
	}
	if sum+d < sum {
		return 0, errRange
	}
	return sum + d, nil
}

// formatDuration writes a duration that parseDuration reads back: 150s is 2m30s,
// and no unit that is zero is written.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizeUnits in the order in which formatSize tries them.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"GB", 1e9}, {"GiB", 1 << 30}, {"MB", 1e6}, {"MiB", 1 << 20}, {"kB", 1e3}, {"KiB", 1 << 10},
}

// parseSize reads bytes: a plain number, or one with B, kB, MB, GB (powers of
// 1000) or KiB, MiB, GiB (powers of 1024), in any case.
func parseSize(text string) (int64, error) {
	if text == "-1" { // where no size has a meaning of its own
		return -1, nil
	}
	digits := strings.TrimRight(text, "kmgibKMGIB")
	unit := text[len(digits):]
	digits = strings.TrimSuffix(digits, " ")
	if !isDigits(digits) {
		return 0, errUnit
	}
	factor := int64(0)
	if unit == "" || strings.EqualFold(unit, "B") {
		factor = 1
	}
	for _, u := range sizeUnits {
		if strings.EqualFold(u.name, unit) {
			factor = u.bytes
		}
	}
	if factor == 0 {
		return 0, errUnit
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/factor {
		return 0, errRange
	}
	return n * factor, nil
}

// formatSize writes a size with the largest unit that divides it.
func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
