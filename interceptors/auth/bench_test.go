package auth_test

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func emptyResponse(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func BenchmarkAttach(b *testing.B) {
	users, _ := countingStore()
	for name, plugins := range map[string][]axle.Plugin{
		"without": nil, "plain": {auth.New(bearerSession("t"))}, "store": {auth.New(users)},
	} {
		b.Run(name, func(b *testing.B) {
			c := newClient(roundTrip(emptyResponse)).SetCookieJar(nil).Use(plugins...)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Get(context.Background(), "/"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStampede is a thousand calls at once on a dead token, in memory.
func BenchmarkStampede(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		refreshes := 0
		users := store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			refreshes++
			return &oauth2.Token{AccessToken: "fresh"}, nil
		})
		users.Login(user{}, &oauth2.Token{AccessToken: "stale"})
		c := axle.New().SetBaseURL("http://api.test").SetCookieJar(nil).Use(auth.New(users)).
			SetTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := emptyResponse(r)
				if r.Header.Get("Authorization") != "Bearer fresh" {
					resp.StatusCode = http.StatusUnauthorized
				}
				return resp, err
			}))
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := c.Get(context.Background(), "/"); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		if refreshes != 1 {
			b.Fatalf("%d refreshes", refreshes)
		}
	}
}
