package engine

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// policy is what a container's restart setting says of the time after a run's end. The zero value is no.
type policy struct {
	word string
	most int // of on-failure: how often in a row; 0: any
}

// The words, as docker has them.
const (
	policyNo      = "no"
	policyFailure = "on-failure"
	policyAlways  = "always"
	policyStopped = "unless-stopped"
)

// Docker's back-off: the pause before a start doubles, and is the first again after a run that has lasted a while.
const (
	backOffFirst = 100 * time.Millisecond
	backOffMost  = time.Minute
	backOffReset = 10 * time.Second
)

// backOff is the pause that follows a run, when the last one was before it.
func backOff(last, ran time.Duration) time.Duration {
	if last <= 0 || ran >= backOffReset {
		return backOffFirst
	}
	return min(2*last, backOffMost)
}

// restart is the policy of settings.
func (v values) restart() policy {
	p, _ := readPolicy(v.text("restart"))
	return p
}

func (p policy) none() bool { return p.word == "" || p.word == policyNo }

// again tells whether a run is to be followed by another, when nobody has ended it and the policy has started the
// container so many times.
func (p policy) again(code, times int) bool {
	switch p.word {
	case policyAlways, policyStopped:
		return true
	case policyFailure:
		return code != 0 && (p.most == 0 || times < p.most)
	}
	return false
}

// back tells whether a container that does not run is to be started by a new mount. That nobody saw how it ended, as
// when the machine went down, is not a failure of its own.
func (p policy) back(stopped bool) bool {
	return p.word == policyAlways || p.word == policyStopped && !stopped
}

func (p policy) String() string {
	switch {
	case p.none():
		return policyNo
	case p.most > 0:
		return p.word + ":" + strconv.Itoa(p.most)
	}
	return p.word
}

// parseRestart is the setting's parser. It stays as it was written.
func parseRestart(value string) (any, error) {
	v, err := oneLine(value)
	if err != nil {
		return nil, err
	}
	_, err = readPolicy(v)
	return v, err
}

func readPolicy(v string) (policy, error) {
	word, number, counted := strings.Cut(v, ":")
	switch word {
	case "", policyNo, policyAlways, policyStopped:
		if counted {
			return policy{}, fmt.Errorf("only %s takes a number of times", policyFailure)
		}
		return policy{word: word}, nil
	case policyFailure:
		if !counted {
			return policy{word: word}, nil
		}
		n, err := strconv.ParseInt(number, 10, 31)
		if err != nil || n < 0 {
			return policy{}, fmt.Errorf("%q is not a number of times; 0 is any", clip(number))
		}
		return policy{word: word, most: int(n)}, nil
	}
	return policy{}, fmt.Errorf("%q is no policy; there are no, %s[:TIMES], %s and %s", clip(v), policyFailure, policyAlways, policyStopped)
}

// removedAndRestarted is what the settings of one container cannot both say.
func (v values) removedAndRestarted() error {
	if v.flag("auto_remove") && !v.restart().none() {
		return fail("set", "", Invalid, "a container is either removed when it has ended or started again: auto_remove (--rm) and restart (--restart) exclude each other")
	}
	return nil
}
