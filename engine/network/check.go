package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Check reads every record again. It tells in a line of each that is not what hull wrote, and with mend writes it anew;
// the answer is how many flaws there are, or are left. A network whose record could not be read when hull started is made
// anew, with a subnet of its own again, and for root.
func (n *Networks) Check(ctx context.Context, mend bool, report func(line string)) (flaws int, err error) {
	if err := n.lock(ctx); err != nil {
		return 0, err
	}
	defer n.unlock()
	all := n.List()
	for _, v := range all {
		line := n.flaw(*v)
		if line == "" {
			continue
		}
		if mend {
			line += n.mended(v.Name, func() error {
				if !v.Subnet.IsValid() {
					return nil // the default one, which has a record from its first use on
				}
				return n.save(*v)
			}, &flaws)
		} else {
			flaws++
		}
		report(line)
	}
	lost, err := n.lost()
	if err != nil {
		return flaws, err
	}
	for _, name := range lost {
		line := fmt.Sprintf("the record of the network %s cannot be read, and containers on it cannot start", name)
		if mend {
			line += n.mended(name, func() error {
				return n.create(&Network{Name: name, ID: newID(), Created: time.Now().UTC()})
			}, &flaws)
		} else {
			flaws++
		}
		report(line)
	}
	return flaws, nil
}

// flaw says what is wrong with the record of a network; empty if nothing is.
func (n *Networks) flaw(v Network) string {
	have, err := n.read(v.Name)
	switch {
	case errors.Is(err, os.ErrNotExist) && !v.Subnet.IsValid():
		return ""
	case err != nil:
		return fmt.Sprintf("the record of the network %s cannot be read (%v)", v.Name, err)
	case !have.Created.Equal(v.Created):
		return fmt.Sprintf("the record of the network %s is another network's", v.Name)
	}
	have.Created = v.Created
	if have != v {
		return fmt.Sprintf("the record of the network %s says something else than hull wrote", v.Name)
	}
	return ""
}

// mended puts a bad record aside and writes another one, and says how that went.
func (n *Networks) mended(name string, write func() error, flaws *int) string {
	path := filepath.Join(n.o.Dir, name+recordSuffix)
	err := os.Rename(path, path+".bad")
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = write()
	}
	if err != nil {
		*flaws++
		return "; not mended: " + err.Error()
	}
	return "; written anew"
}

// lost are the records of networks that there are not.
func (n *Networks) lost() ([]string, error) {
	entries, err := os.ReadDir(n.o.Dir)
	if err != nil {
		return nil, failed("check", "", err, "the networks cannot be listed")
	}
	var names []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if _, there := n.Find(name); ok && !there && CheckName(name) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}
