package order_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/logging"
)

func TestOrder_TheFirstInstalledIsTheNearestToTheNetwork(t *testing.T) {
	var log steps
	c, _ := start(t, ok)
	c.Use(log.witness("first"), log.witness("second"), log.witness("third"))

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{
		"> third", "> second", "> first",
		"< first 200", "< second 200", "< third 200",
	}, log.taken())
	assert.Equal(t, "request chain:  third -> second -> first\nresponse chain: first -> second -> third", c.String())
}

func TestOrder_AReplayRunsAllRequestHandlersAgainAndTheResponseHandlersThatAreNearer(t *testing.T) {
	var log steps
	c, _ := start(t, expired, ok)
	session, refreshes := newAuth()
	c.Use(log.witness("nearer"), session, log.witness("farther"))

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{
		"> farther", "> nearer", "< nearer 401!",
		"> farther", "> nearer", "< nearer 200",
		"< farther 200",
	}, log.taken())
	assert.EqualValues(t, 1, refreshes.Load())
}

func TestOrder_LoggingBeforeAuthWritesARecordPerAttemptAndAfterItOnePerCall(t *testing.T) {
	for _, tt := range []struct {
		farther bool
		want    string
	}{
		{farther: false, want: "401 200"},
		{farther: true, want: "200"},
	} {
		c, _ := start(t, expired, ok)
		session, _ := newAuth()
		var h records
		c.Use(inOrder(tt.farther, logging.New(logging.WithLogger(h.logger())), session))

		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, tt.want, h.String())
	}
}

func TestOrder_TheContextThatTheLastInstalledSetsReachesEveryOtherHandlerInEachAttempt(t *testing.T) {
	type spanKey struct{}
	c, _ := start(t, expired, ok)
	session, _ := newAuth()
	var h records
	c.Use(
		logging.New(logging.WithLogger(h.logger())),
		session,
		axle.OnRequest("span", func(ctx context.Context, r *axle.Request) (*axle.Request, error) {
			return r.SetContext(context.WithValue(ctx, spanKey{}, "a span")), nil
		}, nil))

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	require.Len(t, h.contexts, 2)
	for _, ctx := range h.contexts {
		assert.Equal(t, "a span", ctx.Value(spanKey{}))
	}
}

func TestOrder_WhatUnwrapsErrorsIsFartherThanAuthOrTheRefreshIsLost(t *testing.T) {
	for _, nearer := range []bool{false, true} {
		c, _ := start(t, expired, ok)
		session, refreshes := newAuth()
		c.Use(inOrder(nearer, session, unwrap()))

		got, err := axle.Get[string](t.Context(), c, "/")
		if nearer {
			assert.ErrorIs(t, err, apiError("the token has expired"))
			assert.Zero(t, refreshes.Load(), "auth has seen no 401")
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, "hello", got)
		assert.EqualValues(t, 1, refreshes.Load())
	}
}

// sign is an interceptor that signs the headers that a request has when the handler runs.
func sign() axle.Plugin {
	return axle.OnRequest("signature", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		return r.SetHeader("X-Signature", signatureOf(r.Header)), nil
	}, nil)
}

func signatureOf(h http.Header) string {
	mac := hmac.New(sha256.New, []byte("a key"))
	mac.Write([]byte(h.Get("Authorization") + "\n" + h.Get("Idempotency-Key")))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestOrder_ASignatureIsInstalledFirstSoThatItCoversWhatAllOthersSetInEachAttempt(t *testing.T) {
	for _, last := range []bool{false, true} {
		c, b := start(t, expired, ok)
		session, _ := newAuth()
		c.Use(inOrder(last, sign(), session, idempotency()))

		_, err := c.Post(t.Context(), "/", "x")
		require.NoError(t, err)
		tokens, signatures := b.arrived("Authorization"), b.arrived("X-Signature")
		require.Equal(t, []string{"Bearer t1", "Bearer t2"}, tokens)
		for i, header := range b.requests {
			assert.Equal(t, !last, signatures[i] == signatureOf(header))
		}
	}
}

// idempotency gives each call a key, which a Key keeps over the attempts.
func idempotency() axle.Plugin {
	kept := axle.NewKey[string]("idempotency key")
	return axle.OnRequest("idempotency", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		key, found := kept.Get(r)
		if !found {
			key = rand.Text()
			kept.Set(r, key)
		}
		return r.SetHeader("Idempotency-Key", key), nil
	}, nil)
}

func TestOrder_AnIdempotencyKeyIsTheSameInEveryAttemptWhereverItsInterceptorIs(t *testing.T) {
	for _, nearer := range []bool{false, true} {
		c, b := start(t, expired, ok)
		session, _ := newAuth()
		c.Use(inOrder(nearer, session, idempotency()))

		for range 2 {
			_, err := c.Post(t.Context(), "/", "x")
			require.NoError(t, err)
		}
		keys := b.arrived("Idempotency-Key")
		require.Len(t, keys, 3)
		assert.NotEmpty(t, keys[0])
		assert.Equal(t, keys[0], keys[1])
		assert.NotEqual(t, keys[0], keys[2], "another call")
	}
}

// cache is an interceptor that keeps every response, and answers from them.
func cache() axle.Plugin {
	kept := map[string]*axle.Response{}
	return axle.PluginFunc(func(c *axle.Client) func() {
		c.Use(
			axle.OnRequest("cache", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				if hit := kept[r.URL]; hit != nil {
					r.Respond(hit)
				}
				return r, nil
			}, nil),
			axle.OnResponse("cache", func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
				if resp.Raw() != nil {
					kept[resp.Request.URL] = axle.NewResponse(nil, resp.StatusCode, resp.Header.Clone(), resp.Bytes())
				}
				return resp, nil
			}, nil))
		return func() {}
	})
}

func TestOrder_ACacheIsNearerThanWhatUnwrapsBodiesOrAHitIsUnwrappedTwice(t *testing.T) {
	for _, farther := range []bool{false, true} {
		c, b := start(t, ok)
		c.Use(inOrder(farther, cache(), unwrap()))

		got, err := axle.Get[string](t.Context(), c, "/")
		require.NoError(t, err)
		assert.Equal(t, "hello", got)

		got, err = axle.Get[string](t.Context(), c, "/")
		if farther {
			assert.ErrorIs(t, err, axle.CodeBadResponse, "there is no envelope any more")
		} else {
			require.NoError(t, err)
			assert.Equal(t, "hello", got)
		}
		assert.Len(t, b.requests, 1)
	}
}

// Somebody else has installed auth and an interceptor after it.
func TestOrder_NearerThanAuthIsAfterItInTheRequestChainAndBeforeItInTheResponseChain(t *testing.T) {
	c, _ := start(t, expired, ok)
	session, _ := newAuth()
	var log steps
	c.Use(session, log.witness("theirs"))

	c.Use(
		axle.OnRequest("mine", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
			log.add("> mine has " + r.Header.Get("Authorization"))
			return r, nil
		}, nil, axle.After("auth")),
		axle.OnResponse("mine", nil, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
			log.add("< mine gets " + err.Response.Status)
			return nil, err
		}, axle.Before("auth")))

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{
		"> theirs", "> mine has Bearer t1", "< mine gets 401 Unauthorized",
		"> theirs", "> mine has Bearer t2",
		"< theirs 200",
	}, log.taken())
}
