package main

import (
	"context"
	"encoding/json"
	"runtime/debug"
)

// versionCommand prints what was built and from what.
type versionCommand struct{}

// buildVersion is set by release builds: -ldflags "-X main.buildVersion=v1.2.3".
var buildVersion string

// versionInfo describes this binary.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
}

func readVersion() versionInfo {
	v := versionInfo{Version: buildVersion}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Go = info.GoVersion
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// Run prints the version.
func (versionCommand) Run(_ context.Context, a *app) error {
	v := readVersion()
	if a.globals.JSON {
		return json.NewEncoder(a.stdout).Encode(v)
	}
	a.printf("redoxworker %s", v.Version)
	if v.Revision != "" {
		a.printf(" (%.12s, %s)", v.Revision, v.Time)
	}
	a.printf(" %s\n", v.Go)
	return nil
}
