package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// wrongFlag says in a sentence what is wrong with the flags of a command.
func wrongFlag(c *cobra.Command, err error) error {
	var none *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var bad *pflag.InvalidValueError
	switch {
	case errors.As(err, &none):
		flag := "--" + none.GetSpecifiedName()
		if none.GetSpecifiedShortnames() != "" {
			flag = "-" + none.GetSpecifiedName()
		}
		return fmt.Errorf("%s has no flag %s; %s --help lists those there are", c.CommandPath(), flag, c.CommandPath())
	case errors.As(err, &empty):
		return fmt.Errorf("--%s needs a value", empty.GetFlag().Name)
	case errors.As(err, &bad):
		kind := map[string]string{"int": "a number", "duration": "a time such as 30s", "bool": "true or false"}[bad.GetFlag().Value.Type()]
		if kind != "" {
			return fmt.Errorf("--%s takes %s, not %q", bad.GetFlag().Name, kind, bad.GetValue())
		}
	}
	return err
}

// oneDirectory is for commands that take the tree's directory, or none.
func oneDirectory(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%s takes one directory, not %d", c.CommandPath(), len(args))
	}
	return nil
}
