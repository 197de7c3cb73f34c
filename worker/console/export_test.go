package console

import "github.com/redoxworker/redoxworker/worker/console/access"

// Routes are the patterns of all that a console answers, and the action that each takes.
func (c *Console) Routes() map[string]access.Action {
	all := map[string]access.Action{}
	for _, r := range c.table() {
		all[r.Pattern] = r.Action
	}
	return all
}
