package verb

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"hull/fs/wire"
)

// optionID asks for the new container's ID in the text of the answer.
const optionID = "cidfile"

// takeID makes the file of docker's --cidfile, with the caller's rights: the daemon hears only that there is one. One
// that is there stays as it is, for somebody may be about to remove the container that it names.
func (h *helper) takeID(r *wire.Request) error {
	path := last(r.Options, optionID)
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return errors.New(path + " is there already, maybe of another container that runs: remove it, or name another file for the ID")
	}
	if err != nil {
		return because("write", path, err)
	}
	h.id = f
	for i := range r.Options {
		if r.Options[i].Name == optionID {
			r.Options[i].Value = "true"
		}
	}
	return nil
}

// keepID writes the ID, and answers what of the answer's text is to be printed: that of who does not wait.
func (h *helper) keepID(text string, detached bool) string {
	if h.id == nil {
		return text
	}
	if _, err := h.id.WriteString(strings.TrimSpace(text)); err != nil {
		h.complain("the container runs, but " + because("write", h.id.Name(), err).Error())
	}
	if detached {
		return text
	}
	return ""
}

// leaveID closes the file, and takes it away if there has been no ID for it.
func (h *helper) leaveID() {
	if h.id == nil {
		return
	}
	if info, err := h.id.Stat(); err == nil && info.Size() == 0 {
		_ = os.Remove(h.id.Name())
	}
	_ = h.id.Close()
	h.id = nil
}
