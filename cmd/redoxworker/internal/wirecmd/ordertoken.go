package wirecmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
)

// mostKey is how long a line with an order key may be, in bytes.
const mostKey = 64 << 10

// OrderTokenCommand makes tokens of order keys.
type OrderTokenCommand struct {
	Keys []string `arg:"" optional:"" name:"key" sep:"none" help:"Order keys. Default, and for -: a key a line from standard input, where no list of processes shows it."`
}

// Run prints a token a line, in the order of the keys. No key is printed, nor said in an error.
func (c OrderTokenCommand) Run(ctx context.Context, a *cli.App) error {
	settings, err := a.Load(config.PartKeys | config.PartSources)
	if err != nil {
		return err
	}
	if !settings.Order.Secret.IsSet() {
		return config.Mistakef("order.secret_file: is not set; name the file that all publishers and the gateway share")
	}
	secret := []byte(settings.Order.Secret.Reveal())
	if len(c.Keys) > 0 && (len(c.Keys) > 1 || c.Keys[0] != "-") {
		for i, key := range c.Keys {
			if err := printToken(a, secret, key); err != nil {
				return cli.Usagef("key %d: %w", i+1, err)
			}
		}
		return nil
	}
	if len(c.Keys) == 0 && cli.IsTerminal(a.Stdin) {
		return cli.Usagef("key: missing; name one, or - to type a key a line")
	}
	in, err := a.OpenInput(ctx, "-")
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	return c.lines(a, secret, in)
}

// lines makes a token of each line.
func (OrderTokenCommand) lines(a *cli.App, secret []byte, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, mostKey)
	n := 0
	for lines.Scan() {
		key := lines.Text()
		if n++; n == 1 {
			key = strings.TrimPrefix(key, "\ufeff")
		}
		if err := printToken(a, secret, key); err != nil {
			return fmt.Errorf("line %d: %w; the tokens of the lines before it are printed", n, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d: has more than %d bytes, which is no order key", n+1, mostKey)
	case err != nil:
		return err
	case n == 0:
		return errors.New("standard input has no order key: give a key a line")
	}
	return nil
}

func printToken(a *cli.App, secret []byte, key string) error {
	token, err := outbox.OrderToken(secret, key)
	if err != nil {
		return err
	}
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(map[string]string{"token": token})
	}
	a.Printf("%s\n", token)
	return nil
}
