package image

import (
	"fmt"
	"sort"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push puts a set of images into the registry at addr ("127.0.0.1:5000").
func Push(addr string, set map[string]any) error {
	names := make([]string, 0, len(set))
	for n := range set {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		ref, err := name.ParseReference(addr+"/"+n, name.Insecure)
		if err != nil {
			return err
		}
		switch img := set[n].(type) {
		case v1.Image:
			err = remote.Write(ref, img)
		case v1.ImageIndex:
			err = remote.WriteIndex(ref, img)
		default:
			err = fmt.Errorf("a set holds no %T", img)
		}
		if err != nil {
			return fmt.Errorf("push %s: %w", n, err)
		}
	}
	return nil
}
