// Sdk uses a small typed API client. The client, in the folder notes, is built as an SDK author would
// build it.
//
//	go run ./_examples/sdk
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/_examples/sdk/notes"
	"github.com/axlehttp/axle/_examples/sdk/notestest"
	"github.com/axlehttp/axle/store"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "sdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	server := notestest.New()
	defer server.Close()

	session := store.New[string](store.Endpoint(axle.New().SetBaseURL(server.URL), "/auth/refresh-token"))
	session.Login("ada", &oauth2.Token{AccessToken: "expired", RefreshToken: "r"})
	client := notes.New(server.URL, notes.WithSession(session))

	for _, text := range []string{"buy milk", "write to Grace", "sleep"} {
		note, err := client.Create(ctx, text)
		if err != nil {
			return err
		}
		fmt.Printf("created note %s\n", note.ID)
	}

	for note, err := range client.All(ctx, 2) {
		if err != nil {
			return err
		}
		fmt.Printf("note %s: %s\n", note.ID, note.Text)
	}

	_, err := client.Get(ctx, "99")
	failed, ok := errors.AsType[*notes.Error](err)
	if !ok {
		return fmt.Errorf("want the API's own error, got %w", err)
	}
	fmt.Printf("note 99: %s\n", failed.Message)

	fmt.Printf("%d refresh, %d pages\n", server.Refreshes, server.Pages)
	if server.Refreshes != 1 || server.Pages != 2 {
		return errors.New("these are not the right numbers")
	}
	return nil
}
