package chaos

import "syscall"

// diesWithParent keeps a child from outliving a test that is killed, and from getting the
// signals of its terminal.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
