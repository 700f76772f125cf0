package auth

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/internal/detached"
)

// counted makes a plain Session a stateful one: it holds the one refresh in flight and counts the generations.
//
// A plain session tells nothing but its token, so its token is watched. Another token is another refresh; a token that is gone
// is a logout; one that comes back is a login.
type counted struct {
	Session
	timeout time.Duration
	slot    future.Shared[Snapshot]

	mu         sync.Mutex
	generation Generation
	watched    bool
	token      *oauth2.Token // as last seen
	obtained   time.Time
	ended      bool
	early      bool   // all who wait for the refresh in flight are early
	replaced   string // the access token that a refresh replaced, should the session go on returning it
}

func count(s Session, timeout time.Duration) *counted {
	c := &counted{Session: s, timeout: timeout, generation: Generation{Login: 1}}
	_, _ = guard(func() (Snapshot, error) { return c.Snapshot(), nil }) // notes when the first token was there
	return c
}

func accessToken(t *oauth2.Token) string {
	if t == nil {
		return ""
	}
	return t.AccessToken
}

// observe notes the session's token. The session is not asked while it refreshes: it may hold a lock of its own.
func (c *counted) observe() {
	if c.slot.InFlight() != nil {
		return
	}
	token := c.Token()
	if c.replaced != "" && accessToken(token) == c.replaced {
		return // it returned a new token from RefreshToken and did not keep it
	}
	switch before, now := accessToken(c.token), accessToken(token); {
	case before == now:
	case now == "":
		c.generation.Login++
		c.ended = true
	case before == "":
		if c.watched {
			c.generation.Login++
		}
		c.ended, c.obtained = false, time.Now()
	default:
		c.generation.Refresh++
		c.obtained = time.Now()
	}
	c.token, c.watched = token, true
}

func (c *counted) snapshot() Snapshot {
	return Snapshot{
		Token: c.token, Generation: c.generation, Active: !c.ended, Refreshing: c.slot.InFlight() != nil, Obtained: c.obtained,
	}
}

// Snapshot implements StatefulSession.
func (c *counted) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe()
	return c.snapshot()
}

// RefreshSince implements StatefulSession.
func (c *counted) RefreshSince(ctx context.Context, seen Generation) (Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return Snapshot{}, context.Cause(ctx)
	}
	f, snapshot, err := c.joinSince(ctx, seen)
	if f == nil {
		return snapshot, err
	}
	return f.Await(ctx)
}

func (c *counted) joinSince(ctx context.Context, seen Generation) (*future.Future[Snapshot], Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe()
	switch {
	case c.ended || c.generation.Login != seen.Login:
		return nil, c.snapshot(), ErrSessionChanged
	case c.generation.Refresh != seen.Refresh:
		return nil, c.snapshot(), nil
	case Bypassed(ctx, c.Session):
		return nil, c.snapshot(), ErrNestedRefresh
	}
	f, joined := c.slot.Join(func() (Snapshot, error) { return c.refresh(ctx) })
	c.early = IsEarly(ctx) && (c.early || !joined)
	return f, Snapshot{}, nil
}

// refresh runs in the slot.
func (c *counted) refresh(ctx context.Context) (Snapshot, error) {
	ctx = Bypass(ctx, c.Session)
	token, err := detached.Run(ctx, c.timeout, c.RefreshToken, nil)
	if err == nil {
		return c.refreshed(token)
	}
	if c.survives(err) {
		return Snapshot{}, err
	}
	_, logoutErr := detached.Run(ctx, c.timeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.Logout(ctx)
	}, nil)
	return Snapshot{}, join(err, logoutErr, "and the logout failed")
}

func (c *counted) refreshed(token *oauth2.Token) (Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation.Refresh++
	c.obtained = time.Now()
	if accessToken(token) != "" {
		c.replaced = accessToken(c.token)
		c.token = token
	}
	c.slot.Forget() // with the generation: nobody of the new one joins the refresh that led to it
	return c.snapshot(), nil
}

// survives reports whether the session outlives a failed refresh; if not, its login is over. The slot is empty then: what the
// logout sends does not wait for the refresh.
func (c *counted) survives(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slot.Forget()
	if errors.Is(err, ErrNestedRefresh) || errors.Is(err, ErrSessionChanged) || c.early && KeepSession(c.token, err) {
		return true
	}
	c.generation.Login++
	return false
}
