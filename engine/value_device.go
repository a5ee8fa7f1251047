package engine

import (
	"fmt"
	"path"
	"strings"
)

// device is an item of the setting devices.
type device struct {
	Host   string // a device of the host, or a directory of them
	Inside string // below /dev
	Access string // of r, w and m
}

// parseDevice reads HOST[:INSIDE][:ACCESS], as Docker's --device.
func parseDevice(item string) (device, error) {
	parts := strings.Split(item, ":")
	d := device{Host: parts[0], Inside: parts[0], Access: "rwm"}
	switch {
	case len(parts) == 1:
	case len(parts) == 2 && access(parts[1]):
		d.Access = parts[1]
	case len(parts) == 2:
		d.Inside = parts[1]
	case len(parts) == 3 && access(parts[2]):
		d.Inside, d.Access = parts[1], parts[2]
	default:
		return d, fmt.Errorf("%q is not PATH[:PATH INSIDE][:ACCESS], with an access of r, w and m", clip(item))
	}
	d.Host, d.Inside = path.Clean(d.Host), path.Clean(d.Inside)
	if !strings.HasPrefix(d.Host, "/dev/") { // all of it is for privileged containers
		return d, fmt.Errorf("%q is not below /dev, where devices are", clip(d.Host))
	}
	if !strings.HasPrefix(d.Inside, "/dev/") {
		return d, fmt.Errorf("a device is put below /dev inside, and %q is not", clip(d.Inside))
	}
	for _, own := range []string{"pts", "shm", "mqueue"} {
		if d.Inside == "/dev/"+own || strings.HasPrefix(d.Inside, "/dev/"+own+"/") {
			return d, fmt.Errorf("%s is the container's own", clip(d.Inside))
		}
	}
	return d, nil
}

func access(s string) bool {
	for i, c := range s {
		if !strings.ContainsRune("rwm", c) || strings.IndexRune(s, c) != i {
			return false
		}
	}
	return s != ""
}

func parseDevices(value string) (any, error) {
	items, err := parseList(value)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if _, err := parseDevice(item); err != nil {
			return nil, err
		}
	}
	return items, nil
}
