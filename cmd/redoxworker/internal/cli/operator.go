package cli

import (
	"fmt"
	"os"
	"os/user"
)

// OperatorName is who runs the command, as user@host: it tells other operators who did something.
func OperatorName() string {
	name := "operator"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		return fmt.Sprintf("%s@%s", name, host)
	}
	return name
}
