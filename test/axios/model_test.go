package axios_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/axlehttp/axle"
)

// This file checks random chains against a model of the promise chain that shares nothing with the implementation: a list of
// steps over values, without contexts, bodies, copies on write or adoption. Both sides write a journal of what each handler was
// given; the journals and the outcomes must be equal.

// act is what a handler does, whatever it is given.
type act string

const (
	passOn   act = "pass"     // return what came
	change   act = "change"   // note something on the request at hand, and pass on
	throw    act = "throw"    // return a plain error
	wrap     act = "wrap"     // return an error around the one given; else as throw
	fresh    act = "fresh"    // return an *axle.Error with nothing but a code
	neither  act = "neither"  // return nil and nil
	bothOf   act = "both"     // return a value and an error
	replace  act = "replace"  // return a new value: a recovery, if there was an error
	nestedDo act = "do"       // return what Client.Do makes of the request at hand
	replayIt act = "replay"   // return what Replay makes of it; in the request chain an error
	ejectOne act = "eject"    // eject this very pair, and pass on
	clearAll act = "clear"    // clear this chain, and pass on
	useMore  act = "use"      // add a pair that changes to the end of this chain, and pass on
	isNil    act = "nil"      // there is no handler
	budget       = 12         // Do and Replay do nothing more after so many, or some chains would never end
	mark         = "X-Marked" // the header in which changes are noted
)

var allActs = []act{
	passOn, change, change, throw, wrap, fresh, neither, bothOf, replace, nestedDo, replayIt, replayIt, ejectOne, clearAll, useMore, isNil, isNil,
}

// pair is one link of a random chain.
type pair struct {
	name                string
	fulfilled, rejected act
	when                string // RunWhen: "", "once" (only calls without a mark) or "again"
}

func drawChain(t *rapid.T, prefix string) []pair {
	n := rapid.IntRange(0, 4).Draw(t, prefix+"s")
	chain := make([]pair, n)
	for i := range chain {
		name := fmt.Sprintf("%s%d", prefix, i)
		chain[i] = pair{
			name:      name,
			fulfilled: rapid.SampledFrom(allActs).Draw(t, name+" fulfilled"),
			rejected:  rapid.SampledFrom(allActs).Draw(t, name+" rejected"),
			when:      rapid.SampledFrom([]string{"", "", "", "once", "again"}).Draw(t, name+" when"),
		}
	}
	return chain
}

func TestModel_RandomChainsBehaveAsThePromiseChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requests, responses := drawChain(t, "q"), drawChain(t, "p")
		fifo := rapid.Bool().Draw(t, "fifo")
		network := rapid.SliceOfN(rapid.SampledFrom([]int{200, 200, 404, 503, 0}), 1, 4).Draw(t, "network") // 0: it fails

		want := &model{network: network, requests: slices.Clone(requests), responses: slices.Clone(responses), fifo: fifo}
		got := newSubject(requests, responses, fifo, network)
		for range 2 { // the second call finds what the first has changed of the chains
			want.note("outcome %v", want.do(&modelRequest{}))
			got.call()
		}
		require.Equal(t, want.journal, got.journal)
	})
}

// ---- the model

type modelRequest struct {
	marks []string
	sent  []string // the marks with which the response chain was given it
}

type modelResponse struct {
	label   string
	request *modelRequest
}

type modelError struct {
	code, label string
	request     *modelRequest
	response    *modelResponse
}

// modelState is a value, of which the request chain has the first and the response chain the second, or an error.
type modelState struct {
	request  *modelRequest
	response *modelResponse
	err      *modelError
}

func (s modelState) String() string {
	switch {
	case s.err != nil && s.err.response != nil:
		return fmt.Sprintf("error %s %s %v after %s", s.err.code, s.err.label, s.err.request.marks, s.err.response.label)
	case s.err != nil:
		return fmt.Sprintf("error %s %s %v", s.err.code, s.err.label, s.err.request.marks)
	case s.response != nil:
		return fmt.Sprintf("response %s %v", s.response.label, s.response.request.marks)
	}
	return fmt.Sprintf("request %v", s.request.marks)
}

type model struct {
	network             []int
	requests, responses []pair // in the order of Use
	fifo                bool
	journal             []string
	sent, nested        int
}

func (m *model) note(format string, args ...any) {
	m.journal = append(m.journal, fmt.Sprintf(format, args...))
}

func (r *modelRequest) copy() *modelRequest { return &modelRequest{marks: slices.Clone(r.marks)} }

// at is the request that belongs to a state.
func (s modelState) at() *modelRequest {
	switch {
	case s.err != nil:
		return s.err.request
	case s.response != nil:
		return s.response.request
	}
	return s.request
}

func running(chain []pair, r *modelRequest) []pair {
	return slices.DeleteFunc(slices.Clone(chain), func(p pair) bool {
		return p.when == "once" && len(r.marks) > 0 || p.when == "again" && len(r.marks) == 0
	})
}

func (m *model) do(given *modelRequest) modelState {
	requests, responses := running(m.requests, given), running(m.responses, given)
	if !m.fifo {
		slices.Reverse(requests)
	}
	return m.run(given, requests, responses, len(responses))
}

func (m *model) run(source *modelRequest, requests, responses []pair, depth int) modelState {
	source = source.copy()
	s := modelState{request: source.copy()}
	for _, p := range requests {
		s = m.step(p, s, &m.requests, nil)
	}
	if s.err == nil {
		s = m.dispatch(s.request)
	}
	s.at().sent = slices.Clone(s.at().marks)
	for i, p := range responses[:depth] {
		s = m.step(p, s, &m.responses, func() modelState { return m.run(source, requests, responses, i) })
	}
	return s
}

func (m *model) dispatch(r *modelRequest) modelState {
	status := m.network[min(m.sent, len(m.network)-1)]
	m.sent++
	answer := &modelResponse{fmt.Sprintf("answer%d", m.sent), r}
	switch {
	case status == 0:
		return modelState{err: &modelError{"ERR_NETWORK", "", r, nil}}
	case status >= 500:
		return modelState{err: &modelError{"ERR_BAD_RESPONSE", "", r, answer}}
	case status >= 400:
		return modelState{err: &modelError{"ERR_BAD_REQUEST", "", r, answer}}
	}
	return modelState{response: answer}
}

// step is one pair of either chain. Only the response chain has a replay.
func (m *model) step(p pair, s modelState, chain *[]pair, replay func() modelState) modelState {
	what := p.fulfilled
	if s.err != nil {
		what = p.rejected
	}
	if what == isNil {
		return s
	}
	m.note("%s %v", p.name, s)
	fail := func(code, label string, response *modelResponse) modelState {
		return modelState{err: &modelError{code, label, s.at(), response}}
	}
	hand := s.response
	if s.err != nil {
		hand = s.err.response
	}
	switch what {
	case change:
		s.at().marks = append(s.at().marks, p.name)
	case throw, bothOf:
		return fail("ERR_INTERCEPTOR", p.name, hand)
	case wrap:
		if s.err == nil {
			return fail("ERR_INTERCEPTOR", p.name, hand)
		}
		return fail(s.err.code, s.err.label, hand)
	case fresh:
		return fail("ERR_BAD_OPTION_VALUE", "", nil)
	case neither:
		return fail("ERR_INTERCEPTOR", "no result", hand)
	case replace:
		if replay == nil {
			return modelState{request: &modelRequest{marks: []string{p.name}}}
		}
		return modelState{response: &modelResponse{p.name, s.at()}}
	case nestedDo:
		if m.nested++; m.nested > budget {
			break
		}
		inner := m.do(s.at())
		if replay == nil && inner.err == nil { // a request handler returns a request
			return modelState{request: inner.at().copy()}
		}
		return inner
	case replayIt:
		if replay == nil {
			return fail("ERR_BAD_OPTION_VALUE", "", nil)
		}
		if m.nested++; m.nested > budget {
			break
		}
		if !slices.Equal(s.at().marks, s.at().sent) { // a response handler's change would be lost
			return fail("ERR_BAD_OPTION_VALUE", "", nil)
		}
		return replay()
	case ejectOne:
		*chain = slices.DeleteFunc(slices.Clone(*chain), func(q pair) bool { return q.name == p.name })
	case clearAll:
		*chain = nil
	case useMore:
		*chain = append(slices.Clone(*chain), pair{name: "more", fulfilled: change, rejected: change})
	}
	return s
}

// ---- the subject

// tagged is the plain error of a handler.
type tagged string

func (e tagged) Error() string { return string(e) }

type subject struct {
	client       *axle.Client
	journal      []string
	nested, sent int
	network      []int
}

func newSubject(requests, responses []pair, fifo bool, network []int) *subject {
	s := &subject{network: network}
	s.client = axle.New().SetBaseURL("http://axle.test").SetCookieJar(nil).SetTransport(&fakeTransport{Answer: s.answer})
	if fifo {
		s.client.SetInterceptorOrder(axle.FIFO)
	}
	for _, p := range requests {
		use(s, s.client.Interceptors.Request, p, s.asRequest)
	}
	for _, p := range responses {
		use(s, s.client.Interceptors.Response, p, s.asResponse)
	}
	return s
}

func (s *subject) answer(r *http.Request) (*http.Response, error) {
	status := s.network[min(s.sent, len(s.network)-1)]
	s.sent++
	if status == 0 {
		return nil, errors.New("no route to host")
	}
	answer := reply(r, status, "")
	answer.Header.Set("Label", fmt.Sprintf("answer%d", s.sent))
	return answer, nil
}

func (s *subject) call() {
	resp, err := s.client.Get(context.Background(), "/")
	s.note("outcome %s", s.describe(resp, err))
}

func (s *subject) note(format string, args ...any) {
	s.journal = append(s.journal, fmt.Sprintf(format, args...))
}

// describe is modelState.String of what the implementation has.
func (s *subject) describe(value any, err error) string {
	marks := func(r *axle.Request) []string { return r.Header[mark] }
	if e, ok := err.(*axle.Error); ok && e != nil { //nolint:errorlint // calls and chains have the error itself
		label := ""
		if tag, ok := errors.AsType[tagged](e); ok {
			label = string(tag)
		} else if errors.Is(e, axle.ErrNoResult) {
			label = "no result"
		}
		text := fmt.Sprintf("error %s %s %v", e.Code, label, marks(e.Request))
		if e.Response != nil {
			text += " after " + e.Response.Header.Get("Label")
		}
		return text
	}
	if resp, ok := value.(*axle.Response); ok {
		return fmt.Sprintf("response %s %v", resp.Header.Get("Label"), marks(resp.Request))
	}
	return fmt.Sprintf("request %v", marks(value.(*axle.Request)))
}

// result is what a handler may return in either chain: an answer makes a request in the one, a response in the other.
type convert[T any] func(at *axle.Request, answer *axle.Response, name string) T

func (s *subject) asRequest(at *axle.Request, answer *axle.Response, name string) *axle.Request {
	if answer != nil {
		return answer.Request.Clone()
	}
	return s.client.R(at.Context()).SetURL("/").SetHeader(mark, name)
}

func (s *subject) asResponse(at *axle.Request, answer *axle.Response, name string) *axle.Response {
	if answer != nil {
		return answer
	}
	return axle.NewResponse(at, http.StatusOK, http.Header{"Label": {name}}, nil)
}

func use[T interface{ *axle.Request | *axle.Response }](s *subject, chain *axle.Chain[T], p pair, as convert[T]) {
	var id axle.InterceptorID
	perform := func(what act, value T, given *axle.Error) (T, error) {
		s.note("%s %s", p.name, s.describe(value, given))
		at := requestOf(value, given)
		unchanged := func() (T, error) {
			if given != nil {
				return nil, given
			}
			return value, nil
		}
		nested := func(send func() (*axle.Response, error)) (T, error) {
			if s.nested++; s.nested > budget {
				return unchanged()
			}
			answer, err := send()
			if err != nil {
				return nil, err
			}
			return as(at, answer, p.name), nil
		}
		switch what {
		case change:
			at.Header.Add(mark, p.name)
		case throw:
			return nil, tagged(p.name)
		case bothOf:
			return as(at, nil, p.name), tagged(p.name)
		case wrap:
			if given == nil {
				return nil, tagged(p.name)
			}
			return nil, fmt.Errorf("wrapped: %w", given)
		case fresh:
			return nil, &axle.Error{Code: axle.CodeBadOption}
		case neither:
			return nil, nil
		case replace:
			return as(at, nil, p.name), nil
		case nestedDo:
			return nested(func() (*axle.Response, error) { return s.client.Do(at) })
		case replayIt:
			if _, in := any(chain).(*axle.Chain[*axle.Request]); in {
				_, err := at.Replay()
				return nil, err
			}
			return nested(func() (*axle.Response, error) { return at.Replay() })
		case ejectOne:
			chain.Eject(id)
		case clearAll:
			chain.Clear()
		case useMore:
			use(s, chain, pair{name: "more", fulfilled: change, rejected: change}, as)
		}
		return unchanged()
	}
	var fulfilled func(context.Context, T) (T, error)
	var rejected func(context.Context, *axle.Error) (T, error)
	if p.fulfilled != isNil {
		fulfilled = func(_ context.Context, value T) (T, error) { return perform(p.fulfilled, value, nil) }
	}
	if p.rejected != isNil {
		rejected = func(_ context.Context, err *axle.Error) (T, error) { return perform(p.rejected, nil, err) }
	}
	opts := []axle.UseOption{axle.Named(p.name)}
	switch p.when {
	case "once":
		opts = append(opts, axle.RunWhen(func(r *axle.Request) bool { return strings.Join(r.Header[mark], "") == "" }))
	case "again":
		opts = append(opts, axle.RunWhen(func(r *axle.Request) bool { return strings.Join(r.Header[mark], "") != "" }))
	}
	id = chain.Use(fulfilled, rejected, opts...)
}

func requestOf[T interface{ *axle.Request | *axle.Response }](value T, err *axle.Error) *axle.Request {
	if err != nil {
		return err.Request
	}
	if resp, ok := any(value).(*axle.Response); ok {
		return resp.Request
	}
	return any(value).(*axle.Request)
}
