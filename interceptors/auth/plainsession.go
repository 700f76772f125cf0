package auth

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/internal/detached"
	"github.com/axlehttp/axle/internal/retryafter"
)

// counted makes a plain Session a stateful one: it holds the one refresh in flight and counts the generations.
//
// A plain session tells nothing but its token, so its token is watched. Another token is another refresh, or another login if it
// came while this one refreshed and is not what RefreshToken returned; a token that is gone is a logout; one that comes back is a
// login.
//
// The session may guard its token by a lock that its RefreshToken and Logout hold. So it is not asked while it refreshes, nor
// from within, never under a lock of ours, and on a goroutine of its own, which nobody need await, while a call of it is stuck.
//
// A RefreshToken that overruns its time limit may still spend the refresh token, so that no other one is started beside it.
type counted struct {
	Session
	mark    Session // whom Bypass marks
	timeout time.Duration
	slot    future.Shared[Snapshot]

	mu         sync.Mutex
	generation Generation
	token      *oauth2.Token // the session's, or what RefreshToken returned
	access     string        // token's access token, should the session write into its token
	said       string        // the access token that the session returned last; other than access: it did not keep the new one
	obtained   time.Time
	ended      bool
	unsure     uint64       // the Login that began with a Logout of ours after which the session could not be asked
	leaving    uint64       // the Login that began with a Logout of ours that is under way
	early      bool         // all who wait for the refresh in flight are early
	failures   uint64       // how many refreshes that somebody needed have failed
	failure    error        // the last of these
	latest     *refreshCall // of RefreshToken, until it returns
	running    int          // calls of RefreshToken and Logout that have not returned
	asked      uint64       // how often the session was asked
	heard      uint64       // which of these answers was noted last

	// Until pause is over, refreshes fail at once with pausedBy: its answer had a Retry-After.
	pause    retryafter.Pause
	pausedBy error
}

// refreshCall is one call of RefreshToken.
type refreshCall struct {
	login   uint64 // that it was made in, or that is the same one, opened again
	outcome *future.Future[*oauth2.Token]
}

func count(s Session, timeout time.Duration) *counted {
	c := &counted{Session: s, mark: s, timeout: timeout, generation: Generation{Login: 1}}
	if !reflect.ValueOf(s).Comparable() {
		c.mark = c
	}
	_, _ = guard("the session", func() (Snapshot, error) { return c.look(context.Background()) }) // notes when the first token was there
	return c
}

func accessToken(t *oauth2.Token) string {
	if t == nil {
		return ""
	}
	return t.AccessToken
}

// look asks the session for its token and returns the state after that. Under a context of Bypass, and while the session
// refreshes, the state is what it was: the session is busy. ctx bounds the wait for one whose call is stuck.
func (c *counted) look(ctx context.Context) (Snapshot, error) {
	within := Bypassed(ctx, c.mark)
	c.mu.Lock()
	if within || c.slot.InFlight() != nil {
		defer c.mu.Unlock()
		s := c.snapshot()
		// The session's own Logout tells the server so by the token that nobody else attaches any more.
		s.Active = s.Active || within
		return s, nil
	}
	c.asked++
	ticket, stuck := c.asked, c.running > 0
	c.mu.Unlock()

	token, err := c.ask(ctx, stuck)
	if err != nil {
		return Snapshot{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ticket > c.heard && c.slot.InFlight() == nil { // else it may be older than what is known
		c.heard = ticket
		c.note(token)
	}
	return c.snapshot(), nil
}

// ask returns the session's token.
func (c *counted) ask(ctx context.Context, stuck bool) (*oauth2.Token, error) {
	if !stuck {
		return c.Token(), nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errStuck)
	defer cancel()
	return future.Go(func() (*oauth2.Token, error) { return c.Token(), nil }).Await(ctx)
}

// note takes down what the session returned.
func (c *counted) note(token *oauth2.Token) {
	now, before := accessToken(token), c.access
	afterLogout := c.leaving == c.generation.Login || c.unsure == c.generation.Login
	c.unsure = 0
	unchanged := now == c.said
	c.said = now
	switch {
	case unchanged && now != before: // it returned a new token from RefreshToken and did not keep it
		return
	case now == before:
	case now == "":
		c.generation.Login++
		c.ended = true
	case afterLogout, before == "":
		c.beginLogin()
	default:
		c.generation.Refresh++
		c.obtained = time.Now()
	}
	c.token, c.access = token, now
}

// beginLogin leaves behind what belonged to the login before.
func (c *counted) beginLogin() {
	c.generation.Login++
	c.ended, c.obtained = false, time.Now()
	c.pause = retryafter.Pause{}
}

func (c *counted) snapshot() Snapshot {
	refreshing := c.slot.InFlight() != nil
	return Snapshot{
		Token: c.token, Generation: c.generation, Active: !c.ended && c.leaving != c.generation.Login,
		Refreshing: refreshing, Early: refreshing && c.early, Obtained: c.obtained,
		Failures: c.failures, Failure: c.failure,
	}
}

// Snapshot implements StatefulSession.
func (c *counted) Snapshot() Snapshot {
	s, _ := c.look(context.Background())
	return s
}

// RefreshSince implements StatefulSession.
func (c *counted) RefreshSince(ctx context.Context, seen Generation) (Snapshot, error) {
	if ctx.Err() != nil {
		return Snapshot{}, context.Cause(ctx)
	}
	if _, err := c.look(ctx); err != nil {
		return Snapshot{}, err
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
	now := c.snapshot()
	switch {
	case now.Generation.Login != seen.Login:
		return nil, now, ErrSessionChanged
	case now.Generation.Refresh != seen.Refresh:
		return nil, now, nil
	case c.pause.Holds(time.Now()):
		return nil, now, c.pausedBy
	}
	f, joined := c.slot.Join(func() (Snapshot, error) { return c.refresh(ctx) })
	c.early = IsEarly(ctx) && !joined // one early refresh runs at a time, see refreshBeside
	return f, Snapshot{}, nil
}

// refresh runs in the slot.
func (c *counted) refresh(ctx context.Context) (Snapshot, error) {
	returned, err := c.refreshToken(withBypass(ctx, c.mark, false))
	ctx = withBypass(ctx, c.mark, true)

	now, known := c.askAfter(ctx)
	if err == nil && (!canCarry(returned) || !canCarry(now)) {
		err = fmt.Errorf("auth: RefreshToken: %w", errUnsendable)
	}
	if err == nil {
		return c.refreshed(returned, now, known)
	}

	login, over := c.failed(err, now)
	if !over {
		return Snapshot{}, err
	}
	logoutErr := c.call(ctx, c.Logout)
	now, known = c.askAfter(ctx)
	c.left(login, now, known)
	return Snapshot{}, join(err, logoutErr, "and the logout failed")
}

// refreshToken calls RefreshToken, detached from who asked for it, and bounded. If an earlier call has overrun its time limit
// and still runs, it waits for that one first, within the time limit.
func (c *counted) refreshToken(ctx context.Context) (*oauth2.Token, error) {
	c.mu.Lock()
	earlier, login := c.latest, c.generation.Login
	isOfThisLogin := earlier != nil && earlier.login == login
	c.mu.Unlock()
	if earlier == nil {
		return c.callRefreshToken(ctx, login)
	}

	returned, overrun, err := c.await(earlier)
	if overrun || isOfThisLogin {
		return returned, err
	}
	// That call was made in another login, to which its outcome belongs. If the session says another token by now, which that
	// call may have stored, then this login is over too.
	if now, _ := c.askAfter(ctx); c.isNews(now) {
		return nil, ErrSessionChanged
	}
	return c.callRefreshToken(ctx, login)
}

func (c *counted) callRefreshToken(ctx context.Context, login uint64) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()

	call := &refreshCall{login: login}
	c.mu.Lock()
	c.running++
	c.latest = call
	call.outcome = future.Go(func() (*oauth2.Token, error) {
		defer c.hasReturned(call)
		return c.RefreshToken(ctx)
	})
	c.mu.Unlock()

	returned, _, err := c.await(call)
	return returned, err
}

func (c *counted) hasReturned(call *refreshCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.latest == call {
		c.latest = nil
	}
}

// await waits for a call's outcome, within the time limit. A call that takes longer has overrun, and the error says so.
func (c *counted) await(call *refreshCall) (returned *oauth2.Token, overrun bool, err error) {
	clock := time.NewTimer(c.timeout)
	defer clock.Stop()
	select {
	case <-call.outcome.Done():
	case <-clock.C:
	}

	select {
	case <-call.outcome.Done():
		returned, err = call.outcome.Await(context.Background())
		return returned, false, err
	default:
		return nil, true, fmt.Errorf("auth: RefreshToken has not returned after %v: %w", c.timeout, context.DeadlineExceeded)
	}
}

// isNews reports whether the session says another token than it said last.
func (c *counted) isNews(token *oauth2.Token) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	says := accessToken(token)
	return says != "" && says != c.said
}

// call calls the session, detached from who asked for it, and bounded.
func (c *counted) call(ctx context.Context, method func(context.Context) error) error {
	c.mu.Lock()
	c.running++
	c.mu.Unlock()
	_, err := detached.Run(ctx, c.timeout, func(ctx context.Context) (struct{}, error) {
		defer func() {
			c.mu.Lock()
			c.running--
			c.mu.Unlock()
		}()
		return struct{}{}, method(ctx)
	})
	return err
}

// askAfter asks the session for its token after a call of it. One that is stuck, or panics, is not known.
func (c *counted) askAfter(ctx context.Context) (token *oauth2.Token, known bool) {
	c.mu.Lock()
	stuck := c.running > 0
	c.mu.Unlock()
	if stuck {
		return nil, false
	}
	token, err := detached.Run(ctx, c.timeout, func(context.Context) (*oauth2.Token, error) { return c.Token(), nil })
	return token, err == nil
}

// refreshed takes down the outcome: what RefreshToken returned, and what the session says now.
func (c *counted) refreshed(returned, now *oauth2.Token, known bool) (Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = c.asked
	access, login := accessToken(returned), c.generation.Login
	if known {
		switch says := accessToken(now); {
		case says == c.said: // and returned something new, or nothing
		case says == "":
			c.note(now)
		case says == access:
			c.said, returned = says, now
		case access == "": // it kept the new token to itself
			c.said, access, returned = says, says, now
		default:
			c.another(now)
		}
	}
	c.slot.Forget() // with the generation: nobody of the new one joins the refresh that led to it
	if c.generation.Login != login {
		return c.snapshot(), ErrSessionChanged
	}
	c.generation.Refresh++
	c.obtained = time.Now()
	if access != "" {
		c.token, c.access = returned, access
	}
	return c.snapshot(), nil
}

// another begins a login with a token that came while the session was busy for the one before.
func (c *counted) another(token *oauth2.Token) {
	c.beginLogin()
	c.token, c.access, c.said = token, accessToken(token), accessToken(token)
}

// failed takes down a failed refresh, and reports whether the login is over for it, so that a Logout is due: under the new
// Login, in which nothing is attached meanwhile. The slot is empty then: what the logout sends does not wait for the refresh.
func (c *counted) failed(err error, now *oauth2.Token) (login uint64, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = c.asked
	c.slot.Forget()
	c.pause, c.pausedBy = retryafter.Of(err, time.Now()), err

	says := accessToken(now)
	isAnother := says != "" && says != c.said
	// The session stored the token that no header can hold: it has no other one to keep, and no other login has begun.
	spoiled := isAnother && errors.Is(err, errUnsendable)

	switch {
	case isAnother && !spoiled: // somebody else has logged in meanwhile: that login stays
		c.another(now)
		return 0, false
	case c.early && KeepSession(c.token, err) && !spoiled:
		return 0, false
	case errors.Is(err, ErrNestedRefresh), errors.Is(err, ErrSessionChanged):
		c.failures++
		c.failure = err
		return 0, false
	}

	c.generation.Login++
	c.leaving = c.generation.Login
	return c.leaving, true
}

// left takes down that the Logout has returned. A session that says the same as ever is open again: one whose tokens are cookies
// never tells, and one that keeps its token after a Logout is asked to refresh by the next 401.
func (c *counted) left(login uint64, now *oauth2.Token, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation.Login != login {
		return
	}
	c.leaving = 0
	if c.latest != nil {
		// Unless the session turns out to say another token, it is open again with what it had, and a RefreshToken that has overrun
		// its time limit is of it still.
		c.latest.login = login
	}
	if !known {
		c.unsure = login
		return
	}
	c.heard = c.asked
	says := accessToken(now)
	switch {
	case says != "" && says != c.said:
		c.another(now)
	case says == "" && c.said != "":
		c.ended = true
	}
	c.token, c.access, c.said = now, says, says
}

// errStuck is a session that does not answer.
var errStuck = fmt.Errorf("auth: the session does not answer: %w", context.DeadlineExceeded)
