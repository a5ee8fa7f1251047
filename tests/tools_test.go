package tests

import "testing"

// TestLoginTools has docker, podman and skopeo use hull's logins, and the other way
// round. Scripts find the docker daemon at DOCKER_HOST.
func TestLoginTools(t *testing.T) {
	needs(t)
	docker(t)
	tool(t, "podman")
	tool(t, "skopeo")
	scripts(t, addr, locked, all(t, "testdata/tools/*.txtar"), "DOCKER_HOST=unix://"+dockerd.socket, "DOCKER="+dockerClient(t))
}
