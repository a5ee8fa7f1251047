package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"text/tabwriter"

	"hull/fs"
	"hull/fs/session"
	"hull/layers/reference"
)

// login keeps a login that the helper has asked for.
func (v verbs) login(ctx context.Context, c *session.Call) (*session.Answer, error) {
	user, _ := c.Option("user")
	password, _ := c.Option("password")
	if len(c.Args) > 0 || user == "" || password == "" {
		return nil, errors.New("login needs a user's name and a password: execute it at a terminal, or write USER PASSWORD to its input")
	}
	stored, err := known(v).login(ctx, c.Object, user, password)
	if err != nil {
		return nil, err
	}
	v.tree.Succeeded("registries/" + c.Object)
	return &session.Answer{Text: stored.Warning() + "Login Succeeded\n"}, nil
}

// search prints what docker search does.
func (v verbs) search(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) != 1 {
		return nil, errors.New("search takes one word: search [--limit N] TERM")
	}
	limit := 0
	if s, ok := c.Option("limit"); ok {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 || n > 100 {
			return nil, fmt.Errorf("--limit takes a number from 1 to 100, not %q", s)
		}
		limit = int(n)
	}
	found, err := v.store.Search(ctx, c.Object, c.Args[0], limit, keychain(c.By.UID))
	if err != nil {
		return nil, fromRegistry(c.Object, err)
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 10, 1, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tDESCRIPTION\tSTARS\tOFFICIAL")
	for _, r := range found {
		official := ""
		if r.Official {
			official = "[OK]"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", printable(r.Name), shortened(printable(r.Description)), r.Stars, official)
	}
	return &session.Answer{Text: table(w, &b)}, nil
}

// table ends a table and gives its lines without white space at their ends.
func table(w *tabwriter.Writer, b *bytes.Buffer) string {
	_ = w.Flush() // it writes to memory
	var s strings.Builder
	for l := range strings.Lines(b.String()) {
		s.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	return s.String()
}

// shortened cuts a description as docker search does.
func shortened(s string) string {
	const most = 45
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// tags lists the tags of a repository.
func (v verbs) tags(ctx context.Context, c *session.Call) (*session.Answer, error) {
	if len(c.Args) != 1 {
		return nil, errors.New("tags takes one repository: tags REPOSITORY")
	}
	if strings.ContainsAny(path.Base(c.Args[0]), ":@") {
		return nil, &fs.Error{
			Op: "tags", Object: "registries/" + c.Object, Kind: fs.Invalid,
			Sentence: fmt.Sprintf("tags takes a repository, and lists all its tags: leave out what follows the name in %q.", printable(c.Args[0])),
		}
	}
	ref, err := reference.Parse(c.Object + "/" + strings.TrimPrefix(c.Args[0], c.Object+"/"))
	if err != nil {
		return nil, &fs.Error{Op: "tags", Object: "registries/" + c.Object, Kind: fs.Invalid, Sentence: err.Error(), Err: err}
	}
	tags, err := v.store.Tags(ctx, ref.Domain+"/"+ref.Path, keychain(c.By.UID))
	if err != nil {
		return nil, fromRegistry(c.Object, err)
	}
	var b strings.Builder
	for _, t := range tags {
		b.WriteString(t + "\n")
	}
	return &session.Answer{Text: b.String()}, nil
}
