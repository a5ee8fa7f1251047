package layers

import (
	"bytes"
	"encoding/json"
)

// A record's text is a JSON object with one member a line, the first of which is a
// checksum of the others: a letter that has changed on the disk is then seen even
// where the text still makes sense. Who edits a record by hand takes that line out.
const (
	sealHead = "{\n  \"sum\": \""
	sealTail = "\",\n"
)

// seal writes a record with its checksum.
func seal(r *record) ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	return append([]byte(sealHead+sumOf(text)+sealTail), text[len("{\n"):]...), nil
}

// unseal takes the checksum out of a record's text. It is empty if there is none.
func unseal(text []byte) (body []byte, sum string) {
	rest, found := bytes.CutPrefix(text, []byte(sealHead))
	end := bytes.Index(rest, []byte(sealTail))
	if !found || end < 0 {
		return text, ""
	}
	return append([]byte("{\n"), rest[end+len(sealTail):]...), string(rest[:end])
}
