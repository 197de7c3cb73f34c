// Package buildinfo says which redoxworker a program was built with.
package buildinfo

import (
	"cmp"
	"runtime/debug"
)

const module = "github.com/redoxworker/redoxworker"

// Info describes a build.
type Info struct {
	Version  string `json:"version"`            // of this module; "(devel)" where it is not known
	Revision string `json:"revision,omitempty"` // of the repository; only of the command itself
	Time     string `json:"time,omitempty"`     // of the revision
	Modified bool   `json:"modified,omitempty"` // the revision was changed before the build
	Go       string `json:"go"`
}

// Read describes the running program. version goes before what the build says of this module;
// "" means that.
func Read(version string) Info {
	v := Info{Version: version}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Go = build.GoVersion
	if build.Main.Path != module {
		v.Version = cmp.Or(v.Version, dependency(build), "(devel)")
		return v
	}
	v.Version = cmp.Or(v.Version, build.Main.Version, "(devel)")
	for _, s := range build.Settings {
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

// dependency is the version of this module in a program of another.
func dependency(build *debug.BuildInfo) string {
	for _, m := range build.Deps {
		if m.Path == module && m.Replace == nil {
			return m.Version
		}
	}
	return ""
}
