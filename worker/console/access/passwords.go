package access

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/redoxworker/redoxworker/auth/secret"
)

const (
	// mostCost bounds what one look at a password takes: 14 is about a second.
	mostCost = 14
	// mostUsers bounds the file.
	mostUsers = 10_000
	// mostPassword is what bcrypt takes, in bytes.
	mostPassword = 72
)

// Passwords know people by name and password. They are immutable.
type Passwords struct {
	hashes map[string]secret.Text
	// nobody is a hash that costs what the dearest does, for names that do not exist: where all cost the
	// same, how long an answer takes does not tell who exists.
	nobody []byte
}

// ReadPasswords reads NAME:HASH lines, as htpasswd -B writes them: each hash is one of bcrypt. Empty
// lines and those that begin with # are left out. An error names the line and nothing of it.
func ReadPasswords(text []byte) (*Passwords, error) {
	p := &Passwords{hashes: map[string]secret.Text{}}
	dearest, lines := bcrypt.MinCost, bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, _ := strings.Cut(line, ":")
		cost, err := bcrypt.Cost([]byte(hash))
		switch {
		case name == "" || printable(name) != name:
			return nil, fmt.Errorf("access: users, line %d: begins with no name", n)
		case err != nil:
			return nil, fmt.Errorf("access: users, line %d: the hash is not one of bcrypt: make it with htpasswd -B", n)
		case cost > mostCost:
			return nil, fmt.Errorf("access: users, line %d: the hash costs %d: make it with htpasswd -B -C 12", n, cost)
		case p.hashes[name].IsSet():
			return nil, fmt.Errorf("access: users, line %d: the name is there twice", n)
		case len(p.hashes) == mostUsers:
			return nil, fmt.Errorf("access: users: more than %d", mostUsers)
		}
		dearest = max(dearest, cost)
		p.hashes[name] = secret.New(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("access: users: %w", err)
	}
	if len(p.hashes) == 0 {
		return nil, fmt.Errorf("access: users: there is none: nobody could sign in")
	}
	var err error
	p.nobody, err = bcrypt.GenerateFromPassword([]byte("nobody"), dearest)
	return p, err
}

func (p *Passwords) check(name, password string) (Identity, bool) {
	stored, there := p.hashes[name]
	hash := []byte(stored.Reveal())
	if !there {
		hash = p.nobody
	}
	fits := len(password) <= mostPassword
	if !fits {
		password = password[:mostPassword]
	}
	same := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	if !same || !there || !fits {
		return Identity{}, false
	}
	return Identity{Name: name}, true
}

func (p *Passwords) mark(name string) (string, bool) {
	hash, there := p.hashes[name]
	if !there {
		return "", false
	}
	return markOf([]byte(hash.Reveal())), true
}

func (p *Passwords) named() bool { return true }
