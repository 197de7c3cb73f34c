package access

import (
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
)

// platformSource is the source of the client that asks the Platform API: nobody sends as it.
const platformSource = "platform"

// PlatformLogs looks up logs with a user-level key, over a client of its own. With the transport
// of cfg it shares the connections, and with its Grant the quota. The error is a
// [config.Mistake].
func PlatformLogs(c *config.Config, key *Key, cfg redox.Config) (platform.Logs, error) {
	cfg.Offload = redox.Offload{}
	client, err := redox.New(map[string]redox.Source{
		platformSource: {Key: key.Name, KeyType: redox.KeyUser, Environment: config.EnvironmentProduction},
	}, map[string]redox.Credentials{key.Name: key.Tokens}, cfg)
	if err != nil {
		return platform.Logs{}, config.Mistake{Err: err}
	}
	return platform.Logs{Deliver: client.Deliver, Source: platformSource, Organization: c.Redox.OrganizationID}, nil
}
