// Package shown prints the types that hold a secret or patient data without them: through every
// verb of package fmt, as JSON, and through package slog, where they stand alone, in exported
// fields, slices, maps or behind pointers. What is shown are ids, names of sources, kinds, sizes,
// times and texts that are safe already. (In an unexported field of another struct package fmt
// calls no methods: log the value itself.)
package shown
