package meter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Seal is what came of a sealed message, or of one that should be.
type Seal uint8

// Values of Seal.
const (
	SealOpened Seal = iota
	SealAltered
	SealUnknownKey
	SealShredded
	SealMissing
	seals
)

var sealNames = [seals]string{"opened", "altered", "unknown_key", "shredded", "missing"}

// Ring is what is known of the ring of keys.
type Ring struct {
	// There: one is configured. Away: its file is missing or cannot be read.
	There, Away bool
	// Keys is how many open.
	Keys int
	// Age is since when the one that seals does.
	Age time.Duration
}

// Sealed counts a sealed message.
func (m *Meter) Sealed(s Seal) { m.sealed[s].Inc() }

func newSeals(counters *prometheus.CounterVec) (each [seals]prometheus.Counter) {
	for i := range each {
		each[i] = counters.WithLabelValues(sealNames[i])
	}
	return each
}

// ringGauges shows what is known of the ring; nothing where now is nil.
func ringGauges(now func() Ring) gauges {
	g := gauges{descs: []*prometheus.Desc{
		prometheus.NewDesc("redoxworker_seal_ring_away", "1 while the ring of keys cannot be used, so that nothing is sent or settled; 0 also without one.", nil, nil),
		prometheus.NewDesc("redoxworker_seal_keys", "Keys of the ring that open.", nil, nil),
		prometheus.NewDesc("redoxworker_seal_key_age_seconds", "How long the key that seals has done so; 0 without a ring.", nil, nil),
	}}
	if now != nil {
		g.read = func() []float64 {
			r, away := now(), 0.0
			if r.Away {
				away = 1
			}
			return []float64{away, float64(r.Keys), r.Age.Seconds()}
		}
	}
	return g
}
