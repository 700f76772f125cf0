package interceptors_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/axlehttp/axle"
)

// Again is an interceptor. It gives a service that is restarting a second chance: if a GET gets a 503
// Service Unavailable, the interceptor waits and sends the call once more.
type Again struct {
	wait time.Duration
	done *axle.Key[bool] // set on a call that has had its second chance
}

// Option configures [NewAgain].
type Option func(*Again)

// WithWait sets the time between the 503 and the second attempt. The default is one second.
func WithWait(d time.Duration) Option { return func(a *Again) { a.wait = d } }

// NewAgain returns an interceptor that is ready to be installed in any number of clients.
func NewAgain(opts ...Option) *Again {
	a := &Again{wait: time.Second, done: axle.NewKey[bool]("again")}
	for _, opt := range opts {
		opt(a)
	}
	return a
}

// Install makes Again an [axle.Plugin]. It adds the handler and returns the function that removes it.
func (a *Again) Install(c *axle.Client) (uninstall func()) {
	return axle.OnResponse("again", nil, a.rejected, axle.RunWhen(isGet)).Install(c)
}

func isGet(r *axle.Request) bool { return r.Method == http.MethodGet }

// rejected is called for each response whose status was refused, and for each error.
func (a *Again) rejected(ctx context.Context, err *axle.Error) (*axle.Response, error) {
	// Other failures are passed on unchanged, and so is the failure of a second chance.
	done, _ := a.done.Get(err.Request)
	if done || err.StatusCode() != http.StatusServiceUnavailable {
		return nil, err
	}

	// A replay keeps the values of keys.
	a.done.Set(err.Request, true)

	select {
	case <-time.After(a.wait):
		return err.Request.Replay()
	case <-ctx.Done():
		// The call ends as a timeout or a cancellation, and not as a 503.
		return nil, context.Cause(ctx)
	}
}

// A whole interceptor, installed in a client whose server is restarting.
func Example() {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "hello")
	}))
	defer server.Close()

	client := axle.New().SetBaseURL(server.URL)
	client.Use(NewAgain(WithWait(time.Millisecond)))

	resp, err := client.Get(context.Background(), "/")
	fmt.Println(resp.String(), err)
	fmt.Println("requests:", requests)
	// Output:
	// hello <nil>
	// requests: 2
}
