package main

import (
	"slices"
	"strings"
	"testing"

	"hull/engine"
	"hull/fs/journal"
	"hull/layers"
)

// What engine and store tell of is described.
func TestEventsAreDescribed(t *testing.T) {
	described := map[string]bool{}
	page := treePage()
	for _, k := range journal.Kinds() {
		described[k.Type+" "+k.Action] = true
		if !strings.Contains(page, escape(k.Summary)) {
			t.Errorf("hullfs(5) does not have %s %s", k.Type, k.Action)
		}
	}
	for _, a := range engine.Actions() {
		if !described["container "+string(a)] {
			t.Errorf("container %s is not described", a)
		}
	}
	for _, a := range engine.NetworkActions() {
		if !described["network "+string(a)] {
			t.Errorf("network %s is not described", a)
		}
	}
	for _, a := range layers.Actions() {
		if !described["image "+string(a)] {
			t.Errorf("image %s is not described", a)
		}
	}
	var causes []string
	for _, c := range journal.Causes() {
		causes = append(causes, c.Name)
	}
	for _, c := range engine.Causes() {
		if !slices.Contains(causes, string(c)) {
			t.Errorf("the cause %s is not described", c)
		}
	}
}
