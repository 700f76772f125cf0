package auth_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
)

// What becomes of a call whose replay is held back, or is not the request that the interceptor
// asked for.

func TestRefusal_AReplayThatWaitsForARefreshThatFailsEndsWithThe401AndThatFailure(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.api.expire()
		calls, late := w.lateCalls(t, 1) // sent with a1
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err) // a2 by now

		w.failRefresh(errBoom)
		delayed := w.delayRefresh()
		w.api.expire()
		other := w.get(t.Context(), "/data")
		synctest.Wait()
		require.EqualValues(t, 1, delayed.waiting.Load())
		sent := len(w.api.arrived())

		late.open() // its token has been replaced, so it is replayed, and the replay waits
		synctest.Wait()
		require.False(t, isDone(calls[0]))
		delayed.open()
		_, err = result(calls[0])
		require401(t, err)
		require.ErrorIs(t, err, errBoom)
		require.ErrorContains(t, err, "auth: the refresh failed")
		_, err = result(other)
		require401(t, err)
		assert.Len(t, w.api.arrived(), sent, "the replay was not sent")
	})
}

// breaking is a session whose refresh is under way once it has moved, and fails.
type breaking struct{ *changing }

func (b breaking) RefreshSince(context.Context, auth.Generation) (auth.Snapshot, error) {
	b.refreshes.Add(1)
	return auth.Snapshot{}, errBoom
}

func TestRefusal_AReplayThatAnotherInterceptorDoesNotLetGoOutFailsAsTheOtherSays(t *testing.T) {
	session := &changing{now: at(1, 0, bearer("a1")), then: at(1, 1, bearer("a2"))}
	refreshing := at(1, 0, bearer("b1"))
	refreshing.Refreshing = true
	other := breaking{&changing{now: at(1, 0, bearer("b1")), then: refreshing}}
	var seen []string
	client := newClient(responding(func(r *http.Request) int {
		seen = append(seen, r.Header.Get("Authorization")+", "+r.Header.Get("X-Other"))
		other.moved.Store(true)
		return http.StatusUnauthorized
	})).Use(auth.New(session))
	client.Use(auth.New(other, auth.WithHeader("X-Other", func(t *oauth2.Token) string { return t.AccessToken })))

	_, err := client.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeInterceptor)
	require.ErrorIs(t, err, errBoom)
	require.ErrorContains(t, err, "auth: not sent")
	assert.NotErrorIs(t, err, axle.CodeBadRequest, "the first session's refresh did not fail")
	assert.Equal(t, []string{"Bearer a1, b1"}, seen)
	assert.EqualValues(t, 1, session.refreshes.Load())
	assert.EqualValues(t, 1, other.refreshes.Load())
}

// upTo is a transport that refuses the first n requests and records all of them.
func upTo(n int, seen *[]string) http.RoundTripper {
	return responding(func(r *http.Request) int {
		*seen = append(*seen, r.Header.Get("Authorization"))
		if len(*seen) > n {
			return http.StatusOK
		}
		return http.StatusUnauthorized
	})
}

func TestRefusal_ACallHasOneFreeReplayAlsoIfAHandlerSendsItsFirstRequestEachTime(t *testing.T) {
	session := &changing{now: at(1, 0, bearer("a1")), then: at(1, 1, bearer("a2"))}
	var seen []string
	client := newClient(upTo(10, &seen))
	var first *axle.Request
	client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		if first == nil {
			first = r.Clone()
		}
		return first.Clone(), nil
	}, nil)
	client.Use(auth.New(session)) // its request handler runs first

	_, err := client.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadRequest)
	assert.Equal(t, []string{"Bearer a1", "Bearer a1", "Bearer a1"}, seen,
		"the call, the replay after its refresh, and its free replay")
	assert.EqualValues(t, 1, session.refreshes.Load())
}

func TestRefusal_ACallHasOneRefreshAlsoIfAHandlerSendsAnotherCallsRequestInItsPlace(t *testing.T) {
	session := &changing{now: at(1, 0, bearer("a1")), then: at(1, 1, bearer("a2"))}
	var seen []string
	client := newClient(upTo(10, &seen))
	var others *axle.Request
	client.Interceptors.Request.Use(func(ctx context.Context, r *axle.Request) (*axle.Request, error) {
		switch {
		case r.URL == "/other":
			others = r.Clone()
			return nil, errBoom // it is not sent
		case r.Attempt() == 0:
			return r, nil
		}
		_, err := r.Client().Get(ctx, "/other")
		assert.ErrorIs(t, err, errBoom)
		return others, nil
	}, nil)
	client.Use(auth.New(session)) // its request handler runs first

	_, err := client.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadRequest)
	assert.Equal(t, []string{"Bearer a1", "Bearer a2"}, seen)
	assert.EqualValues(t, 1, session.refreshes.Load())
}

func TestRefusal_ACookieSessionsA401IsRefreshedAlsoIfAHandlerAddsAnAuthorization(t *testing.T) {
	session := &changing{now: at(1, 0, nil), then: at(1, 1, nil)}
	var seen []string
	client := newClient(upTo(1, &seen))
	client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		r.Header.Set("Authorization", "Basic gateway")
		return r, nil
	}, nil)
	client.Use(auth.New(session)) // its request handler runs first
	resp, err := client.Get(t.Context(), "/")
	requireOK(t, resp, err)
	assert.Equal(t, []string{"Basic gateway", "Basic gateway"}, seen)
	assert.EqualValues(t, 1, session.refreshes.Load())
}

func TestRefusal_ASessionThatCountsAFailureAndDoesNotTellWhichIsRefreshed(t *testing.T) {
	counted := at(1, 0, bearer("a1"))
	counted.Failures = 1
	session := &changing{now: at(1, 0, bearer("a1")), then: counted}
	var seen []string
	client := newClient(responding(func(r *http.Request) int {
		if seen = append(seen, r.Header.Get("Authorization")); len(seen) > 1 {
			return http.StatusOK
		}
		session.moved.Store(true) // meanwhile a refresh fails
		return http.StatusUnauthorized
	})).Use(auth.New(session))
	resp, err := client.Get(t.Context(), "/")
	requireOK(t, resp, err)
	assert.Equal(t, []string{"Bearer a1", "Bearer a1"}, seen)
	assert.EqualValues(t, 1, session.refreshes.Load())
}

func TestRefusal_OfATokenThatHasBeenReplacedIsReplayedThoughALaterRefreshFailed(t *testing.T) {
	replaced := at(1, 1, bearer("a2"))
	replaced.Failures, replaced.Failure = 1, errBoom
	session := &changing{now: at(1, 0, bearer("a1")), then: replaced}
	var seen []string
	client := newClient(responding(func(r *http.Request) int {
		if seen = append(seen, r.Header.Get("Authorization")); len(seen) > 1 {
			return http.StatusOK
		}
		session.moved.Store(true)
		return http.StatusUnauthorized
	})).Use(auth.New(session))
	resp, err := client.Get(t.Context(), "/")
	requireOK(t, resp, err)
	assert.Equal(t, []string{"Bearer a1", "Bearer a2"}, seen)
	assert.Zero(t, session.refreshes.Load())
}
