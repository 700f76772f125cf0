package sdks_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
)

func greeting() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
}

// statusOf is how a consumer that knows nothing of axle calls.
func statusOf(ctx context.Context, c *http.Client, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// plainContext has x/oauth2 use the client whose connections end with the server.
func plainContext(t *testing.T, a *api) context.Context {
	return context.WithValue(t.Context(), oauth2.HTTPClient, a.Client())
}

func TestOAuth2Consumer_OneRefreshForItAndForAxle(t *testing.T) {
	t.Parallel()
	a := newAPI(t, greeting())
	client := axle.New().SetBaseURL(a.URL).SetTransport(a.Client().Transport)
	session := a.session(client)
	client.Use(auth.New(session))
	session.SetState(expired) // which the consumer sees for itself; axle learns it from its 401s

	ctx := plainContext(t, a)
	consumer := oauth2.NewClient(ctx, session.TokenSource(ctx)) // the one line
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			<-start
			status, err := statusOf(ctx, consumer, a.URL+"/consumer")
			assert.NoError(t, err)
			assert.Equal(t, http.StatusOK, status)
		})
		wg.Go(func() {
			<-start
			resp, err := client.Get(ctx, "/axle")
			assert.NoError(t, err)
			assert.Equal(t, "hello", resp.String())
		})
	}
	close(start)
	wg.Wait()
	got := a.counts()
	assert.Equal(t, 1, got.refreshes, "one refresh for both")
	assert.Equal(t, 2*parallel, got.accepted)
	assert.Empty(t, got.reused)
}

// A client that oauth2.NewClient made keeps a token until its Expiry, and so does not learn of one that ends before. A
// oauth2.Transport that asks the store itself does.
func TestOAuth2Consumer_OnlyATransportLearnsOfAxlesRefreshAtOnce(t *testing.T) {
	t.Parallel()
	a := newAPI(t, greeting())
	client := axle.New().SetBaseURL(a.URL).SetTransport(a.Client().Transport)
	session := a.session(client)
	client.Use(auth.New(session))
	ctx := plainContext(t, a)
	keeping := oauth2.NewClient(ctx, session.TokenSource(ctx))
	asking := &http.Client{Transport: &oauth2.Transport{Source: session.TokenSource(ctx), Base: a.Client().Transport}}

	for _, c := range []*http.Client{keeping, asking} {
		status, err := statusOf(ctx, c, a.URL)
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, status, "neither knows that the token is dead")
	}
	_, err := client.Get(ctx, "/")
	require.NoError(t, err)
	for c, want := range map[*http.Client]int{keeping: http.StatusUnauthorized, asking: http.StatusOK} {
		status, err := statusOf(ctx, c, a.URL)
		require.NoError(t, err)
		assert.Equal(t, want, status)
	}
	assert.Equal(t, 1, a.counts().refreshes)
}
