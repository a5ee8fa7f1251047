package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"hull/engine/probe"
)

func doctorCommand() *cobra.Command {
	var store string
	c := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "try what hull needs of this machine, a line each",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := needRoot("doctor"); err != nil {
				return err
			}
			if missing := examine(c.OutOrStdout(), probe.Probe(c.Context(), ground(store))); missing > 0 {
				fmt.Fprintf(c.ErrOrStderr(), "hull: it cannot run here: %d of what it needs is missing\n", missing)
				return errSaid
			}
			return nil
		},
	}
	c.Flags().StringVar(&store, "store", defaultStore, "try the file system of `DIR`, where images and containers are to be")
	return c
}

// ground is the directory that is there of those above one that may not be.
func ground(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// examine prints a line a feature and counts what is needed and missing.
func examine(w io.Writer, features []probe.Feature) (missing int) {
	for _, f := range features {
		word := "ok"
		switch {
		case f.Err != nil && f.Needed:
			word = "MISSING"
			missing++
		case f.Err != nil:
			word = "absent"
		}
		line := fmt.Sprintf("%-8s %s", word, f.Name)
		if f.Err != nil {
			line += ": " + f.Err.Error()
			if f.Kernel != "" {
				line += " (Linux " + f.Kernel + " has it)"
			}
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return missing
		}
	}
	return missing
}
