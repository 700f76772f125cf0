// Command goapp is a page of go-app, whose component loads a list by axle. It is a module of its own, so
// that axle's users do not inherit go-app's dependencies. Its test builds it for js/wasm and looks at
// the page in Chromium.
package main

import (
	"context"

	"github.com/maxence-charriere/go-app/v10/pkg/app"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func main() {
	route()
	app.RunWhenOnBrowser()
}

// route says which component is the page. A server of go-app knows it too.
func route() { app.Route("/", func() app.Composer { return new(list) }) }

type user struct{ Name string }

// newClient returns a client in a session, which is shared by all tabs.
func newClient(ctx context.Context) (*axle.Client, error) {
	origin := *app.Window().URL()
	origin.Path, origin.RawQuery, origin.Fragment = "/api", "", ""

	client := axle.New().SetBaseURL(origin.String())
	session, err := store.Open[user](ctx, store.Endpoint(client, "/refresh"),
		store.LocalStorage("session"), store.WithLogoutWhen(store.RejectedOnly))
	if err != nil {
		return nil, err
	}

	if session.State().User == nil {
		token, err := axle.Post[*oauth2.Token](ctx, client, "/login", map[string]string{"name": "Ada"})
		if err != nil {
			return nil, err
		}
		session.Login(user{"Ada"}, token)
	}
	return client.Use(auth.New(session)), nil
}

// list is a component that shows a list of the API.
type list struct {
	app.Compo
	items []string
	err   error
}

// OnMount is called when the component is on the page.
func (l *list) OnMount(ctx app.Context) {
	ctx.Async(func() {
		items, err := load(ctx)
		ctx.Dispatch(func(app.Context) { l.items, l.err = items, err })
	})
}

func load(ctx context.Context) ([]string, error) {
	client, err := newClient(ctx)
	if err != nil {
		return nil, err
	}
	return axle.Get[[]string](ctx, client, "/items")
}

// Render draws the component.
func (l *list) Render() app.UI {
	if l.err != nil {
		return app.P().Text("The list cannot be shown: " + l.err.Error())
	}
	return app.Ul().Body(app.Range(l.items).Slice(func(i int) app.UI {
		return app.Li().Text(l.items[i])
	}))
}
