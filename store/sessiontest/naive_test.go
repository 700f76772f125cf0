package sessiontest_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/store/sessiontest"
)

// slips are the ways in which a session that somebody writes in an afternoon goes wrong.
type slips struct {
	swallows       bool // a failed refresh returns the old token
	keepsFailures  bool // a failed refresh stays the result of all later ones
	alone          bool // each caller refreshes
	oneByOne       bool // each caller refreshes after the other
	hidesErrors    bool // errors are texts
	endsOnFailure  bool // any failure is a logout
	ignoresContext bool // RefreshToken waits on when its context ends
	resurrects     bool // a refresh that ends after the logout brings its token back
	sendsEnded     bool // RefreshToken after the logout refreshes
	keepsSpent     bool // the rotated refresh token is not stored
	wakesEarly     bool // the token is stored after the callers have woken
	firstDecides   bool // the refresh has the context of its first caller
	dropsUnwanted  bool // the new token is dropped if its caller has given up
	locksForEver   bool // a lock is not released by a panic
	holdersRace    bool // the holders of a login share the token, and nothing else
}

// naive is a plain session with slips. Without any it is a good one.
type naive struct {
	slips
	server *sessiontest.Server

	mu       sync.Mutex
	token    *oauth2.Token
	ended    bool
	inFlight *future.Future[*oauth2.Token]
	serial   sync.Mutex
	last     *oauth2.Token // before the logout
}

func (n *naive) Token() *oauth2.Token {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.token
}

func (n *naive) Logout(context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.token, n.last, n.ended = nil, n.token, true
	return nil
}

var errEnded = errors.New("nobody is logged in")

func (n *naive) RefreshToken(ctx context.Context) (*oauth2.Token, error) {
	n.mu.Lock()
	if n.ended && !n.sendsEnded {
		n.mu.Unlock()
		return nil, errEnded
	}
	current := n.token
	if current == nil {
		current = n.last
	}

	waiting := context.WithoutCancel(ctx)
	refreshing := waiting
	if n.firstDecides {
		refreshing = ctx
	}
	if !n.ignoresContext {
		waiting = ctx
	}
	if n.alone {
		n.mu.Unlock()
		return future.Go(func() (*oauth2.Token, error) { return n.spend(refreshing, current) }).Await(waiting)
	}
	if n.oneByOne {
		n.mu.Unlock()
		return future.Go(func() (*oauth2.Token, error) {
			n.serial.Lock()
			defer n.serial.Unlock()
			return n.spend(refreshing, n.Token())
		}).Await(waiting)
	}

	if n.inFlight == nil {
		var own *future.Future[*oauth2.Token]
		started := make(chan struct{})
		own = future.Go(func() (token *oauth2.Token, err error) {
			<-started
			failed := true
			defer func() {
				n.mu.Lock()
				defer n.mu.Unlock()
				if n.inFlight == own && (!failed || !n.keepsFailures) {
					n.inFlight = nil
				}
			}()
			if n.locksForEver {
				n.serial.Lock()
			}
			token, err = n.spend(refreshing, current)
			if n.locksForEver {
				n.serial.Unlock()
			}
			if n.dropsUnwanted && ctx.Err() != nil {
				n.mu.Lock()
				n.token = current
				n.mu.Unlock()
			}
			failed = err != nil
			return token, err
		})
		n.inFlight = own
		close(started)
	}
	f := n.inFlight
	n.mu.Unlock()
	return f.Await(waiting)
}

// spend refreshes once.
func (n *naive) spend(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
	token, err := refreshAt(n.server)(ctx, current)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case err != nil && n.endsOnFailure:
		n.token, n.ended = nil, true
		return nil, err
	case err != nil && n.swallows:
		return current, nil
	case err != nil && n.hidesErrors:
		return nil, errors.New(err.Error())
	case err != nil:
		return nil, err
	}

	if n.keepsSpent {
		kept := *token
		kept.RefreshToken = current.RefreshToken
		token = &kept
	}
	switch {
	case n.ended && !n.resurrects:
	case n.wakesEarly:
		time.AfterFunc(30*time.Millisecond, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.token = token
		})
	default:
		n.token = token
	}
	return token, nil
}

// openNaive returns the open function of sessions with slips.
func openNaive(s slips) func(t *testing.T, server *sessiontest.Server) auth.Session {
	var mu sync.Mutex
	logins := map[*testing.T]*oauth2.Token{}
	return func(t *testing.T, server *sessiontest.Server) auth.Session {
		mu.Lock()
		defer mu.Unlock()
		if logins[t] == nil || !s.holdersRace {
			logins[t] = server.Login()
		}
		return &naive{slips: s, server: server, token: logins[t]}
	}
}

func TestSession_AGoodPlainSessionPassesWhole(t *testing.T) {
	t.Parallel()
	sessiontest.Session(t, openNaive(slips{}))
}

const (
	r1        = "R1: a refresh that fails is an error of its caller"
	r3        = "R3: a refresh that fails does not poison the next one"
	r4        = "R4: each expiry costs one refresh, round after round"
	r5        = "R5: a refused refresh is sent once, however many callers wait"
	r6        = "R6: the error of a refused refresh says that the server refused"
	r7        = "R7: a server that fails does not end the session"
	r7Lost    = "R7: a lost response does not end the session within the server's grace"
	r8        = "R8: callers at the same time share one refresh"
	r8Calls   = "R8: calls of a client at the same time share one refresh"
	r9        = "R9: a 401 that comes late does not refresh again"
	r10       = "R10: a call that starts during a refresh waits for the new token"
	r12       = "R12: a call refreshes once, also if its new token is refused"
	r13       = "R13: a caller who gives up returns at once"
	r14       = "R14: a refresh that ends after a logout brings nothing back"
	r14Sends  = "R14: nothing is sent after a logout"
	r17       = "R17: the new tokens are stored before a caller wakes"
	r19Panic  = "R19: a panic in the transport does not block the next refresh"
	r19Goexit = "R19: a Goexit in the transport does not block the next refresh"
	r20       = "R20: a refresh goes on for the others if its first caller gives up"
	r20All    = "R20: a rotated token is kept although all callers have given up"
	holders   = "Holders of one login refresh once for each expiry"
	holdsLoss = "Holders of one login go on after the lost response of one"
	holdsOut  = "Holders of one login hear of a logout within a second"
)

// slipped are sessions with one slip each, the subtests that name it, and those that may, depending
// on which goroutine is faster.
var slipped = map[string]struct {
	slips
	named, perhaps []string
}{
	"swallows":        {slips{swallows: true}, []string{r1}, nil},
	"keeps failures":  {slips{keepsFailures: true}, []string{r3, r7Lost, r19Panic, r19Goexit}, nil},
	"alone":           {slips{alone: true}, []string{r4, r5, r8, r17}, []string{r20, r20All}},
	"one by one":      {slips{oneByOne: true}, []string{r4, r5, r8, r20}, []string{r17}},
	"hides errors":    {slips{hidesErrors: true}, []string{r6}, nil},
	"ends on failure": {slips{endsOnFailure: true}, []string{r7, r7Lost}, nil},
	"ignores ctx":     {slips{ignoresContext: true}, []string{r13}, nil},
	"resurrects":      {slips{resurrects: true}, []string{r14}, nil},
	"sends ended":     {slips{sendsEnded: true}, []string{r14Sends}, nil},
	"keeps spent":     {slips{keepsSpent: true}, []string{r4, r17, r20All}, nil},
	"wakes early":     {slips{wakesEarly: true}, []string{r17}, []string{r4, r20All}},
	"first decides":   {slips{firstDecides: true}, []string{r20, r20All}, nil},
	"drops unwanted":  {slips{dropsUnwanted: true}, []string{r20All}, nil},
	"locks for ever":  {slips{locksForEver: true}, []string{r19Panic, r19Goexit}, nil},
	"holders race":    {slips{holdersRace: true}, []string{holders, holdsOut}, nil},
}

func TestSession_EachSlipIsNamedAndNoneFalsely(t *testing.T) {
	t.Parallel()
	if os.Getenv(childVariable) != "" {
		sessiontest.SetPatience(3 * time.Second)
		for name, s := range slipped {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				sessiontest.Session(t, openNaive(s.slips))
			})
		}
		return
	}

	failures := failuresOf(t)
	for name, s := range slipped {
		assert.Subset(t, failures[name], s.named, name)
		assert.Subset(t, slices.Concat(s.named, s.perhaps), failures[name], name)
	}
}
