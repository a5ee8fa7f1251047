package verb

import "hull/fs/wire"

// form is how a verb is called.
type form struct {
	usage string
	flags []Flag
	// ready adds to the request what comes of the caller's descriptors; nil adds nothing.
	ready func(*helper, *wire.Request) error
}

// form answers how the verb of that name is called; exec is none, since all its arguments are the command's.
func (h *helper) form(verb string) form {
	switch verb {
	case "run":
		return form{"run [FLAGS] [IMAGE] [COMMAND…]   (IMAGE only for the run of the whole tree)", h.flags(), (*helper).window}
	case "pull":
		return form{"pull [-q] [-a] [--platform PLATFORM] REFERENCE", []Flag{
			{Name: "quiet", Short: "q", Setting: "quiet", Kind: Switch, Summary: "print only what was pulled"},
			{Name: "all-tags", Short: "a", Setting: "all", Kind: Switch, Summary: "every tag of the repository"},
			{Name: "platform", Setting: optionPlatform, Summary: "for another machine than this, as linux/arm64; the name then leads to that image"},
		}, nil}
	case "enter":
		return form{"enter [FLAGS] COMMAND…", enterFlags(), (*helper).enter}
	case "attach":
		return form{"attach [FLAGS]", attachFlags(), (*helper).attach}
	case "follow":
		return form{"follow [FLAGS]", followFlags(), nil}
	case "login":
		return form{"login [-u USER]   (asks at a terminal; else USER PASSWORD, or with -u the password, comes by the input)", []Flag{
			{Name: "username", Short: "u", Setting: "user", Summary: "who logs in; it asks if not given"},
			{Name: "password-stdin", Setting: optionPiped, Kind: Switch, Summary: "read the password from the input, a terminal too"},
		}, (*helper).login}
	case "search":
		return form{"search [--limit N] TERM", []Flag{{Name: "limit", Setting: "limit", Summary: "at most so many, 25 if not given"}}, nil}
	case "tags":
		return form{"tags REPOSITORY", nil, nil}
	case "prune":
		return form{"prune [-n] [-a] containers|images|networks|volumes|all", []Flag{
			{Name: "dry-run", Short: "n", Setting: "dry-run", Kind: Switch, Summary: "only say what would go"},
			{Name: "all", Short: "a", Setting: "all", Kind: Switch, Summary: "also images and volumes that have a name, if no container has them"},
		}, nil}
	case "save":
		return form{"save [-o FILE] [IMAGE…]   or   save [IMAGE…] > FILE   (more images are put into the same archive)", outputFlags(), (*helper).output}
	case "export":
		return form{"export [-o FILE]   or   export > FILE", outputFlags(), (*helper).output}
	case "load":
		return form{
			"load [-i FILE]   or   load < FILE",
			[]Flag{{Name: "input", Short: "i", Setting: optionInput, Summary: "read this file in the place of the input"}},
			(*helper).input,
		}
	}
	return form{usage: verb}
}

func outputFlags() []Flag {
	return []Flag{{Name: "output", Short: "o", Setting: optionOutput, Summary: "write to this file in the place of the output"}}
}
