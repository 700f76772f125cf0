package axle_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/axlehttp/axle"
)

func ExamplePages() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") == "2" {
			fmt.Fprint(w, `["Grace"]`)
			return
		}
		w.Header().Set("Link", `</users?page=2>; rel="next"`)
		fmt.Fprint(w, `["Ada", "Barbara"]`)
	}))
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	pages := axle.Pages[[]string](context.Background(), client, "/users", axle.NextLink)
	for page, err := range pages {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(page)
	}
	// Output:
	// [Ada Barbara]
	// [Grace]
}

func ExampleItems() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") == "b" {
			fmt.Fprint(w, `{"users": ["Grace"]}`)
			return
		}
		fmt.Fprint(w, `{"users": ["Ada", "Barbara"], "next": "b"}`)
	}))
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	type userPage struct {
		Users []string
		Next  string
	}
	pages := axle.Pages(context.Background(), client, "/users",
		axle.NextCursor("cursor", func(p userPage) string { return p.Next }))

	users := axle.Items(pages, func(p userPage) []string { return p.Users })
	for user, err := range users {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(user)
	}
	// Output:
	// Ada
	// Barbara
	// Grace
}

func ExamplePoll() {
	var polls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("Location", "/exports/7")
			w.WriteHeader(http.StatusAccepted)
		case polls.Add(1) < 3:
			w.WriteHeader(http.StatusAccepted)
		default:
			fmt.Fprint(w, `{"rows": 1200}`)
		}
	}))
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	ctx := context.Background()
	started, err := client.Post(ctx, "/exports", map[string]string{"table": "users"})
	if err != nil {
		fmt.Println(err)
		return
	}

	type export struct{ Rows int }
	job := axle.PollURL(started) // a text, which can be kept, so that another process goes on
	done, err := axle.Poll[export](ctx, client, job, nil, axle.PollInterval(time.Millisecond, time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(done.Rows, "rows")
	// Output: 1200 rows
}

func ExampleEvents() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		switch r.Header.Get("Last-Event-ID") {
		case "":
			fmt.Fprint(w, "retry: 1\nid: 1\ndata: {\"price\": 41}\n\nid: 2\ndata: {\"pr") // and here it breaks off
		case "1":
			fmt.Fprint(w, "id: 2\nevent: close\ndata: {\"price\": 42}\n\n")
		default:
			w.WriteHeader(http.StatusNoContent) // no more
		}
	}))
	defer server.Close()
	client := axle.New().SetBaseURL(server.URL)

	type price struct{ Price int }
	for event, err := range axle.Events[price](context.Background(), client, "/prices") {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.ID, event.Type, event.Data.Price)
	}
	// Output:
	// 1 message 41
	// 2 close 42
}
