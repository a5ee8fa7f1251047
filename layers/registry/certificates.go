package registry

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// trust is what is special about a host's certificates. Nil is nothing: the
// system's authorities decide.
type trust struct {
	lax         bool     // any certificate will do
	authorities [][]byte // PEM files of more authorities
	pairs       []tls.Certificate
	digest      string // of the files
}

func (t *trust) fingerprint() string {
	switch {
	case t == nil:
		return ""
	case t.lax:
		return "lax " + t.digest
	}
	return t.digest
}

func (t *trust) config() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t == nil {
		return c
	}
	c.InsecureSkipVerify = t.lax
	c.Certificates = t.pairs
	if len(t.authorities) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		for _, pem := range t.authorities {
			pool.AppendCertsFromPEM(pem)
		}
		c.RootCAs = pool
	}
	return c
}

// trust reads the directories of certificates for a host, and for the registry on
// whose behalf it is called. They are read for each request, so that an authority
// added after a failure is known to the next attempt; they are small, and mostly
// not there.
func (t *transports) trust(host, registry string) (*trust, error) {
	found := &trust{lax: t.lax(host, registry)}
	if err := found.read(t.certificates, host, true); err != nil {
		return nil, err
	}
	if registry != host {
		// Its authorities, but not the user's certificate for it.
		if err := found.read(t.certificates, registry, false); err != nil {
			return nil, err
		}
	}
	if !found.lax && found.digest == "" {
		return nil, nil
	}
	return found, nil
}

// read adds what is in a host's directory.
func (t *trust) read(certificates, host string, pairs bool) error {
	// A host comes from a redirect at worst: it must stay one component.
	if certificates == "" || host == "" || strings.ContainsAny(host, "/\x00") || strings.HasPrefix(host, ".") {
		return nil
	}
	dir := filepath.Join(certificates, domainOf(host))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return refusef("its certificates cannot be read: %s", printable(err.Error()))
	}
	sum := sha256.New()
	sum.Write([]byte(t.digest))
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		switch ext := filepath.Ext(path); {
		case ext == ".crt":
			pem, err := os.ReadFile(path)
			if err != nil {
				return refusef("its authority cannot be read: %s", printable(err.Error()))
			}
			_, _ = fmt.Fprintf(sum, "crt %d %s", len(pem), pem)
			t.authorities = append(t.authorities, pem)
		case ext == ".cert" && pairs:
			cert, err := os.ReadFile(path)
			if err != nil {
				return refusef("the certificate for it cannot be read: %s", printable(err.Error()))
			}
			key, err := os.ReadFile(strings.TrimSuffix(path, ".cert") + ".key")
			if err != nil {
				return refusef("the certificate for it lacks its key: %s", printable(err.Error()))
			}
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				return refusef("the certificate %s is unusable: %s", path, printable(err.Error()))
			}
			_, _ = fmt.Fprintf(sum, "cert %d %s %d %s", len(cert), cert, len(key), key)
			t.pairs = append(t.pairs, pair)
		default:
			continue
		}
		t.digest = string(sum.Sum(nil))
	}
	return nil
}
