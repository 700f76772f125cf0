package axle_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// attempts is a key by which handlers bound their replays.
var attempts = axle.NewKey[int]("attempts")

// countAttempt adds one to r's attempts and returns how many there were before.
func countAttempt(r *axle.Request) int {
	n, _ := attempts.Get(r)
	attempts.Set(r, n+1)
	return n
}

// Client.Do in a handler.

func TestDo_InAHandlerRunsBothChainsAgainAndLaterHandlersTwice(t *testing.T) {
	c, network := newFakeClient(inTurn(500, 200))
	var log callTrace
	log.onRequest(c, "request")
	log.onResponse(c, "before")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { return c.Do(err.Request) })
	log.onResponse(c, "after")
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "nn", resp.String())
	assert.Equal(t, []string{"request", "before!", "request", "before", "after", "after"}, log.taken())
	assert.EqualValues(t, 2, network.Sent.Load())
}

func TestDo_InAHandlerStartsFromTheRequestAsTheHandlersLeftIt(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		return reply(r, 500, r.URL.Path+" "+strings.Join(r.Header["X-Count"], "")), nil
	})
	useRequest(c, func(req *axle.Request) { req.Header.Add("X-Count", "1"); req.URL += "x" })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		if countAttempt(err.Request) > 0 {
			return nil, err
		}
		resp, again := c.Do(err.Request)
		assert.Equal(t, "/x", err.Request.URL, "of which it takes a copy")
		return resp, again
	})
	_, err := c.Get(t.Context(), "/")
	assert.Equal(t, "/xx 11", asAxle(t, err).Response.String(), "so request handlers are applied twice")
}

// Replay.

func TestReplay_RunsTheRequestChainDispatchTheHandlersBeforeAndThoseAfterOnce(t *testing.T) {
	for name, end := range map[string][]string{"200": {"before", "after"}, "500": {"before!", "after!"}} {
		status, _ := strconv.Atoi(name)
		c, network := newFakeClient(inTurn(500, status))
		var log callTrace
		log.onRequest(c, "request")
		log.onResponse(c, "before")
		useRejected(c, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
		log.onResponse(c, "after")
		_, err := c.Get(t.Context(), "/")
		assert.Equal(t, status != 200, err != nil)
		assert.Equal(t, slices.Concat([]string{"request", "before!", "request"}, end), log.taken())
		assert.EqualValues(t, 2, network.Sent.Load())
	}
}

func TestReplay_FromAFulfilledHandler(t *testing.T) {
	c, _ := newFakeClient(inTurn(202, 202, 200))
	var log callTrace
	log.onResponse(c, "before")
	var poll func(resp *axle.Response) (*axle.Response, error)
	poll = func(resp *axle.Response) (*axle.Response, error) {
		if resp.StatusCode != http.StatusAccepted {
			return resp, nil
		}
		next, err := resp.Request.Replay()
		if err != nil {
			return nil, err
		}
		return poll(next)
	}
	useFulfilled(c, poll)
	log.onResponse(c, "after")
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "nnn", resp.String())
	assert.Equal(t, []string{"before", "before", "before", "after"}, log.taken())
}

func TestR11_ReplayStartsFromTheRequestAsTheCallerBuiltIt(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		return reply(r, 500, fmt.Sprint(r.Method, " ", r.URL.RequestURI(), " ", r.Header["X-Count"], " ", string(body))), nil
	})
	useRequest(c, func(req *axle.Request) {
		req.Header.Add("X-Count", "1")
		req.Query.Add("n", "1")
		req.URL += "x"
		req.Body = fmt.Sprint(req.Body, "!")
	})
	var first string
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		first = err.Response.String()
		return err.Request.Replay()
	})
	_, err := c.R(t.Context()).SetHeader("X-Count", "own").SetBody("body").Post("/")
	e := asAxle(t, err)
	assert.Equal(t, "POST /x?n=1 [own 1] body!", first)
	assert.Equal(t, first, e.Response.String(), "nothing is applied twice")
}

func TestReplay_OfANestedDoStartsFromWhatThatWasGiven(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) { return reply(r, 500, r.URL.Path), nil })
	useRequest(c, func(req *axle.Request) { req.URL += "x" })
	var log callTrace
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		log.add(err.Response.String())
		switch countAttempt(err.Request) {
		case 0:
			return c.Do(err.Request)
		case 1:
			return err.Request.Replay()
		}
		return nil, err
	})
	_, err := c.Get(t.Context(), "/")
	require.Error(t, err)
	assert.Equal(t, []string{"/x", "/xx"}, log.taken(), "the replay ends before the handler that asked for it")
	assert.Equal(t, "/xx", asAxle(t, err).Response.String())
}

func TestReplay_EditsLastForItAndForTheReplaysNestedInIt(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		return reply(r, 500, r.Header.Get("X-Inner")+r.Header.Get("X-Outer")), nil
	})
	var log callTrace
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { // the inner one: runs in the outer one's replay too
		log.add("inner sees " + err.Response.String())
		_, again := err.Request.Replay(nil, func(r *axle.Request) { r.SetHeader("X-Inner", "inner") })
		log.add("its replay sees " + asAxle(t, again).Response.String())
		_, again = err.Request.Replay()
		log.add("its next sees " + asAxle(t, again).Response.String())
		return nil, again
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.SetHeader("X-Outer", "outer") })
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		_, again := err.Request.Replay()
		log.add("after it " + asAxle(t, again).Response.String())
		return nil, err
	})
	_, _ = c.Get(t.Context(), "/")
	inner := func(outer string) []string {
		return []string{"inner sees " + outer, "its replay sees inner" + outer, "its next sees " + outer}
	}
	assert.Equal(t, slices.Concat(
		inner(""), inner("outer"), // the call, and the outer handler's replay
		inner(""), inner("outer"), // the last handler's replay, with the outer handler's in it
		[]string{"after it outer"},
	), log.taken())
}

func TestReplay_EditsStartFromTheCallersRequestAndAreAppliedInOrder(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200))
	c.SetHeader("X-Default", "1")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(
			func(r *axle.Request) {
				assert.Empty(t, r.Header.Get("X-Default"), "not yet merged")
				assert.Equal(t, "own", r.Header.Get("X-Own"))
				assert.Same(t, c, r.Client())
				u, err := r.ResolveURL()
				assert.NoError(t, err)
				assert.Equal(t, "http://axle.test/", u.String())
				r.SetHeader("X-Own", "first")
			},
			func(r *axle.Request) {
				assert.Equal(t, "first", r.Header.Get("X-Own"))
				r.SetContext(context.WithValue(r.Context(), ctxKey{}, "edited"))
			})
	})
	resp, err := c.R(t.Context()).SetHeader("X-Own", "own").Get("/")
	require.NoError(t, err)
	assert.Equal(t, "first", resp.Request.Header.Get("X-Own"))
	assert.Equal(t, "1", resp.Request.Header.Get("X-Default"))
	assert.Equal(t, "edited", resp.Request.Context().Value(ctxKey{}))
}

func TestReplay_AnEditMaySetANilContextOnlyToFail(t *testing.T) {
	c, network := newFakeClient(always(500, ""))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.SetContext(nil) }) //nolint:staticcheck // the bad input
	})
	_, err := c.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadOption)
	assert.EqualValues(t, 1, network.Sent.Load())
}

func TestReplay_KeyValuesSurviveIt(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 500, 500, 200))
	atTransport := axle.NewKey[string]("set in the request chain")
	useRequest(c, func(req *axle.Request) {
		if n, _ := attempts.Get(req); n > 0 {
			value, _ := atTransport.Get(req)
			assert.Equal(t, "attempt "+strconv.Itoa(n-1), value)
			atTransport.Set(req, "attempt "+strconv.Itoa(n))
			return
		}
		atTransport.Set(req, "attempt 0")
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		for { // as a retry goes about it: the outcome of a replay is at hand, too
			countAttempt(err.Request)
			resp, again := err.Request.Replay()
			if again == nil {
				return resp, nil
			}
			err = asAxle(t, again)
		}
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		n, _ := attempts.Get(resp.Request)
		assert.Equal(t, 3, n, "later handlers see them")
		return resp, nil
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	n, ok := attempts.Get(resp.Request)
	assert.True(t, ok)
	assert.Equal(t, 3, n)
	value, _ := atTransport.Get(resp.Request)
	assert.Equal(t, "attempt 3", value)
}

func TestReplay_HandlersAfterItMayReplayTheOutcome(t *testing.T) {
	c, network := newFakeClient(inTurn(500, 500, 500, 500, 500, 500, 200))
	var log callTrace
	log.onResponse(c, "a")
	again := func(name string) {
		useRejected(c, func(err *axle.Error) (*axle.Response, error) {
			log.add(name + "!")
			return err.Request.Replay()
		})
	}
	again("b")
	again("c")
	again("d")
	log.onResponse(c, "e")
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	// b replays each attempt; c each of those pairs; d all four again, of which the third request is answered.
	once := []string{"a!", "b!", "a!"}
	assert.Equal(t, slices.Concat(once, []string{"c!"}, once, []string{"d!"}, once[:2], []string{"a!", "c!", "a", "e"}), log.taken())
	assert.EqualValues(t, 7, network.Sent.Load())
}

func TestReplay_NestsToAnyDepth(t *testing.T) {
	c, network := newFakeClient(always(500, ""))
	var log callTrace
	for _, name := range []string{"a", "b", "c"} {
		useRejected(c, func(err *axle.Error) (*axle.Response, error) {
			log.add(name)
			return err.Request.Replay(func(r *axle.Request) { r.Header.Add("X-By", name) })
		})
	}
	_, err := c.Get(t.Context(), "/")
	assert.EqualValues(t, 8, network.Sent.Load(), "each handler doubles")
	assert.Equal(t, []string{"c", "b", "a"}, asAxle(t, err).Request.Header["X-By"])
	assert.Equal(t, []string{"a", "b", "a", "c", "a", "b", "a"}, log.taken())
}

func TestReplay_ClosesTheResponseAtHandBeforeItSends(t *testing.T) {
	var network watchedBodies
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		assert.Empty(t, network.Open(), "a connection may be waited for")
		return network.Answer(r)
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		for range 3 {
			again, err := resp.Request.Replay()
			if err != nil {
				return nil, err
			}
			assert.Len(t, network.Open(), 1)
			resp = again
		}
		return resp, nil
	})
	resp, err := c.R(t.Context()).SetStream(true).Get("/")
	require.NoError(t, err)
	assert.Equal(t, []int{4}, network.Open())
	resp.Stream().Close()
}

// Where Replay is valid.

func TestReplay_FromARequestHandlerIsAnError(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	c.Interceptors.Request.Use(func(_ context.Context, req *axle.Request) (*axle.Request, error) {
		_, err := req.Replay()
		require.ErrorIs(t, err, axle.CodeBadOption)
		_, err = req.Clone().Replay()
		require.ErrorIs(t, err, axle.CodeBadOption)
		return req, nil
	}, nil)
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.EqualValues(t, 1, network.Sent.Load())
}

func TestReplay_OnARequestThatIsInNoCallIsAnError(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	for _, r := range []*axle.Request{{URL: "/"}, c.R(t.Context()).SetURL("/"), c.R(t.Context()).Clone()} {
		_, err := r.Replay()
		require.ErrorIs(t, err, axle.CodeBadOption)
	}
	assert.Zero(t, network.Sent.Load())
}

func TestReplay_AfterTheHandlerReturnedIsAnError(t *testing.T) {
	c, network := newFakeClient(inTurn(500, 200))
	var kept []*axle.Request
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		kept = append(kept, err.Request.Clone())
		resp, again := err.Request.Replay()
		kept = append(kept, err.Request.Clone())
		return resp, again
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		for _, r := range kept {
			_, err := r.Replay()
			require.ErrorIs(t, err, axle.CodeBadOption, "another handler's clone")
		}
		return resp, nil
	})
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	for _, r := range append(kept, resp.Request, resp.Request.Clone()) {
		_, err := r.Replay()
		require.ErrorIs(t, err, axle.CodeBadOption, "the call is over")
	}
	assert.EqualValues(t, 2, network.Sent.Load())
}

func TestReplay_AFailedCallsRequestCannotReplayButCanBeSentAgain(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200))
	_, err := c.Get(t.Context(), "/")
	failed := asAxle(t, err).Request
	_, err = failed.Replay()
	require.ErrorIs(t, err, axle.CodeBadOption)
	resp, err := c.Do(failed)
	require.NoError(t, err)
	assert.Equal(t, "nn", resp.String())
}

func TestReplay_ACloneKeepsThePlace(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200))
	var log callTrace
	log.onResponse(c, "before")
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		clone := err.Request.Clone()
		attempts.Set(clone, 7)
		return clone.Clone().Replay()
	})
	log.onResponse(c, "after")
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"before!", "before", "after"}, log.taken())
	n, _ := attempts.Get(resp.Request)
	assert.Equal(t, 7, n, "a clone's own key values go with it")
	_, found := attempts.Get(resp.Request.Clone())
	assert.True(t, found)
}

func TestReplay_ManyAtATimeFromOneHandler(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		answers := make(chan *axle.Response, 4)
		for range cap(answers) { // a hedge
			hedge := err.Request.Clone()
			go func() {
				resp, err := hedge.Replay()
				assert.NoError(t, err)
				answers <- resp
			}()
		}
		var last *axle.Response
		for range cap(answers) {
			last = <-answers
		}
		return last, nil
	})
	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
}

// Bodies.

// once is a body that can be read once.
func once(text string) io.Reader { return struct{ io.Reader }{strings.NewReader(text)} }

func echoThen500(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return reply(r, 500, string(body)), nil
}

func TestReplay_SendsTheSameBody(t *testing.T) {
	for name, body := range map[string]func() any{
		"string":         func() any { return "body" },
		"bytes":          func() any { return []byte("body") },
		"JSON":           func() any { return map[string]string{"k": "body"} },
		"a seeker":       func() any { return strings.NewReader("body") },
		"a small stream": func() any { return once("body") },
	} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(echoThen500)
			for range 2 {
				useRejected(c, func(err *axle.Error) (*axle.Response, error) {
					_, again := err.Request.Replay()
					assert.Equal(t, err.Response.String(), asAxle(t, again).Response.String())
					return nil, again
				})
			}
			_, err := c.Post(t.Context(), "/", body())
			assert.Contains(t, asAxle(t, err).Response.String(), "body")
			assert.EqualValues(t, 4, network.Sent.Load())
		})
	}
}

func TestR11_ABodyThatCannotBeReadAgainIsRefusedBeforeAnythingIsSent(t *testing.T) {
	large := strings.Repeat("x", axle.ReplayLimit+1)
	for name, again := range map[string]func(c *axle.Client, r *axle.Request) (*axle.Response, error){
		"Replay": func(_ *axle.Client, r *axle.Request) (*axle.Response, error) { return r.Replay() },
		"Do":     func(c *axle.Client, r *axle.Request) (*axle.Response, error) { return c.Do(r) },
	} {
		t.Run(name, func(t *testing.T) {
			c, network := newFakeClient(echoThen500)
			var log callTrace
			log.onRequest(c, "request")
			useRejected(c, func(err *axle.Error) (*axle.Response, error) {
				if countAttempt(err.Request) > 0 {
					return nil, err
				}
				_, refused := again(c, err.Request)
				require.ErrorIs(t, refused, axle.CodeBadOption)
				require.ErrorIs(t, refused, axle.ErrBodyConsumed)
				return nil, err
			})
			_, err := c.Post(t.Context(), "/", once(large))
			assert.Len(t, asAxle(t, err).Response.String(), len(large))
			assert.EqualValues(t, 1, network.Sent.Load())
			if name == "Replay" {
				assert.Equal(t, []string{"request"}, log.taken(), "not even the request chain runs")
			}
		})
	}
}

func TestReplay_AnEditMayReplaceABodyThatCannotBeReadAgain(t *testing.T) {
	c, _ := newFakeClient(echoThen500)
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.SetBody("small") })
	})
	_, err := c.Post(t.Context(), "/", once(strings.Repeat("x", axle.ReplayLimit+1)))
	assert.Equal(t, "small", asAxle(t, err).Response.String())
}

// resty's pooled body buffer is released while the request still points at it.
func TestP5_ConcurrentReplaysWithDistinctBodiesNeverMix(t *testing.T) {
	const calls = 1000
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Attempt") == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.Copy(w, r.Body)
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		return err.Request.Replay(func(r *axle.Request) { r.SetHeader("X-Attempt", "2") })
	})
	var wg sync.WaitGroup
	room := make(chan struct{}, 64)
	for i := range calls {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			text := strings.Repeat(strconv.Itoa(i)+",", 100)
			body := any(text)
			switch i % 3 {
			case 0:
				body = once(text)
			case 1:
				body = []byte(text)
			}
			resp, err := c.Post(context.Background(), "/", body)
			if assert.NoError(t, err) {
				assert.Equal(t, text, resp.String())
			}
		})
	}
	wg.Wait()
}

// The settings are a snapshot, also where a replay asks where the caller's credentials may go.
func TestReplay_KeepsTheCallersCredentialsWhenTheBaseURLChangesMeanwhile(t *testing.T) {
	c, _ := newFakeClient(inTurn(500, 200))
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		c.SetBaseURL("http://other.test")
		return err.Request.Replay()
	})
	resp, err := c.R(t.Context()).SetHeader("Authorization", "Bearer own").Get("/")
	require.NoError(t, err)
	assert.Equal(t, "axle.test", resp.Raw().Request.URL.Host)
	assert.Equal(t, "Bearer own", resp.Raw().Request.Header.Get("Authorization"))
}

func TestCheckReplay_TellsWhyReplayWouldSendNothing(t *testing.T) {
	spent := io.MultiReader(strings.NewReader(strings.Repeat("x", axle.ReplayLimit+1)))
	cases := []struct {
		name   string
		body   any
		change func(r *axle.Request)
		want   string
	}{
		{"a body in memory", "body", nil, ""},
		{"a seeker", strings.NewReader("body"), nil, ""},
		{"a body that is too long to keep", spent, nil, "cannot be sent again"},
		{"a changed request", "body", func(r *axle.Request) { r.SetHeader("X-Changed", "1") }, "header changed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			client, network := newFakeClient(func(r *http.Request) (*http.Response, error) {
				_, _ = io.Copy(io.Discard, r.Body)
				return reply(r, 503, ""), nil
			})
			var checked, replayed error
			useRejected(client, func(err *axle.Error) (*axle.Response, error) {
				if c.change != nil {
					c.change(err.Request)
				}
				checked = err.Request.CheckReplay()
				assert.EqualValues(t, 1, network.Sent.Load(), "it sends nothing")
				_, replayed = err.Request.Replay()
				return nil, err
			})
			_, _ = client.Post(t.Context(), "/", c.body)

			if c.want == "" {
				assert.NoError(t, checked)
				assert.EqualValues(t, 2, network.Sent.Load())
				return
			}
			assert.ErrorIs(t, checked, axle.CodeBadOption)
			assert.ErrorContains(t, checked, c.want)
			assert.EqualError(t, replayed, checked.Error())
			assert.EqualValues(t, 1, network.Sent.Load())
		})
	}
}

func TestCheckReplay_OutsideAHandlerThatMayReplayIsAnError(t *testing.T) {
	c, _ := newFakeClient(inTurn(200))
	var inRequestChain error
	useRequest(c, func(r *axle.Request) { inRequestChain = r.CheckReplay() })
	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	for _, err := range []error{inRequestChain, resp.Request.CheckReplay(), c.R(t.Context()).CheckReplay()} {
		assert.ErrorIs(t, err, axle.CodeBadOption)
	}
}
