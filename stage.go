package axle

import "sync"

// This file keeps the stage of a pass, which decides who may replay, and the responses that are open
// in that stage.

// stage is how far a pass has come. From 1 on, the response handler of that number is running.
type stage int32

const (
	inRequestChain stage = 0
	afterHandlers  stage = -1 // all response handlers of the pass have run
	ended          stage = -2
)

// The reasons for which Replay refuses.
const (
	replayOutsideCall     = "only a handler can replay: the request is in no call"
	replayInRequestChain  = "only a response handler can replay: this is the request chain"
	replayAfterHandler    = "the handler that could replay has returned"
	replayOutlivedHandler = "the handler that asked for this replay has returned: the answer is closed"
)

// progression is the stage of a pass and the responses that are open in it. A handler may replay on
// goroutines of its own, which may outlive it. So everything is guarded by mu, and a replay that
// comes too late finds another stage.
type progression struct {
	mu      sync.Mutex
	stage   stage
	given   *Request    // the request that the running response handler was given
	current *Response   // the response whose stream is still open and which handlers see
	beside  []*Response // the outcomes of replays that ran at the same time as the one of current
}

// enter starts the next stage, in which a handler is given a request and current is the current
// response. It closes every other open response.
func (s *progression) enter(next stage, given *Request, current *Response) {
	s.mu.Lock()
	s.stage, s.given = next, given
	replaced := s.replaceCurrent(current)
	s.mu.Unlock()

	closeAll(replaced)
}

// setCurrent makes r the current response, and closes every other open response.
func (s *progression) setCurrent(r *Response) {
	s.mu.Lock()
	replaced := s.replaceCurrent(r)
	s.mu.Unlock()

	closeAll(replaced)
}

// setRespond makes the response of [Request.Respond] the current one. It reads current without mu:
// no replay runs during the request chain.
func (s *progression) setRespond(r *Response) {
	if s.current != r {
		s.setCurrent(r)
	}
}

// finish ends the pass. If the chains have not run to their end, because a handler has panicked,
// finish closes the open responses.
func (s *progression) finish() {
	s.mu.Lock()
	var replaced []*Response
	if s.stage != afterHandlers {
		replaced = s.replaceCurrent(nil)
	}
	s.stage, s.given = ended, nil
	s.mu.Unlock()

	closeAll(replaced)
}

// replaceCurrent makes r the current response, and returns the responses that it replaces. The
// caller holds mu, and closes those responses after it has released mu, since a close may block.
func (s *progression) replaceCurrent(r *Response) (replaced []*Response) {
	if s.current == r && s.beside == nil {
		return nil
	}
	for _, open := range append(s.beside, s.current) {
		if open != nil && open != r && !open.sharesStream(r) {
			replaced = append(replaced, open)
		}
	}
	s.current, s.beside = r, nil
	return replaced
}

func closeAll(list []*Response) {
	for _, r := range list {
		r.close()
	}
}

// isOpen reports whether r is among the responses that the next stage closes or keeps.
func (s *progression) isOpen(r *Response) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, open := range s.beside {
		if open.sharesStream(r) {
			return true
		}
	}
	return s.current.sharesStream(r)
}

func (s *progression) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stage == ended
}

// turnOf returns the response handler that r belongs to. The request that the running handler was
// given belongs to that handler. Clones and the outcomes of replays carry their own turn.
func (s *progression) turnOf(r *Request) stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r == s.given {
		return s.stage
	}
	return r.turn
}

// mayReplay returns the response handler in which r may be replayed now, or the reason why it may
// not.
func (s *progression) mayReplay(r *Request) (turn stage, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stage == inRequestChain:
		return 0, replayInRequestChain
	case s.stage < 0, r != s.given && r.turn != s.stage:
		return 0, replayAfterHandler
	}
	return s.stage, ""
}

// closeOpen closes the responses that the handler of this turn was given and that its earlier
// replays returned. If that handler has returned meanwhile, those responses are not the handler's
// any more: closeOpen closes nothing and returns false.
func (s *progression) closeOpen(turn stage) bool {
	s.mu.Lock()
	inTurn := s.stage == turn
	var replaced []*Response
	if inTurn {
		replaced = s.replaceCurrent(nil)
	}
	s.mu.Unlock()

	closeAll(replaced)
	return inTurn
}

// offer makes the outcome of a replay the current response, beside those of replays that ran at the
// same time. It returns false if the handler that asked for the replay has returned meanwhile.
// Nobody can use the outcome then, and it is closed.
func (s *progression) offer(turn stage, outcome *Response) bool {
	s.mu.Lock()
	inTurn := s.stage == turn
	if inTurn && outcome != nil {
		if s.current != nil {
			s.beside = append(s.beside, s.current)
		}
		s.current = outcome
	}
	s.mu.Unlock()

	if !inTurn {
		outcome.close()
	}
	return inTurn
}
