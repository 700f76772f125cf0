package axle_test

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

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
