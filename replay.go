package axle

import (
	"bytes"
	"hash/maphash"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
)

// This file is Replay: who may ask for one, what it refuses, and what happens to the answers that it takes out of play.

// Replay sends the same call again, from the request as the caller built it, with r's [Key] values and the edits: through the
// request chain, dispatch, and the response handlers that stand before the calling one. What it returns is for the calling
// handler to return, or to look at and try again; the handlers after it then run once. Nothing that a handler did to the first
// attempt is applied twice.
//
// A change that a response handler made to r itself (its method, URL, header, query, body or timeout, or a Respond) would be lost. Replay therefore
// refuses a request that was changed since it was sent (CodeBadOption), also by an earlier response handler and also if it is
// a changed clone. Pass the change as an edit: r.Replay(func(r *axle.Request) { r.SetHeader("Authorization", token) }).
//
// The edits last for this replay and the replays nested in it. When a replay starts, the response that the handler was given
// and what its earlier replays returned are closed. Replays that run at the same time, from several goroutines of one handler,
// do not disturb each other, except that a body that is an io.Reader is read by one of them alone. Of their outcomes, those that
// the handler does not return are closed when it returns.
//
// Replay is valid in a response handler, until it returns, of the request at hand, a clone of it, or the request of a replay's
// outcome; elsewhere it is an error (CodeBadOption). So is a replay that outlives its handler: its answer is closed. A later
// handler may be given the very same request, so a handler's goroutine that may outlive it has to replay a clone, which is known
// to be that handler's. A body that cannot be read again is refused (CodeBadOption) before anything is sent.
func (r *Request) Replay(edits ...func(*Request)) (*Response, error) {
	p := r.pass
	if p == nil {
		return nil, badOption(r, "only a handler can replay: the request is in no call", nil)
	}

	// The replay is counted before it looks whose turn it is: the loop over the handlers changes the turn before it looks at the
	// count, so one of the two always sees the other.
	p.replays.Add(1)
	place, given := p.turn.load()
	switch {
	case place == inRequests:
		return nil, badOption(r, "only a response handler can replay: this is the request chain", nil)
	case place < 0, r.place != place && (r.id == 0 || r.id != given):
		return nil, badOption(r, "the handler that could replay has returned", nil)
	}
	if err := r.refuseChanges(); err != nil {
		return nil, err
	}

	next := &pass{call: p.call, source: p.source}
	defer next.end()
	again := p.source.Clone()
	again.pass, again.place, again.client, again.values = next, 0, p.client, r.values
	next.jars = p.bridge.renewCookies(again.Header, p.jars)
	p.settings.noteOrigins(again)
	again.With(edits...)
	if again.nilContext {
		return nil, badOption(again, "the context is nil", nil)
	}
	if err := rewindBody(again.Context(), again.Body); err != nil {
		return nil, failure(again.Context(), again, err)
	}
	p.letGo(nil)

	resp, err := next.run(next.begin(again), int(place)-1)
	if err != nil {
		err = p.reject(err, "", r, nil)
		if err.Request != r {
			err.Request.place = place
		}
		p.offer(place, err.Response)
		return nil, err
	}
	resp = p.takeOver(resp, place)
	if !p.offer(place, resp) {
		return nil, badOption(r, "the handler that asked for this replay has returned: the answer is closed", nil)
	}
	return resp, nil
}

// takeOver makes the outcome of a replay this pass's, for the handler at that place. Its maps go from handler to handler, as in
// any chain.
func (p *pass) takeOver(outcome *Response, place int32) *Response {
	request, response := *outcome.Request, *outcome
	request.pass, request.place, request.id = p, place, p.newID()
	response.Request = &request
	return &response
}

// offer puts the outcome of a replay at hand, beside those of replays that ran at the same time. If the handler that asked for the
// replay has returned meanwhile, nobody can use the outcome: it is closed, and offer returns false.
func (p *pass) offer(place int32, outcome *Response) bool {
	p.mu.Lock()
	now, _ := p.turn.load()
	inTime := now == place
	if inTime {
		if other := p.hand.Load(); other != nil {
			p.beside = append(p.beside, other)
		}
		p.hand.Store(outcome)
	}
	p.mu.Unlock()

	if !inTime {
		outcome.close()
	}
	return inTime
}

// letGo closes what is at hand, except for kept, which is at hand from then on.
func (p *pass) letGo(kept *Response) {
	if p.replays.Load() == 0 {
		if hand := p.hand.Swap(kept); hand != kept && !hand.sharesStream(kept) {
			hand.close()
		}
		return
	}

	p.mu.Lock()
	hands := append(p.beside, p.hand.Swap(kept)) //nolint:gocritic // beside is emptied
	p.beside = nil
	p.mu.Unlock()

	for _, hand := range hands {
		if hand != kept && !hand.sharesStream(kept) {
			hand.close()
		}
	}
}

// turn tells, in one word, which response handler runs (counted from 1, or one of the constants below) and the id of the request
// that it was given.
type turn struct{ word atomic.Uint64 }

// The places of a turn that are no response handler's.
const (
	inRequests int32 = 0
	over       int32 = -1 // the pass has ended
	between    int32 = -2 // all response handlers of this pass have run
)

func (t *turn) load() (place int32, given uint32) {
	word := t.word.Load()
	return int32(word >> 32), uint32(word) //nolint:gosec // the two halves
}

func (t *turn) store(place int32, given uint32) {
	t.word.Store(uint64(uint32(place))<<32 | uint64(given)) //nolint:gosec // the two halves
}

// newID returns a number for a request that goes from handler to handler in this pass.
func (p *pass) newID() uint32 { return p.ids.Add(1) }

// fingerprint is what a request was sent with, kept small: only its body is kept, and hashes of the rest.
type fingerprint struct {
	known     bool
	withBytes bool // the bytes of a []byte body are in its hash
	parts     [sentParts]uint32
	body      any
}

// The parts of a request that a replay takes from the caller and not from the handlers.
const (
	partMethod = iota
	partURL
	partHeader
	partQuery
	partBody
	partTimeout
	partAnswer
	sentParts
)

// partNames and partEdits are the parts in the error of a Replay that would lose them.
var (
	partNames = [sentParts]string{"method", "URL", "header", "query", "body", "timeout", "answer (Respond)"}
	partEdits = [sentParts]string{
		`SetMethod(method)`, `SetURL(url)`, `SetHeader("Authorization", …)`, `SetQueryParam(name, value)`, `SetBody(body)`,
		`SetTimeout(d)`, `Respond(resp)`,
	}
)

var fingerprintSeed = maphash.MakeSeed()

// fingerprint takes r's. It allocates nothing.
func (r *Request) fingerprint(withBytes bool) fingerprint {
	taken := fingerprint{known: true, body: r.Body}
	taken.parts = [sentParts]uint32{
		partMethod: hashText(r.method()),
		partURL:    hashText(r.URL),
		partHeader: hashLists(r.Header),
		partQuery:  hashLists(r.Query),
	}
	for name, value := range r.pathParams {
		one := hashText(name)*31 + hashText(value.Text)
		if value.Raw {
			one *= 31
		}
		taken.parts[partURL] += one
	}
	if r.own.timeout {
		taken.parts[partTimeout] = 1 + uint32(r.timeout^r.timeout>>32) //nolint:gosec // half of it will do
	}
	if r.answer != nil {
		taken.parts[partAnswer] = 1
	}
	switch body := r.Body.(type) {
	case url.Values:
		taken.parts[partBody] = hashLists(body)
	case []byte:
		if withBytes {
			taken.parts[partBody] = uint32(maphash.Bytes(fingerprintSeed, body)) //nolint:gosec // half of it will do
		}
	}
	return taken
}

// noteSent takes the fingerprint of what the response handlers are given. It does not read the caller's own bytes: every attempt
// sends those, so that a change in them is not lost.
func (p *pass) noteSent(r *Request) {
	r.sent = r.fingerprint(false)
	if body, ok := r.Body.([]byte); ok && !isSameBody(p.source.Body, body) {
		r.sent = r.fingerprint(true)
		r.sent.withBytes = true
	}
}

func hashText(s string) uint32 {
	return uint32(maphash.String(fingerprintSeed, s)) //nolint:gosec // half of it will do
}

// hashLists does not depend on the order of the names, and does depend on that of each name's values.
func hashLists[L ~map[string][]string](lists L) uint32 {
	sum := uint32(len(lists)) //nolint:gosec // any number will do
	for name, list := range lists {
		one := hashText(name)
		for _, value := range list {
			one = one*31 + hashText(value)
		}
		one ^= one >> 15
		sum += one * 0x9e3779b1
	}
	return sum
}

// refuseChanges returns the error of a Replay that would lose a change of r; nil if there is none, or if r was never sent.
func (r *Request) refuseChanges() *Error {
	if !r.sent.known {
		return nil
	}
	now := r.fingerprint(r.sent.withBytes)
	var names, edits []string
	for part := range sentParts {
		changed := now.parts[part] != r.sent.parts[part]
		if part == partBody {
			changed = changed || !isSameBody(r.sent.body, r.Body) && !r.encodesLike(r.sent.body)
		}
		if changed {
			names = append(names, partNames[part])
			edits = append(edits, partEdits[part])
		}
	}
	if names == nil {
		return nil
	}
	return badOption(r, "the request's "+strings.Join(names, " and ")+" changed since it was sent, and a replay would lose the change: "+
		"it starts from the request as the caller built it. Pass the change as an edit: "+
		"err.Request.Replay(func(r *axle.Request) { r."+strings.Join(edits, ".")+" })", nil)
}

// encodesLike reports whether a struct or an array that was sent makes the same bytes as the one that is the body now. A struct with
// a function in it, for one, never equals itself, though the function is not sent.
func (r *Request) encodesLike(sent any) bool {
	kind := reflect.ValueOf(r.Body).Kind()
	if reflect.TypeOf(sent) != reflect.TypeOf(r.Body) || kind != reflect.Struct && kind != reflect.Array {
		return false
	}

	before := *r
	before.Body = sent
	was, errBefore := before.encode()
	is, errNow := r.encode()
	return errBefore == nil && errNow == nil && bytes.Equal(was.bytes, is.bytes)
}

// isSameBody reports whether two bodies are one, or equal and of a kind whose parts nobody else changes.
func isSameBody(sent, now any) bool {
	if _, ok := now.(url.Values); ok {
		_, both := sent.(url.Values)
		return both // their hashes tell
	}
	was, is := reflect.ValueOf(sent), reflect.ValueOf(now)
	if !was.IsValid() || !is.IsValid() || was.Type() != is.Type() {
		return was.IsValid() == is.IsValid() && !was.IsValid()
	}
	switch is.Kind() {
	case reflect.Map, reflect.Func, reflect.Chan, reflect.Pointer:
		return was.Pointer() == is.Pointer()
	case reflect.Slice:
		return was.Pointer() == is.Pointer() && was.Len() == is.Len()
	}
	return isSame(sent, now) || reflect.DeepEqual(sent, now)
}
