package service

import (
	"maps"
	"slices"
	"strings"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// What a configured source is to each part: the client to Redox, the worker, the gateway.

func (s *Service) redoxSource(source config.Source) redox.Source {
	return redox.Source{ID: source.ID, Key: source.Key, KeyType: redox.KeyType(s.config.Keys[source.Key].Type), Environment: source.Environment}
}

// workerSource is that of a source which the client knows already.
func (s *Service) workerSource(name string, source config.Source) worker.Source {
	return worker.Source{Name: name, Scopes: s.client.Scopes(name), MessageScopes: hostScopes(s.client), Hold: holdPolicy(source)}
}

// gatewaySources are the names that the gateway answers to.
func gatewaySources(sources map[string]config.Source) []string {
	return slices.Sorted(maps.Keys(sources))
}

// hostScopes names the host of the messages that do not go to the API's.
func hostScopes(client *redox.Client) func(outbox.Message) []string {
	api := client.HostScope(outbox.Message{})
	return func(m outbox.Message) []string {
		if host := client.HostScope(m); host != api {
			return []string{host}
		}
		return nil
	}
}

// holdPolicy decides which messages of a source are held when their outcome is unknown.
func holdPolicy(s config.Source) func(outbox.Message) bool {
	if s.OnUnknown == config.OnUnknownHold {
		return func(m outbox.Message) bool { return m.Lane != outbox.LaneRequest }
	}
	if len(s.Hold) == 0 {
		return nil
	}
	return func(m outbox.Message) bool {
		if m.Lane == outbox.LaneRequest {
			return false
		}
		meta, err := redox.ReadMeta(m.Body)
		return err == nil && slices.ContainsFunc(s.Hold, func(pattern string) bool {
			model, event, _ := strings.Cut(pattern, ".")
			return (model == "*" || model == meta.DataModel) && (event == "*" || event == meta.EventType)
		})
	}
}
