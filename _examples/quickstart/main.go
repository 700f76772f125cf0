// Quickstart sends a hundred parallel calls on a dead token. They cause one refresh and get a hundred
// responses.
//
//	go run ./_examples/quickstart
//
// The program needs no services: it holds the API itself, see api.go. The access tokens of the API
// expire, and its refresh tokens rotate: a refresh token that is spent twice ends the session. The
// program ends with an error unless there was exactly one refresh and every call succeeded.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// User is the person who is logged in.
type User struct {
	Name string `json:"name"`
}

// Item is one item of the API.
type Item struct {
	ID int `json:"id"`
}

const calls = 100

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var timeline timeline
	api := newAPI(&timeline)
	server := httptest.NewServer(api)
	defer server.Close()

	// The client, its session, and the interceptor that keeps the two together.
	client := axle.New().SetBaseURL(server.URL)
	session := store.New[User](store.Endpoint(client, "/auth/refresh-token"))
	client.Use(auth.New(session))

	// A login belongs to no session. auth.Skip keeps it out of the one above.
	token, err := axle.Post[oauth2.Token](ctx, client, "/auth/login", map[string]string{"name": "ada"}, auth.Skip)
	if err != nil {
		return err
	}
	session.Login(User{Name: "ada"}, &token)

	// The token dies, and a hundred calls leave at once.
	api.expire()
	timeline.start()
	var inFlight []*future.Future[Item]
	for i := range calls {
		inFlight = append(inFlight, future.Go(func() (Item, error) {
			return axle.Get[Item](ctx, client, fmt.Sprintf("/items/%d", i))
		}))
	}
	settled, err := future.AllSettled(inFlight...).Await(ctx)
	if err != nil {
		return err
	}
	timeline.add("every call has its response")

	var failures []error
	for i, s := range settled {
		switch {
		case s.Err != nil:
			failures = append(failures, fmt.Errorf("call %d: %w", i, s.Err))
		case s.Value.ID != i:
			failures = append(failures, fmt.Errorf("call %d got the response of call %d", i, s.Value.ID))
		}
	}

	fmt.Printf("%d calls, side by side, on an access token that has just expired:\n\n", calls)
	timeline.print(os.Stdout)
	fmt.Println()
	return report(api.counts(), failures)
}

// report prints the counts. It returns an error if they are not the counts of one shared refresh.
func report(c counts, failures []error) error {
	for _, row := range []struct {
		name string
		n    int
	}{
		{"calls", calls},
		{"401s", c.unauthorized},
		{"refreshes", c.refreshes},
		{"replays", c.requests - calls},
		{"waited, and spared the 401", calls - c.unauthorized},
		{"refresh tokens spent twice", c.reuses},
		{"failures", len(failures)},
	} {
		fmt.Printf("  %-28s %4d\n", row.name, row.n)
	}

	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	if c.refreshes != 1 || c.reuses != 0 || c.unauthorized != c.requests-calls {
		return fmt.Errorf("these are not the numbers of one shared refresh: %+v", c)
	}
	return nil
}
