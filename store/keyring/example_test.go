package keyring_test

import (
	"context"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/keyring"
)

func ExampleNew() {
	type User struct{ Name string }
	config := &oauth2.Config{Endpoint: oauth2.Endpoint{TokenURL: "https://id.example.com/token"}}

	_ = func(ctx context.Context) error {
		session, err := store.Open[User](ctx, store.OAuth2(config), keyring.New("example-cli", "ada"))
		if err != nil {
			return err
		}
		defer session.Close()
		fmt.Println(session.State().User)
		return nil
	}
	// Output:
}
