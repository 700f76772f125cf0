// Command session reads a list by axle in a session that all tabs of the page's origin share. The
// command size measures it.
package main

import (
	"context"
	"os"
	"strings"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

type user struct{ Name string }

func main() {
	items, err := read(context.Background())
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		return
	}
	_, _ = os.Stdout.WriteString(strings.Join(items, "\n"))
}

func read(ctx context.Context) ([]string, error) {
	client := axle.New().SetBaseURL("https://api.example")
	session, err := store.Open[user](ctx, store.Endpoint(client, "/auth/refresh"),
		store.LocalStorage("session"))
	if err != nil {
		return nil, err
	}
	client.Use(auth.New(session))
	return axle.Get[[]string](ctx, client, "/items")
}
