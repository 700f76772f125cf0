package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func Example() {
	refreshes := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/auth/refresh-token":
			refreshes++
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"access_token":"fresh","refresh_token":"r2","expires_in":900}`)
		case r.Header.Get("Authorization") != "Bearer fresh":
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()

	client := axle.New().SetBaseURL(server.URL)
	session := store.New[string](store.Endpoint(client, "/auth/refresh-token"))
	client.Use(auth.New(session))
	session.Login("ada", &oauth2.Token{AccessToken: "expired", RefreshToken: "r1"})

	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := client.Get(context.Background(), "/items"); err != nil {
				fmt.Println(err)
			}
		})
	}
	wg.Wait()
	fmt.Println("refreshes:", refreshes)
	fmt.Println("token:", session.Token().AccessToken)
	// Output:
	// refreshes: 1
	// token: fresh
}
