package layers

import "time"

// Action is what happened to an image.
type Action string

// The actions, with Docker's words where Docker has the event.
const (
	ActionPulling   Action = "pulling" // a pull was accepted
	ActionPulled    Action = "pull"    // an image has arrived, or was up to date
	ActionFailed    Action = "failed"  // a pull or push failed; Err says why
	ActionPushing   Action = "pushing" // a push was accepted
	ActionPushed    Action = "push"    // its registry has it
	ActionLoaded    Action = "load"    // out of an archive
	ActionCommitted Action = "commit"  // out of a container
	ActionTagged    Action = "tag"
	ActionUntag     Action = "untag"
	ActionDelete    Action = "delete"

	actionSwept Action = "swept" // a layer went; told to Swept instead
)

// Actions are all that Options.Notify is told of but a failure, which is a call's.
func Actions() []Action {
	return []Action{
		ActionPulling, ActionPulled, ActionPushing, ActionPushed, ActionLoaded, ActionCommitted, ActionTagged, ActionUntag, ActionDelete,
	}
}

// Event is one line of what happened in the store. Events are told in the
// order in which they became visible in List, one at a time.
type Event struct {
	Action    Action
	Reference string // familiar reference; empty for delete
	ID        string // "sha256:…", empty while unknown
	By        uint32 // uid of the caller who started it
	Err       error
	At        time.Time
}

// tell passes an event on to whom it is for.
func (s *Store) tell(e Event) {
	switch {
	case e.Action == actionSwept && s.o.Swept != nil:
		s.o.Swept(e.ID)
	case e.Action != actionSwept && s.o.Notify != nil:
		s.o.Notify(e)
	}
}
