package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// hullList lists containers that have ended.
type hullList struct {
	command string
	many    bool
	s       *setting
}

func (h *hullList) name() string { return "hull (" + h.command + ")" }

func (h *hullList) prepare(ctx context.Context, s *setting) error {
	h.s = s
	count := s.size.listed
	if h.many {
		count = s.size.walked
	}
	return s.stoppedOnes(ctx, count)
}

func (h *hullList) once(ctx context.Context) error {
	return silently(ctx, h.s.still.dir, h.command)
}

// stoppedOnes makes as many containers that have ended, on a mount that has no others.
func (s *setting) stoppedOnes(ctx context.Context, count int) error {
	image := s.registry.addr + "/true:1"
	if err := s.still.pulled(ctx, image); err != nil {
		return err
	}
	err := inLanes(s.stopped, count, func(i int) error {
		dir := s.still.dir + "/containers/s" + strconv.Itoa(i)
		if err := os.Mkdir(s.still.dir+"/images/"+image+"/containers/s"+strconv.Itoa(i), 0o755); err != nil {
			return err
		}
		for ctx.Err() == nil {
			b, err := os.ReadFile(dir + "/status")
			if err != nil || strings.TrimSpace(string(b)) == "exited" {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	s.stopped = max(s.stopped, count)
	names, err := os.ReadDir(s.still.dir + "/containers")
	if err == nil && len(names) != s.stopped {
		err = fmt.Errorf("%d containers are there, not %d", len(names), s.stopped)
	}
	return err
}

// walked looks at the memory of the daemon before and after it has shown everything.
type walked struct {
	hullList
	before, most, after int64
}

func (w *walked) once(ctx context.Context) error {
	crowd := &hullCrowd{s: w.s, at: w.s.still}
	own, err := settled(ctx, crowd)
	if err != nil {
		return err
	}
	if w.before, err = proportional(own); err != nil {
		return err
	}
	if err := w.hullList.once(ctx); err != nil {
		return err
	}
	if w.most, err = proportional(own); err != nil {
		return err
	}
	// It waits for quiet before it gives anything back.
	for until := time.Now().Add(w.s.size.rest); ctx.Err() == nil && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond)
	}
	w.after, err = proportional(own)
	return errors.Join(err, ctx.Err())
}

func (w *walked) reading() reading {
	return reading{
		float64(w.after-w.before) / 1e6, "MB",
		fmt.Sprintf("%.0f before, %.0f at the end of find, %.0f some time later", float64(w.before)/1e6, float64(w.most)/1e6, float64(w.after)/1e6),
	}
}

// dockerList lists docker's.
type dockerList struct {
	s    *setting
	made int
}

func (*dockerList) name() string { return "docker ps -a" }

func (d *dockerList) prepare(ctx context.Context, s *setting) error {
	if err := (&dockerCrowd{}).prepare(ctx, s); err != nil {
		return err
	}
	d.s = s
	count := s.size.listed
	if err := inLanes(0, count, func(i int) error {
		return s.askDocker(ctx, "/containers/create?name=l"+strconv.Itoa(i), `{"Image":"`+imageName+`"}`)
	}); err != nil {
		return err
	}
	d.made = count
	return d.once(ctx)
}

func (d *dockerList) once(ctx context.Context) error {
	text, err := output(d.s.dockerCommand(ctx, "ps", "-a"))
	if n := strings.Count(text, "\n"); err == nil && n != d.made+1 {
		err = fmt.Errorf("docker shows %d lines, not %d", n, d.made+1)
	}
	return err
}

func (d *dockerList) close() error {
	if d.made == 0 {
		return nil
	}
	return d.s.askDocker(context.Background(), "/containers/prune", "")
}

// askDocker makes a request without docker's client, whose start takes longer than a container's creation.
func (s *setting) askDocker(ctx context.Context, path, body string) error {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", strings.TrimPrefix(s.dockerHost(), "unix://"))
		},
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://docker"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("docker: %s: %s", answer.Status, tail(text))
	}
	return err
}
