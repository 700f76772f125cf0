package sessiontest

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
)

// callers is how many ask at once.
const callers = 20

func failureIsTold(k *trial) {
	k.fail(http.StatusServiceUnavailable)
	if _, err := k.refresh(k.session); err == nil {
		k.Error("RefreshToken returned no error, and the server answered 503")
	}
	k.server.Expire()
	if _, err := k.call(k.client(k.session)); err == nil {
		k.Error("the call returned no error, and it got a 401")
	}
}

func unauthorizedRefreshEnds(k *trial) {
	k.fail(http.StatusUnauthorized)
	k.server.Expire()
	if _, err := await(k.calling(k.client(k.session))); err == nil {
		k.Error("the call returned no error, and the server answers 401 to everything")
	}
	if sent := k.sent(); sent > callers {
		k.Errorf("the refresh was sent %d times", sent)
	}
}

func failureDoesNotPoison(k *trial) {
	k.fail(http.StatusServiceUnavailable)
	if _, err := k.refresh(k.session); err == nil {
		return // R1 names that
	}
	k.fail(0)
	if hasEnded(k.session) {
		return // R7 names that
	}
	k.refreshes("after a failure")
}

func roundsOfCallers(k *trial) {
	for round := range 3 {
		k.server.Expire()
		for _, out := range k.crowd(callers) {
			if out.Err != nil {
				k.Fatalf("round %d: RefreshToken: %v", round+1, out.Err)
			}
		}
		k.wantOneEach(round + 1)
	}
}

func refusalIsShared(k *trial) {
	k.server.Revoke()
	before := k.sent()
	for _, out := range k.crowd(callers) {
		if out.Err == nil {
			return // R1 names that
		}
	}
	k.want("requests of the refresh", k.sent()-before, 1)
}

func refusalIsTold(k *trial) {
	k.server.Revoke()
	if _, err := k.refresh(k.session); err != nil && !auth.Refused(err) {
		k.Errorf("auth.Refused does not know the error of invalid_grant: %v", err)
	}
}

func failureKeepsSession(k *trial) {
	k.fail(http.StatusServiceUnavailable)
	_, _ = k.refresh(k.session)
	if hasEnded(k.session) {
		k.Error("the session has ended, and the server answered 503")
	}
}

func lostResponse(k *trial) {
	k.loseNext()
	if _, err := k.refresh(k.session); err == nil {
		return // R1 names that
	}
	if hasEnded(k.session) {
		k.Fatal("the session has ended, and a response was lost")
	}
	k.refreshes("after a lost response")
	k.want("rotated refresh tokens that got the new pair", k.server.Counts().Regranted, 1)
}

func callersShare(k *trial) {
	// Others read the token meanwhile.
	stop := make(chan struct{})
	reading := future.Go(func() (struct{}, error) {
		for {
			select {
			case <-stop:
				return struct{}{}, nil
			case <-time.After(time.Millisecond):
				_ = k.session.Token()
			}
		}
	})
	all := k.crowd(callers)
	close(stop)
	if _, err := await(reading); err != nil {
		k.Errorf("Token: %v", err)
	}

	for _, out := range all {
		switch {
		case out.Err != nil:
			k.Fatalf("RefreshToken: %v", out.Err)
		case out.Value == nil || all[0].Value == nil || out.Value.AccessToken != all[0].Value.AccessToken:
			k.Fatal("two callers of one refresh got different tokens")
		}
	}
	k.wantOneEach(1)
}

func callsShare(k *trial) {
	client := k.client(k.session)
	k.server.Expire()
	var calls []*future.Future[int]
	for range callers {
		calls = append(calls, k.calling(client))
	}
	if _, err := await(future.All(calls...)); err != nil {
		k.Errorf("a call: %v", err)
	}
	k.wantOneEach(1)
}

func late401(k *trial) {
	// The first 401 is held back until another call has refreshed.
	late, received := make(chan struct{}), make(chan struct{})
	var isFirst atomic.Bool
	isFirst.Store(true)
	client := k.clientOver(k.session, func(resp *http.Response) {
		if resp.StatusCode == http.StatusUnauthorized && isFirst.CompareAndSwap(true, false) {
			close(received)
			<-late
		}
	})
	k.server.Expire()
	first := k.calling(client)
	k.waitFor(received, first.Done())
	if _, err := k.call(client); err != nil {
		k.Errorf("the second call: %v", err)
	}
	close(late)
	if _, err := await(first); err != nil {
		k.Errorf("the first call: %v", err)
	}
	k.wantOneEach(1)

	// The same for a session that knows its generations.
	stateful, ok := k.session.(auth.StatefulSession)
	if !ok {
		return
	}
	seen := stateful.Snapshot().Generation
	k.refreshes("the second refresh")
	if _, err := stateful.RefreshSince(k.Context(), seen); err != nil {
		k.Errorf("RefreshSince of a generation that is over: %v", err)
	}
	k.wantOneEach(2)
}

func callDuringRefresh(k *trial) {
	client := k.client(k.session)
	k.server.Expire()
	arrived := k.hold()
	first := k.calling(client)
	k.waitFor(arrived, first.Done())

	before := k.server.Counts().Unauthorized
	second := k.calling(client)
	waitShortly()
	k.want("calls with the old token during the refresh", k.server.Counts().Unauthorized-before, 0)
	k.release()
	if _, err := await(future.All(first, second)); err != nil {
		k.Errorf("a call: %v", err)
	}
	k.wantOneEach(1)
}

func secondRefusal(k *trial) {
	k.rotates(func() bool { k.server.Expire(); return true })
	k.server.Expire()
	if _, err := k.call(k.client(k.session)); err == nil {
		k.Error("the call returned no error, and both of its tokens were refused")
	}
	k.wantOneEach(1)
}

func callerGivesUp(k *trial) {
	arrived := k.hold()
	firstContext, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	first := k.ask(firstContext, k.session)
	k.waitFor(arrived, first.Done())
	secondContext, giveUpToo := context.WithCancel(context.Background())
	defer giveUpToo()
	second := k.ask(secondContext, k.session)
	waitShortly()

	// The second caller waits for the refresh of the first one, who still wants it.
	giveUpToo()
	_, secondErr := awaitWithin(patience/2, second)
	giveUp()
	_, firstErr := awaitWithin(patience/2, first)
	for _, err := range []error{firstErr, secondErr} {
		switch {
		case err == nil:
			k.Error("RefreshToken of a caller who has given up returned no error")
		case isHanging(err):
			k.Error("RefreshToken goes on waiting after its context has ended")
		}
	}
}

func lateAfterLogout(k *trial) {
	arrived := k.hold()
	refreshing := k.ask(context.Background(), k.session)
	k.waitFor(arrived, refreshing.Done())

	logout := future.Go(func() (struct{}, error) {
		return struct{}{}, k.session.Logout(context.Background())
	})
	waitShortly()
	k.release()
	_, refreshErr := await(refreshing)
	if _, err := await(logout); isHanging(err) || isHanging(refreshErr) {
		k.Fatal("Logout or RefreshToken has not returned")
	}

	waitShortly()
	if !hasEnded(k.session) {
		k.Error("the session has a token again, which came after the logout")
	}
}

func nothingAfterLogout(k *trial) {
	if err := k.session.Logout(k.Context()); err != nil {
		k.Errorf("Logout: %v", err)
	}
	if !hasEnded(k.session) {
		k.Error("the session has a token after the logout")
	}

	before := k.sent()
	if _, err := k.refresh(k.session); err == nil {
		k.Error("RefreshToken after the logout returned no error")
	}
	k.want("requests of a refresh after the logout", k.sent()-before, 0)
	if !hasEnded(k.session) {
		k.Error("the session has a token again, after RefreshToken")
	}
}

func storedBeforeWaking(k *trial) {
	for round := range 3 {
		arrived := k.hold()
		var all []*future.Future[bool]
		for range callers {
			all = append(all, future.Go(func() (bool, error) {
				k.asked.Add(1)
				defer k.asked.Done()
				token, err := k.session.RefreshToken(context.Background())
				current := k.session.Token()
				return token != nil && current != nil && token.AccessToken == current.AccessToken, err
			}))
		}
		k.waitFor(arrived, all[0].Done())
		waitShortly()
		k.release()

		isStored, err := await(future.All(all...))
		if err != nil {
			k.Fatalf("round %d: RefreshToken: %v", round+1, err)
		}
		for _, stored := range isStored {
			if !stored {
				k.Fatalf("round %d: a caller has woken, and Token returns another token", round+1)
			}
		}
	}
	k.want("refresh tokens that were spent twice", k.server.Counts().Reused, 0)
}

func firstCallerGivesUp(k *trial) {
	arrived := k.hold()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	first := k.ask(ctx, k.session)
	k.waitFor(arrived, first.Done())
	second := k.ask(context.Background(), k.session)
	waitShortly()

	cancel()
	waitShortly()
	k.release()
	if _, err := await(second); err != nil {
		k.Errorf("RefreshToken of the second caller: %v", err)
	}
	k.wantOneEach(1)
}

func allCallersGiveUp(k *trial) {
	rotated := make(chan struct{})
	tell := sync.OnceFunc(func() { close(rotated) })
	k.rotates(func() bool { tell(); return true })
	arrived := k.hold()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	caller := k.ask(ctx, k.session)
	k.waitFor(arrived, caller.Done())
	cancel()
	waitShortly()
	k.release()
	_, _ = await(caller)

	// The response comes while nobody waits for it.
	select {
	case <-rotated:
	case <-time.After(patience):
		k.Fatal("the request of the refresh has not reached the server")
	}
	waitShortly()
	k.refreshes("after a caller who gave up")
	k.want("refresh tokens that were spent twice", k.server.Counts().Reused, 0)
}

// holders opens more sessions of the same login. It returns nil if each has a login of its own.
func (k *trial) holders() []auth.Session {
	all := []auth.Session{k.session}
	for range 4 {
		next := k.open()
		if next.Token().AccessToken != k.session.Token().AccessToken {
			k.Log("each session has a login of its own, and there are no holders of one login")
			return nil
		}
		all = append(all, next)
	}
	return all
}

func holdersShare(k *trial) {
	holders := k.holders()
	for round := range 3 {
		k.server.Expire()

		var calls []*future.Future[int]
		for _, session := range holders {
			client := k.client(session)
			for range 4 {
				calls = append(calls, k.calling(client))
			}
		}
		if len(calls) == 0 {
			return
		}

		if _, err := await(future.All(calls...)); err != nil {
			k.Errorf("round %d: a call of one of %d holders: %v", round+1, len(holders), err)
		}
		k.wantOneEach(round + 1)
		if k.Failed() {
			return
		}
	}
}

func holdersAfterLoss(k *trial) {
	holders := k.holders()
	if holders == nil {
		return
	}
	k.server.Expire()
	k.loseNext()
	_, _ = k.refresh(holders[0])
	for i, session := range holders[1:] {
		if _, err := k.call(k.client(session)); err != nil {
			k.Errorf("a call of holder %d, after the first one has lost a response: %v", i+2, err)
		}
	}
}

func holdersHearOfLogout(k *trial) {
	holders := k.holders()
	if holders == nil {
		return
	}
	if err := holders[0].Logout(k.Context()); err != nil {
		k.Errorf("Logout: %v", err)
	}
	end := time.Now().Add(promised + promised/2)
	for i, session := range holders {
		for !hasEnded(session) {
			if time.Now().After(end) {
				k.Fatalf("holder %d still has a token, a second after another's logout", i+1)
			}

			// A session need not tell of its end, so it is asked again and again.
			time.Sleep(shortly / 5)
		}
	}
}

// faultyTransport does something else for the first request.
type faultyTransport struct {
	http.RoundTripper
	fault func()
	used  atomic.Bool
}

func (f *faultyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.used.CompareAndSwap(false, true) {
		f.fault()
	}
	return f.RoundTripper.RoundTrip(r)
}

func panicInTransport(k *trial) {
	k.faultInTransport("a panic", func() { panic("sessiontest: a panic in the transport") })
}

func goexitInTransport(k *trial) { k.faultInTransport("a Goexit", runtime.Goexit) }

func (k *trial) faultInTransport(what string, fault func()) {
	faulty := &faultyTransport{RoundTripper: k.server.transport, fault: fault}
	k.server.client.Transport = faulty
	_, err := k.refresh(k.session)
	switch {
	case !faulty.used.Load():
		k.Log("the session does not send its refreshes with Server.Client")
		return
	case isHanging(err):
		k.Errorf("after %s, RefreshToken of its caller does not return", what)
	case err == nil:
		k.Errorf("after %s, RefreshToken returned no error", what)
	}
	if hasEnded(k.session) {
		k.Errorf("after %s the session has ended", what)
		return
	}
	k.refreshes("after " + what)
}
