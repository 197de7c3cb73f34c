// Package topology is the set of streams and buckets that publishers and workers share: it makes
// them, compares them with what they should be, mends what loses nothing, and says which are
// missing or full.
package topology
