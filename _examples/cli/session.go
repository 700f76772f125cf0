package main

import (
	"context"
	"io"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// User is the user as the API knows them. They are saved with the session.
type User struct {
	Name string `json:"name"`
}

// settings are what the flags and the tests set.
type settings struct {
	server string // the origin of the API
	file   string // of the session; empty: the user's own
	out    io.Writer
	browse func(url string) error // shows a page to the user
}

// app is the tool with its session.
type app struct {
	client    *axle.Client
	session   *store.UserStore[User]
	oauth     *oauth2.Config
	refreshes atomic.Int64 // that this process has made
}

// open opens the session that an earlier run has saved, if there is one.
func (s settings) open(ctx context.Context) (*app, error) {
	file := s.file
	if file == "" {
		var err error
		if file, err = store.UserFile("axle-example-cli"); err != nil {
			return nil, err
		}
	}

	a := &app{
		client: axle.New().SetBaseURL(s.server),
		oauth: &oauth2.Config{
			ClientID: clientID,
			Endpoint: oauth2.Endpoint{
				AuthURL:       s.server + "/authorize",
				DeviceAuthURL: s.server + "/device_authorization",
				TokenURL:      s.server + "/token",
				AuthStyle:     oauth2.AuthStyleInParams,
			},
		},
	}

	// The count is for whoami -v. Without it, store.OAuth2(a.oauth) is the whole RefreshFunc.
	grant := store.OAuth2(a.oauth)
	refresh := func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
		a.refreshes.Add(1)
		return grant(ctx, current)
	}

	session, err := store.Open[User](ctx, refresh, store.File(file),
		store.WithLogoutWhen(store.RejectedOnly),
		store.WithLogout(a.revoke))
	if err != nil {
		return nil, err
	}
	a.session = session
	a.client.Use(auth.New(session))
	return a, nil
}

// revoke tells the server that the session is over (RFC 7009).
func (a *app) revoke(ctx context.Context, last *oauth2.Token) error {
	if last == nil {
		return nil
	}
	_, err := a.client.R(ctx).With(auth.Skip).
		SetForm(map[string]string{"client_id": clientID, "token": last.RefreshToken}).
		Post("/revoke")
	return err
}
