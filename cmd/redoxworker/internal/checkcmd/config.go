package checkcmd

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// loadConfig reads what run would read, and leaves it in the report: without keys and sources where
// these cannot be read, and nothing where NATS cannot be either.
func loadConfig(a *cli.App, r *report) {
	options := a.Settings(0)
	c, err := config.Load(options)
	if err != nil {
		refuse(r, err)
		if c, err = config.Load(a.Settings(cli.NATSOnly)); err == nil {
			r.use(c, true)
			return
		}
		r.unknown(checkStreams, "", "nothing else was looked at", "mend the configuration first")
		return
	}
	dir := config.ReadDir(c, options, nil)
	if dir.Problem != nil {
		r.problem(statusFault, *dir.Problem)
	}
	set := config.Combine(c, dir.Parts, nil, access.Unusable)
	for _, w := range set.Warnings {
		r.problem(statusWarning, w)
	}
	for _, refused := range set.Refused {
		for _, p := range refused.Problems {
			p.Text, p.Key = p.Text+", and is left out", cmp.Or(p.Key, refused.Part)
			r.problem(statusFault, p)
		}
	}
	r.use(set.Config, false)
	r.fine(checkConfig, fmt.Sprintf("%s, %s", cli.Counted(len(set.Config.Sources), "source"), cli.Counted(len(set.Config.Keys), "key")))
}

func refuse(r *report, err error) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		r.fault(checkConfig, "", err.Error(), "")
	}
	for _, p := range problems {
		r.problem(statusFault, p)
	}
}

// problem of the configuration. One that a change of the mode of a file mends is the file's.
func (r *report) problem(s status, p config.Problem) {
	check, mend := checkConfig, p.Mend
	if strings.HasPrefix(mend, "chmod ") {
		check = checkFiles
	}
	if p.Where != "" {
		mend += " (" + p.Where + ")"
	}
	r.add(finding{check, s, p.Key, p.Text, mend})
}
