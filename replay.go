package axle

import (
	"bytes"
	"hash/maphash"
	"net/url"
	"reflect"
	"strings"
)

// This file is Replay: what a replay sends, and the changes of a request that Replay refuses to
// lose. stage.go decides which request may be replayed, and when.

// Replay sends the same call again, for a response handler such as a retry. It starts from the
// request as the caller built it, with r's [Key] values and the edits, and goes through the request
// chain, the dispatch, and the response handlers before the calling one. The calling handler may
// return the outcome, or look at it and replay again. The handlers after it then run once. Nothing
// that a handler did to the first attempt is applied twice.
//
// A change that a response handler made to r itself (its method, URL, header, query, body or
// timeout, or a Respond) would be lost. Replay therefore refuses a request that was changed since
// it was sent (CodeBadOption), also if an earlier response handler changed it, and also if it is a
// changed clone. Pass the change as an edit: r.Replay(func(r *axle.Request) {
// r.SetHeader("Authorization", token) }).
//
// The edits last for this replay and the replays nested in it. When a replay starts, the response
// that the handler was given and the outcomes of the handler's earlier replays are closed. Replays
// may run at the same time, on several goroutines of one handler. They do not disturb each other,
// except that only one of them reads a body that is an io.Reader. When the handler returns, the
// outcomes that it does not return are closed.
//
// Replay is valid only in a response handler, and only until the handler returns. Call it on the
// request that the handler was given, on a clone of that, or on the request of a replay's outcome.
// Anywhere else it returns an error (CodeBadOption). A replay that outlives its handler is an error
// too, and its response is closed. A later handler may get the same *Request. So a goroutine that
// may outlive its handler must replay a clone ([Request.Clone]): a clone belongs to the handler
// that made it. A body that cannot be read again is refused (CodeBadOption) before anything is
// sent.
func (r *Request) Replay(edits ...func(*Request)) (*Response, error) {
	turn, refused := r.mayReplay()
	if refused != nil {
		return nil, refused
	}

	p := r.pass
	next := &pass{call: p.call, source: p.source}
	defer next.finish()
	again, err := next.edited(p, r, edits)
	if err != nil {
		return nil, err
	}

	// The response that the handler was given and the outcomes of its earlier replays are closed
	// before anything is sent. A streamed one would keep its connection.
	if !p.closeOpen(turn) {
		return nil, badOption(r, replayAfterHandler, nil)
	}

	resp, err := next.run(next.begin(again), int(turn)-1)
	if err != nil {
		err = p.reject(err, "", r, nil)
		if err.Request != r {
			err.Request.turn = turn
		}
		p.offer(turn, err.Response)
		return nil, err
	}
	resp = p.claimOutcome(resp, turn)
	if !p.offer(turn, resp) {
		return nil, badOption(r, replayOutlivedHandler, nil)
	}
	return resp, nil
}

// CheckReplay returns the error for which [Request.Replay] without edits would send nothing now, and
// nil if Replay would send. A handler that waits before it replays asks first, so that it does not
// wait in vain: the body may be one that cannot be read again.
//
// CheckReplay closes no response. A body that is an io.Reader is taken from the attempt before, which
// may still be sending it.
func (r *Request) CheckReplay() error {
	if _, refused := r.mayReplay(); refused != nil {
		return refused
	}
	if err := rewindBody(r.Context(), r.pass.source.Body); err != nil {
		return failure(r.Context(), r, err)
	}
	return nil
}

// mayReplay returns the response handler in which r may be replayed now, or the error of a request
// that may not be replayed.
func (r *Request) mayReplay() (stage, *Error) {
	if r.pass == nil {
		return 0, badOption(r, replayOutsideCall, nil)
	}
	turn, reason := r.pass.mayReplay(r)
	if reason != "" {
		return 0, badOption(r, reason, nil)
	}
	return turn, r.refuseChanges()
}

// edited returns the request that p, the pass of a replay, starts from: the source of the outer
// pass, with the Key values of r and with the edits. r is the request that is replayed.
func (p *pass) edited(outer *pass, r *Request, edits []func(*Request)) (*Request, *Error) {
	again := outer.source.Clone()
	again.pass, again.turn, again.client, again.values = p, inRequestChain, p.client, r.valuesForReplay()
	p.jarCookies = p.sender.renewCookies(again.Header, outer.jarCookies)

	p.settings.noteOrigins(again)
	again.With(edits...)
	if again.nilContext {
		return nil, badOption(again, "the context is nil", nil)
	}

	// A body that cannot be read again is refused before anything is sent.
	if err := rewindBody(again.Context(), again.Body); err != nil {
		return nil, failure(again.Context(), again, err)
	}
	return again, nil
}

// claimOutcome makes the outcome of a replay this pass's own, for the handler that asked for the
// replay. The header maps are not copied: they go from handler to handler, as in any chain.
func (p *pass) claimOutcome(outcome *Response, turn stage) *Response {
	request, response := *outcome.Request, *outcome
	request.pass, request.turn = p, turn
	response.Request = &request
	return &response
}

// fingerprint records how a request was sent: the body itself, and hashes of the other parts.
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
	partRespond
	sentParts
)

// partNames and partEdits are the parts in the error of a Replay that would lose them.
var (
	partNames = [sentParts]string{"method", "URL", "header", "query", "body", "timeout", "answer (Respond)"}
	partEdits = [sentParts]string{
		`SetMethod(method)`, `SetURL(url)`, `SetHeader("Authorization", …)`,
		`SetQueryParam(name, value)`, `SetBody(body)`, `SetTimeout(d)`, `Respond(resp)`,
	}
)

var fingerprintSeed = maphash.MakeSeed()

// fingerprint returns the present fingerprint of r. It allocates nothing.
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

	if r.overrides.timeout {
		taken.parts[partTimeout] = 1 + uint32(r.timeout^r.timeout>>32) //nolint:gosec // half of it will do
	}
	if r.respond != nil {
		taken.parts[partRespond] = 1
	}

	switch body := r.Body.(type) {
	case url.Values:
		taken.parts[partBody] = hashLists(body)
	case []byte:
		if withBytes {
			hash := maphash.Bytes(fingerprintSeed, body)
			taken.parts[partBody] = uint32(hash) //nolint:gosec // half of it will do
		}
	}
	return taken
}

// noteSent takes the fingerprint of the request that the response handlers are given. The bytes of
// a []byte body that the caller set are not hashed: every attempt sends that same slice, so that a
// replay does not lose a change in it.
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

// hashLists returns a hash that does not depend on the order of the names, and does depend on the
// order of each name's values.
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

// refuseChanges returns the error of a Replay that would lose a change of r; nil if there is none,
// or if r was never sent.
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
	message := "the request's " + strings.Join(names, " and ") +
		" changed since it was sent, and a replay would lose the change: " +
		"it starts from the request as the caller built it. Pass the change as an edit: " +
		"err.Request.Replay(func(r *axle.Request) { r." + strings.Join(edits, ".") + " })"
	return badOption(r, message, nil)
}

// encodesLike reports whether a struct or an array that was sent makes the same bytes as the one
// that is the body now. A struct with a function in it, for one, never equals itself, though the
// function is not sent.
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

// isSameBody reports whether two bodies are one, or equal and of a kind whose parts nobody else
// changes.
func isSameBody(sent, now any) bool {
	if _, ok := now.(url.Values); ok {
		_, both := sent.(url.Values)
		// Their hashes are compared elsewhere.
		return both
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
	return reflect.DeepEqual(sent, now)
}
