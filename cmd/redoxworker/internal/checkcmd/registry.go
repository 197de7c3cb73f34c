package checkcmd

import (
	"context"
	"errors"

	"github.com/redoxworker/redoxworker/worker/service/registry"
)

// knownSources are those of the configuration and of the registry; nil where they cannot be
// learnt. Entries of the registry that cannot be used are faults.
func (n *natsWorld) knownSources(ctx context.Context) map[string]bool {
	if n.partial {
		return nil
	}
	known := make(map[string]bool, len(n.config.Sources))
	for name := range n.config.Sources {
		known[name] = true
	}
	if !n.config.Registry {
		return known
	}
	entries, err := registry.New(n.js, registry.Options{Prefix: n.prefix}).List(ctx)
	if errors.Is(err, registry.ErrNoRegistry) {
		return nil // as the check of streams says
	}
	if err != nil {
		n.failed(checkConfig, "registry", err, "$JS.API.STREAM.INFO.KV_"+n.prefix.SourcesBucket())
		return nil
	}
	for _, e := range entries {
		n.checkEntry(e)
		known[e.Name] = true
	}
	return known
}

func (n *natsWorld) checkEntry(e registry.Entry) {
	subject := "sources." + e.Name
	for _, p := range e.Part.Problems {
		n.fault(checkConfig, subject, "its entry in the registry cannot be used: "+p.Text, p.Mend)
	}
	if len(e.Part.Problems) > 0 {
		return
	}
	if _, there := n.config.Keys[e.Source().Key]; !there {
		n.fault(checkConfig, subject, "its entry in the registry names the key "+e.Source().Key+", which this configuration does not have", "add keys."+e.Source().Key+", or name another: redoxworker sources set "+e.Name+" --key NAME")
	}
	if _, twice := n.config.Sources[e.Name]; twice {
		n.warn(checkConfig, subject, "it is in the configuration and in the registry, and the configuration wins", "keep one of the two: redoxworker sources rm "+e.Name)
	}
}
