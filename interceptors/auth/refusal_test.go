package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func TestWithStatusCodes(t *testing.T) {
	for status, refreshed := range map[int]int64{401: 0, 403: 1, 419: 1, 500: 0} {
		users, n := countingStore()
		client := newClient(responding(func(*http.Request) int { return status })).
			Use(auth.New(users, auth.WithStatusCodes(403, 419)))
		_, err := client.Get(t.Context(), "/")
		require.Error(t, err)
		assert.Equal(t, refreshed, n.Load(), "%d", status)
	}
}

func TestWithShouldRefresh_JudgesFulfilledResponsesToo(t *testing.T) {
	users, n := countingStore()
	envelope := inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer fresh" {
			_, _ = io.WriteString(w, `{"error":"token expired"}`) // with a 200
			return
		}
		_, _ = io.WriteString(w, `{"data":1}`)
	})}
	client := axle.New().SetBaseURL("http://api.test").SetTransport(envelope).Use(auth.New(users,
		auth.WithShouldRefresh(func(r *axle.Response) bool {
			return strings.Contains(r.String(), "token expired")
		})))
	resp, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, `{"data":1}`, resp.String())
	assert.EqualValues(t, 1, n.Load())
}

func TestRefusal_AFulfilled401IsRefreshedAndItsLastOneIsReturnedFulfilled(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.client.SetValidateStatus(nil)
		w.api.expire()
		resp, err := w.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		w.api.arriving = func(r *http.Request) {
			if r.URL.Path != refreshPath {
				w.api.expire()
			}
		}
		resp, err = w.client.Get(t.Context(), "/data")
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		assert.Equal(t, "who are you?", resp.String())
	})
}

func TestRefusal_AFulfilled401WhoseRefreshFailsIsAnErrorWithBoth(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		w.client.SetValidateStatus(nil)
		w.failRefresh(errBoom)
		w.api.expire()
		_, err := w.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.ErrorIs(t, err, errBoom)
	})
}

// streamedBody tells when it is closed.
type streamedBody struct {
	io.Reader
	closed chan struct{}
}

func (b *streamedBody) Close() error { close(b.closed); return nil }

func TestRefusal_TheRefusedResponseIsReadAndClosedBeforeAnyoneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{})
		delayed := newGate()
		users := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			delayed.pass()
			return &oauth2.Token{AccessToken: "fresh"}, nil
		})
		users.Login(user{}, &oauth2.Token{AccessToken: "stale"})
		client := newClient(roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer fresh" {
				return &http.Response{
					StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
					Body: http.NoBody,
				}, nil
			}
			return &http.Response{
				StatusCode: http.StatusUnauthorized, Header: http.Header{}, Request: r,
				Body: &streamedBody{strings.NewReader("no"), closed},
			}, nil
		})).Use(auth.New(users))
		call := future.Go(func() (*axle.Response, error) {
			return client.R(t.Context()).SetStream(true).SetValidateStatus(nil).Get("/")
		})
		synctest.Wait()
		require.EqualValues(t, 1, delayed.waiting.Load())
		select {
		case <-closed:
		default:
			t.Error("the 401 is open while the refresh runs")
		}
		delayed.open()
		resp, err := result(call)
		requireOK(t, resp, err)
	})
}

func TestRefusal_ACallHasOneFreeReplayAlsoIfAHandlerSendsItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		number := 1
		s.arriving = func(*http.Request, string) { // each token is replaced while it is under way
			number++
			s.says(fmt.Sprintf("a%d", number))
		}
		again := 0
		s.client.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
			if again++; again > 1 {
				return nil, err
			}
			return err.Request.Client().Do(err.Request)
		})
		_, err := s.client.Get(t.Context(), "/data")
		require401(t, err)
		assert.Equal(t, []string{"a1", "a2", "a3"}, s.arrived(),
			"the call, its free replay, and the handler's request")
		assert.Zero(t, s.refreshes.Load())
	})
}

func TestRefusal_AFreeReplayThatIsRefusedTooIsRefreshed(t *testing.T) {
	for name, validate := range map[string]func(int) bool{"a 401 is refused": isSuccess, "a 401 is fulfilled": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"))
				s.accept("a3")
				s.arriving = func(_ *http.Request, token string) {
					if token == "a1" {
						s.says("a2")
					}
				}
				s.refreshBy(func() { s.says("a3") }, "a3", nil)
				resp, err := s.client.R(t.Context()).SetValidateStatus(validate).Get("/data")
				requireOK(t, resp, err)
				assert.Equal(t, []string{"a1", "a2", "a3"}, s.arrived())
				assert.EqualValues(t, 1, s.refreshes.Load())
			})
		})
	}
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }

func TestRefusal_TheFailureOfAReplayIsTheCallsAndIsNotRefreshed(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(r *http.Request) (*http.Response, error)
		code   axle.Code
	}{
		"a network error": {func(*http.Request) (*http.Response, error) { return nil, errBoom }, axle.CodeNetwork},
		"a 500": {func(r *http.Request) (*http.Response, error) {
			resp, err := emptyResponse(r)
			resp.StatusCode = http.StatusInternalServerError
			return resp, err
		}, axle.CodeBadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			session := &changing{now: at(1, 0, bearer("a1")), then: at(1, 1, bearer("a2"))}
			sent := 0
			client := newClient(roundTrip(func(r *http.Request) (*http.Response, error) {
				if sent++; sent > 1 {
					return c.answer(r)
				}
				session.moved.Store(true) // meanwhile the token is replaced: a free replay
				resp, err := emptyResponse(r)
				resp.StatusCode = http.StatusUnauthorized
				return resp, err
			})).Use(auth.New(session))
			_, err := client.Get(t.Context(), "/")
			require.ErrorIs(t, err, c.code)
			assert.NotErrorIs(t, err, axle.CodeBadRequest, "it is not the 401")
			assert.Equal(t, 2, sent)
			assert.Zero(t, session.refreshes.Load())
		})
	}
}

func TestRefusal_A401OfACallThatALaterHandlerSkipsStands(t *testing.T) {
	session := &changing{now: at(1, 0, nil), then: at(1, 1, nil)}
	client := newClient(responding(func(*http.Request) int { return 401 }))
	client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		auth.Skip(r)
		return r, nil
	}, nil)
	client.Use(auth.New(session)) // its request handler runs first
	_, err := client.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadRequest)
	assert.Zero(t, session.refreshes.Load())
}

// endless is a body whose Read waits until it is closed.
type endless struct {
	closed chan struct{}
	once   sync.Once
}

func (e *endless) Read([]byte) (int, error) { <-e.closed; return 0, errBoom }
func (e *endless) Close() error             { e.once.Do(func() { close(e.closed) }); return nil }

func TestRefusal_ARefusedBodyThatDoesNotEndIsWaitedForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := &changing{now: at(1, 0, bearer("a1")), then: at(1, 1, bearer("a2"))}
		client := newClient(roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := emptyResponse(r)
			if r.Header.Get("Authorization") == "Bearer a1" {
				resp.StatusCode, resp.Body = http.StatusUnauthorized, &endless{closed: make(chan struct{})}
			}
			return resp, err
		})).Use(auth.New(session))
		began := time.Now()
		resp, err := client.R(t.Context()).SetStream(true).SetValidateStatus(nil).Get("/")
		requireOK(t, resp, err)
		assert.Equal(t, 5*time.Second, time.Since(began))
	})
}

func TestRefusal_TheCodeOfAFulfilledResponseWhoseRefreshFailedIsThatOfItsStatus(t *testing.T) {
	for status, want := range map[int]axle.Code{
		200: axle.CodeBadResponse, 399: axle.CodeBadResponse,
		400: axle.CodeBadRequest, 499: axle.CodeBadRequest,
		500: axle.CodeBadResponse,
	} {
		client := axle.New().SetBaseURL("http://api.test").SetValidateStatus(nil).
			SetTransport(responding(func(*http.Request) int { return status })).
			Use(auth.New(bearerSession("t"), auth.WithStatusCodes(status)))
		_, err := client.Get(t.Context(), "/")
		require.ErrorIs(t, err, errBoom, status)
		require.ErrorIs(t, err, want, status)
		require.ErrorContains(t, err, "auth: the refresh failed", status)
	}
}

func TestRefusal_TheReasonWhyA401StandsIsJoinedToWhatAHandlerMadeOfIt(t *testing.T) {
	errHandlers := errors.New("a handler's own")
	session := &changing{now: at(1, 0, bearer("a1")), then: ended(2)}
	client := newClient(responding(func(*http.Request) int { return 401 }))
	client.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		err.Err = errHandlers
		return nil, err
	})
	client.Use(auth.New(session))
	_, err := client.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadRequest)
	require.ErrorIs(t, err, auth.ErrSessionChanged)
	require.ErrorIs(t, err, errHandlers)
}

func TestChallenge_IsACopyThatTheRefreshMayModify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		s.refresh = func(ctx context.Context) (*oauth2.Token, error) {
			auth.Challenge(ctx).Header.Set("X-Changed", "yes")
			auth.Challenge(ctx).Request.SetHeader("X-Changed", "yes")
			return nil, errBoom
		}
		_, err := s.client.Get(t.Context(), "/data")
		e := require401(t, err)
		assert.Empty(t, e.Response.Header.Get("X-Changed"))
		assert.Empty(t, e.Request.Header.Get("X-Changed"))
	})
}
