//go:build js

// Frontend is the program of the page. It logs in, loads stars from the API, and shows how the calls
// pass through the client.
//
// This file has the client and what the buttons do. board.go follows the calls, view.go shows them,
// and page.go is the little that the program needs of the browser's document.
package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/logging"
	"github.com/axlehttp/axle/store"
)

// User is the person who is logged in.
type User struct {
	Name string `json:"name"`
}

// Star is one item of the API.
type Star struct {
	Name          string `json:"name"`
	Constellation string `json:"constellation"`
	Distance      string `json:"distance"` // in light years
}

// app is the frontend: a client, its session, and the page that shows both.
type app struct {
	client  *axle.Client
	session *store.UserStore[User]
	page    page
	board   *board
}

func main() {
	ctx := context.Background()
	page := newPage()
	if a, err := newApp(ctx, page); err == nil {
		a.start(ctx)
	} else {
		page.say("loading", "The session of this page could not be opened: "+err.Error())
	}

	// From here on the program runs when something happens in the page.
	select {}
}

func newApp(ctx context.Context, p page) (*app, error) {
	board := newBoard(p)
	client := axle.New().SetBaseURL(p.origin())

	// All tabs of this page share one session, and the session outlives a reload.
	session, err := store.Open[User](ctx, store.Endpoint(client, "/api/refresh"),
		store.LocalStorage("axle example"),
		store.WithLogoutWhen(store.RejectedOnly),
		store.WithLogout(func(ctx context.Context, last *oauth2.Token) error {
			_, err := client.Post(ctx, "/api/logout", map[string]string{"refresh_token": last.RefreshToken})
			return err
		}),
		store.WithObserver(board))
	if err != nil {
		return nil, err
	}

	// The one that is installed first stands next to the network. So the board sees each attempt
	// there, also the 401 that auth mends, and sees each call once at the other end. The logging
	// interceptor writes to the console of the browser.
	client.Use(board.nearNetwork(), logging.New(), auth.New(session), board.nearCaller())
	return &app{client, session, p, board}, nil
}

// start shows the page and says what its buttons do.
func (a *app) start(ctx context.Context) {
	a.board.view.showChains(a.client)
	a.page.on("login", "submit", func() { a.login(ctx) })
	a.page.on("load", "click", func() { a.loadAll(ctx) })
	a.page.on("expire", "click", func() { a.expire(ctx) })
	a.page.on("logout", "click", func() { a.logout(ctx) })

	// The session also changes without a button of this page: a refresh may be refused, and another
	// tab may log in or out.
	a.session.Subscribe(func(now, before store.State[User]) {
		switch {
		case before.User == nil && now.User != nil:
			go a.enter(ctx)
		case before.User != nil && now.User == nil:
			a.leave("The session has ended.")
		}
	})

	if a.session.State().User != nil {
		a.enter(ctx)
	} else {
		a.leave("")
	}
	a.page.hide("loading")
}

// login sends what the form has. The call belongs to no session, so auth.Skip keeps it out of one.
func (a *app) login(ctx context.Context) {
	a.page.say("login-error", "")
	a.page.disable("login-fields", true)
	defer a.page.disable("login-fields", false)

	a.board.begin("Log in")
	name := a.page.field("name")
	form := map[string]string{"name": name, "password": a.page.field("password")}

	token, err := axle.Post[oauth2.Token](ctx, a.client, "/api/login", form, auth.Skip)
	if err != nil {
		a.page.say("login-error", reason(err))
		return
	}
	a.page.setField("password", "")
	a.session.Login(User{Name: name}, &token)
}

// enter shows the part of the page for a user, and lists the stars.
func (a *app) enter(ctx context.Context) {
	user := a.session.State().User
	if user == nil {
		return
	}
	a.page.say("user", user.Name)
	a.page.say("message", "")
	a.page.hide("guest")
	a.page.show("member")

	a.board.begin("The list")
	names, err := axle.Get[[]string](ctx, a.client, "/api/stars")
	if err != nil {
		a.page.say("message", "The list could not be loaded: "+reason(err))
		return
	}
	a.page.list("stars", names)
}

// leave shows the login form.
func (a *app) leave(why string) {
	a.page.say("login-error", "")
	a.page.say("goodbye", why)
	a.page.list("stars", nil)
	a.page.hide("member")
	a.page.show("guest")
}

// loadAll loads every star of the list at the same time. If the access token has expired, the calls
// share one refresh, and nothing here has to know of it.
func (a *app) loadAll(ctx context.Context) {
	stars := a.page.details("stars")
	if len(stars) == 0 {
		// The list itself could not be loaded before.
		a.enter(ctx)
		return
	}
	a.board.begin(fmt.Sprint(len(stars), " parallel loads"))
	a.page.say("message", "")

	var loads []*future.Future[Star]
	for i, detail := range stars {
		detail.Set("textContent", "…")
		loads = append(loads, future.Go(func() (Star, error) {
			star, err := axle.Get[Star](ctx, a.client, fmt.Sprint("/api/stars/", i+1))
			if err != nil {
				detail.Set("textContent", "not loaded")
				return star, err
			}
			detail.Set("textContent", star.Constellation+" · "+star.Distance+" ly")
			return star, nil
		}))
	}

	if _, err := future.All(loads...).Await(ctx); err != nil {
		a.page.say("message", "Not every star could be loaded: "+reason(err))
	}
}

// expire has the API refuse the current access token from now on.
func (a *app) expire(ctx context.Context) {
	a.board.begin("Expire the access token")
	if _, err := a.client.Post(ctx, "/api/expire", nil); err != nil {
		a.page.say("message", "The token could not be expired: "+reason(err))
		return
	}
	a.page.say("message",
		"The access token has expired. The page does not know it yet: the next call gets a 401.")
}

// logout ends the session. For this page it has ended at once. For the other tabs and for a reload, it
// has ended when Logout returns, and so the form waits for that.
func (a *app) logout(ctx context.Context) {
	a.page.disable("login-fields", true)
	defer a.page.disable("login-fields", false)

	a.board.begin("Log out")
	if err := a.session.Logout(ctx); err != nil {
		a.page.say("goodbye", "The session has ended here, but not everywhere: "+reason(err))
		return
	}
	a.page.say("goodbye", "You are logged out, in all tabs of this page.")
}

// reason returns what a person can be told of a failed call: the words of the API, if it has said
// something.
func reason(err error) string {
	type problem struct {
		Error string `json:"error"`
	}
	if said, ok := axle.ErrorBody[problem](err); ok && said.Error != "" {
		return said.Error
	}

	switch {
	case errors.Is(err, axle.CodeNetwork):
		return "The API cannot be reached."
	case errors.Is(err, auth.ErrSessionChanged):
		return "The session has ended."
	}
	return err.Error()
}
