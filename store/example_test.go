package store_test

import (
	"context"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/store"
)

func Example() {
	type User struct{ Name string }
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

func ExampleUserStore_RefreshToken() {
	session := store.New[string](func(_ context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "after " + current.AccessToken}, nil
	})
	session.Login("ada", &oauth2.Token{AccessToken: "a1", RefreshToken: "r1"})
	token, err := session.RefreshToken(context.Background())
	fmt.Println(token.AccessToken, token.RefreshToken, err) // an answer without a refresh token keeps the old one
	// Output: after a1 r1 <nil>
}
