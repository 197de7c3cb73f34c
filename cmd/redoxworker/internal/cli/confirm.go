package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
)

// Confirm asks before something is changed; what says in a sentence what would be. Without
// a terminal nobody can answer, and nothing is changed.
func (a *App) Confirm(ctx context.Context, what string, force bool) error {
	if force {
		return nil
	}
	if !IsTerminal(a.Stdin) || !IsTerminal(a.Stderr) {
		return fmt.Errorf("%s; nothing was changed: there is no terminal to ask on; use --force", what)
	}
	fmt.Fprintf(a.Stderr, "%s. Go on? [y/N] ", what)
	in := newInput(ctx, a.Stdin, nil) // an interrupt is an answer too
	defer func() { _ = in.Close() }()
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		fmt.Fprintln(a.Stderr) // the cursor is behind the question
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); err != nil || answer != "y" && answer != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
