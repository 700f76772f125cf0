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

// Twenty calls find the token expired at the same time. The session refreshes once.
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

// One session for several clients. The login itself carries no token, and a 401 of it causes no
// refresh.
func ExampleNew() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s: %q", r.URL.Path, r.Header.Get("Authorization"))
	}))
	defer server.Close()

	users := axle.New().SetBaseURL(server.URL + "/users/")
	orders := axle.New().SetBaseURL(server.URL + "/orders/")
	session := store.New[string](store.Endpoint(users, "refresh-token"))
	authorized := auth.New(session)
	users.Use(authorized)
	orders.Use(authorized)

	ctx := context.Background()
	login, _ := users.Post(ctx, "login", nil, auth.Skip)
	fmt.Println(login.String())

	session.Login("ada", &oauth2.Token{AccessToken: "a1", RefreshToken: "r1"})
	order, _ := orders.Get(ctx, "7")
	fmt.Println(order.String())
	// Output:
	// /users/login: ""
	// /orders/7: "Bearer a1"
}
