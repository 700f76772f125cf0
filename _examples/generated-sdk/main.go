// Generated-sdk shows a client that oapi-codegen has generated and that knows nothing of axle. One
// line gives the generated client a session.
//
//	cd _examples/generated-sdk && go run .
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/test/sdks/petstore"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "generated-sdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	server := newServer()
	defer server.Close()

	client := axle.New().SetBaseURL(server.URL)
	session := store.New[string](store.Endpoint(client, "/auth/refresh-token"))
	session.Login("ada", &oauth2.Token{AccessToken: "dead", RefreshToken: "refresh-0"})
	client.Use(auth.New(session))

	// This is the one line. The generated client now sends through axle's chains.
	pets, err := petstore.NewClientWithResponses(server.URL, petstore.WithHTTPClient(client.HTTPClient()))
	if err != nil {
		return err
	}

	found, err := pets.GetPetWithResponse(ctx, "axle")
	if err != nil {
		return err
	}
	if found.JSON200 == nil {
		return fmt.Errorf("want a pet, got %s", found.Status())
	}
	fmt.Printf("with a dead token: %s the %s, after %d refresh\n",
		found.JSON200.Name, *found.JSON200.Tag, server.refreshes.Load())

	// Ten calls get a 401 at the same time, and share one refresh.
	server.expire()
	const calls = 10
	var wg sync.WaitGroup
	errs := make([]error, calls)
	for n := range calls {
		wg.Go(func() {
			name := fmt.Sprint("pet ", n)
			created, err := pets.CreatePetWithResponse(ctx, petstore.NewPet{Name: name})
			if err == nil && (created.JSON201 == nil || created.JSON201.Name != name) {
				err = fmt.Errorf("%s came back as %s %s", name, created.Status(), created.Body)
			}
			errs[n] = err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Printf("after an expiry: %d pets created at once, %d refreshes in all\n", calls, server.refreshes.Load())

	// A 404 is no error of axle's here: the generated client decodes it into its own type.
	missing, err := pets.GetPetWithResponse(ctx, "nobody")
	if err != nil {
		return err
	}
	if missing.JSON404 == nil {
		return fmt.Errorf("want the typed 404, got %s", missing.Status())
	}
	fmt.Printf("the errors stay the SDK's own: %s, %s\n", missing.JSON404.Code, missing.JSON404.Message)

	if refreshes, reused := server.refreshes.Load(), server.reused.Load(); refreshes != 2 || reused != 0 {
		return fmt.Errorf("want 2 refreshes and no token used twice, got %d and %d", refreshes, reused)
	}
	return nil
}
