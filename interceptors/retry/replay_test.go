package retry_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/internal/axletest"
)

// What is retried.

func TestRetry_AFailureThatMayPassIsSentAgain(t *testing.T) {
	for _, status := range []int{reset, 408, 425, 429, 500, 502, 503, 504, 505, 599} {
		inBubble(t, http.StatusText(status), func(t *testing.T) {
			n := answering(status, 200)
			resp, err := newClient(n).Get(t.Context(), "/")
			require.NoError(t, err)
			assert.Equal(t, 200, resp.StatusCode)
			assert.Equal(t, 2, resp.Request.Attempt())
			assert.Equal(t, 2, n.attempts())
		})
	}
}

func TestRetry_ARefusedStatusWhoseBodyIsOverTheLimitIsJudgedByTheStatus(t *testing.T) {
	for status, attempts := range map[int]int{503: 3, 429: 3, 404: 1} {
		inBubble(t, http.StatusText(status), func(t *testing.T) {
			n := answering(status)
			c := newClient(n).SetResponseLimit(1)
			_, err := c.Get(t.Context(), "/")
			assert.Equal(t, axle.CodeTooLarge, asAxle(t, err).Code)
			assert.Equal(t, attempts, n.attempts())

			_, err = c.Get(t.Context(), "/", func(r *axle.Request) { r.SetValidateStatus(nil) })
			assert.ErrorIs(t, err, axle.CodeTooLarge)
			assert.Equal(t, attempts+1, n.attempts(), "a status that the client accepts")
		})
	}
}

func TestRetry_ARefusedStatusThatStaysIsNotSentAgain(t *testing.T) {
	for _, status := range []int{300, 304, 400, 401, 403, 404, 409, 410, 422, 501, 600} {
		inBubble(t, http.StatusText(status), func(t *testing.T) {
			n := answering(status)
			_, err := newClient(n).Get(t.Context(), "/")
			assert.Equal(t, status, asAxle(t, err).StatusCode())
			assert.Equal(t, 1, n.attempts())
		})
	}
}

func TestRetry_ANetworkErrorThatStaysIsNotSentAgain(t *testing.T) {
	for name, failure := range map[string]error{
		"an unknown authority": &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"another protocol":     tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
		"a TLS alert":          tls.AlertError(42),
		"http over https":      http.ErrSchemeMismatch,
		"a name that is not":   &net.DNSError{IsNotFound: true},
	} {
		inBubble(t, name, func(t *testing.T) {
			c, n := axletest.NewFakeClient(func(*http.Request) (*http.Response, error) { return nil, failure })
			_, err := c.Use(retry.New()).Get(t.Context(), "/")
			assert.ErrorIs(t, err, axle.CodeNetwork)
			assert.EqualValues(t, 1, n.Sent.Load())
		})
	}
}

func TestRetry_ABodyWhoseReaderFailsIsNotSentAgain(t *testing.T) {
	client := axletest.NewLoopback(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})
	var told events
	client.Use(retry.New(told.option()))
	for _, failure := range []error{errors.New("the disk is gone"), os.ErrDeadlineExceeded} {
		_, err := client.Put(t.Context(), "/", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(failure)))
		assert.ErrorIs(t, err, failure)
		assert.Equal(t, 1, asAxle(t, err).Request.Attempt())

		// A file can be read again, and the same place of it fails again.
		file := &file{ReadSeeker: strings.NewReader("half, and the rest"), failsAt: int64(len("half")), failure: failure}
		_, err = client.Put(t.Context(), "/", file)
		assert.ErrorIs(t, err, failure)
		assert.Equal(t, 1, asAxle(t, err).Request.Attempt())

		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, client.BaseURL(), file)
		require.NoError(t, err)
		_, err = client.HTTPClient().Do(req) //nolint:bodyclose // there is no response
		assert.ErrorIs(t, err, failure)
	}
	assert.Empty(t, told.list)
}

// file is a file that fails at one place, before its end: a server must not have all of it.
type file struct {
	io.ReadSeeker
	failsAt int64
	failure error
}

func (f *file) Read(p []byte) (int, error) {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if at >= f.failsAt {
		return 0, f.failure
	}
	return f.ReadSeeker.Read(p[:min(int64(len(p)), f.failsAt-at)])
}

func TestRetry_ANameServerThatFailsForNowIsAskedAgain(t *testing.T) {
	for name, failure := range map[string]*net.DNSError{
		"it is not there":        {IsTimeout: true},
		"it breaks off":          {Err: "connection reset"},
		"it says that it failed": {IsTemporary: true},
		"it may know more later": {IsNotFound: true, IsTemporary: true},
	} {
		inBubble(t, name, func(t *testing.T) {
			c, n := axletest.NewFakeClient(func(*http.Request) (*http.Response, error) { return nil, failure })
			_, err := c.Use(retry.New()).Get(t.Context(), "/")
			assert.Error(t, err)
			assert.EqualValues(t, 3, n.Sent.Load())
		})
	}
}

func TestRetry_AnAttemptThatReachedItsOwnTimeLimitIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, n := axletest.NewFakeClient(axletest.Hang)
		_, err := c.SetTimeout(time.Second).Use(retry.New()).Get(t.Context(), "/")
		assert.ErrorIs(t, err, axle.CodeTimeout)
		assert.EqualValues(t, 3, n.Sent.Load())
	})
}

func TestRetry_ACallWhoseContextHasEndedIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, condition := range []func(*axle.Response, *axle.Error) bool{nil, always} {
			var told events
			c, n := axletest.NewFakeClient(axletest.Hang)
			c.Use(retry.New(retry.WithCondition(condition), told.option()))

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := c.Get(ctx, "/")
			cancel()
			assert.ErrorIs(t, err, axle.CodeTimeout)
			assert.EqualValues(t, 1, n.Sent.Load())

			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err = c.Get(ctx, "/")
			assert.ErrorIs(t, err, axle.CodeCanceled)
			assert.EqualValues(t, 2, n.Sent.Load())

			assert.NotContains(t, err.Error(), "retry", "nobody has waited")
			assert.Empty(t, told.list)
		}
	})
}

func TestRetry_AMethodThatIsNotIdempotentIsNotSentAgain(t *testing.T) {
	for method, attempts := range map[string]int{
		"GET": 2, "HEAD": 2, "OPTIONS": 2, "TRACE": 2, "PUT": 2, "DELETE": 2, "get": 2, "": 2,
		"POST": 1, "PATCH": 1, "CONNECT": 1, "LOCK": 1,
	} {
		for _, failure := range []int{reset, 503} {
			inBubble(t, method, func(t *testing.T) {
				n := answering(failure, 200)
				_, err := newClient(n).R(t.Context()).Execute(method, "/")
				assert.Equal(t, attempts, n.attempts())
				assert.Equal(t, attempts == 2, err == nil)
			})
		}
	}
}

func TestRetry_AnErrorThatAHandlerMadeIsNotSentAgain(t *testing.T) {
	refuse := errors.New("the circuit is open")
	install := map[string]func(c *axle.Client){
		"a request handler": func(c *axle.Client) {
			c.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) { return nil, refuse }, nil)
		},
		"a request handler, by the code of a timeout": func(c *axle.Client) {
			c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				return nil, &axle.Error{Code: axle.CodeTimeout, Request: r, Err: refuse}
			}, nil)
		},
		"a response handler": func(c *axle.Client) {
			axletest.UseFulfilled(c, func(*axle.Response) (*axle.Response, error) { return nil, refuse })
		},
	}
	for name, handler := range install {
		inBubble(t, name, func(t *testing.T) {
			n := answering(200)
			c := axle.New().SetBaseURL("http://axle.test").SetTransport(n)
			handler(c)
			var told events
			_, err := c.Use(retry.New(told.option())).Get(t.Context(), "/")
			assert.ErrorIs(t, err, refuse)
			assert.LessOrEqual(t, n.attempts(), 1)
			assert.Empty(t, told.list)
		})
	}
}

func TestRetry_ARedirectThatACheckRefusedIsNotSentAgain(t *testing.T) {
	refused := errors.New("not to that host")
	c, n := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
		resp := axletest.Reply(r, http.StatusFound, "")
		resp.Header.Set("Location", "http://elsewhere.test/")
		return resp, nil
	})
	c.SetRedirectCheck(func(*http.Request, []*http.Request) error { return refused }).Use(retry.New())
	_, err := c.Get(t.Context(), "/")
	assert.ErrorIs(t, err, refused)
	assert.EqualValues(t, 1, n.Sent.Load())
}

func TestRetry_ARequestHandlerThatStopsAReplayLeavesTheFailureBefore(t *testing.T) {
	stop := errors.New("no token")
	for _, failure := range []int{503, reset} {
		for _, condition := range []func(*axle.Response, *axle.Error) bool{nil, always} {
			inBubble(t, http.StatusText(failure), func(t *testing.T) {
				n := answering(failure)
				c := newClient(n, retry.WithCondition(condition))
				c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
					if r.Attempt() > 0 {
						return nil, stop
					}
					return r, nil
				}, nil)
				_, err := c.Get(t.Context(), "/")
				assert.Equal(t, failure, asAxle(t, err).StatusCode())
				assert.ErrorIs(t, err, stop)
				assert.ErrorContains(t, err, "retry: not sent again")
				assert.Equal(t, 1, n.attempts())
				if failure == reset {
					assert.ErrorIs(t, err, errReset)
				}
			})
		}
	}
}

func TestRetry_AContextThatEndsInARequestHandlerOfAReplayIsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(answering(503))
		ctx, cancel := context.WithCancel(t.Context())
		c.Interceptors.Request.Use(func(ctx context.Context, r *axle.Request) (*axle.Request, error) {
			if r.Attempt() > 0 {
				cancel()
				return nil, context.Cause(ctx)
			}
			return r, nil
		}, nil)
		_, err := c.Get(ctx, "/")
		assert.Equal(t, axle.CodeCanceled, asAxle(t, err).Code)
		assert.ErrorIs(t, err, axle.CodeBadResponse, "the failure before")
	})
}

func TestRetry_TheFailureOfAFollowUpCallDoesNotMakeAPOSTRepeatable(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("the job's state: %w", err) }
	plain := func(err error) error { return err }
	for name, pass := range map[string]func(error) error{"wrapped": wrap, "as it is": plain} {
		for attempts, opts := range map[int][]retry.Option{
			1: nil, 3: {retry.WithIdempotencyKey("Idempotency-Key")},
		} {
			inBubble(t, name, func(t *testing.T) {
				n := answering(202)
				c, other := plainClient(n), plainClient(answering(reset))
				axletest.UseFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
					state, err := other.Get(resp.Request.Context(), "/state")
					return state, pass(err)
				})
				_, err := c.Use(retry.New(opts...)).Post(t.Context(), "/jobs", "body")
				assert.ErrorIs(t, err, errReset)
				assert.Equal(t, attempts, n.attempts())
				assert.Len(t, slices.Compact(n.headers("Idempotency-Key")), 1, "each attempt has the same key")
			})
		}
	}
}

func TestRetry_WhatIsSetForACallHoldsForTheFailureOfAnotherThatAHandlerReturns(t *testing.T) {
	for attempts, edit := range map[int]func(*axle.Request){
		1: retry.Skip, 2: retry.With(retry.WithAttempts(2)), 3: func(*axle.Request) {},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := answering(503)
			c, other := plainClient(n), plainClient(answering(reset))
			axletest.UseRejected(c, func(err *axle.Error) (*axle.Response, error) {
				return other.Get(err.Request.Context(), "/fallback")
			})
			_, err := c.Use(retry.New()).Get(t.Context(), "/", edit)
			assert.ErrorIs(t, err, errReset)
			assert.NotContains(t, err.Error(), "not sent again")
			assert.Equal(t, attempts, n.attempts())
		})
	}
}

// The chains.

func TestRetry_RunsTheRequestHandlersAnewAndTheLaterResponseHandlersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503, 503, 200)
		c := axle.New().SetBaseURL("http://axle.test").SetTransport(n)
		before, after := 0, 0
		c.Interceptors.Response.Use(nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
			before++
			return nil, err
		})
		c.Use(retry.New())
		axletest.UseFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
			after++
			return resp, nil
		})
		tokens := []string{"a", "b", "c"}
		axletest.UseRequest(c, func(r *axle.Request) { r.SetHeader("X-Token", tokens[r.Attempt()]) })

		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, tokens, n.headers("X-Token"))
		assert.Equal(t, 2, before)
		assert.Equal(t, 1, after)
	})
}

func TestRetry_AFailureWhoseRequestWasChangedIsNotSentAgainAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := answering(503)
		c := axle.New().SetBaseURL("http://axle.test").SetTransport(n)
		axletest.UseRejected(c, func(err *axle.Error) (*axle.Response, error) {
			err.Request.SetHeader("X-Changed", "1")
			return nil, err
		})
		var told events
		_, err := c.Use(retry.New(told.option())).Get(t.Context(), "/")
		assert.Equal(t, 503, asAxle(t, err).StatusCode())
		assert.ErrorContains(t, err, "retry: not sent again")
		assert.ErrorContains(t, err, "header changed")
		assert.Equal(t, []retry.Reason{retry.CannotBeSentAgain}, told.finals())
		assert.Equal(t, 1, n.attempts())
	})
}

// Bodies.

func TestRetry_EachAttemptSendsTheWholeBody(t *testing.T) {
	bodies := map[string]any{
		"a string":      "body",
		"bytes":         []byte("body"),
		"a seeker":      strings.NewReader("body"),
		"a short other": axletest.Opaque("body"),
		"a value":       map[string]string{"a": "body"},
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			var got []string
			c := axletest.NewLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				read, _ := io.ReadAll(r.Body)
				if got = append(got, string(read)); len(got) < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			_, err := c.Use(retry.New(retry.WithBackoff(0, 0))).Put(t.Context(), "/", body)
			require.NoError(t, err)
			require.Len(t, got, 3)
			assert.Contains(t, got[0], "body")
			assert.Equal(t, got[0], got[1])
			assert.Equal(t, got[0], got[2])
		})
	}
}

func TestRetry_ABodyThatCannotBeSentAgainIsNotAndTheErrorSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c, _ := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
			sent++
			_, _ = io.Copy(io.Discard, r.Body)
			return axletest.Reply(r, 503, "busy"), nil
		})
		var told events
		c.Use(retry.New(told.option()))

		start := time.Now()
		body := io.MultiReader(&axletest.Endless{Left: axle.ReplayLimit + 1})
		_, err := c.Put(t.Context(), "/", body)
		assert.ErrorIs(t, err, axle.ErrBodyConsumed)
		assert.ErrorContains(t, err, "retry: not sent again")
		assert.Equal(t, 503, asAxle(t, err).StatusCode())
		assert.Equal(t, "busy", asAxle(t, err).Response.String())
		assert.Equal(t, 1, sent)
		assert.Zero(t, time.Since(start), "and nobody waits for that")
		assert.Equal(t, []retry.Reason{retry.CannotBeSentAgain}, told.finals())
	})
}

func TestRetry_AFulfilledResponseWhoseBodyCannotBeSentAgainIsTheCallers(t *testing.T) {
	c, n := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		return axletest.Reply(r, 202, "accepted"), nil
	})
	c.Use(retry.New(retry.WithCondition(always)))
	resp, err := c.Put(t.Context(), "/", io.MultiReader(&axletest.Endless{Left: axle.ReplayLimit + 1}))
	require.NoError(t, err)
	assert.Equal(t, "accepted", resp.String())
	assert.EqualValues(t, 1, n.Sent.Load())
}

func TestRetry_AStreamIsRetriedOnlyBeforeItsHeadersAreHandedOut(t *testing.T) {
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if sent++; sent == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "the beginning")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	c := axle.New().Use(retry.New(retry.WithBackoff(0, 0)))
	defer c.HTTPClient().CloseIdleConnections()

	resp, err := c.R(t.Context()).SetStream(true).Get(server.URL)
	require.NoError(t, err)
	assert.Equal(t, 2, sent)

	body, err := io.ReadAll(resp.Stream())
	assert.Equal(t, "the beginning", string(body))
	assert.Error(t, err, "the reader of the stream gets the failure")
	assert.NoError(t, resp.Stream().Close())
	assert.Equal(t, 2, sent)
}

func TestRetry_ABodyInMemoryThatBreaksOffIsSentAgain(t *testing.T) {
	sent := 0
	c := axletest.NewLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		if sent++; sent > 1 {
			_, _ = io.WriteString(w, "whole")
			return
		}
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	resp, err := c.Use(retry.New(retry.WithBackoff(0, 0))).Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "whole", resp.String())
}

func TestRetry_LeavesNoResponseOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := &axletest.WatchedBodies{Status: func(n int) int { return []int{503, 503, 200}[(n-1)%3] }}
		c, _ := axletest.NewFakeClient(bodies.Answer)
		c.Use(retry.New())

		resp, err := c.R(t.Context()).SetStream(true).Get("/")
		require.NoError(t, err)
		assert.Equal(t, []int{3}, bodies.Open())
		assert.NoError(t, resp.Stream().Close())

		raw, err := c.HTTPClient().Do(axletest.NewRequest(t, http.MethodGet, "http://axle.test/", nil))
		require.NoError(t, err)
		assert.Equal(t, []int{6}, bodies.Open())
		assert.NoError(t, raw.Body.Close())
	})
}

func TestRetry_FreesTheConnectionBeforeItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := &axletest.WatchedBodies{Status: func(n int) int { return []int{503, 200}[n-1] }}
		c, _ := axletest.NewFakeClient(bodies.Answer)
		c.Use(retry.New(retry.WithBackoff(time.Hour, time.Hour)))

		done := make(chan struct{})
		go func() {
			defer close(done)
			raw, err := c.HTTPClient().Do(axletest.NewRequest(t, http.MethodGet, "http://axle.test/", nil))
			if assert.NoError(t, err) {
				_ = raw.Body.Close()
			}
		}()
		synctest.Wait()
		assert.Len(t, bodies.All(), 1)
		assert.Empty(t, bodies.Open())
		<-done
		assert.Len(t, bodies.All(), 2)
	})
}

func always(*axle.Response, *axle.Error) bool { return true }

// With the interceptors that refuse to send.

func TestRetry_ACallThatABreakerOrALimitRefusesIsNotRetried(t *testing.T) {
	for _, plugin := range []axle.Plugin{breaker.New(breaker.WithFailures(1)), limit.New(limit.WithRate(1, time.Hour, 1))} {
		synctest.Test(t, func(t *testing.T) {
			n := answering(503)
			var told events
			c := plainClient(n).Use(plugin, retry.New(told.option()))
			_, err := c.Get(t.Context(), "/", retry.Skip)
			assert.Equal(t, 503, asAxle(t, err).StatusCode())

			start := time.Now()
			_, err = c.Get(t.Context(), "/")
			assert.Zero(t, asAxle(t, err).StatusCode(), "%v", err)
			assert.Zero(t, time.Since(start))
			assert.Equal(t, 1, n.attempts())
			assert.Empty(t, told.list)
		})
	}
}
