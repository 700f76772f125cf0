package oidc_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

type User struct{ Name string }

// session is a store that somebody has logged in to.
func session(t *testing.T, p *provider, opts ...store.Option) *store.UserStore[User] {
	t.Helper()
	st := store.New[User](store.OAuth2(&p.Config), opts...)
	st.Login(User{"Test"}, p.login(t))
	return st
}

func TestOIDC_ManyWorkersAcrossManyExpiriesLoseNoCallAndReuseNoToken(t *testing.T) {
	t.Parallel()
	const workers, expiries = 32, 50
	p := newProvider(t)
	a := newAPI(t, p)
	ctx := p.context(t)
	st := session(t, p)
	client := a.axle(auth.New(st))
	a.revokeAfterServing(workers, expiries)

	var wg sync.WaitGroup
	var made atomic.Int64
	for w := range workers {
		wg.Go(func() {
			for n := w; !a.allRevoked() && !t.Failed(); n++ { // from w: GETs and the kinds of POST at once
				made.Add(1)
				assert.NoError(t, call(ctx, client, fmt.Sprint(w), n))
			}
		})
	}
	wg.Wait()
	made.Add(1)
	require.NoError(t, call(ctx, client, "last", 1), "meets the last expiry, if nobody has")

	met, accepted := len(a.refusedBearers()), a.acceptedCalls()
	assert.Equal(t, expiries, met, "each expiry was met")
	assert.Equal(t, expiries, p.refreshCount(), "one refresh for each")
	assert.Empty(t, p.reusedTokens())
	assert.Len(t, accepted, int(made.Load()), "no call was lost")
	for path, times := range accepted {
		assert.Equal(t, 1, times, "%s was accepted more than once", path)
	}
	t.Logf("%d calls, %d refreshes", made.Load(), p.refreshCount())
}

func TestOIDC_TwoClientsShareOneSession(t *testing.T) {
	t.Parallel()
	const rounds, each = 10, 4
	p := newProvider(t)
	a := newAPI(t, p)
	ctx := p.context(t)
	st := session(t, p)
	one, two := a.axle(auth.New(st)), a.axle(auth.New(st))
	other := &http.Client{Transport: &oauth2.Transport{Source: st.TokenSource(ctx), Base: a.Client().Transport}}

	for round := range rounds {
		// The token has expired by its own word, and the server ends it too. So the clients learn of the end from 401s and the
		// consumer from the expiry, all at once.
		expired := *st.Token()
		expired.Expiry = time.Now().Add(-time.Second)
		require.NoError(t, p.revoke(ctx, expired.AccessToken))
		st.Login(*st.State().User, &expired)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for w := range each {
			name := fmt.Sprint(w)
			wg.Go(func() { <-start; assert.NoError(t, call(ctx, one, "one"+name, round)) })
			wg.Go(func() { <-start; assert.NoError(t, call(ctx, two, "two"+name, round)) })
			wg.Go(func() { <-start; assert.NoError(t, get(ctx, other, a.URL+"/other/"+name)) })
		}
		close(start)
		wg.Wait()
		require.Equal(t, round+1, p.refreshCount(), "one refresh for an expiry, whoever notices it, and however")
		if t.Failed() {
			return // there may be no token to go on with
		}
	}
	assert.Empty(t, p.reusedTokens())
}

func get(ctx context.Context, c *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// observed is a session that tells who has begun to wait for a refresh: the store asks for the Done of a wait's context only
// when it waits.
type observed struct {
	*store.UserStore[User]
	waiting func()
}

func (o observed) RefreshSince(ctx context.Context, seen auth.Generation) (auth.Snapshot, error) {
	return o.UserStore.RefreshSince(doneAsked{ctx, sync.OnceFunc(o.waiting)}, seen)
}

type doneAsked struct {
	context.Context
	tell func()
}

func (d doneAsked) Done() <-chan struct{} {
	d.tell()
	return d.Context.Done()
}

func TestOIDC_ARevokedRefreshTokenEndsTheSessionOnce(t *testing.T) {
	t.Parallel()
	const callers = 16
	p := newProvider(t)
	a := newAPI(t, p)
	ctx := p.context(t)
	var logouts, ended atomic.Int64
	st := session(t, p, store.WithLogout(func(context.Context, *oauth2.Token) error { logouts.Add(1); return nil }))
	st.Subscribe(func(now, before store.State[User]) {
		if now.User == nil && before.User != nil {
			ended.Add(1)
			assert.Nil(t, now.Token, "both go in one step")
		}
	})
	// All callers get their 401 before any of them refreshes, and all wait for the refresh before it fails: who comes later
	// finds no session, and has nothing but a 401 to report.
	a.together.Store(newMeeting(callers))
	allWait := newMeeting(callers)
	p.beforeToken.Store(new(allWait.wait))
	client := a.axle(auth.New(observed{st, allWait.arrive}))
	last := st.Token()
	require.NoError(t, p.revoke(ctx, last.RefreshToken))
	before := p.tokenRequests.Load()

	var wg sync.WaitGroup
	for w := range callers {
		wg.Go(func() {
			err := call(ctx, client, fmt.Sprint(w), w)
			var refused *oauth2.RetrieveError
			if assert.ErrorAs(t, err, &refused) {
				assert.Equal(t, "invalid_grant", refused.ErrorCode)
			}
			var failed *axle.Error
			if assert.ErrorAs(t, err, &failed) {
				assert.Equal(t, http.StatusUnauthorized, failed.StatusCode())
			}
		})
	}
	wg.Wait()
	assert.Equal(t, map[string]int{last.AccessToken: callers}, a.refusedBearers())
	assert.EqualValues(t, 1, p.tokenRequests.Load()-before)
	assert.EqualValues(t, 1, logouts.Load())
	assert.Eventually(t, func() bool { return ended.Load() == 1 }, 5*time.Second, time.Millisecond, "subscribers are told on another goroutine")
	assert.Equal(t, store.State[User]{}, st.State())
	assert.Empty(t, p.reusedTokens(), "a token that is revoked and one that is used again are two things")

	// The session stays ended: the call goes out as it is, and its 401 is no reason to refresh.
	a.together.Store(nil)
	var failed *axle.Error
	require.ErrorAs(t, call(ctx, client, "late", 1), &failed)
	assert.Equal(t, http.StatusUnauthorized, failed.StatusCode())
	assert.Equal(t, 1, a.refusedBearers()[""], "it carried no token")
	assert.EqualValues(t, 1, p.tokenRequests.Load()-before)
	assert.EqualValues(t, 1, logouts.Load())
	assert.EqualValues(t, 1, ended.Load())

	// Until somebody logs in again.
	st.Login(User{"Test"}, p.login(t))
	require.NoError(t, call(ctx, client, "again", 1))
}

func TestOIDC_AReusedTokenIsDetectedByTheServer(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	a := newAPI(t, p)
	first := p.login(t)
	second, err := p.refresh(t, first.RefreshToken)
	require.NoError(t, err)
	require.NotEqual(t, first.RefreshToken, second.RefreshToken, "refresh tokens rotate")
	require.Empty(t, p.reusedTokens())
	active, err := a.check(t.Context(), second.AccessToken)
	require.NoError(t, err)
	require.True(t, active)

	assertInvalidGrant := func(refreshToken string) {
		t.Helper()
		_, err := p.refresh(t, refreshToken)
		var refused *oauth2.RetrieveError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, "invalid_grant", refused.ErrorCode)
	}
	assertInvalidGrant(first.RefreshToken)
	assert.Equal(t, []string{first.RefreshToken}, p.reusedTokens())

	// Nobody can tell the thief from the owner, so the whole family has ended.
	assertInvalidGrant(second.RefreshToken)
	active, err = a.check(t.Context(), second.AccessToken)
	require.NoError(t, err)
	assert.False(t, active)
	assert.Equal(t, 1, p.refreshCount())
}

func TestOIDC_AnEarlyRefreshSparesThe401(t *testing.T) {
	t.Parallel()
	const refreshes = 2
	p := newProvider(t)
	p.setLifetime(3 * time.Second) // told in whole seconds, rounded down: two
	a := newAPI(t, p)
	ctx, cancel := context.WithTimeout(p.context(t), 20*time.Second)
	defer cancel()
	client := a.axle(auth.New(session(t, p), auth.WithEarlyRefresh(time.Second)))
	for n := 0; p.refreshCount() < refreshes; n++ {
		require.NoError(t, call(ctx, client, "early", n))
		time.Sleep(20 * time.Millisecond) // the expiry is the clock's: there is nothing else to wait for
	}
	require.NoError(t, call(ctx, client, "last", 1))

	// The refresh runs beside the calls, and this provider ends the old token with it. So the call that started a refresh may
	// be refused, and is replayed. Every other call has a valid token. On a slow machine the last call begins one more.
	assert.LessOrEqual(t, len(a.refusedBearers()), p.refreshCount(), "no token was used to its end")
	assert.Empty(t, p.reusedTokens())
}
