package config

import (
	"fmt"
	"testing"
)

// BenchmarkCombine_KeyOfEach combines 5,000 sources, each with a key of its own.
func BenchmarkCombine_KeyOfEach(b *testing.B) {
	c := Defaults()
	c.Keys, c.Sources = map[string]Key{}, map[string]Source{}
	for i := range 5_000 {
		name := fmt.Sprintf("clinic-%04d", i)
		c.Keys[name] = Key{Type: KeyOAuth, ClientID: name, KID: "k", Scope: "fhir:production"}
		c.Sources[name] = Source{ID: fmt.Sprintf("11111111-2222-3333-4444-%012d", i), Key: name, Environment: EnvironmentProduction, OnUnknown: OnUnknownResend}
	}
	for b.Loop() {
		if s := Combine(&c, nil, nil, nil); len(s.Warnings) > 0 {
			b.Fatal(s.Warnings[0])
		}
	}
}
