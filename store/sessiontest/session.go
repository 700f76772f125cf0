package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
)

// Session tests a session with the faults that sessions are known for, against a [Server]. Each fault
// is a subtest that is named after its rule. A number such as R9 is that of the rule in axle's
// catalogue of faults.
//
// Open returns a session that is logged in at the server: it has a token of [Server.Login], and
// refreshes it at the server's /token, with [Server.Client]. A subtest may call open more than once,
// with its own t. If the second session then has the same token as the first, the two are holders of
// one login, as those of several processes are, and the rules of holders are tested too. [Folder]
// has a folder for what the sessions of one t share. Open registers with t.Cleanup what is to be
// closed.
//
//	sessiontest.Session(t, func(t *testing.T, s *sessiontest.Server) auth.Session {
//		refresh := func(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
//			ctx = context.WithValue(ctx, oauth2.HTTPClient, s.Client())
//			return store.OAuth2(s.Config())(ctx, current)
//		}
//		session := store.New[string](refresh, store.WithLogoutWhen(store.RejectedOnly))
//		session.Login("ada", s.Login())
//		return session
//	})
//
// A RefreshFunc is tested in a store of that kind, and a store.Persister in a store of store.Open.
//
// Some rules are asked of the session itself, and not of the interceptor in front of it: many
// goroutines call RefreshToken at once, and their contexts end. That is more than auth.New needs of
// a plain session. It is what a program does that calls the session from two places.
//
// The rules that are not here, such as R11 and R15, are those of the interceptor. The last subtests
// let the session's transport panic. A session that does not survive that may end the test binary.
func Session(t *testing.T, open func(t *testing.T, s *Server) auth.Session) {
	t.Helper()
	for _, rule := range sessionRules {
		t.Run(rule.name, func(t *testing.T) {
			rule.test(newTrial(t, rule.server, open))
		})
	}
}

// graceful is a server that answers a rotated refresh token with the new pair for a while.
var graceful = Rules{Grace: time.Minute}

// sessionRules are the faults of sessions.
var sessionRules = []struct {
	name   string
	server Rules
	test   func(*trial)
}{
	{"R1: a refresh that fails is an error of its caller", Rules{}, failureIsTold},
	{"R2: a refresh that gets a 401 itself comes to an end", Rules{}, unauthorizedRefreshEnds},
	{"R3: a refresh that fails does not poison the next one", Rules{}, failureDoesNotPoison},
	{"R4: each expiry costs one refresh, round after round", Rules{}, roundsOfCallers},
	{"R5: a refused refresh is sent once, however many callers wait", Rules{}, refusalIsShared},
	{"R6: the error of a refused refresh says that the server refused", Rules{}, refusalIsTold},
	{"R7: a server that fails does not end the session", Rules{}, failureKeepsSession},
	{"R7: a lost response does not end the session within the server's grace", graceful, lostResponse},
	{"R8: callers at the same time share one refresh", Rules{}, callersShare},
	{"R8: calls of a client at the same time share one refresh", Rules{}, callsShare},
	{"R9: a 401 that comes late does not refresh again", Rules{}, late401},
	{"R10: a call that starts during a refresh waits for the new token", Rules{}, callDuringRefresh},
	{"R12: a call refreshes once, also if its new token is refused", Rules{}, secondRefusal},
	{"R13: a caller who gives up returns at once", Rules{}, callerGivesUp},
	{"R14: a refresh that ends after a logout brings nothing back", Rules{}, lateAfterLogout},
	{"R14: nothing is sent after a logout", Rules{}, nothingAfterLogout},
	{"R17: the new tokens are stored before a caller wakes", Rules{}, storedBeforeWaking},
	{"R20: a refresh goes on for the others if its first caller gives up", Rules{}, firstCallerGivesUp},
	{"R20: a rotated token is kept although all callers have given up", Rules{}, allCallersGiveUp},
	{"Holders of one login refresh once for each expiry", Rules{}, holdersShare},
	{"Holders of one login go on after the lost response of one", graceful, holdersAfterLoss},
	{"Holders of one login hear of a logout within a second", Rules{}, holdersHearOfLogout},
	{"R19: a Goexit in the transport does not block the next refresh", graceful, goexitInTransport},
	{"R19: a panic in the transport does not block the next refresh", graceful, panicInTransport},
}

// trial is one session at one server.
type trial struct {
	*testing.T
	server  *Server
	session auth.Session
	open    func() auth.Session
	asked   sync.WaitGroup // RefreshToken

	mu       sync.Mutex
	held     chan struct{} // requests of the token endpoint wait until it is closed; nil: they do not
	arrived  chan struct{} // closed by the first request that waits
	requests int           // of the token endpoint
	status   int           // of the token endpoint; 0: it works
	onRotate func() (answer bool)
}

func newTrial(t *testing.T, rules Rules, open func(t *testing.T, s *Server) auth.Session) *trial {
	t.Helper()
	k := &trial{T: t}
	rules.BeforeRefresh, rules.AfterRefresh, rules.Fail = k.beforeRefresh, k.afterRefresh, k.failure
	k.server = NewServer(rules)
	t.Cleanup(k.server.Close)
	t.Cleanup(k.end)

	k.open = func() auth.Session {
		session := open(t, k.server)
		if session == nil || session.Token() == nil {
			t.Fatal("open returned no session that is logged in")
		}
		return session
	}
	k.session = k.open()
	if _, err := k.call(k.client(k.session)); err != nil {
		t.Fatalf("a call with the token of the session: %v", err)
	}
	return k
}

// end lets everything go that still waits.
func (k *trial) end() {
	k.release()
	done := make(chan struct{})
	go func() {
		k.asked.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience / 2):
	}
}

func (k *trial) beforeRefresh() {
	k.mu.Lock()
	k.requests++
	held := k.held
	if held != nil && k.arrived != nil {
		close(k.arrived)
		k.arrived = nil
	}
	k.mu.Unlock()
	if held != nil {
		<-held
	}
}

func (k *trial) afterRefresh() bool {
	k.mu.Lock()
	onRotate := k.onRotate
	k.mu.Unlock()
	return onRotate == nil || onRotate()
}

func (k *trial) failure() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// hold makes the requests of the token endpoint wait for release. Arrived is closed by the first.
func (k *trial) hold() (arrived chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held, k.arrived = make(chan struct{}), make(chan struct{})
	return k.arrived
}

func (k *trial) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held != nil {
		close(k.held)
	}
	k.held, k.arrived = nil, nil
}

// fail makes the token endpoint answer with a status. With zero it works again.
func (k *trial) fail(status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status = status
}

// rotates sets what happens after a rotation and before its response.
func (k *trial) rotates(fn func() (answer bool)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.onRotate = fn
}

// loseNext makes the server lose the response of the next rotation.
func (k *trial) loseNext() {
	var lost atomic.Bool
	k.rotates(func() bool { return !lost.CompareAndSwap(false, true) })
}

func (k *trial) sent() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.requests
}

// client returns a client with the session, and with a transport of its own.
func (k *trial) client(session auth.Session) *axle.Client { return k.clientOver(session, nil) }

// clientOver returns a client whose responses pass the function received, which may wait.
func (k *trial) clientOver(session auth.Session, received func(*http.Response)) *axle.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	k.Cleanup(transport.CloseIdleConnections)
	return axle.New().
		SetBaseURL(k.server.URL()).
		SetTransport(&listening{transport, received}).
		Use(auth.New(session))
}

type listening struct {
	http.RoundTripper
	received func(*http.Response)
}

func (l *listening) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil && l.received != nil {
		l.received(resp)
	}
	return resp, err
}

// call calls the server, and returns the generation of the token that it accepted.
func (k *trial) call(client *axle.Client) (generation int, err error) {
	ctx, cancel := context.WithTimeout(k.Context(), patience)
	defer cancel()
	data, err := axle.Get[struct{ Generation int }](ctx, client, "/data")
	return data.Generation, err
}

// calling calls the server on a goroutine of its own.
func (k *trial) calling(client *axle.Client) *future.Future[int] {
	return future.Go(func() (int, error) { return k.call(client) })
}

// ask calls RefreshToken on a goroutine of its own.
func (k *trial) ask(ctx context.Context, session auth.Session) *future.Future[*oauth2.Token] {
	k.asked.Add(1)
	return future.Go(func() (*oauth2.Token, error) {
		defer k.asked.Done()
		return session.RefreshToken(ctx)
	})
}

// isHanging reports whether await gave up.
func isHanging(err error) bool { return errors.Is(err, errHangs) }

// errHangs is the failure of what does not return.
var errHangs = errors.New("it has not returned")

// await waits for what should come soon.
func await[T any](f *future.Future[T]) (T, error) { return awaitWithin(patience, f) }

func awaitWithin[T any](limit time.Duration, f *future.Future[T]) (T, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit,
		fmt.Errorf("%w within %v", errHangs, limit))
	defer cancel()
	return f.Await(ctx)
}

// refresh calls RefreshToken and waits for it.
func (k *trial) refresh(session auth.Session) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	return await(k.ask(ctx, session))
}

// refreshes wants a refresh that succeeds.
func (k *trial) refreshes(what string) {
	k.Helper()
	if _, err := k.refresh(k.session); err != nil {
		k.Errorf("%s: RefreshToken: %v", what, err)
	}
}

// crowd calls RefreshToken many times at once, while the server holds the first request back.
func (k *trial) crowd(callers int) []future.Settled[*oauth2.Token] {
	arrived := k.hold()
	var asked []*future.Future[*oauth2.Token]
	for range callers {
		asked = append(asked, k.ask(context.Background(), k.session))
	}
	k.waitFor(arrived, asked[0].Done())

	// The others come while the refresh is in flight.
	waitShortly()
	k.release()

	all, err := await(future.AllSettled(asked...))
	if err != nil {
		k.Fatalf("RefreshToken of %d callers at once: %v", callers, err)
	}
	return all
}

// waitFor waits until a request has arrived, or until the refresh is over without one.
func (k *trial) waitFor(arrived, over <-chan struct{}) {
	k.Helper()
	select {
	case <-arrived:
	case <-over:
	case <-time.After(patience):
		k.Fatal("RefreshToken neither sends a request nor returns")
	}
}

// want compares what the server has counted.
func (k *trial) want(what string, got, want int) {
	k.Helper()
	if got != want {
		k.Errorf("%s: %d, and %d are due", what, got, want)
	}
}

// wantOneEach wants that each expiry so far cost one refresh.
func (k *trial) wantOneEach(expiries int) {
	k.Helper()
	counts := k.server.Counts()
	k.want("refreshes", counts.Refreshes, expiries)
	k.want("refresh tokens that were spent twice", counts.Reused, 0)
}

// hasEnded reports whether the session has ended.
func hasEnded(session auth.Session) bool {
	if stateful, ok := session.(auth.StatefulSession); ok && !stateful.Snapshot().Active {
		return true
	}
	token := session.Token()
	return token == nil || token.AccessToken == ""
}
