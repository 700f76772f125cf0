package axle_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
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
		change func(r *axle.Request)
		parts  string // in the error
		edit   string
	}{
		"SetMethod":             {change: func(r *axle.Request) { r.SetMethod(http.MethodPut) }, parts: "method", edit: "r.SetMethod("},
		"SetURL":                {change: func(r *axle.Request) { r.SetURL("/other") }, parts: "URL", edit: "r.SetURL("},
		"SetPathParam":          {change: func(r *axle.Request) { r.SetPathParam("id", "8") }, parts: "URL", edit: "r.SetURL("},
		"SetRawPathParam":       {change: func(r *axle.Request) { r.SetRawPathParam("id", "7") }, parts: "URL", edit: "r.SetURL("},
		"SetHeader":             {change: func(r *axle.Request) { r.SetHeader("Authorization", "new") }, parts: "header", edit: `r.SetHeader("Authorization", …)`},
		"a header, in place":    {change: func(r *axle.Request) { r.Header["X-Own"][0] = "new" }, parts: "header", edit: "r.SetHeader("},
		"a header's second":     {change: func(r *axle.Request) { r.Header.Add("X-Own", "new") }, parts: "header", edit: "r.SetHeader("},
		"a header's order":      {change: func(r *axle.Request) { l := r.Header["X-Two"]; l[0], l[1] = l[1], l[0] }, parts: "header", edit: "r.SetHeader("},
		"two headers, swapped":  {change: func(r *axle.Request) { h := r.Header; h["X-Own"], h["X-Two"] = h["X-Two"], h["X-Own"] }, parts: "header", edit: "r.SetHeader("},
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
		"SetTimeout":            {change: func(r *axle.Request) { r.SetTimeout(time.Second) }, parts: "timeout", edit: "r.SetTimeout("},
		"no timeout any more":   {change: func(r *axle.Request) { r.SetTimeout(0) }, parts: "timeout", edit: "r.SetTimeout("},
		"Respond":               {change: func(r *axle.Request) { r.Respond(axle.NewResponse(nil, 200, nil, nil)) }, parts: "answer (Respond)", edit: "r.Respond("},
		"several":               {change: func(r *axle.Request) { r.SetMethod("PUT").SetHeader("A", "1") }, parts: "method and header", edit: "r.SetMethod(method).SetHeader("},
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
			_, err := r.SetBody(tc.body).Post("/{id}")
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
	type withFunction struct {
		Name string
		Done func() `json:"-"`
	}
	for name, change := range map[string]func(r *axle.Request){
		"it is the same":      func(*axle.Request) {},
		"it is one like it":   func(r *axle.Request) { r.Body = withFunction{"a", nil} },
		"the name's spelling": func(r *axle.Request) { r.Method = "post" },
	} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(inTurn(500, 500, 500, 200))
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				change(err.Request)
				for range 2 {
					if resp, again := err.Request.Replay(); again == nil {
						return resp, nil
					}
				}
				return err.Request.Replay()
			})
			_, err := c.Post(t.Context(), "/", withFunction{"a", func() {}})
			require.NoError(t, err)
			assert.EqualValues(t, 4, network.Sent.Load())
		})
	}
}
