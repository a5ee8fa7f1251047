package archive

import "testing"

func TestMakeManifest(t *testing.T) {
	var layers []Layer
	for _, mediaType := range []string{dockerLayer, dockerLayer + ".gzip", dockerLayer + ".zstd", ociLayer + "+gzip", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"} {
		layers = append(layers, Layer{Digest: "sha256:1", Size: 5, MediaType: mediaType, DiffID: "sha256:2", Path: "/x"})
	}
	got, err := MakeManifest([]byte("{}"), layers)
	must(t, err)
	one := func(suffix string) string {
		return `{"mediaType":"application/vnd.oci.image.layer.v1.tar` + suffix + `","digest":"sha256:1","size":5}`
	}
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",` +
		`"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[` +
		one("") + "," + one("+gzip") + "," + one("+zstd") + "," + one("+gzip") + "," + one("+gzip") + `]}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, err := MakeManifest([]byte("{}"), nil); err != nil || string(got[len(got)-12:]) != `"layers":[]}` {
		t.Errorf("%s, %v", got, err)
	}
}
