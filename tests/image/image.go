// Package image makes container images on the spot, from the programs of the
// machine the tests run on: no internet and no shipped binaries are needed.
//
// Every image is made of real layers with a real config, pushed to a registry
// with go-containerregistry, as any client would.
package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// Made is the time that every file and image made here carries.
var Made = time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)

// File is one entry of a layer.
type File struct {
	Name   string // without a leading slash
	Mode   int64  // permission bits, set-user-ID among them
	UID    int
	GID    int
	Body   []byte
	Link   string            // target, for symbolic and hard links
	Type   byte              // a tar type flag; 0 means a regular file, or a directory if Name ends in a slash
	Xattrs map[string]string // by name, as "security.capability"
	Device [2]int64          // major and minor number of a device
}

// Tar writes files as one uncompressed layer.
func Tar(files []File) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{
			Name: f.Name, Mode: f.Mode, Uid: f.UID, Gid: f.GID, Linkname: f.Link,
			Size: int64(len(f.Body)), Devmajor: f.Device[0], Devminor: f.Device[1], ModTime: Made, Typeflag: f.Type, Format: tar.FormatPAX,
		}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
			if f.Name[len(f.Name)-1] == '/' {
				h.Typeflag = tar.TypeDir
			}
		}
		for k, v := range f.Xattrs {
			if h.PAXRecords == nil {
				h.PAXRecords = map[string]string{}
			}
			h.PAXRecords["SCHILY.xattr."+k] = v
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("layer entry %s: %w", f.Name, err)
		}
		if _, err := w.Write(f.Body); err != nil {
			return nil, fmt.Errorf("layer entry %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Gzip makes a gzip layer of an uncompressed tar.
func Gzip(tarred []byte) (v1.Layer, error) {
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(tarred)), nil
	}, tarball.WithCompressedCaching)
}

// Zstd makes a zstd layer of an uncompressed tar, as OCI images have them.
func Zstd(tarred []byte) (v1.Layer, error) {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, err
	}
	packed := e.EncodeAll(tarred, nil)
	return &zstdLayer{packed: packed, plain: tarred}, nil
}

type zstdLayer struct{ packed, plain []byte }

func (l *zstdLayer) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(l.packed))
	return h, err
}

func (l *zstdLayer) DiffID() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(l.plain))
	return h, err
}

func (l *zstdLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.packed)), nil
}

func (l *zstdLayer) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.plain)), nil
}
func (l *zstdLayer) Size() (int64, error)                { return int64(len(l.packed)), nil }
func (l *zstdLayer) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }

// Build stacks layers, lowest first, under a config. Platform is the host's
// unless the config says otherwise.
func Build(config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	img := empty.Image
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created, file.Config = "linux", "amd64", v1.Time{Time: Made}, config
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return nil, err
	}
	for i, l := range layers {
		mt, err := l.MediaType()
		if err != nil {
			return nil, err
		}
		img, err = mutate.Append(img, mutate.Addendum{
			Layer: l, MediaType: mt,
			History: v1.History{Created: v1.Time{Time: Made}, CreatedBy: fmt.Sprintf("COPY layer-%d / # tests", i), Author: "tests"},
		})
		if err != nil {
			return nil, err
		}
	}
	return img, nil
}
