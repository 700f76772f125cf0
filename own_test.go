package axle_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestOwn_IsTheRequestOfTheCallAlsoInTheOutcomeOfAnother(t *testing.T) {
	c, _ := newFakeClient(always(202, "queued"))
	other, _ := newFakeClient(always(503, "down"))
	var given *axle.Request
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		given = resp.Request
		assert.Same(t, given, given.Own())
		return other.Get(resp.Request.Context(), "/state")
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		assert.Equal(t, "/state", err.Request.URL)
		assert.Same(t, given, err.Request.Own())
		assert.Equal(t, 1, err.Request.Attempt(), "of this call")
		return nil, err
	})
	_, err := c.Post(t.Context(), "/jobs", "body")
	require.Error(t, err)

	// In a later call, the request is that call's own.
	again := axle.New().SetBaseURL("http://axle.test")
	useRequest(again, func(r *axle.Request) {
		assert.Same(t, r, r.Own())
		r.Respond(axle.NewResponse(r, 200, nil, nil))
	})
	_, err = again.Do(asAxle(t, err).Request)
	require.NoError(t, err)

	r := c.R(t.Context())
	assert.Same(t, r, r.Own(), "of no call")
}

func TestReplay_OfTheOutcomeOfAnotherCallKeepsTheValuesOfThisOne(t *testing.T) {
	keep, mark := axle.NewKey[string]("keep"), axle.NewKey[bool]("mark")
	c, network := newFakeClient(always(202, "queued"))
	other, _ := newFakeClient(always(503, "down"))
	var kept []string
	useRequest(c, func(r *axle.Request) {
		value, _ := keep.Get(r)
		marked, _ := mark.Get(r)
		kept = append(kept, fmt.Sprint(value, marked))
		keep.Set(r, "call")
	})
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) {
		return other.Get(resp.Request.Context(), "/state", func(r *axle.Request) { keep.Set(r, "other") })
	})
	useRejected(c, func(err *axle.Error) (*axle.Response, error) {
		mark.Set(err.Request, true)
		return err.Request.Replay()
	})
	_, err := c.Get(t.Context(), "/jobs")
	require.Error(t, err)
	assert.EqualValues(t, 2, network.Sent.Load())
	assert.Equal(t, []string{"false", "calltrue"}, kept)
}
