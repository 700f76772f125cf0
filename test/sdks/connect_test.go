package sdks_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/axlehttp/axle"
)

const (
	echoProcedure = "/axle.test.v1.Echo/Echo"
	tailProcedure = "/axle.test.v1.Echo/Tail"
	joinProcedure = "/axle.test.v1.Echo/Join"
	chatProcedure = "/axle.test.v1.Echo/Chat"
)

type text = wrapperspb.StringValue

type protocol struct {
	name  string
	http2 bool
	opts  []connect.ClientOption
}

// protocols are what a Connect client can speak. gRPC needs HTTP/2, and its status comes in trailers.
var protocols = []protocol{
	{name: "Connect"},
	{name: "Connect over HTTP2", http2: true},
	{name: "gRPC", http2: true, opts: []connect.ClientOption{connect.WithGRPC()}},
	{name: "gRPC-Web", opts: []connect.ClientOption{connect.WithGRPCWeb()}},
}

// echo has a procedure of each kind: unary, and streaming there, back, and both ways. Tail sends its second message when the
// client has received the first.
func echo(received <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(echoProcedure, connect.NewUnaryHandler(echoProcedure,
		func(_ context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
			if r.Msg.Value == "" {
				err := connect.NewError(connect.CodeNotFound, errors.New("there is nothing to echo"))
				err.Meta().Set("Reason", "empty")
				return nil, err
			}
			answer := connect.NewResponse(wrapperspb.String(r.Msg.Value))
			answer.Trailer().Set("Echoed", "yes")
			return answer, nil
		}))
	mux.Handle(tailProcedure, connect.NewServerStreamHandler(tailProcedure,
		func(ctx context.Context, r *connect.Request[text], stream *connect.ServerStream[text]) error {
			if err := stream.Send(r.Msg); err != nil {
				return err
			}
			select {
			case <-received:
				return stream.Send(wrapperspb.String("the end"))
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
	mux.Handle(joinProcedure, connect.NewClientStreamHandler(joinProcedure,
		func(_ context.Context, stream *connect.ClientStream[text]) (*connect.Response[text], error) {
			var joined strings.Builder
			for stream.Receive() {
				joined.WriteString(stream.Msg().Value)
			}
			return connect.NewResponse(wrapperspb.String(joined.String())), stream.Err()
		}))
	mux.Handle(chatProcedure, connect.NewBidiStreamHandler(chatProcedure,
		func(_ context.Context, stream *connect.BidiStream[text, text]) error {
			for {
				message, err := stream.Receive()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err == nil {
					err = stream.Send(message)
				}
				if err != nil {
					return err
				}
			}
		}))
	return mux
}

func newEcho(t *testing.T, p protocol, received <-chan struct{}) *api {
	t.Helper()
	return newAPI(t, echo(received), func(s *httptest.Server) { s.EnableHTTP2 = p.http2 })
}

func rpcClient(a *api, client *axle.Client, procedure string, opts ...connect.ClientOption) *connect.Client[text, text] {
	return connect.NewClient[text, text](client.HTTPClient(), a.URL+procedure, opts...) // the one line
}

func TestConnect_UnaryCallsSurviveExpiries(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			a := newEcho(t, p, nil)
			client, w := a.client()
			sdk := rpcClient(a, client, echoProcedure, p.opts...)
			tell(t, a, w, func(ctx context.Context, text string) error {
				answer, err := sdk.CallUnary(ctx, connect.NewRequest(wrapperspb.String(text)))
				switch {
				case err != nil:
					return err
				case answer.Trailer().Get("Echoed") != "yes":
					return errors.New("the trailers got lost")
				}
				return same(answer.Msg.Value, text)
			})
			assert.Equal(t, "POST "+echoProcedure, w.requests()[0], "the SDK's request is an axle.Request")
		})
	}
}

func TestConnect_StreamsArriveMessageByMessageAcrossExpiries(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			received := make(chan struct{})
			a := newEcho(t, p, received)
			client, w := a.client()
			sdk := rpcClient(a, client, tailProcedure, p.opts...)
			tell(t, a, w, func(ctx context.Context, text string) error {
				stream, err := sdk.CallServerStream(ctx, connect.NewRequest(wrapperspb.String(text)))
				if err != nil {
					return err
				}
				defer stream.Close()
				if !stream.Receive() {
					return stream.Err()
				}
				if err := same(stream.Msg().Value, text); err != nil {
					return err
				}
				// Whichever of the calls is told, there is one receipt for each second message.
				select {
				case received <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				if !stream.Receive() {
					return stream.Err()
				}
				if err := same(stream.Msg().Value, "the end"); err != nil {
					return err
				}
				if stream.Receive() {
					return errors.New("a third message")
				}
				return stream.Err()
			})
		})
	}
}

// What a client streams is a pipe, of which axle keeps the beginning: so the replay sends it again, and then goes on.
func TestConnect_AnUploadSurvivesAnExpiry(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			a := newEcho(t, p, nil)
			client, _ := a.client()
			stream := rpcClient(a, client, joinProcedure, p.opts...).CallClientStream(t.Context())
			var sent strings.Builder
			for n := range 3 {
				require.NoError(t, stream.Send(wrapperspb.String(textOf(n))))
				sent.WriteString(textOf(n))
			}
			answer, err := stream.CloseAndReceive()
			require.NoError(t, err)
			require.NoError(t, same(answer.Msg.Value, sent.String()))
			assert.Equal(t, counts{refreshes: 1, refused: 1, accepted: 1}, a.counts())
		})
	}
}

func TestConnect_AConversationGoesBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		if !p.http2 {
			continue // HTTP/1.1 cannot do it
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			a := newEcho(t, p, nil)
			client, _ := a.client()
			_, err := rpcClient(a, client, echoProcedure, p.opts...).CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("refreshes")))
			require.NoError(t, err)
			converse(t, a, client, p.opts...)
			assert.Equal(t, counts{refreshes: 1, refused: 1, accepted: 2}, a.counts())
		})
	}
}

func TestConnect_AConversationSurvivesAnExpiryAtItsStart(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		if !p.http2 {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			a := newEcho(t, p, nil)
			client, _ := a.client()
			converse(t, a, client, p.opts...)
			assert.Equal(t, counts{refreshes: 1, refused: 1, accepted: 1}, a.counts())
		})
	}
}

// converse sends each message when it has the answer to the one before.
func converse(t *testing.T, a *api, client *axle.Client, opts ...connect.ClientOption) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream := rpcClient(a, client, chatProcedure, opts...).CallBidiStream(ctx)
	for n := range 4 {
		require.NoError(t, stream.Send(wrapperspb.String(textOf(n))))
		answer, err := stream.Receive()
		require.NoError(t, err)
		require.NoError(t, same(answer.Value, textOf(n)))
	}
	require.NoError(t, stream.CloseRequest())
	_, err := stream.Receive()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, stream.CloseResponse())
}

// early is a transport that has an answer while the message is still being sent, and goes on reading that for a while, as
// net/http's does. It takes a long message to see that one do it.
type early struct {
	http.RoundTripper
	sending io.ReadCloser
}

func (e *early) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.URL.Path == refreshPath:
	case e.sending == nil:
		e.sending = r.Body
		return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	default:
		_, _ = io.CopyN(io.Discard, e.sending, 10)
		_ = e.sending.Close()
	}
	return e.RoundTripper.RoundTrip(r)
}

// Connect sends each attempt from one buffer, which it rewinds.
func TestConnect_AnAttemptThatIsOverTakesNothingFromTheNext(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			a := newEcho(t, p, nil)
			client, _ := a.client()
			client.SetTransport(&early{RoundTripper: a.Client().Transport})
			sent := textOf(2)
			answer, err := rpcClient(a, client, echoProcedure, p.opts...).CallUnary(t.Context(), connect.NewRequest(wrapperspb.String(sent)))
			require.NoError(t, err)
			require.NoError(t, same(answer.Msg.Value, sent))
		})
	}
}

func TestConnect_ErrorsKeepTheirCodes(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			a := newEcho(t, p, nil)
			client, _ := a.client()
			sdk := rpcClient(a, client, echoProcedure, p.opts...)
			_, err := sdk.CallUnary(t.Context(), connect.NewRequest(&text{}))
			var failed *connect.Error
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, connect.CodeNotFound, failed.Code())
			assert.Equal(t, "there is nothing to echo", failed.Message())
			assert.Equal(t, "empty", failed.Meta().Get("Reason"))

			ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
			defer cancel()
			_, err = sdk.CallUnary(ctx, connect.NewRequest(wrapperspb.String("late")))
			assert.Equal(t, connect.CodeDeadlineExceeded, connect.CodeOf(err))
			assert.Equal(t, 1, a.counts().refreshes)
		})
	}
}
