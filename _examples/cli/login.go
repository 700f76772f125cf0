package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
)

// inBrowser signs in by the authorization code grant with PKCE. The browser comes back to a port on
// loopback (RFC 8252 §7.3).
func inBrowser(ctx context.Context, cfg *oauth2.Config, browse func(string) error) (*oauth2.Token, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	here := *cfg
	here.RedirectURL = "http://" + listener.Addr().String() + "/callback"
	state, verifier := rand.Text(), oauth2.GenerateVerifier()

	// The first answer with the right state counts. Another page of the browser cannot know it.
	code, found, failed := future.WithResolvers[string]()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			answer := r.URL.Query()
			switch {
			case r.URL.Path != "/callback" || answer.Get("state") != state:
				http.NotFound(w, r)
				return
			case answer.Get("code") == "":
				failed(refusal(answer))
			default:
				found(answer.Get("code"))
			}
			fmt.Fprintln(w, "You can close this page and go back to the terminal.")
		})}
	served := future.Go(func() (struct{}, error) { return struct{}{}, server.Serve(listener) })

	if err := browse(here.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier))); err != nil {
		failed(err)
	}
	answer, err := code.Await(ctx)

	// Shutdown lets the browser read the page to its end.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = server.Shutdown(closing)
	<-served.Done()
	if err != nil {
		return nil, err
	}
	return here.Exchange(ctx, answer, oauth2.VerifierOption(verifier))
}

// refusal is the error that the server has redirected with.
func refusal(answer url.Values) error {
	if answer.Get("error") == "" {
		return errors.New("the server sent the browser back without a code")
	}
	return fmt.Errorf("the server did not sign you in: %q", answer.Get("error"))
}

// onDevice signs in by the device grant (RFC 8628): the user goes to a page on a device that has a
// browser.
func onDevice(ctx context.Context, cfg *oauth2.Config, browse func(string) error) (*oauth2.Token, error) {
	device, err := cfg.DeviceAuth(ctx)
	if err != nil {
		return nil, err
	}
	if err := browse(device.VerificationURIComplete); err != nil {
		return nil, err
	}
	return cfg.DeviceAccessToken(ctx, device)
}
