package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"hull/engine"
	"hull/engine/monitor"
	"hull/fs"
	"hull/fs/session"
	"hull/layers"
)

// resolvePatience is how long run and pull, whose callers wait anyway, let a
// registry take to say whether there is such an image.
const resolvePatience = 30 * time.Second

// run makes a container as docker run does: in the background, or with the
// caller's terminal or streams until it ends.
func (v verbs) run(ctx context.Context, c *session.Call) (*session.Answer, error) {
	n, err := v.newContainer(c)
	if err != nil {
		return nil, err
	}
	policy, _ := c.Option("pull")
	if err := v.mayRun(fs.Credential(c.By), n, policy); err != nil {
		return nil, err
	}
	if err := v.fetch(ctx, c, n, policy); err != nil {
		return nil, err
	}
	if on(c, "detach") {
		n.Start = true
		made, err := v.engine.Create(ctx, n)
		if err != nil {
			return nil, err
		}
		return &session.Answer{Text: made.ID + "\n"}, nil
	}
	return v.runAttached(ctx, c, n)
}

// mayRun tells why somebody may not: executing run is one right, making a container,
// looking into its image and pulling are others.
func (v verbs) mayRun(by fs.Credential, n engine.New, policy string) error {
	if err := v.tree.May(by, "containers", fs.Change); err != nil {
		return err
	}
	m, ok, err := v.store.FindFor(n.Image, n.Settings["platform"])
	if err != nil {
		return err
	}
	if ok {
		if err := v.tree.May(by, "images/"+shown(m).Reference, fs.Read); err != nil {
			return err
		}
	}
	if !ok || !m.Usable() || policy == "always" {
		return v.tree.May(by, "images", fs.Change)
	}
	return nil
}

// runDetached is run for who does not wait: a missing image is on its way when it
// returns, and the container starts when that is here.
func (v verbs) runDetached(ctx context.Context, c *session.Call) error {
	n, err := v.newContainer(c)
	if err != nil {
		return err
	}
	policy, _ := c.Option("pull")
	if err := v.mayRun(fs.Credential(c.By), n, policy); err != nil {
		return err
	}
	m, ok, err := v.store.FindFor(n.Image, n.Settings["platform"])
	switch {
	case err != nil:
	case ok && m.Usable() || policy != "" && policy != "missing":
		err = v.fetch(ctx, c, n, policy)
	default:
		o := layers.PullOptions{Budget: v.ResolveBudget, By: c.By.UID, Keychain: keychain(c.By.UID), Platform: n.Settings["platform"]}
		err = v.store.Pull(ctx, n.Image, o)
	}
	if err != nil {
		return err
	}
	n.Start = true
	_, err = v.engine.Create(ctx, n)
	return err
}

func (v verbs) runAttached(ctx context.Context, c *session.Call, n engine.New) (*session.Answer, error) {
	near, far, err := monitor.NewStatus()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	interactive := strings.TrimSpace(n.Settings["stdin"]) == "true"
	made, a, err := v.engine.Run(ctx, n, engine.AttachOptions{Stdin: interactive, Status: far, Terminal: c.Device})
	if err != nil {
		near.Close()
		return nil, err
	}
	answer := attached(a, near)
	if _, wanted := c.Option("cidfile"); wanted {
		answer.Text = made.ID + "\n"
	}
	answer.Ended = func(ctx context.Context) {
		if err := v.monitor.CloseStdin(ctx, made.ID); err != nil {
			v.log.Debug("input was not closed", "container", made.ID, "err", err)
		}
	}
	if proxy, given := c.Option("sig-proxy"); !made.TTY && (!given || proxy == "true") { // a terminal sends them itself
		answer.Signal = v.signal(made.ID)
	}
	if made.TTY && interactive {
		answer.Detach, _ = c.Option("detach-keys")
	}
	return answer, nil
}

// newContainer reads run's flags and arguments.
func (v verbs) newContainer(c *session.Call) (engine.New, error) {
	n := engine.New{Owner: engine.Owner{UID: c.By.UID, GID: c.By.GID}}
	args := c.Args
	if isImage(c.Object) {
		n.Image = c.Object
	} else {
		if len(args) == 0 {
			return n, errors.New("run needs an image: run [flags] IMAGE [COMMAND…]")
		}
		n.Image, args = args[0], args[1:]
	}
	var err error
	if n.Image, err = v.named(n.Image); err != nil {
		return n, err
	}
	n.Name, _ = c.Option("name")
	if n.Settings, err = settingsOf(c); err != nil {
		return n, err
	}
	if len(args) > 0 {
		n.Settings["command"] = engine.FormatWords(args)
	}
	if err := streamsOf(c, n.Settings); err != nil {
		return n, err
	}
	if on(c, "no-healthcheck") {
		for name := range n.Settings {
			if strings.HasPrefix(name, "health_") {
				return n, errors.New("--no-healthcheck and the flags --health-… exclude each other")
			}
		}
		n.Settings["health_cmd"] = "none"
	}
	return n, nil
}

// streamsOf checks docker's -a, which may say what is so anyway.
func streamsOf(c *session.Call, settings map[string]string) error {
	asked := map[string]bool{}
	for _, o := range c.Options {
		if o.Name == "attach" {
			asked[strings.ToLower(o.Value)] = true
		}
	}
	for name := range asked {
		if name != "stdin" && name != "stdout" && name != "stderr" {
			return fmt.Errorf("-a takes stdin, stdout or stderr, not %q", name)
		}
	}
	switch interactive := strings.TrimSpace(settings["stdin"]) == "true"; {
	case len(asked) == 0:
		return nil
	case on(c, "detach"):
		return errors.New("-a and -d exclude each other")
	case !asked["stdout"] || !asked["stderr"] || asked["stdin"] != interactive:
		return errors.New("run attaches stdout and stderr, and with -i stdin, and -a cannot say otherwise: send what is not wanted to /dev/null")
	}
	return nil
}

// settingsOf are the settings that run's flags make. What is wrong with a value is told before an image is pulled for it.
func settingsOf(c *session.Call) (map[string]string, error) {
	settings, given := map[string]string{}, map[string][]string{}
	for _, o := range c.Options {
		given[o.Name] = append(given[o.Name], o.Value)
	}
	for _, s := range engine.Settings() {
		if values := given[s.Name]; len(values) > 0 {
			settings[s.Name] = s.FromFlag(values)
			if err := s.Check(settings[s.Name]); err != nil && s.Flag != "" {
				return nil, fmt.Errorf("%s: %w", flagOf(s), err)
			}
		}
	}
	return settings, endpoint(settings, given)
}

// flagOf is what a setting's flag is called, for a sentence about its value.
func flagOf(s engine.Setting) string {
	if s.Also == "" {
		return "--" + s.Flag
	}
	return "--" + s.Flag + " or --" + s.Also
}

// endpoint puts --ip, --ip6, --mac-address and --network-alias into the setting that they are part of.
func endpoint(settings map[string]string, given map[string][]string) error {
	var options []string
	for _, name := range []string{"ip", "ip6", "mac-address"} {
		if values := given[name]; len(values) > 0 {
			options = append(options, name+"="+values[len(values)-1])
		}
	}
	for _, alias := range given["network-alias"] {
		options = append(options, "alias="+alias)
	}
	if len(options) == 0 {
		return nil
	}
	network, err := engine.WithEndpoint(settings["network"], options...)
	if err == nil {
		settings["network"] = network
	}
	return err
}

// walked is the image that a path into images/ means, as a shell completes one: images/redis:7, /hull/images/redis:7/.
// That is so only if there is such an image, and none whose name is like that.
func (v verbs) walked(arg string) string {
	in := fs.LinkSource(arg)
	if in == arg {
		return arg
	}
	if _, named := v.store.Find(arg); named {
		return arg
	}
	if _, here := v.store.Find(in); !here {
		return arg
	}
	return in
}

// named gives an image's familiar name; one that is here by ID keeps it.
func (v verbs) named(name string) (string, error) {
	name = v.walked(name)
	if m, ok := v.store.Find(name); ok && m.Reference == "" {
		return m.ID, nil
	}
	if _, ok := v.store.Find(name); ok {
		return name, nil
	}
	return v.store.Parse(name)
}

// fetch pulls an image according to run's --pull, and shows how it goes.
func (v verbs) fetch(ctx context.Context, c *session.Call, n engine.New, policy string) error {
	ref, platform := n.Image, n.Settings["platform"]
	m, ok, err := v.store.FindFor(ref, platform)
	if err != nil {
		return err
	}
	switch policy {
	case "", "missing":
		if ok && m.Usable() {
			return nil
		}
	case "never":
		if ok && m.Usable() {
			return nil
		}
		what := ref
		if platform != "" {
			what += " for " + platform
		}
		return fmt.Errorf("there is no image %s here, and --pull never forbids to fetch it", what)
	case "always":
	default:
		return fmt.Errorf("--pull takes missing, always or never, not %q", policy)
	}
	attend := &layers.Attendance{}
	defer v.leave(ctx, attend) // as docker's run, one that is interrupted wants no image any more
	o := layers.PullOptions{Budget: resolvePatience, By: c.By.UID, Keychain: keychain(c.By.UID), Attend: attend, Platform: platform, Patient: true}
	quiet := on(c, "quiet") || c.Descriptor
	if !quiet && !ok {
		c.Print("Unable to find image '" + ref + "' locally\n")
	}
	if err := v.store.Pull(ctx, ref, o); err != nil {
		return err
	}
	if !quiet {
		v.showProgress(ctx, c, ref, nil)
	}
	return v.store.Wait(ctx, ref)
}

func on(c *session.Call, option string) bool {
	v, _ := c.Option(option)
	return v == "true"
}
