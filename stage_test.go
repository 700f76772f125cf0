package axle_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// Replay drops nothing in silence: a response handler's change of the request itself is an error that says so.

type changedBody struct{ Name string }

func TestReplay_OfARequestThatTheHandlerChangedIsAnErrorThatNamesThePartAndTheEdit(t *testing.T) {
	for name, tc := range map[string]struct {
		body   any
		own    func(r *axle.Request) // what the caller sets besides
		change func(r *axle.Request)
		parts  string // in the error
		edit   string
	}{
		"SetMethod":            {change: func(r *axle.Request) { r.SetMethod(http.MethodPut) }, parts: "method", edit: "r.SetMethod("},
		"SetURL":               {change: func(r *axle.Request) { r.SetURL("/other") }, parts: "URL", edit: "r.SetURL("},
		"SetPathParam":         {change: func(r *axle.Request) { r.SetPathParam("id", "8") }, parts: "URL", edit: "r.SetURL("},
		"SetRawPathParam":      {change: func(r *axle.Request) { r.SetRawPathParam("id", "7") }, parts: "URL", edit: "r.SetURL("},
		"SetHeader":            {change: func(r *axle.Request) { r.SetHeader("Authorization", "new") }, parts: "header", edit: `r.SetHeader("Authorization", …)`},
		"a header, in place":   {change: func(r *axle.Request) { r.Header["X-Own"][0] = "new" }, parts: "header", edit: "r.SetHeader("},
		"a header's second":    {change: func(r *axle.Request) { r.Header.Add("X-Own", "new") }, parts: "header", edit: "r.SetHeader("},
		"a header's order":     {change: func(r *axle.Request) { l := r.Header["X-Two"]; l[0], l[1] = l[1], l[0] }, parts: "header", edit: "r.SetHeader("},
		"two headers, swapped": {change: func(r *axle.Request) { h := r.Header; h["X-Own"], h["X-Two"] = h["X-Two"], h["X-Own"] }, parts: "header", edit: "r.SetHeader("},
		"two headers' values, swapped": {
			own:    func(r *axle.Request) { r.SetHeader("X-Other", "2") },
			change: func(r *axle.Request) { r.SetHeader("X-Own", "2").SetHeader("X-Other", "1") },
			parts:  "header", edit: "r.SetHeader(",
		},
		"a header's map entry":  {change: func(r *axle.Request) { r.Header["X-New"] = nil }, parts: "header", edit: "r.SetHeader("},
		"a header, deleted":     {change: func(r *axle.Request) { delete(r.Header, "X-Own") }, parts: "header", edit: "r.SetHeader("},
		"the map of headers":    {change: func(r *axle.Request) { r.Header = nil }, parts: "header", edit: "r.SetHeader("},
		"SetQueryParam":         {change: func(r *axle.Request) { r.SetQueryParam("q", "new") }, parts: "query", edit: "r.SetQueryParam("},
		"Query.Add":             {change: func(r *axle.Request) { r.Query.Add("q", "new") }, parts: "query", edit: "r.SetQueryParam("},
		"SetBody":               {change: func(r *axle.Request) { r.SetBody("new") }, parts: "body", edit: "r.SetBody("},
		"no body any more":      {body: "old", change: func(r *axle.Request) { r.Body = nil }, parts: "body", edit: "r.SetBody("},
		"another string":        {body: "old", change: func(r *axle.Request) { r.Body = "new" }, parts: "body", edit: "r.SetBody("},
		"other bytes":           {body: []byte("old"), change: func(r *axle.Request) { r.Body = []byte("new") }, parts: "body", edit: "r.SetBody("},
		"another struct":        {body: changedBody{"old"}, change: func(r *axle.Request) { r.Body = changedBody{"new"} }, parts: "body", edit: "r.SetBody("},
		"another struct behind": {body: &changedBody{"old"}, change: func(r *axle.Request) { r.Body = &changedBody{"new"} }, parts: "body", edit: "r.SetBody("},
		"another map":           {body: map[string]int{"a": 1}, change: func(r *axle.Request) { r.Body = map[string]int{"a": 2} }, parts: "body", edit: "r.SetBody("},
		"another reader":        {body: strings.NewReader("old"), change: func(r *axle.Request) { r.SetBody(strings.NewReader("new")) }, parts: "body", edit: "r.SetBody("},
		"a form, in place":      {body: url.Values{"a": {"1"}}, change: func(r *axle.Request) { r.Body.(url.Values).Set("a", "2") }, parts: "body", edit: "r.SetBody("},
		"shorter bytes":         {body: []byte("old"), change: func(r *axle.Request) { r.Body = r.Body.([]byte)[:2] }, parts: "body", edit: "r.SetBody("},
		"an equal struct behind another pointer": {
			body:   &changedBody{"old"},
			change: func(r *axle.Request) { r.Body = &changedBody{"old"} },
			parts:  "body", edit: "r.SetBody(",
		},
		"a pointer in the place of a struct": {
			body:   changedBody{"old"},
			change: func(r *axle.Request) { r.Body = &changedBody{"old"} },
			parts:  "body", edit: "r.SetBody(",
		},
		"a struct in the place of a string of its bytes": {
			body:   `{"Name":"old"}`,
			change: func(r *axle.Request) { r.Body = changedBody{"old"} },
			parts:  "body", edit: "r.SetBody(",
		},
		"SetTimeout": {change: func(r *axle.Request) { r.SetTimeout(time.Second) }, parts: "timeout", edit: "r.SetTimeout("},
		"another timeout": {
			own:    func(r *axle.Request) { r.SetTimeout(time.Minute) },
			change: func(r *axle.Request) { r.SetTimeout(time.Second) },
			parts:  "timeout", edit: "r.SetTimeout(",
		},
		"no timeout any more": {change: func(r *axle.Request) { r.SetTimeout(0) }, parts: "timeout", edit: "r.SetTimeout("},
		"Respond":             {change: func(r *axle.Request) { r.Respond(axle.NewResponse(nil, 200, nil, nil)) }, parts: "answer (Respond)", edit: "r.Respond("},
		"several":             {change: func(r *axle.Request) { r.SetMethod("PUT").SetHeader("A", "1") }, parts: "method and header", edit: "r.SetMethod(method).SetHeader("},
	} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(always(500, ""))
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				tc.change(err.Request)
				resp, again := err.Request.Replay()
				assert.Nil(t, resp)
				return nil, again
			})
			r := c.R(t.Context()).SetHeader("X-Own", "1").SetQueryParam("q", "1").SetPathParam("id", "7")
			r.Header["X-Two"] = []string{"1", "2"}
			_, err := r.SetBody(tc.body).With(tc.own).Post("/{id}")
			e := asAxle(t, err)
			require.ErrorIs(t, err, axle.CodeBadOption)
			assert.Contains(t, e.Message, "the request's "+tc.parts+" changed since it was sent")
			assert.Contains(t, e.Message, "err.Request.Replay(func(r *axle.Request) { "+tc.edit)
			assert.EqualValues(t, 1, network.Sent.Load(), "nothing is sent")
		})
	}
}

func TestReplay_WhatIsNoChangeOfTheRequestIsReplayed(t *testing.T) {
	note := axle.NewKey[string]("note")
	for name, act := range map[string]func(r *axle.Request){
		"nothing":        func(*axle.Request) {},
		"Key values":     func(r *axle.Request) { note.Set(r, "1") },
		"SetContext":     func(r *axle.Request) { r.SetContext(context.WithValue(r.Context(), ctxKey{}, "1")) },
		"reading it":     func(r *axle.Request) { _, _ = r.ResolveURL(); _, _, _ = r.EncodedBody(); _ = r.Header.Get("A") },
		"a clone's":      func(r *axle.Request) { r.Clone().SetHeader("X-Clone", "1").SetMethod("PUT") },
		"the same value": func(r *axle.Request) { r.SetHeader("X-Own", "1").SetQueryParam("q", "1").SetMethod("post") },
		"restored": func(r *axle.Request) {
			body := r.Body
			r.SetBody("another").SetHeader("X-Own", "2").SetHeader("X-New", "1")
			r.SetHeader("X-Own", "1").Header.Del("X-New")
			r.Body = body
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(inTurn(500, 200))
			// What a request handler makes of the request before it is sent is no change of it.
			useRequest(c, func(r *axle.Request) {
				r.SetHeader("X-Handler", "1").SetQueryParam("handler", "1").SetURL("/sent").SetBody([]byte("of the handler"))
			})
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				act(err.Request)
				return err.Request.Replay(func(r *axle.Request) { r.SetHeader("X-Edit", "1").SetMethod("PATCH").SetBody("edited") })
			})
			resp, err := c.R(t.Context()).SetHeader("X-Own", "1").SetQueryParam("q", "1").SetBody("body").Post("/")
			require.NoError(t, err)
			assert.Equal(t, "1", resp.Request.Header.Get("X-Edit"))
			assert.EqualValues(t, 2, network.Sent.Load())
		})
	}
}

func TestReplay_BytesThatAHandlerMadeAndChangesInPlaceAreAChangeAndTheCallersAreSent(t *testing.T) {
	for name, own := range map[string]bool{"the caller's": true, "a request handler's": false} {
		t.Run(name, func(t *testing.T) {
			var sent []string
			c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(r.Body)
				sent = append(sent, string(body))
				return reply(r, 500, ""), err
			})
			useRequest(c, func(r *axle.Request) {
				if !own {
					r.SetBody([]byte("old"))
				}
			})
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				copy(err.Request.Body.([]byte), "new")
				return err.Request.Replay()
			})
			_, err := c.Post(t.Context(), "/", []byte("old"))
			if own {
				require.ErrorIs(t, err, axle.CodeBadResponse)
				assert.Equal(t, []string{"old", "new"}, sent, "nothing is lost")
				return
			}
			require.ErrorIs(t, err, axle.CodeBadOption)
			assert.Equal(t, []string{"old"}, sent)
		})
	}
}

func TestReplay_OfAChangedCloneIsAnError(t *testing.T) {
	c, network := newFakeClient(always(500, ""))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		_, again := err.Request.Clone().SetHeader("Authorization", "new").Replay()
		require.ErrorIs(t, again, axle.CodeBadOption)
		copied := *err.Request
		_, again = copied.SetURL("/other").Replay()
		require.ErrorIs(t, again, axle.CodeBadOption)
		return nil, err
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadResponse, "the request at hand is as it was")
	assert.EqualValues(t, 1, network.Sent.Load())
}

func TestReplay_AChangeOfAnEarlierResponseHandlerCountsAsWell(t *testing.T) {
	for name, first := range map[string]func(c *axle.Client){
		"rejected": func(c *axle.Client) {
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				err.Request.SetHeader("X-Earlier", "1")
				return nil, err
			})
		},
		"its replay's outcome": func(c *axle.Client) {
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				if countAttempt(err.Request) > 0 {
					return nil, err
				}
				_, again := err.Request.Replay()
				asAxle(t, again).Request.SetHeader("X-Earlier", "1")
				return nil, again
			})
		},
		"a response of its own, with a request of its own": func(c *axle.Client) {
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				return nil, &axle.Error{Code: axle.CodeBadResponse, Request: err.Request.Clone().SetHeader("X-Earlier", "1")}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFakeClient(always(500, ""))
			first(c)
			useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
			_, err := c.Get(t.Context(), "/")
			require.ErrorIs(t, err, axle.CodeBadOption)
			assert.Contains(t, asAxle(t, err).Message, "the request's header changed")
		})
	}
}

// Whatever request an answer brings along: what counts is a change since the response chain was given it.
func TestReplay_ARequestThatAHandlerPutInIsNoChange(t *testing.T) {
	for name, answer := range map[string]func(c *axle.Client, r *axle.Request) (*axle.Response, error){
		"a new one": func(c *axle.Client, r *axle.Request) (*axle.Response, error) {
			return axle.NewResponse(c.R(r.Context()).SetURL("/new").SetHeader("X-New", "1"), 200, nil, nil), nil
		},
		"none": func(*axle.Client, *axle.Request) (*axle.Response, error) {
			return axle.NewResponse(nil, 200, nil, nil), nil
		},
		"another call's": func(c *axle.Client, r *axle.Request) (*axle.Response, error) {
			return c.Clone().Do(r.SetHeader("X-New", "1").SetURL("/new"))
		},
		"another client's without handlers": func(c *axle.Client, r *axle.Request) (*axle.Response, error) {
			plain := c.Clone()
			plain.Interceptors.Response.Clear()
			return plain.Do(r.SetHeader("X-New", "1").SetURL("/new"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(inTurn(500, 200))
			first := true
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				if !first {
					return nil, err
				}
				first = false
				return answer(c, err.Request)
			})
			again := true
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				if !again || first {
					return resp, nil
				}
				again = false
				return resp.Request.Replay()
			})
			_, err := c.Get(t.Context(), "/")
			require.NoError(t, err)
			assert.GreaterOrEqual(t, network.Sent.Load(), int64(2))
		})
	}
}

func TestReplay_OfAReplaysOutcomeThatWasChangedIsAnError(t *testing.T) {
	c, network := newFakeClient(inTurn(202, 202, 200))
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		if resp.StatusCode != http.StatusAccepted {
			return resp, nil
		}
		edited, err := resp.Request.Replay(func(r *axle.Request) { r.SetHeader("X-Poll", "1").SetBody([]byte("poll")) })
		require.NoError(t, err)

		changed := edited.Request.Clone()
		_, err = changed.SetHeader("X-Poll", "2").Replay()
		require.ErrorIs(t, err, axle.CodeBadOption)
		return edited.Request.Replay()
	})
	_, err := c.Post(t.Context(), "/", []byte("body"))
	require.NoError(t, err)
	assert.EqualValues(t, 3, network.Sent.Load())
}

// A request that no transport got can be replayed as well, and changes of it would be lost as well.
func TestReplay_ARequestThatARequestHandlerRejectedIsJudgedAsItWasThen(t *testing.T) {
	for name, change := range map[string]bool{"unchanged": false, "changed": true} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(always(200, ""))
			tries := 0
			c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				r.SetHeader("X-Request-Handler", "1")
				if tries++; tries == 1 {
					return nil, errBoom
				}
				return r, nil
			}, nil)
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				if change {
					err.Request.SetHeader("X-Lost", "1")
				}
				return err.Request.Replay()
			})
			_, err := c.Get(t.Context(), "/")
			assert.Equal(t, change, err != nil)
			if change {
				require.ErrorIs(t, err, axle.CodeBadOption)
				assert.Zero(t, network.Sent.Load())
			}
		})
	}
}

// A refused replay leaves the answer at hand open, for the handler to return.
func TestReplay_ARefusedReplayClosesNothing(t *testing.T) {
	var network watchedBodies
	c, _ := newFakeClient(network.Answer)
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		_, err := resp.Request.Clone().SetHeader("X-Lost", "1").Replay()
		require.ErrorIs(t, err, axle.CodeBadOption)
		return resp, nil
	})
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Stream())
	require.NoError(t, err)
	assert.Equal(t, "streamed", string(body))
	require.NoError(t, resp.Stream().Close())
}

func TestReplay_ABodyThatMakesTheSameBytesIsNoChange(t *testing.T) {
	// A value with a function in it never equals itself.
	type withFunction struct {
		Name string
		Done func() `json:"-"`
	}
	for name, tc := range map[string]struct {
		body   any
		change func(r *axle.Request)
	}{
		"the same struct":     {withFunction{"a", func() {}}, func(*axle.Request) {}},
		"a struct like it":    {withFunction{"a", func() {}}, func(r *axle.Request) { r.Body = withFunction{"a", nil} }},
		"the same array":      {[1]withFunction{{"a", func() {}}}, func(*axle.Request) {}},
		"the name's spelling": {withFunction{"a", func() {}}, func(r *axle.Request) { r.Method = "post" }},
	} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(inTurn(500, 500, 500, 200))
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				tc.change(err.Request)
				for range 2 {
					if resp, again := err.Request.Replay(); again == nil {
						return resp, nil
					}
				}
				return err.Request.Replay()
			})
			_, err := c.Post(t.Context(), "/", tc.body)
			require.NoError(t, err)
			assert.EqualValues(t, 4, network.Sent.Load())
		})
	}
}

func TestReplay_ABodyThatDoesNotEncodeEqualsNoOther(t *testing.T) {
	type body struct {
		Fails bool
		Done  func()
	}
	for name, tc := range map[string]struct{ sent, now bool }{
		"neither encodes":              {true, true},
		"the sent one does not encode": {true, false},
		"the new one does not encode":  {false, true},
	} {
		c, _ := newFakeClient(always(500, ""))
		c.SetJSON(func(v any) ([]byte, error) {
			if v.(body).Fails { //nolint:forcetypeassert // it is one
				return nil, errBoom
			}
			return nil, nil // a body that encodes has no bytes either
		}, nil)
		useRejected(c, func(err *axle.Error) (*axle.Response, error) {
			err.Request.Body = body{tc.now, func() {}}
			return err.Request.Replay()
		})
		_, err := c.Post(t.Context(), "/", body{tc.sent, func() {}})
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		assert.ErrorContains(t, err, "the request's body changed since it was sent", name)
	}
}

// Whose turn it is to replay, and what becomes of the answers of replays that overlap or come late.

func TestReplay_OfARequestThatIsNoLongerAtHandIsAnErrorWhileALaterHandlerRuns(t *testing.T) {
	for name, first := range map[string]func(resp *axle.Response) (next *axle.Response, kept []*axle.Request){
		"the request that was replayed": func(resp *axle.Response) (*axle.Response, []*axle.Request) {
			next, err := resp.Request.Replay()
			require.NoError(t, err)
			return next, []*axle.Request{resp.Request, resp.Request.Clone()}
		},
		"an outcome that was not returned": func(resp *axle.Response) (*axle.Response, []*axle.Request) {
			unused, err := resp.Request.Replay()
			require.NoError(t, err)
			next, err := unused.Request.Replay()
			require.NoError(t, err)
			return next, []*axle.Request{unused.Request, unused.Request.Clone(), next.Request.Clone()}
		},
		"a clone": func(resp *axle.Response) (*axle.Response, []*axle.Request) {
			return resp, []*axle.Request{resp.Request.Clone()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var network watchedBodies
			c, _ := newFakeClient(network.Answer)
			var kept []*axle.Request
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				if kept != nil {
					return resp, nil
				}
				resp, kept = first(resp)
				return resp, nil
			})
			sent := 0
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				sent = len(network.All())
				for i, r := range kept {
					_, err := r.Replay()
					require.ErrorIs(t, err, axle.CodeBadOption, i)
					assert.ErrorContains(t, err, "the handler that could replay has returned")
				}
				assert.Len(t, network.All(), sent, "nothing is sent")
				assert.Equal(t, []int{sent}, network.Open(), "and the answer at hand stays open")
				return resp.Request.Replay() // as this handler may
			})
			resp, err := c.R(t.Context()).SetStream(true).Get("/")
			require.NoError(t, err)
			assert.Equal(t, []int{sent + 1}, network.Open())
			require.NoError(t, resp.Stream().Close())
		})
	}
}

func TestReplay_FromARequestThatTheRequestChainClonedIsAnError(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	var kept *axle.Request
	useRequest(c, func(r *axle.Request) { kept = r.Clone() })
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		_, err := kept.Replay()
		require.ErrorIs(t, err, axle.CodeBadOption)
		return resp, nil
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.EqualValues(t, 1, network.Sent.Load())
}

// answerTogether answers the first request at once, and the next ones when so many of them have come: they overlap.
func answerTogether(network *watchedBodies, replays int) func(*http.Request) (*http.Response, error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	all.Add(replays)
	sent := 0
	return func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		sent++
		n := sent
		mu.Unlock()
		if n > 1 && n <= replays+1 {
			all.Done()
			all.Wait()
		}
		return network.Answer(r)
	}
}

func TestReplay_OfThoseThatOverlapAllAnswersButTheReturnedOneAreClosed(t *testing.T) {
	const replays = 8
	for name, choose := range map[string]func(outcomes []*axle.Response) (*axle.Response, error){
		"the first":     func(outcomes []*axle.Response) (*axle.Response, error) { return outcomes[0], nil },
		"the last":      func(outcomes []*axle.Response) (*axle.Response, error) { return outcomes[replays-1], nil },
		"none":          func([]*axle.Response) (*axle.Response, error) { return nil, errBoom },
		"another":       func([]*axle.Response) (*axle.Response, error) { return axle.NewResponse(nil, 200, nil, nil), nil },
		"one, replayed": func(outcomes []*axle.Response) (*axle.Response, error) { return outcomes[3].Request.Replay() },
	} {
		t.Run(name, func(t *testing.T) {
			var network watchedBodies
			c, _ := newFakeClient(answerTogether(&network, replays))
			var mu sync.Mutex
			first := true
			useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
				if !first {
					return resp, nil
				}
				first = false
				outcomes := make([]*axle.Response, 0, replays)
				var wg sync.WaitGroup
				for range replays {
					wg.Go(func() {
						outcome, err := resp.Request.Replay() // one request, replayed by all at once
						if assert.NoError(t, err) {
							mu.Lock()
							defer mu.Unlock()
							outcomes = append(outcomes, outcome)
						}
					})
				}
				wg.Wait()
				require.Len(t, outcomes, replays)
				return choose(outcomes)
			})
			resp, err := c.R(t.Context()).SetStream(true).SetHeader("X-Own", "1").Get("/")
			switch name {
			case "none", "another":
				assert.Empty(t, network.Open())
			default:
				require.NoError(t, err)
				assert.Len(t, network.Open(), 1)
				body, err := io.ReadAll(resp.Stream())
				require.NoError(t, err)
				assert.Equal(t, "streamed", string(body), "it is the one that was chosen")
			}
			if err == nil {
				require.NoError(t, resp.Stream().Close())
			}
			assert.Empty(t, network.Open())
		})
	}
}

func TestReplay_AnErrorsResponseIsClosedIfTheHandlerDoesNotReturnTheError(t *testing.T) {
	var network watchedBodies
	c, _ := newFakeClient(network.Answer)
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		if resp.Request.Attempt() == 1 {
			return resp, nil
		}
		return nil, &axle.Error{Code: axle.CodeBadResponse, Request: resp.Request, Response: resp}
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		_, err := resp.Request.Replay()
		require.ErrorIs(t, err, axle.CodeBadResponse)
		assert.Equal(t, []int{2}, network.Open(), "the handler may read it")
		return axle.NewResponse(nil, 200, nil, nil), nil
	})
	_, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	assert.Len(t, network.All(), 2)
	assert.Empty(t, network.Open())
}

func TestReplay_APanicOfAnEarlierHandlerInItLeavesNothingOpen(t *testing.T) {
	var network watchedBodies
	c, _ := newFakeClient(network.Answer)
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		if resp.Request.Attempt() > 1 {
			panic("boom")
		}
		return resp, nil
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { return resp.Request.Replay() })
	assert.PanicsWithValue(t, "boom", func() { _, _ = c.R(t.Context()).SetStream(true).Get("/") })
	assert.Len(t, network.All(), 2)
	assert.Empty(t, network.Open())
}

func TestReplay_AfterAPanicNoAnswerOfOverlappingReplaysIsLeftOpen(t *testing.T) {
	var network watchedBodies
	c, _ := newFakeClient(answerTogether(&network, 4))
	first := true
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		if !first {
			return resp, nil
		}
		first = false
		replayAtOnce(t, resp.Request, 4)
		panic("boom")
	})
	assert.PanicsWithValue(t, "boom", func() { _, _ = c.R(t.Context()).SetStream(true).Get("/") })
	assert.Len(t, network.All(), 5)
	assert.Empty(t, network.Open())
}

// replayAtOnce replays r several times at once and waits for all.
func replayAtOnce(t *testing.T, r *axle.Request, replays int) {
	t.Helper()
	var wg sync.WaitGroup
	for range replays {
		wg.Go(func() {
			_, err := r.Replay()
			assert.NoError(t, err)
		})
	}
	wg.Wait()
}

func TestReplay_ThatOutlivesItsHandlerIsAnErrorAndItsAnswerIsClosed(t *testing.T) {
	for name, later := range map[string]bool{"while a later handler runs": true, "when the call is over": false} {
		for _, status := range []int{200, 500} {
			t.Run(name+" "+strconv.Itoa(status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var network watchedBodies
					release := make(chan struct{})
					c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
						resp, err := network.Answer(r)
						if r.Header.Get("X-Late") != "" {
							resp.StatusCode = status
							<-release
						}
						return resp, err
					})
					late := make(chan error, 1)
					useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
						mine := resp.Request.Clone()
						go func() {
							_, err := mine.Replay(func(r *axle.Request) { r.SetHeader("X-Late", "1") })
							late <- err
						}()
						synctest.Wait() // the replay is under way
						return axle.NewResponse(nil, 200, nil, nil).SetStream(newWatchedBody("in its place")), nil
					})
					useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
						if later {
							close(release)
							synctest.Wait()
						}
						body, err := io.ReadAll(resp.Stream())
						require.NoError(t, err)
						assert.Equal(t, "in its place", string(body), "the later handler's answer is left alone")
						return resp, nil
					})
					_, err := c.R(t.Context()).SetStream(true).Get("/")
					require.NoError(t, err)
					if !later {
						close(release)
					}
					err = <-late
					require.Error(t, err)
					if status == 200 {
						require.ErrorIs(t, err, axle.CodeBadOption)
						assert.ErrorContains(t, err, "has returned")
					}
					assert.Len(t, network.All(), 2)
					assert.Empty(t, network.Open())
				})
			})
		}
	}
}
