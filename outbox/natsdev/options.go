package natsdev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
)

// Options says how the server runs. The zero value keeps its data in a
// temporary directory and opens no port.
type Options struct {
	// Dir is where JetStream keeps its data. Empty means a new temporary
	// directory, removed by Shutdown; a directory that is given is kept.
	Dir string
	// Host is the address to listen on. Empty means 127.0.0.1.
	Host string
	// Port is the port to listen on: 0 opens none, and connections are made
	// through [Server.Connect] only; -1 takes a free one.
	Port int
	// ConfigFile is a nats-server configuration file: accounts, users and
	// limits come from it. Host, Port and Dir go before what the file says.
	// JetStream runs only if the file enables it.
	ConfigFile string
	// MaxPayload is the largest message in bytes, headers included. 0 means
	// the server's default of 1 MiB or what the file says.
	MaxPayload int32
	// SyncAlways flushes each write to the disk before it is acknowledged. It
	// is what production should use, and about ten times slower.
	SyncAlways bool
}

const (
	localhost  = "127.0.0.1"
	maxPort    = 65535
	serverName = "natsdev"
)

// Validate reports every option that cannot work.
func (o Options) Validate() error {
	var errs []error
	if o.Port < -1 || o.Port > maxPort {
		errs = append(errs, fmt.Errorf("natsdev: port %d: use 1 to %d, 0 for none or -1 for a free one", o.Port, maxPort))
	}
	if o.MaxPayload < 0 {
		errs = append(errs, fmt.Errorf("natsdev: max payload %d: use a number of bytes, 0 for the default", o.MaxPayload))
	}
	return errors.Join(errs...)
}

// build makes the server's options. A server changes the options it is given:
// each start needs new ones.
func (o Options) build(dir string, port int) (*server.Options, error) {
	opts := &server.Options{JetStream: true}
	if o.ConfigFile != "" {
		var err error
		if opts, err = server.ProcessConfigFile(o.ConfigFile); err != nil {
			return nil, fmt.Errorf("natsdev: config file %s: %w", filepath.Base(o.ConfigFile), err)
		}
	}
	if opts.ServerName == "" {
		opts.ServerName = serverName
	}
	opts.StoreDir = dir
	opts.NoSigs = true // signals belong to the program around it
	opts.NoLog = true
	opts.DontListen = port == 0
	opts.Port = port
	if opts.Host == "" || o.Host != "" {
		opts.Host = o.host()
	}
	if o.MaxPayload > 0 {
		opts.MaxPayload = o.MaxPayload
	}
	if o.SyncAlways {
		opts.SyncAlways = true
	}
	return opts, nil
}

func (o Options) host() string {
	if o.Host == "" {
		return localhost
	}
	return o.Host
}

// storeDir returns the directory of the data and whether Shutdown removes it.
func (o Options) storeDir() (dir string, temporary bool, err error) {
	if o.Dir != "" {
		return o.Dir, false, nil
	}
	if o.ConfigFile != "" {
		opts, err := server.ProcessConfigFile(o.ConfigFile)
		if err == nil && opts.StoreDir != "" {
			return opts.StoreDir, false, nil
		}
	}
	if dir, err = os.MkdirTemp("", "natsdev-"); err != nil {
		return "", false, fmt.Errorf("natsdev: temporary directory: %w", err)
	}
	return dir, true, nil
}
