package fstest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"hull/fs"
)

// What the fake shows of containers: settings, logs, sessions.

func (s fakeContainers) Sessions(id string) ([]*fs.ContainerSession, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get("sessions", id)
	if err != nil {
		return nil, err
	}
	return c.sessions, nil
}

// end ends a session with a code.
func (s fakeContainers) end(id string, number, code int) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get("kill", id)
	if err != nil {
		return err
	}
	for i, x := range c.sessions {
		if x.Number == number && !x.Ended {
			over := *x
			over.Ended, over.Exit = true, code
			c.sessions[i] = &over
			return nil
		}
	}
	return wrong(fs.NotRunning, "kill", "containers/"+c.Name, "The session %d has ended.", number)
}

func (s fakeContainers) KillSession(_ context.Context, id string, number int, _ string) error {
	return s.end(id, number, 137)
}

func (s fakeContainers) HangUp(_ context.Context, id string, number int) error {
	return s.end(id, number, 129)
}

func (s fakeContainers) Settings() []fs.Setting {
	var list []fs.Setting
	for _, n := range []string{"image", "command", "entrypoint", "env", "workdir", "user", "hostname", "tty", "stdin"} {
		list = append(list, fs.Setting{Name: n, Mode: 0o640, Summary: "the setting " + n})
	}
	return list
}

func (s fakeContainers) Get(id, setting string) (string, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get("get", id)
	if err != nil {
		return "", err
	}
	return c.values[setting], nil
}

func (s fakeContainers) Set(_ context.Context, id, setting, value string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get("set", id)
	if err != nil {
		return err
	}
	v := strings.TrimSuffix(value, "\n")
	bad := false
	switch setting {
	case "tty", "stdin":
		bad = v != "true" && v != "false"
	case "env":
		for _, l := range strings.Split(v, "\n") {
			bad = bad || !strings.Contains(l, "=")
		}
	case "json":
		bad = !json.Valid([]byte(v))
	case "hostname":
		bad = strings.ContainsAny(v, " \n")
	}
	if bad {
		return wrong(fs.Invalid, "set", "containers/"+c.Name+"/config/"+setting, "%q is no value for %s.", v, setting)
	}
	c.values[setting] = value
	return nil
}

func (s fakeContainers) Reset(_ context.Context, id, setting string) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get("reset", id)
	if err != nil {
		return err
	}
	delete(c.values, setting)
	return nil
}

func (s fakeContainers) Pending(string) (string, error) { return "", nil }

func (s fakeContainers) Commands(string) ([]string, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return slices.Clone(s.f.commands), nil
}

func (s fakeContainers) Command(_, name string) (bool, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return slices.Contains(s.f.commands, name), nil
}

func (s fakeContainers) Logs(id, stream string) (fs.Growing, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	c, err := s.get("logs", id)
	if err != nil {
		return nil, err
	}
	return c.logs[stream], nil
}

func (s fakeContainers) Changes(string) ([]byte, error) { return []byte("A /new\n"), nil }

func (s fakeContainers) Inspect(id string) ([]byte, error) {
	return []byte(`{"id":"` + id + `"}` + "\n"), nil
}

func (s fakeContainers) Stats(id string) ([]byte, error) { return []byte("pids 1\n"), nil }

func (s fakeContainers) Processes(id string) ([]byte, error) { return []byte("PID\n4711\n"), nil }
