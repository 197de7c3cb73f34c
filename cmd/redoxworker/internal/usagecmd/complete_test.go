package usagecmd

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// grammar is a command line with what completion has to know apart.
type grammar struct {
	Config string `short:"c" placeholder:"FILE"`
	Force  bool
	Send   struct {
		Kind   string   `enum:"file,fhir" default:"file"`
		Source string   `placeholder:"NAME"`
		Rate   float64  `placeholder:"N"`
		File   []string `arg:"" optional:""`
	} `cmd:"" help:"Send it."`
	Shell struct {
		Name string `arg:"" enum:"bash,zsh"`
		More string `arg:""`
	} `cmd:""`
	Secret struct{} `cmd:"" hidden:""`
	Help   struct {
		Command []string `arg:"" optional:""`
	} `cmd:""`
	Deep struct {
		Ls struct{} `cmd:"" help:"List."`
	} `cmd:""`
}

func TestComplete_SaysWhatMayStandInThePlaceOfTheLastWord(t *testing.T) {
	t.Parallel()
	names := func(what string) []string { return []string{what + "-1", what + "-2"} }
	for line, want := range map[string]string{
		"":                       "send shell help deep",
		"s":                      "send shell",
		"nothing ":               "send shell help deep",
		"deep ":                  "ls",
		"help ":                  "send shell help deep",
		"help d":                 "deep",
		"help deep ":             "ls",
		"help deep ls ":          "",
		"help none ":             "",
		"deep ls ":               "",
		"--c":                    "--config",
		"send --":                "--kind --source --rate --help --config --force",
		"send --kind ":           "file fhir",
		"send --kind f":          "file fhir",
		"send --kind=fh":         "--kind=fhir",
		"send --force ":          ":files",
		"send --source ":         "source-1 source-2",
		"send --source source-2": "source-2",
		"send --rate ":           "",
		"send -c ":               ":files",
		"-c x send --config=y":   ":files",
		"-c send s":              "send shell",
		"send one ":              ":files",
		"send -- --k":            ":files",
		"send --none=":           "",
		"shell ":                 "bash zsh",
		"shell z":                "zsh",
		"shell zsh ":             "",
		"shell zsh x ":           "",
	} {
		app, err := kong.New(new(grammar))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, reply := range complete(app.Model.Node, strings.Split(line, " "), names) {
			word, _, _ := strings.Cut(reply, "\t")
			got = append(got, word)
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestComplete_TakesNoWordAtAll(t *testing.T) {
	t.Parallel()
	app, err := kong.New(new(grammar))
	if err != nil {
		t.Fatal(err)
	}
	if got := complete(app.Model.Node, nil, nil); len(got) != 4 || got[0] != "send\tSend it." {
		t.Errorf("%q", got)
	}
}
