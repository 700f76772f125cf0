package auth_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store"
)

// notes is an Observer that writes down what it is told.
type notes struct {
	mu        sync.Mutex
	refreshes []error // of each refresh that is done
	waits     []wait  // that are over
	waiting   int     // now

	onRefresh, onWait func() // called when one begins; nil: nothing
}

type wait struct {
	caller  any // the value of callerKey in the context of Wait
	refresh any // the value of refreshKey in the context that done got; nil without a context
	err     error
}

type (
	callerKey  struct{}
	refreshKey struct{}
)

func (n *notes) Refresh(ctx context.Context) (context.Context, func(error)) {
	if n.onRefresh != nil {
		n.onRefresh()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	own := context.WithValue(ctx, refreshKey{}, len(n.refreshes)+1)
	return own, func(err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.refreshes = append(n.refreshes, err)
	}
}

func (n *notes) Wait(ctx context.Context) func(context.Context, error) {
	if n.onWait != nil {
		n.onWait()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting++
	return func(refresh context.Context, err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.waiting--
		over := wait{caller: ctx.Value(callerKey{}), err: err}
		if refresh != nil {
			over.refresh = refresh.Value(refreshKey{})
		}
		n.waits = append(n.waits, over)
	}
}

// observed is a client whose session has an observer, and whose server accepts the token "new".
type observed struct {
	notes
	client  *axle.Client
	refresh store.RefreshFunc
}

// get starts a call under a context that names its caller.
func (o *observed) get(ctx context.Context, caller string) *future.Future[*axle.Response] {
	ctx = context.WithValue(ctx, callerKey{}, caller)
	return future.Go(func() (*axle.Response, error) { return o.client.Get(ctx, "/") })
}

// eachObserved tells one story for a plain session and for a store. Each begins with the token.
func eachObserved(
	t *testing.T, token *oauth2.Token, story func(t *testing.T, o *observed), opts ...auth.Option,
) {
	t.Helper()
	for _, k := range []kind{{}, {store: true}} {
		t.Run(k.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &observed{}
				refresh := func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
					return o.refresh(ctx, current)
				}

				var session auth.Session
				if k.store {
					users := store.New[user](refresh, store.WithObserver(o))
					users.Login(user{}, token)
					session = users
				} else {
					w := &world{kind: k, refresh: refresh}
					session = &plainSession{w: w, token: token}
				}

				o.client = newClient(responding(func(r *http.Request) int {
					if r.Header.Get("Authorization") != "Bearer new" {
						return http.StatusUnauthorized
					}
					return http.StatusOK
				})).Use(auth.New(session, append(opts, auth.WithObserver(o))...))
				story(t, o)
			})
		})
	}
}

func TestObserver_IsToldOfOneRefreshAndOfEveryCallThatWaitsForIt(t *testing.T) {
	eachObserved(t, bearer("old"), func(t *testing.T, o *observed) {
		release := make(chan struct{})
		var ran any
		o.refresh = func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
			ran = ctx.Value(refreshKey{})
			<-release
			return bearer("new"), nil
		}

		// The third call comes during the refresh, and waits before its first attempt.
		first, second := o.get(t.Context(), "first"), o.get(t.Context(), "second")
		synctest.Wait()
		third := o.get(t.Context(), "third")
		synctest.Wait()
		assert.Equal(t, 3, o.waiting)
		assert.Empty(t, o.refreshes, "the refresh runs")

		close(release)
		for _, call := range []*future.Future[*axle.Response]{first, second, third} {
			_, err := call.Await(t.Context())
			require.NoError(t, err)
		}
		assert.Equal(t, 1, ran, "the refresh runs under the context that Refresh returned")
		assert.Equal(t, []error{nil}, o.refreshes)
		assert.ElementsMatch(t, []wait{{"first", 1, nil}, {"second", 1, nil}, {"third", 1, nil}}, o.waits)
	})
}

func TestObserver_IsToldWhyARefreshFailed(t *testing.T) {
	for name, x := range map[string]struct {
		refresh store.RefreshFunc
		holds   func(error) bool // what done is told of the refresh
	}{
		"an error": {
			func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return nil, errBoom },
			func(err error) bool { return assert.ObjectsAreEqual(errBoom, err) },
		},
		"a panic": {
			func(context.Context, *oauth2.Token) (*oauth2.Token, error) { panic("boom") },
			func(err error) bool { return err != nil },
		},
		"a token that no header can hold": {
			func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return bearer("a\nb"), nil },
			func(err error) bool { return err != nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachObserved(t, bearer("old"), func(t *testing.T, o *observed) {
				o.refresh = x.refresh
				_, err := o.get(t.Context(), "caller").Await(t.Context())
				require.Error(t, err)

				require.Len(t, o.refreshes, 1)
				assert.True(t, x.holds(o.refreshes[0]), "%v", o.refreshes[0])
				require.Len(t, o.waits, 1)
				assert.Error(t, o.waits[0].err)
				assert.Equal(t, 1, o.waits[0].refresh)
			})
		})
	}
}

func TestObserver_AWaitThatItsCallerEndsIsOverBeforeTheRefreshIs(t *testing.T) {
	eachObserved(t, bearer("old"), func(t *testing.T, o *observed) {
		release := make(chan struct{})
		o.refresh = func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			<-release
			return bearer("new"), nil
		}

		ctx, cancel := context.WithCancel(t.Context())
		call := o.get(ctx, "caller")
		synctest.Wait()
		cancel()
		_, err := call.Await(t.Context())
		require.ErrorIs(t, err, context.Canceled)
		require.Len(t, o.waits, 1)
		assert.ErrorIs(t, o.waits[0].err, context.Canceled)
		assert.Equal(t, 1, o.waits[0].refresh)
		assert.Empty(t, o.refreshes, "the refresh runs on")

		close(release)
		synctest.Wait()
		assert.Equal(t, []error{nil}, o.refreshes)
	})
}

func TestObserver_WhoRefreshesEarlyDoesNotCountAsWaiting(t *testing.T) {
	soon := &oauth2.Token{AccessToken: "new", Expiry: time.Now().Add(time.Hour)}
	eachObserved(t, soon, func(t *testing.T, o *observed) {
		soon.Expiry = time.Now().Add(2 * window)
		o.refresh = func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return bearer("new"), nil }
		_, err := o.get(t.Context(), "before").Await(t.Context())
		require.NoError(t, err)

		time.Sleep(window + time.Minute)
		_, err = o.get(t.Context(), "early").Await(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		assert.Equal(t, []error{nil}, o.refreshes)
		assert.Empty(t, o.waits)
	}, auth.WithEarlyRefresh(window))
}

func TestObserver_APanicFailsTheCall(t *testing.T) {
	for name, set := range map[string]func(*notes){
		"of Refresh": func(n *notes) { n.onRefresh = func() { panic("spilled tea") } },
		"of Wait":    func(n *notes) { n.onWait = func() { panic("spilled tea") } },
	} {
		t.Run(name, func(t *testing.T) {
			eachObserved(t, bearer("old"), func(t *testing.T, o *observed) {
				set(&o.notes)
				o.refresh = func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return bearer("new"), nil }

				_, err := o.get(t.Context(), "caller").Await(t.Context())
				var panicked *future.PanicError
				require.ErrorAs(t, err, &panicked)
				assert.Equal(t, "spilled tea", panicked.Value)
			})
		})
	}
}
