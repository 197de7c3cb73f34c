package config_test

import (
	"fmt"
	"strings"

	"github.com/redoxworker/redoxworker/config"
)

// A command that needs neither keys nor sources, set up by the environment.
func ExampleLoad() {
	c, err := config.Load(config.Options{
		Environ: []string{"REDOXWORKER_NATS_URL=nats://me:secret@nats.example:4222", "REDOXWORKER_SOURCES_CLINIC_A_ON_UNKNOWN=hold"},
		Flags:   map[string]any{"worker.ack_wait": "1m"},
		Skip:    config.PartKeys | config.PartSources,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.NATS.URL, "from", c.Origin("nats.url"))
	fmt.Println(c.Worker.AckWait, "from", c.Origin("worker.ack_wait"))
	fmt.Println(c.Sources["clinic-a"].OnUnknown, "from", c.Origin("sources.clinic-a.on_unknown"))
	// Output:
	// nats://[redacted]@nats.example:4222 from environment REDOXWORKER_NATS_URL
	// 1m0s from command line
	// hold from environment REDOXWORKER_SOURCES_CLINIC_A_ON_UNKNOWN
}

// Everything that is wrong is said at once, one line each.
func ExampleProblems() {
	_, err := config.Load(config.Options{
		Environ: []string{"REDOXWORKER_REDOX_TIMEOUT=150", "REDOXWORKER_NATS_ULR=nats://nats.example"},
		Skip:    config.PartKeys,
	})
	fmt.Println(err)
	// Output:
	// REDOXWORKER_NATS_ULR: unknown environment variable; did you mean REDOXWORKER_NATS_URL?
	// redox.timeout: "150" has no unit; write a number and a unit, such as 150s, 5m, 24h or 7d (environment REDOXWORKER_REDOX_TIMEOUT)
	// sources: no source is configured; name one below sources, with its id and key
}

// The reference names every key, its variable and its default.
func ExampleReference() {
	for _, f := range config.Reference() {
		if strings.HasPrefix(f.Key, "gateway.") || strings.HasSuffix(f.Key, ".on_unknown") {
			fmt.Println(f.Key, f.Env, f.Type, f.Default)
		}
	}
	// Output:
	// sources.<name>.on_unknown REDOXWORKER_SOURCES_<NAME>_ON_UNKNOWN string resend
	// gateway.enabled REDOXWORKER_GATEWAY_ENABLED boolean true
	// gateway.max_wait REDOXWORKER_GATEWAY_MAX_WAIT duration 150s
}
