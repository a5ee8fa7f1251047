package credentials

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"testing"

	"hull/layers/reference"
	"hull/layers/registry"
)

// TestLogin goes the whole way, as `login` in the tree does: what the registry
// does not accept is not stored, and what is stored opens the registry.
func TestLogin(t *testing.T) {
	domain, cred := guarded(t)
	u := resident(t)
	c := registry.New(registry.Options{
		Keychain: u, Retries: -1,
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
	})
	t.Cleanup(c.Close)
	login := func(cred registry.Credential) error {
		kept, err := c.Login(t.Context(), domain, cred)
		if err != nil {
			return err
		}
		_, err = Store(t.Context(), u, domain, kept)
		return err
	}
	var e *registry.Error
	if err := login(registry.Credential{User: cred.User, Password: "wrong"}); !errors.As(err, &e) || e.Kind != registry.Denied {
		t.Fatalf("a wrong password gives %v", err)
	}
	if _, err := os.Stat(u.file()); !os.IsNotExist(err) {
		t.Errorf("something was stored: %v", err)
	}
	repository := reference.Reference{Domain: domain, Path: "app"}
	if _, err := c.Tags(t.Context(), repository); !errors.As(err, &e) || e.Kind != registry.Denied {
		t.Errorf("without a login: %v", err)
	}
	if err := login(cred); err != nil {
		t.Fatal(err)
	}
	if tags, err := c.Tags(t.Context(), repository); err != nil || len(tags) != 1 {
		t.Errorf("with it: %q, %v", tags, err)
	}
	// What cannot be read is told as such, not as a refusal of the registry's.
	u.configure(t, "{")
	fresh := c.With(u)
	_, err := fresh.Tags(t.Context(), repository)
	var own *Error
	if !errors.As(err, &own) || own.Kind != Malformed {
		t.Errorf("with a broken file: %v", err)
	}
}
