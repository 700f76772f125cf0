package order_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/internal/axletest"
	"github.com/axlehttp/axle/store"
)

// user is the user of the sessions in these tests.
type user struct{ name string }

// newSession returns a session whose token is "t1", and "t2", "t3", … after each refresh.
func newSession() (session *store.UserStore[user], refreshes *atomic.Int64) {
	refreshes = new(atomic.Int64)
	session = store.New[user](func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: fmt.Sprintf("t%d", refreshes.Add(1)+1)}, nil
	})
	session.Login(user{"ada"}, &oauth2.Token{AccessToken: "t1"})
	return session, refreshes
}

// backend answers each request with the next of its answers, and the last one for ever. It notes
// what arrives.
type backend struct {
	answers []answer

	mu       sync.Mutex
	requests []http.Header
}

// answer is a response of a backend.
type answer struct {
	status int
	body   string
	header [2]string // a name and its value; may be empty
}

var (
	ok          = answer{status: http.StatusOK, body: `{"data":"hello"}`}
	expired     = answer{status: http.StatusUnauthorized, body: `{"error":"the token has expired"}`}
	unavailable = answer{status: http.StatusServiceUnavailable, body: `{"error":"come back later"}`}
)

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.requests = append(b.requests, r.Header.Clone())
	next := b.answers[min(len(b.requests), len(b.answers))-1]
	b.mu.Unlock()

	w.Header().Set("Content-Type", "application/json")
	if next.header[0] != "" {
		w.Header().Set(next.header[0], next.header[1])
	}
	w.WriteHeader(next.status)
	_, _ = io.WriteString(w, next.body)
}

// arrived returns the values of a header of the requests that arrived, in order.
func (b *backend) arrived(header string) (values []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.requests {
		values = append(values, h.Get(header))
	}
	return values
}

// start returns a client of a new server that gives these answers in turn.
func start(t *testing.T, answers ...answer) (*axle.Client, *backend) {
	t.Helper()
	b := &backend{answers: answers}
	return axletest.NewLoopback(t, b.ServeHTTP), b
}

// steps records what ran, in order.
type steps struct {
	mu   sync.Mutex
	list []string
}

func (s *steps) add(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, step)
}

func (s *steps) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = nil
	return list
}

// witness is an interceptor that changes nothing. It records "> name" for a request, "< name 200"
// for a response and "< name 401!" for an error.
func (s *steps) witness(name string) axle.Plugin {
	return axle.PluginFunc(func(c *axle.Client) func() {
		c.Use(
			axle.OnRequest(name, func(_ context.Context, r *axle.Request) (*axle.Request, error) {
				s.add("> " + name)
				return r, nil
			}, nil),
			axle.OnResponse(name, func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
				s.add(fmt.Sprintf("< %s %d", name, resp.StatusCode))
				return resp, nil
			}, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
				s.add(fmt.Sprintf("< %s %d!", name, err.StatusCode()))
				return nil, err
			}))
		return func() {}
	})
}

// unwrap takes the envelope {"data": …} off each response, and makes an apiError of {"error": …}.
func unwrap() axle.Plugin {
	open := func(resp *axle.Response) (data json.RawMessage, err error) {
		var envelope struct {
			Data  json.RawMessage
			Error string
		}
		switch err := resp.Decode(&envelope); {
		case err != nil:
			return nil, err
		case envelope.Error != "":
			return nil, apiError(envelope.Error)
		}
		return envelope.Data, nil
	}
	return axle.OnResponse("unwrap",
		func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
			data, err := open(resp)
			if err != nil {
				return nil, err
			}
			return resp.SetBytes(data), nil
		},
		func(_ context.Context, err *axle.Error) (*axle.Response, error) {
			if err.Response == nil {
				return nil, err
			}
			if _, apiErr := open(err.Response); apiErr != nil {
				// The wrapped *axle.Error would keep the status. Many an SDK does without.
				return nil, &axle.Error{Code: axle.CodeInterceptor, Request: err.Request, Err: apiErr}
			}
			return nil, err
		})
}

// apiError is the error of an API as its SDK shows it.
type apiError string

func (e apiError) Error() string { return string(e) }

// records is a slog.Handler that keeps the status of each record of interceptors/logging.
type records struct {
	slog.Handler // for the methods that no test calls

	mu       sync.Mutex
	statuses []string
	contexts []context.Context
}

func (h *records) Enabled(context.Context, slog.Level) bool { return true }

func (h *records) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.contexts = append(h.contexts, ctx)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "status" {
			h.statuses = append(h.statuses, a.Value.String())
		}
		return true
	})
	return nil
}

func (h *records) logger() *slog.Logger { return slog.New(h) }

// String returns the statuses of the records so far.
func (h *records) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.statuses, " ")
}

// inOrder returns the plugins in this order, or in the reverse of it.
func inOrder(reverse bool, plugins ...axle.Plugin) axle.Plugin {
	return axle.PluginFunc(func(c *axle.Client) func() {
		for i := range plugins {
			if reverse {
				i = len(plugins) - 1 - i
			}
			c.Use(plugins[i])
		}
		return func() {}
	})
}

// newAuth returns the auth interceptor of a new session.
func newAuth() (*auth.Interceptor, *atomic.Int64) {
	session, refreshes := newSession()
	return auth.New(session), refreshes
}
