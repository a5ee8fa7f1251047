package credentials

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// podmanFiles lists where Podman keeps logins, in the order in which it looks.
func podmanFiles(home, runtime string) []string {
	uid := os.Getuid()
	files := []string{filepath.Join(runtime, "containers", "auth.json")}
	if runtime == "" {
		files = []string{
			fmt.Sprintf("/run/user/%d/containers/auth.json", uid),
			fmt.Sprintf("/run/containers/%d/auth.json", uid),
		}
	}
	if filepath.IsAbs(home) {
		files = append(files, filepath.Join(home, ".config", "containers", "auth.json"))
	}
	return files
}

// get reads the login for a domain from one file, or from the helper it names.
func get(ctx context.Context, path, domain string) (s secret, found bool, err error) {
	c, err := load(path)
	if err != nil {
		return secret{}, false, err
	}
	helper, err := c.helper(domain)
	if err != nil {
		return secret{}, false, err
	}
	if helper != "" {
		return helperGet(ctx, helper, key(domain))
	}
	return c.login(domain)
}

// store writes the login for a domain to the file, or to the helper that it
// names; then the file gets an empty entry, as Docker makes it, to say so.
func store(ctx context.Context, path, domain string, s secret) (helper string, err error) {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return "", err
	}
	unlock := lock(filepath.Dir(path))
	defer unlock()
	c, err := load(path)
	if err != nil {
		return "", err
	}
	helper, err = c.helper(domain)
	if err != nil {
		return "", err
	}
	if helper != "" {
		if err := helperStore(ctx, helper, key(domain), s); err != nil {
			return "", err
		}
		s = secret{}
	}
	if err := c.setLogin(domain, s); err != nil {
		return "", err
	}
	return helper, c.save()
}

// erase forgets the login for a domain in one file, and with its helper. A file
// that is not there, or has nothing of it, is left as it is.
func erase(ctx context.Context, path, domain string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock := lock(filepath.Dir(path))
	defer unlock()
	c, err := load(path)
	if err != nil {
		return err
	}
	helper, err := c.helper(domain)
	if err != nil {
		return err
	}
	if helper != "" {
		err = helperErase(ctx, helper, key(domain))
	}
	// The file's part is gone even if the helper fails.
	changed, dropErr := c.dropLogin(domain)
	if dropErr == nil && changed {
		dropErr = c.save()
	}
	if err != nil {
		return err
	}
	return dropErr
}
