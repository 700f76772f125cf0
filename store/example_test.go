package store_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

type User struct{ Name string }

// A session from its login to its logout, and a subscriber that is called for both.
func Example() {
	session := store.New[User](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "a2"}, nil
	})
	unsubscribe := session.Subscribe(func(state, _ store.State[User]) {
		if state.User == nil {
			fmt.Println("nobody")
			return
		}
		fmt.Println(state.User.Name, state.Token.AccessToken)
	})
	defer unsubscribe()

	session.Login(User{"ada"}, &oauth2.Token{AccessToken: "a1", RefreshToken: "r1"})
	_ = session.Logout(context.Background())
	// Output:
	// ada a1
	// nobody
}

// A client whose session refreshes at an endpoint of its server. A call gets a 401 for the expired
// token, and is replayed with the new one.
func ExampleNew() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/auth/refresh-token":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"fresh","refresh_token":"r2","expires_in":900}`)
		case r.Header.Get("Authorization") != "Bearer fresh":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			fmt.Fprint(w, "hello")
		}
	}))
	defer server.Close()

	client := axle.New().SetBaseURL(server.URL)
	session := store.New[User](store.Endpoint(client, "/auth/refresh-token"))
	client.Use(auth.New(session))
	session.Login(User{"ada"}, &oauth2.Token{AccessToken: "expired", RefreshToken: "r1"})

	resp, err := client.Get(context.Background(), "/")
	fmt.Println(resp.String(), err)
	fmt.Println(session.Token().AccessToken, session.Token().RefreshToken)
	// Output:
	// hello <nil>
	// fresh r2
}

// A new token without a refresh token keeps the old one.
func ExampleUserStore_RefreshToken() {
	session := store.New[User](func(_ context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "after " + current.AccessToken}, nil
	})
	session.Login(User{"ada"}, &oauth2.Token{AccessToken: "a1", RefreshToken: "r1"})

	token, err := session.RefreshToken(context.Background())
	fmt.Println(token.AccessToken, token.RefreshToken, err)
	// Output: after a1 r1 <nil>
}
