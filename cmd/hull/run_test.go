package main

import (
	"strings"
	"testing"

	"hull/cmd/hull/verb"
	"hull/engine"
	"hull/fs/session"
)

// TestNetworkFlags: what docker's flags for the network make of the settings.
func TestNetworkFlags(t *testing.T) {
	for _, r := range []struct {
		args string
		want map[string]string // nil: refused
	}{
		{"-p 8080:80 --publish 53:53/udp -P", map[string]string{"ports": "8080:80\n53:53/udp", "publish_all": "true"}},
		{"-p [::1]:8080:80", map[string]string{"ports": `["[::1]:8080:80"]`}},
		{"--network backend --net frontend", map[string]string{"network": "backend\nfrontend"}},
		{"--network=backend --ip 10.0.0.2 --network-alias db --net-alias sql", map[string]string{"network": "backend:alias=db,alias=sql,ip=10.0.0.2"}},
		{"--network name=backend,ip=10.0.0.2 --ip6 fd00::2", map[string]string{"network": "backend:ip=10.0.0.2,ip6=fd00::2"}},
		{"--mac-address 02:42:0A:00:00:07", map[string]string{"network": "default:mac-address=02:42:0a:00:00:07"}},
		{"--network none --mac-address 02:42:0a:00:00:07", nil},
		{"--expose 80 --expose=7000-7002/udp", map[string]string{"expose": "80\n7000-7002/udp"}},
		{"--ip 10.0.0.2", map[string]string{"network": "default:ip=10.0.0.2"}},
		{"--network host --ip 10.0.0.2", nil},
		{"--network a --ip nowhere", nil},
		{"--dns 1.1.1.1 --dns-search example.org --dns-option ndots:2 --dns-opt rotate", map[string]string{
			"dns": "1.1.1.1\nsearch example.org\noptions ndots:2\noptions rotate",
		}},
		{"--add-host db:10.0.0.3 --add-host=me:host-gateway", map[string]string{"extra_hosts": "db:10.0.0.3\nme:host-gateway"}},
	} {
		options, rest, err := verb.Parse(append(strings.Fields(r.args), "image"), runFlags())
		if err != nil || len(rest) != 1 {
			t.Errorf("%s: %q, %v", r.args, rest, err)
			continue
		}
		settings, err := settingsOf(&session.Call{Options: options})
		if (err == nil) != (r.want != nil) {
			t.Errorf("%s: %v", r.args, err)
			continue
		}
		for name, want := range r.want {
			if settings[name] != want {
				t.Errorf("%s: %s is %q", r.args, name, settings[name])
			}
		}
		if len(settings) != len(r.want) && err == nil {
			t.Errorf("%s: %v", r.args, settings)
		}
		for name, value := range settings {
			row, _ := engine.FindSetting(name)
			if _, perr := row.Parse(value); perr != nil && err == nil {
				t.Errorf("%s: %v", r.args, perr)
			}
		}
	}
}
