package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/internal/axletest"
)

func TestHalfOpen_AProbeThatSucceedsClosesTheCircuitAndOneThatFailsOpensIt(t *testing.T) {
	for probe, isClosed := range map[string]bool{"/200": true, "/404": true, "/500": false, "/broken": false} {
		t.Run(probe, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := newServer("/200")
				server.fail(t, client, 5)
				time.Sleep(30 * time.Second)
				require.False(t, server.isRefused(t, client, probe))
				assert.Equal(t, !isClosed, server.isRefused(t, client, "/200"))
			})
		})
	}
}

func TestHalfOpen_OnlyTheProbesGoThrough(t *testing.T) {
	for _, probes := range []int{1, 3} {
		t.Run(fmt.Sprint(probes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := newServer("/hang", breaker.WithProbes(probes))
				server.fail(t, client, 5)
				time.Sleep(30 * time.Second)

				// They are in flight until they are cancelled.
				ctx, cancel := context.WithCancel(t.Context())
				started := time.Now()
				for range probes {
					go func() { _, _ = client.Get(ctx, "/hang") }()
				}
				synctest.Wait()
				time.Sleep(10 * time.Second)

				_, err := client.Get(t.Context(), "/200")
				open, isOpen := errors.AsType[*breaker.OpenError](err)
				require.True(t, isOpen, "%v", err)
				assert.Equal(t, started.Add(30*time.Second), open.Until, "another probe may go out then")
				cancel()
				synctest.Wait()
			})
		})
	}
}

func TestHalfOpen_AllProbesHaveToSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200", breaker.WithProbes(3))
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)
		assert.False(t, server.isRefused(t, client, "/200"))
		assert.False(t, server.isRefused(t, client, "/200"))
		assert.False(t, server.isRefused(t, client, "/500"))
		assert.True(t, server.isRefused(t, client, "/200"))
	})
}

func TestHalfOpen_AProbeThatIsNeitherMakesRoomForAnother(t *testing.T) {
	boom := errors.New("boom")
	cases := map[string]func(t *testing.T, client *axle.Client){
		"cancelled by its caller": func(t *testing.T, client *axle.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := client.Get(ctx, "/hang")
			assert.Equal(t, axle.CodeCanceled, axletest.AsAxle(t, err).Code)
		},
		"refused before it is sent": func(t *testing.T, client *axle.Client) {
			_, err := client.Get(t.Context(), "/200", axle.WithHeader("bad name", "x"))
			assert.Equal(t, axle.CodeBadOption, axletest.AsAxle(t, err).Code)
		},
		"refused by a later request handler": func(t *testing.T, client *axle.Client) {
			id := client.Interceptors.Request.Use(func(context.Context, *axle.Request) (*axle.Request, error) {
				return nil, boom
			}, nil, axle.After("breaker"))
			defer client.Interceptors.Request.Eject(id)
			_, err := client.Get(t.Context(), "/200")
			assert.ErrorIs(t, err, boom)
		},
		"of which a request handler panics": func(t *testing.T, client *axle.Client) {
			id := axletest.UseRequest(client, func(*axle.Request) { panic(boom) })
			defer client.Interceptors.Request.Eject(id)
			assert.PanicsWithError(t, "boom", func() { _, _ = client.Get(t.Context(), "/200") })
		},
		"answered by a handler": func(t *testing.T, client *axle.Client) {
			id := client.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				return r.Respond(axle.NewResponse(r, http.StatusInternalServerError, nil, nil)), nil
			}, nil, axle.After("breaker"))
			defer client.Interceptors.Request.Eject(id)
			_, err := client.Get(t.Context(), "/200")
			assert.Error(t, err)
		},
	}
	for name, probe := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := newServer("/200")
				server.fail(t, client, 5)
				time.Sleep(30 * time.Second)
				probe(t, client)
				require.False(t, server.isRefused(t, client, "/200"), "another probe")
				assert.False(t, server.isRefused(t, client, "/200"), "which has closed the circuit")
			})
		})
	}
}

func TestHalfOpen_AProbeThatHangsLeavesItsSlotToAnother(t *testing.T) {
	cases := map[string]struct {
		late     string // what becomes of the probe that hangs, after the other
		isClosed bool
	}{
		"and its success counts when it comes": {"/200", true},
		"and its failure counts when it comes": {"/500", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var release [2]chan string
				for i := range release {
					release[i] = make(chan string)
				}
				server := &server{}
				client, transport := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/probe" {
						r.URL.Path = <-release[r.URL.Query().Get("n")[0]-'0']
					}
					return server.answer(r)
				})
				server.FakeTransport = transport
				client.Use(breaker.New())
				server.fail(t, client, 5)
				time.Sleep(30 * time.Second)

				get := func(url string) { _, _ = client.Get(t.Context(), url) }
				go get("/probe?n=0")
				synctest.Wait()
				time.Sleep(30*time.Second - time.Nanosecond)
				require.True(t, server.isRefused(t, client, "/200"))
				time.Sleep(time.Nanosecond)
				go get("/probe?n=1")
				synctest.Wait()
				require.True(t, server.isRefused(t, client, "/200"), "there is one slot")

				release[0] <- c.late
				synctest.Wait()
				assert.Equal(t, !c.isClosed, server.isRefused(t, client, "/200"))
				release[1] <- "/200"
				synctest.Wait()
			})
		})
	}
}

func TestHalfOpen_AProbeThatHungMakesRoomOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200")
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)

		// The first probe hangs and is cancelled after the second one has taken its slot.
		first, cancelFirst := context.WithCancel(t.Context())
		go func() { _, _ = client.Get(first, "/hang") }()
		time.Sleep(30 * time.Second)
		second, cancelSecond := context.WithCancel(t.Context())
		go func() { _, _ = client.Get(second, "/hang") }()
		synctest.Wait()
		cancelFirst()
		synctest.Wait()
		assert.True(t, server.isRefused(t, client, "/200"))

		// The slot of the second one is free when that is cancelled.
		cancelSecond()
		synctest.Wait()
		assert.False(t, server.isRefused(t, client, "/200"))
	})
}

func TestOpenError_SaysWhenTheOldestProbeInFlightLeavesItsSlot(t *testing.T) {
	until := func(t *testing.T, client *axle.Client) time.Time {
		t.Helper()
		_, err := client.Get(t.Context(), "/200")
		open, isOpen := errors.AsType[*breaker.OpenError](err)
		require.True(t, isOpen, "%v", err)
		return open.Until
	}
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200", breaker.WithProbes(2))
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)

		// Of two probes, the first is cancelled after five seconds, and a third takes its slot.
		begin := time.Now()
		first, cancelFirst := context.WithCancel(t.Context())
		go func() { _, _ = client.Get(first, "/hang") }()
		synctest.Wait()
		time.Sleep(2 * time.Second)
		others, cancelOthers := context.WithCancel(t.Context())
		defer cancelOthers()
		go func() { _, _ = client.Get(others, "/hang") }()
		time.Sleep(3 * time.Second)
		assert.Equal(t, begin.Add(30*time.Second), until(t, client))
		cancelFirst()
		synctest.Wait()
		go func() { _, _ = client.Get(others, "/hang") }()
		synctest.Wait()
		assert.Equal(t, begin.Add(32*time.Second), until(t, client))

		// When one fails, the circuit is open for thirty seconds from then on.
		cancelOthers()
		synctest.Wait()
		third, cancelThird := context.WithCancel(t.Context())
		defer cancelThird()
		go func() { _, _ = client.Get(third, "/hang") }()
		time.Sleep(time.Second)
		server.fail(t, client, 1)
		assert.Equal(t, time.Now().Add(30*time.Second), until(t, client))
		cancelThird()
		synctest.Wait()
	})
}

func TestReplay_OfACallThatStartedBeforeTheCircuitOpenedIsRefused(t *testing.T) {
	client, server := newServer("/200")
	var others func()
	axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
		if others == nil || err.StatusCode() != 503 {
			return nil, err
		}
		others()
		return err.Request.Replay()
	})
	others = func() { server.fail(t, client, 5) }
	sent := server.Sent.Load()
	_, err := client.Get(t.Context(), "/503")
	_, isOpen := errors.AsType[*breaker.OpenError](err)
	assert.True(t, isOpen, "%v", err)
	assert.EqualValues(t, 6, server.Sent.Load()-sent)
}

func TestReplay_OfACallThatIsNoProbeIsRefusedWhileAProbeIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200")
		axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
			if err.StatusCode() != 503 {
				return nil, err
			}
			time.Sleep(time.Minute)
			return err.Request.Replay()
		})
		var failed error
		go func() { _, failed = client.Get(t.Context(), "/503") }()
		synctest.Wait()
		server.fail(t, client, 5)
		time.Sleep(50 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = client.Get(ctx, "/hang") }()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		_, isOpen := errors.AsType[*breaker.OpenError](failed)
		assert.True(t, isOpen, "%v", failed)
		cancel()
		synctest.Wait()
	})
}

func TestReplay_OfAProbeIsRefusedIfAnotherProbeHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/200", breaker.WithProbes(2))
		axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
			if err.StatusCode() != 503 {
				return nil, err
			}
			server.fail(t, client, 1)
			return err.Request.Replay()
		})
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)
		_, err := client.Get(t.Context(), "/503")
		_, isOpen := errors.AsType[*breaker.OpenError](err)
		assert.True(t, isOpen, "%v", err)
	})
}

func TestReplay_OfAProbeGoesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newServer("/500")
		server.fail(t, client, 5)
		time.Sleep(30 * time.Second)

		axletest.UseRejected(client, func(err *axle.Error) (*axle.Response, error) {
			server.now = "/200"
			return err.Request.Replay()
		})
		_, err := client.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.False(t, server.isRefused(t, client, "/200"))
	})
}
