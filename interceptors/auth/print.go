package auth

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/internal/redact"
)

// Format implements [fmt.Formatter]. Under every verb it prints the state without the token. Of the
// token it says whether there is one and when it expires.
func (s Snapshot) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "auth.Snapshot(token: %s, login: %d, refresh: %d, active: %t, refreshing: %t",
		shownToken(s.Token), s.Generation.Login, s.Generation.Refresh, s.Active, s.Refreshing)
	if s.Failure != nil {
		_, _ = fmt.Fprintf(f, ", failures: %d, the last: %s", s.Failures, redact.Text(s.Failure.Error()))
	}
	_, _ = io.WriteString(f, ")")
}

// LogValue implements [slog.LogValuer]. It returns what Format prints, as a group.
func (s Snapshot) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("token", shownToken(s.Token)),
		slog.Uint64("login", s.Generation.Login),
		slog.Uint64("refresh", s.Generation.Refresh),
		slog.Bool("active", s.Active),
		slog.Bool("refreshing", s.Refreshing),
	}
	if s.Failure != nil {
		attrs = append(attrs,
			slog.Uint64("failures", s.Failures),
			slog.String("failure", redact.Text(s.Failure.Error())))
	}
	return slog.GroupValue(attrs...)
}

// Format implements [fmt.Formatter]. Under every verb it prints the type alone, since an
// Interceptor holds a session with its token.
func (i *Interceptor) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "auth.Interceptor") }

// shownToken returns what may be printed of a token.
func shownToken(t *oauth2.Token) string {
	switch {
	case t == nil:
		return "none"
	case t.Expiry.IsZero():
		return redact.Mask
	}
	return redact.Mask + " until " + t.Expiry.Format(time.RFC3339)
}
