package auth_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
)

// These tests are about readings of the token of a plain Session: when it is read, and which readings count.

func TestPlain_ASessionIsNotAskedForItsTokenWhileItRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(living("t0", time.Hour), auth.WithEarlyRefresh(window))
		s.accept("t0")
		delayed := newGate()
		s.refreshBy(delayed.pass, "t1", nil)
		time.Sleep(55 * time.Minute)
		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		synctest.Wait()

		asked := s.readings.Load()
		resp, err = s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		assert.Equal(t, asked, s.readings.Load())
		delayed.open()
		synctest.Wait()
		assert.Equal(t, []string{"t0", "t0"}, s.arrived())
	})
}

func TestPlain_AReadingThatIsOlderThanWhatIsKnownIsNotNoted(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, s *scripted)
		sent      []string
	}{
		"a reading that started later ended first": {
			func(t *testing.T, s *scripted) {
				s.says("a2")
				resp, err := s.client.Get(t.Context(), "/data")
				requireOK(t, resp, err)
			},
			[]string{"a2", "a2", "a2"},
		},
		"a refresh has ended": {
			func(t *testing.T, s *scripted) {
				s.says("refused")
				resp, err := s.client.Get(t.Context(), "/data")
				requireOK(t, resp, err)
			},
			[]string{"refused", "a2", "a2", "a2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(bearer("a1"))
				s.accept("a2")
				s.refreshBy(func() { s.says("a2") }, "a2", nil)

				slow := newGate()
				s.read = slow.pass
				late := s.get(t.Context()) // its reading of the token ends late
				synctest.Wait()
				s.mu.Lock()
				s.read = nil
				s.mu.Unlock()

				c.meanwhile(t, s)
				slow.open()
				resp, err := result(late)
				requireOK(t, resp, err)
				resp, err = s.client.Get(t.Context(), "/data")
				requireOK(t, resp, err)
				assert.Equal(t, c.sent, s.arrived())
			})
		})
	}
}

// delayReadings makes the nth calls of Token from now wait at a gate each, after they have read the
// token.
func (s *scripted) delayReadings(nth ...int64) (gates []*gate) {
	delayed, began := map[int64]*gate{}, s.readings.Load()
	for _, n := range nth {
		delayed[began+n] = newGate()
		gates = append(gates, delayed[began+n])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = func() {
		if g := delayed[s.readings.Load()]; g != nil {
			g.pass()
		}
	}
	return gates
}

// readBefore starts a call that is refused and refreshed. A second call reads the token right before
// the refresh starts, and its reading ends when the gate is opened.
func (s *scripted) readBefore(
	t *testing.T, refreshing *gate, meanwhile func(),
) (refused, second *future.Future[*axle.Response], delayed *gate) {
	t.Helper()

	// The first call reads the token when it is sent, when it is refused, and before it has the session
	// refresh. The second call reads it last.
	gates := s.delayReadings(3, 4)
	refused = s.get(t.Context())
	synctest.Wait()
	meanwhile()
	second = s.get(t.Context())
	synctest.Wait()
	require.EqualValues(t, 1, gates[1].waiting.Load())

	gates[0].open()
	synctest.Wait()
	require.EqualValues(t, 1, refreshing.waiting.Load())
	return refused, second, gates[1]
}

func TestPlain_AReadingThatStartedBeforeARefreshIsNotNotedDuringIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		s.accept("a2")
		refreshing := newGate()
		s.refreshBy(refreshing.pass, "a2", nil)
		refused, second, delayed := s.readBefore(t, refreshing, func() { s.says("bobs") })

		delayed.open() // "bobs" is no news of the refresh's login, nor what the refresh returned
		synctest.Wait()
		refreshing.open()
		for _, call := range []*future.Future[*axle.Response]{refused, second} {
			_, err := result(call)
			require.ErrorIs(t, err, auth.ErrSessionChanged)
		}
		assert.Equal(t, []string{"a1"}, s.arrived())
	})
}

func TestPlain_AReadingThatStartedBeforeARefreshIsNotNotedAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		s.accept("a2")
		refreshing := newGate()
		s.refreshBy(func() { refreshing.pass(); s.says("a2") }, "a2", nil)
		refused, second, delayed := s.readBefore(t, refreshing, func() {})

		refreshing.open()
		resp, err := result(refused)
		requireOK(t, resp, err)
		delayed.open()
		resp, err = result(second)
		requireOK(t, resp, err)
		assert.Equal(t, []string{"a1", "a2", "a2"}, s.arrived())
		assert.EqualValues(t, 1, s.refreshes.Load())
	})
}

func TestPlain_AReadingThatStartedBeforeAnEarlyRefreshIsNotNotedAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(living("t0", time.Hour), auth.WithEarlyRefresh(window))
		s.accept("t0", "t1")
		s.refreshBy(func() { s.says("t1") }, "t1", nil)
		time.Sleep(55 * time.Minute)

		delayed := s.delayReadings(2, 3) // the reading of the early refresh, and that of a call
		resp, err := s.client.Get(t.Context(), "/data")
		requireOK(t, resp, err)
		synctest.Wait()
		call := s.get(t.Context())
		synctest.Wait()
		delayed[0].open()
		synctest.Wait()
		require.EqualValues(t, 1, s.refreshes.Load())

		delayed[1].open() // "t0"
		resp, err = result(call)
		requireOK(t, resp, err)
		assert.Equal(t, []string{"t0", "t1"}, s.arrived())
	})
}

func TestPlain_AReadingThatStartedDuringALogoutIsNotNotedAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(bearer("a1"))
		refused, leaving := s.leaving(t, func() { s.says("") })
		delayed := s.delayReadings(1)
		call := s.get(t.Context())
		synctest.Wait()
		require.EqualValues(t, 1, delayed[0].waiting.Load())
		leaving.open()
		_, err := result(refused)
		require.ErrorIs(t, err, errBoom)

		delayed[0].open() // "a1"
		_, err = result(call)
		require401(t, err)
		assert.Equal(t, []string{"a1", ""}, s.arrived())
	})
}
