package store

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/internal/redact"
)

// Format prints the state without the token and without the user, whatever the verb. Of the token
// it prints whether there is one and when it expires. Of the user it prints whether there is one.
// Print User to see more. JSON of a State has both.
func (s State[U]) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "store.State(user: %s, token: %s, checking auth: %t)",
		shownUser(s.User), shownToken(s.Token), s.CheckingAuth)
}

// LogValue returns what Format prints, as a group.
func (s State[U]) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("user", shownUser(s.User)),
		slog.String("token", shownToken(s.Token)),
		slog.Bool("checkingAuth", s.CheckingAuth),
	)
}

// Format prints the state, see [State.Format].
func (s *UserStore[U]) Format(f fmt.State, verb rune) {
	if s == nil {
		_, _ = io.WriteString(f, "<nil>")
		return
	}
	s.State().Format(f, verb)
}

// LogValue returns the state, see [State.LogValue].
func (s *UserStore[U]) LogValue() slog.Value {
	if s == nil {
		return slog.Value{}
	}
	return s.State().LogValue()
}

// Format prints the store's state.
func (t tokenSource[U]) Format(f fmt.State, verb rune) { t.store.Format(f, verb) }

func shownUser[U any](u *U) string {
	if u == nil {
		return "none"
	}
	return fmt.Sprintf("a %T", *u)
}

func shownToken(t *oauth2.Token) string {
	switch {
	case t == nil:
		return "none"
	case t.Expiry.IsZero():
		return redact.Mask
	}
	return redact.Mask + " until " + t.Expiry.Format(time.RFC3339)
}
