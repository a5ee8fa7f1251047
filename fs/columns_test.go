package fs_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"text/tabwriter"

	"hull/fs"
)

// TestColumns compares with what docker's client aligns its tables with.
func TestColumns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n, rows := 1+r.IntN(6), r.IntN(8)
		var head []string
		for range n {
			head = append(head, strings.Repeat("é", r.IntN(15)))
		}
		var want bytes.Buffer
		w := tabwriter.NewWriter(&want, 10, 1, 3, ' ', 0)
		fmt.Fprintln(w, strings.Join(head, "\t"))
		cells := [][]string{}
		for range rows {
			var row []string
			for range n {
				row = append(row, strings.Repeat("x…", r.IntN(9)))
			}
			cells = append(cells, row)
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		w.Flush()
		if got := fs.Columns(head, cells); got != want.String() {
			t.Fatalf("got\n%s\nwant\n%s", got, want.String())
		}
	}
}
