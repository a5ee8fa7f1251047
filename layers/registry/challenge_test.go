package registry

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChallenges(t *testing.T) {
	type params = map[string]string
	for in, want := range map[string][]challenge{
		`Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"`: {
			{"bearer", params{"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"}},
		},
		`bearer REALM=https://a/t , Service=s`: {{"bearer", params{"realm": "https://a/t", "service": "s"}}},
		`Basic realm="x", Bearer realm="y"`:    {{"basic", params{"realm": "x"}}, {"bearer", params{"realm": "y"}}},
		`Negotiate, Basic realm="a \"b\" c"`:   {{"negotiate", params{}}, {"basic", params{"realm": `a "b" c`}}},
		`Negotiate YWJj==, Basic realm=x`:      {{"negotiate", params{"ywjj": "="}}, {"basic", params{"realm": "x"}}},
		`Negotiate a/b=, Basic realm=x`:        {{"negotiate", params{}}, {"basic", params{"realm": "x"}}},
		`Bearer realm="unfinished`:             {{"bearer", params{}}},
		`Bearer realm="a",realm="b"`:           {{"bearer", params{"realm": "a"}}},
		`Bearer realm = "spaced"`:              {{"bearer", params{"realm": "spaced"}}},
		`Basic`:                                {{"basic", params{}}},
		``:                                     nil,
		`,,, ,`:                                nil,
		`"quoted"`:                             nil,
	} {
		got := challenges(http.Header{"Www-Authenticate": {in}})
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(challenge{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	for _, s := range []string{
		`Bearer realm="https://a/t",service="s",scope="x"`, `Negotiate abc==, Basic realm="a \" b"`,
		`Basic`, `,`, `a=b`, `a b=`, `a b="`, `a b="\`, `a b=c,d`, "\x00", strings.Repeat("a ", 50),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all := challenges(http.Header{"Www-Authenticate": {s, s}})
		if len(all) > maxChallenges {
			t.Errorf("%d challenges", len(all))
		}
		for _, c := range all {
			if c.scheme == "" || strings.ToLower(c.scheme) != c.scheme {
				t.Errorf("the scheme %q", c.scheme)
			}
		}
	})
}
