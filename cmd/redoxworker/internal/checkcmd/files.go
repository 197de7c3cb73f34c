package checkcmd

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
)

// expirySoon is how long before its end a certificate is worth a warning.
const expirySoon = 14 * 24 * time.Hour

// checkFilesOf looks at what the configuration names and nobody has read yet: the trail, and how
// long certificates are good for. Their modes were looked at when they were read.
func checkFilesOf(c *config.Config, r *report) {
	checkTrail(c.Audit.File, r)
	for key, file := range map[string]string{
		"nats.tls.ca_file": c.NATS.TLS.CAFile, "nats.tls.cert_file": c.NATS.TLS.CertFile,
		"redox.ca_file": c.Redox.CAFile, "redox.client_cert_file": c.Redox.ClientCertFile,
	} {
		if file != "" {
			checkCertificate(key, file, time.Now(), r)
		}
	}
	r.fine(checkFiles, cli.Counted(len(c.Files()), "file")+", none of them open to others")
}

// checkTrail looks whether the audit trail can be appended to. What does not exist yet is made
// when the first entry comes.
func checkTrail(file string, r *report) {
	const key = "audit.file"
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_ = f.Close()
		return
	}
	if !errors.Is(err, fs.ErrNotExist) {
		r.fault(checkFiles, key, "cannot be appended to: "+err.Error(), "let the user of the worker write to it, or name another file")
		return
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		r.fault(checkFiles, key, fmt.Sprintf("directory %q does not exist", filepath.Dir(file)), "make it, or name another file")
	}
}

// checkCertificate looks when the certificates of a file end.
func checkCertificate(key, file string, now time.Time, r *report) {
	text, err := os.ReadFile(file)
	if err != nil {
		r.fault(checkFiles, key, err.Error(), "check the path and who may read it")
		return
	}
	found := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		found++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			r.fault(checkFiles, key, fmt.Sprintf("file %q holds a certificate that cannot be read", file), "give the certificate in PEM")
			return
		}
		end := cli.Clock(certificate.NotAfter)
		switch left := certificate.NotAfter.Sub(now); {
		case left <= 0:
			r.fault(checkFiles, key, fmt.Sprintf("the certificate in %q ended at %s", file, end), "replace it by one that is valid")
		case left < expirySoon:
			r.warn(checkFiles, key, fmt.Sprintf("the certificate in %q ends at %s", file, end), "replace it before that")
		case now.Before(certificate.NotBefore):
			r.fault(checkFiles, key, fmt.Sprintf("the certificate in %q is not valid before %s", file, cli.Clock(certificate.NotBefore)), "check this host's clock, or replace it")
		}
	}
	if found == 0 {
		r.fault(checkFiles, key, fmt.Sprintf("file %q holds no PEM certificate", file), "give the certificate in PEM")
	}
}
