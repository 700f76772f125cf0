package axle

import "sync"

// This file says where a pass stands, which decides who may replay, and keeps the responses that
// are open there.

// stage is where a pass stands. From 1 on, the response handler of that number is running.
type stage int32

const (
	inRequestChain stage = 0
	afterHandlers  stage = -1 // all response handlers of the pass have run
	ended          stage = -2
)

// What is wrong with a replay that cannot be.
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
	given   *Request    // to the running response handler
	current *Response   // the response whose stream is still open and which handlers see
	beside  []*Response // the outcomes of replays that ran at the same time as the one of current
}

// enter moves on to a stage, in which current is the current response. It closes every other one.
func (s *progression) enter(next stage, given *Request, current *Response) {
	s.mu.Lock()
	s.stage, s.given = next, given
	left := s.replaceCurrent(current)
	s.mu.Unlock()

	closeAll(left)
}

// setCurrent makes r the current response, and closes every other one.
func (s *progression) setCurrent(r *Response) {
	s.mu.Lock()
	left := s.replaceCurrent(r)
	s.mu.Unlock()

	closeAll(left)
}

// setShortCut makes the response of [Request.Respond] the current one. In the request chain no
// replay runs beside this.
func (s *progression) setShortCut(r *Response) {
	if s.current != r {
		s.setCurrent(r)
	}
}

// end ends the pass. If its chains have not run to their end, since a handler has panicked, the
// open responses are closed.
func (s *progression) end() {
	s.mu.Lock()
	var left []*Response
	if s.stage != afterHandlers {
		left = s.replaceCurrent(nil)
	}
	s.stage, s.given = ended, nil
	s.mu.Unlock()

	closeAll(left)
}

// replaceCurrent makes r the current response, and returns those that are then to be closed,
// without mu. It is called under mu.
func (s *progression) replaceCurrent(r *Response) (left []*Response) {
	if s.current == r && s.beside == nil {
		return nil
	}
	for _, open := range append(s.beside, s.current) {
		if open != nil && open != r && !open.sharesStream(r) {
			left = append(left, open)
		}
	}
	s.current, s.beside = r, nil
	return left
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

// turnOf returns the response handler that r belongs to: for the request that the running handler
// was given, that handler. Others know it themselves.
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
// replays returned. It returns false if that handler has returned meanwhile: then they are not the
// handler's any more.
func (s *progression) closeOpen(turn stage) bool {
	s.mu.Lock()
	inTurn := s.stage == turn
	var left []*Response
	if inTurn {
		left = s.replaceCurrent(nil)
	}
	s.mu.Unlock()

	closeAll(left)
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
