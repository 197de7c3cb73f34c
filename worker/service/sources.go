package service

import (
	"maps"
	"slices"
	"strings"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// served are the sources of a service at one moment, as each part knows them: the client to
// Redox, the worker, the gateway. It is never changed.
type served struct {
	sources map[string]config.Source
	types   map[string]string // of keys
}

func servedBy(c *config.Config) *served {
	s := &served{maps.Clone(c.Sources), make(map[string]string, len(c.Keys))}
	for name, k := range c.Keys {
		s.types[name] = k.Type
	}
	return s
}

// names are sorted; the gateway answers to them.
func (s *served) names() []string { return slices.Sorted(maps.Keys(s.sources)) }

// ofRedox are the sources of the client.
func (s *served) ofRedox() map[string]redox.Source {
	all := make(map[string]redox.Source, len(s.sources))
	for name, source := range s.sources {
		all[name] = redox.Source{ID: source.ID, Key: source.Key, KeyType: redox.KeyType(s.types[source.Key]), Environment: source.Environment,
			NoSlugGuard: source.SlugGuard == config.SlugGuardOff}
	}
	return all
}

// ofWorker are the sources of the worker. The client must know them already.
func (s *served) ofWorker(client *redox.Client) []worker.Source {
	all := make([]worker.Source, 0, len(s.sources))
	for _, name := range s.names() {
		all = append(all, worker.Source{Name: name, Scopes: client.Scopes(name), MessageScopes: client.MessageScopes, Hold: holdPolicy(s.sources[name])})
	}
	return all
}

// holdPolicy decides which messages of a source are held when their outcome is unknown.
func holdPolicy(s config.Source) func(outbox.Message) bool {
	if s.OnUnknown == config.OnUnknownHold {
		return func(m outbox.Message) bool { return m.Lane != contract.LaneRequest }
	}
	if len(s.Hold) == 0 {
		return nil
	}
	return func(m outbox.Message) bool {
		if m.Lane == contract.LaneRequest {
			return false
		}
		meta, err := redox.ReadMeta(m.Body)
		return err == nil && slices.ContainsFunc(s.Hold, func(pattern string) bool {
			model, event, _ := strings.Cut(pattern, ".")
			return (model == "*" || model == meta.DataModel) && (event == "*" || event == meta.EventType)
		})
	}
}
