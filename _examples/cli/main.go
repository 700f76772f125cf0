// Cli is a command-line tool that stays signed in: the next run goes on with the session of the last
// one, and any number of runs at the same time share it.
//
//	go run ./_examples/cli demo       # everything by itself: ten processes, one refresh
//
//	go run ./_examples/cli serve      # the API and its OAuth2 server, until Ctrl-C; then elsewhere:
//	go run ./_examples/cli login      # in the browser; login -device is for a machine without one
//	go run ./_examples/cli whoami -v
//	go run ./_examples/cli logout
//
// session.go has the session, login.go the two ways to sign in, demo.go the ten processes, and
// server.go the OAuth2 server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cli:", err)
		os.Exit(1)
	}
}

const usage = "usage: cli login [-device] | whoami [-v] | logout | serve | demo, each with -h"

// run runs one command. Without a command it runs the demo.
func run(ctx context.Context, args []string, out io.Writer) error {
	command := "demo"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}

	s := settings{out: out, browse: func(url string) error {
		fmt.Fprintln(out, "Open this page in a browser:", url)
		return nil
	}}
	flags := flag.NewFlagSet("cli "+command, flag.ContinueOnError)
	flags.StringVar(&s.server, "server", "http://127.0.0.1:8085", "the origin of the API")
	flags.StringVar(&s.file, "session", "", "the file of the session (default: the user's)")
	device := flags.Bool("device", false, "login: sign in on another device")
	verbose := flags.Bool("v", false, "whoami: say where the access token came from")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0:
		return errors.New(usage)
	}

	switch command {
	case "login":
		return s.login(ctx, *device)
	case "whoami":
		return s.whoami(ctx, *verbose)
	case "logout":
		return s.logout(ctx)
	case "serve":
		return s.serve(ctx)
	case "demo":
		return demo(ctx, out)
	}
	return errors.New(usage)
}

// login signs in, in the browser or on another device, and saves the session.
func (s settings) login(ctx context.Context, device bool) error {
	app, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer app.session.Close()

	signIn := inBrowser
	if device {
		signIn = onDevice
	}
	token, err := signIn(ctx, app.oauth, s.browse)
	if err != nil {
		return err
	}

	// The session does not have the token yet, so this call carries it itself.
	user, err := axle.Get[User](ctx, app.client, "/userinfo", auth.Skip,
		axle.WithHeader("Authorization", "Bearer "+token.AccessToken))
	if err != nil {
		return err
	}

	// Login returns when the session is saved, and Close says if it could not be.
	app.session.Login(user, token)
	if err := app.session.Close(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Signed in as %s.\n", user.Name)
	return nil
}

// whoami asks the API who is signed in.
func (s settings) whoami(ctx context.Context, verbose bool) (err error) {
	app, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.session.Close()) }()
	before := app.session.State()
	if before.User == nil {
		return errors.New("nobody is signed in; run: cli login")
	}

	user, err := axle.Get[User](ctx, app.client, "/userinfo")
	switch {
	case errors.Is(err, store.ErrOutcomeUnknown):
		return fmt.Errorf("the answer to an earlier refresh was lost; run: cli login (%w)", err)
	case err != nil && app.session.State().User == nil:
		return fmt.Errorf("the session has ended; run: cli login (%w)", err)
	case err != nil:
		return err
	}

	if !verbose {
		fmt.Fprintln(s.out, user.Name)
		return nil
	}
	how := "the saved access token was good"
	switch {
	case app.refreshes.Load() > 0:
		how = "refreshed the session"
	case app.session.Token().AccessToken != before.Token.AccessToken:
		how = "took over the refresh of another process"
	}
	fmt.Fprintf(s.out, "%s  (process %d %s)\n", user.Name, os.Getpid(), how)
	return nil
}

// logout ends the session here, on the server, and in every process that has it open.
func (s settings) logout(ctx context.Context) (err error) {
	app, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.session.Close()) }()

	if err := app.session.Logout(ctx); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "Signed out.")
	return nil
}

// serve runs the API until ctx ends.
func (s settings) serve(ctx context.Context) error {
	server, err := startServer(s.server)
	if err != nil {
		return err
	}
	defer server.Close()

	fmt.Fprintf(s.out, "The API is at %s. It lets access tokens expire after %v.\n", server.URL, server.lifetime)
	<-ctx.Done()
	return nil
}
