//go:build !linux

package chaos

import "syscall"

// diesWithParent cannot be had here: a test that is killed leaves its children.
func diesWithParent() *syscall.SysProcAttr { return nil }
