package main

import (
	"testing"

	"hull/engine"
	"hull/layers"
	"hull/layers/registries"
)

func TestEveryKindHasARow(t *testing.T) {
	for _, k := range engine.Kinds() {
		if _, ok := engineKinds[k]; !ok {
			t.Errorf("engine kind %v has no row", k)
		}
	}
	for _, k := range registries.Kinds() {
		if _, ok := bookKinds[k]; !ok {
			t.Errorf("registries' kind %v has no row for the tree", k)
		}
	}
	for _, k := range layers.Kinds() {
		if _, ok := layersKinds[k]; !ok {
			t.Errorf("store kind %v has no row for the tree", k)
		}
		if _, ok := storeInEngine[k]; !ok {
			t.Errorf("store kind %v has no row for the engine", k)
		}
	}
}
