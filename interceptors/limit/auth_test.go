package limit_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/internal/axletest"
	"github.com/axlehttp/axle/store"
)

// The refresh would end by its own time limit if it waited behind the calls that wait for it, and
// the session would end with it.
func TestSession_ARefreshDoesNotWaitBehindTheCallsThatNeedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := newTimeline()
		client, _ := axletest.NewFakeClient(func(r *http.Request) (*http.Response, error) {
			sent.note()
			switch {
			case r.URL.Path == "/refresh":
				return axletest.Reply(r, http.StatusOK, "fresh"), nil
			case r.Header.Get("Authorization") != "Bearer fresh":
				return axletest.Reply(r, http.StatusUnauthorized, ""), nil
			}
			return axletest.Reply(r, http.StatusOK, ""), nil
		})
		users := store.New[string](func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
			resp, err := client.Post(ctx, "/refresh", nil)
			if err != nil {
				return nil, err
			}
			return &oauth2.Token{AccessToken: resp.String()}, nil
		})
		client.Use(auth.New(users), limit.New(limit.WithRate(1, 50*time.Second, 1)))
		users.Login("ada", &oauth2.Token{AccessToken: "stale"})

		get(t, client, "/")
		assert.Equal(t, seconds(0, 0, 50), sent.sent, "a 401, the refresh at once, and the replay in its turn")
	})
}
