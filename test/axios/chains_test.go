package axios_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// recordedChain is a chain of interceptors and what the real axios did with it; testdata/record.mjs is what recorded it.
type recordedChain struct {
	Requests, Responses []recordedPair
	Network             []int // statuses, in order; 0: it fails
	Journal             []string
}

type recordedPair struct{ Name, Fulfilled, Rejected, When string }

//go:embed testdata/chains.json
var record []byte

// TestAxios_RandomChainsDoWhatTheRealOneDid has axle repeat what axios was recorded doing: the handlers that ran, in their order, what
// each was given, and the outcome.
func TestAxios_RandomChainsDoWhatTheRealOneDid(t *testing.T) {
	var recorded struct {
		Axios  string
		Chains []recordedChain
	}
	require.NoError(t, json.Unmarshal(record, &recorded))
	require.NotEmpty(t, recorded.Chains)
	for i, chain := range recorded.Chains {
		s := &repeated{chain: chain}
		s.run(t.Context())
		require.Equal(t, chain.Journal, s.journal, "chain %d, by axios %s: %+v", i, recorded.Axios, chain)
	}
	assert.GreaterOrEqual(t, len(recorded.Chains), 400)
}

// repeated is one chain, in axle.
type repeated struct {
	chain        recordedChain
	client       *axle.Client
	journal      []string
	sent, nested int
}

func (s *repeated) run(ctx context.Context) {
	s.client = axle.New().SetBaseURL("http://axle.test").SetCookieJar(nil).SetTransport(&fakeTransport{Answer: s.answer})
	for _, p := range s.chain.Requests {
		repeat(s, s.client.Interceptors.Request, p, s.requestOfResponse, s.freshRequest)
	}
	for _, p := range s.chain.Responses {
		repeat(s, s.client.Interceptors.Response, p, func(r *axle.Response) *axle.Response { return r }, s.freshResponse)
	}
	resp, err := s.client.Get(ctx, "/")
	s.note("outcome", resp, err)
}

func (s *repeated) answer(r *http.Request) (*http.Response, error) {
	status := s.chain.Network[min(s.sent, len(s.chain.Network)-1)]
	s.sent++
	if status == 0 {
		return nil, errBoom
	}
	answer := reply(r, status, "")
	answer.Header.Set("Label", fmt.Sprintf("answer%d", s.sent))
	return answer, nil
}

func marksOf(r *axle.Request) string { return r.Header.Get(mark) }

// note writes what record.mjs writes.
func (s *repeated) note(name string, value any, err error) {
	var text string
	e, failed := errors.AsType[*axle.Error](err)
	switch tag, thrown := errors.AsType[tagged](err); {
	case thrown:
		text = "thrown " + string(tag)
	case failed:
		text = fmt.Sprintf("error %s [%s]", e.Code, marksOf(e.Request))
	default:
		if resp, ok := value.(*axle.Response); ok {
			text = fmt.Sprintf("response %s [%s]", resp.Header.Get("Label"), marksOf(resp.Request))
		} else {
			text = fmt.Sprintf("request [%s]", marksOf(value.(*axle.Request)))
		}
	}
	s.journal = append(s.journal, name+" "+text)
}

func (s *repeated) requestOfResponse(r *axle.Response) *axle.Request { return r.Request.Clone() }

func (s *repeated) freshRequest(_ *axle.Request, name string) *axle.Request {
	return s.client.R(context.Background()).SetURL("/").SetHeader(mark, name)
}

func (s *repeated) freshResponse(at *axle.Request, name string) *axle.Response {
	if at == nil {
		at = s.client.R(context.Background()).SetURL("/")
	}
	return axle.NewResponse(at, http.StatusOK, http.Header{"Label": {name}}, nil)
}

func repeat[T interface{ *axle.Request | *axle.Response }](
	s *repeated, chain *axle.Chain[T], p recordedPair, of func(*axle.Response) T, fresh func(at *axle.Request, name string) T,
) {
	act := func(what string, value T, err *axle.Error) (T, error) {
		var failed error
		if err != nil {
			failed = err
		}
		s.note(p.Name, any(value), failed)
		at := requestOf(value, err)
		if _, thrown := errors.AsType[tagged](failed); thrown {
			at = nil // in axios a plain error has no config
		}
		switch {
		case what == "throw":
			return nil, tagged(p.Name)
		case what == "replace":
			return fresh(at, p.Name), nil
		case what == "change" && at != nil:
			if before := marksOf(at); before != "" {
				at.Header.Set(mark, before+","+p.Name)
			} else {
				at.Header.Set(mark, p.Name)
			}
		case what == "do" && at != nil:
			if s.nested++; s.nested > 4 {
				break
			}
			resp, err := s.client.Do(at)
			if err != nil {
				return nil, err
			}
			return of(resp), nil
		}
		return value, failed
	}
	var fulfilled func(context.Context, T) (T, error)
	var rejected func(context.Context, *axle.Error) (T, error)
	if p.Fulfilled != "" {
		fulfilled = func(_ context.Context, value T) (T, error) { return act(p.Fulfilled, value, nil) }
	}
	if p.Rejected != "" {
		rejected = func(_ context.Context, err *axle.Error) (T, error) { return act(p.Rejected, nil, err) }
	}
	var opts []axle.UseOption
	if p.When != "" {
		opts = append(opts, axle.RunWhen(func(r *axle.Request) bool { return (marksOf(r) == "") == (p.When == "once") }))
	}
	chain.Use(fulfilled, rejected, opts...)
}
