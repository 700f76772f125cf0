package axle_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-resty/resty/v2"
	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/future"
	"github.com/axlehttp/axle/interceptors/auth"
	"github.com/axlehttp/axle/interceptors/breaker"
	"github.com/axlehttp/axle/interceptors/limit"
	"github.com/axlehttp/axle/interceptors/logging"
	"github.com/axlehttp/axle/interceptors/retry"
	"github.com/axlehttp/axle/store"
	"github.com/axlehttp/axle/store/sessiontest"
)

// The names and signatures that are promised. If this file compiles they are kept.

type (
	client   = *axle.Client
	request  = *axle.Request
	response = *axle.Response
	edit     = func(*axle.Request)
	tok      = *oauth2.Token
	ctx      = context.Context
)

var (
	_ func() client                                             = axle.New
	_ func(client) client                                       = client.Clone
	_ func(client, string) client                               = client.SetBaseURL
	_ func(client) string                                       = client.BaseURL
	_ func(client, time.Duration) client                        = client.SetTimeout
	_ func(client, string, string) client                       = client.SetHeader
	_ func(client, string, string) client                       = client.SetQueryParam
	_ func(client, http.RoundTripper) client                    = client.SetTransport
	_ func(client, http.CookieJar) client                       = client.SetCookieJar
	_ func(client, func(int) bool) client                       = client.SetValidateStatus
	_ func(client, ...string) client                            = client.SetSensitiveHeaders
	_ func(client, int64) client                                = client.SetResponseLimit
	_ func(client, axle.Order) client                           = client.SetInterceptorOrder
	_ func(client, func(*resty.Client)) client                  = client.SetEngine
	_ func(client, ...axle.Plugin) client                       = client.Use
	_ func(client, ctx) request                                 = client.R
	_ func(client, request) (response, error)                   = client.Do
	_ func(client, ctx, string, ...edit) (response, error)      = client.Get
	_ func(client, ctx, string, ...edit) (response, error)      = client.Head
	_ func(client, ctx, string, ...edit) (response, error)      = client.Options
	_ func(client, ctx, string, ...edit) (response, error)      = client.Delete
	_ func(client, ctx, string, any, ...edit) (response, error) = client.Post
	_ func(client, ctx, string, any, ...edit) (response, error) = client.Put
	_ func(client, ctx, string, any, ...edit) (response, error) = client.Patch
	_ func(client) http.RoundTripper                            = client.RoundTripper
	_ func(client) *http.Client                                 = client.HTTPClient
	_ axle.Interceptors                                         = axle.Interceptors{Request: new(axle.Chain[request]), Response: new(axle.Chain[response])}
	_ map[axle.InterceptorID]bool                               // comparable
	_ func(*axle.Chain[request], axle.InterceptorID) bool       = (*axle.Chain[request]).Eject
	_ func(*resty.Client) client                                = axle.FromResty
	_ func(*axle.Chain[response])                               = (*axle.Chain[response]).Clear
	_ func(*axle.Chain[response]) int                           = (*axle.Chain[response]).Len
	_ func(*axle.Chain[response]) string                        = (*axle.Chain[response]).String
	_ func(string) axle.UseOption                               = axle.Named
	_ func(func(request) bool) axle.UseOption                   = axle.RunWhen
	_ []func(string) axle.UseOption                             = []func(string) axle.UseOption{axle.Before, axle.After}
	_ axle.Plugin                                               = axle.PluginFunc(nil)
	_ axle.Plugin                                               = axle.OnRequest("", (func(ctx, request) (request, error))(nil), (func(ctx, *axle.Error) (request, error))(nil), axle.Before(""))
	_ axle.Plugin                                               = axle.OnResponse("", (func(ctx, response) (response, error))(nil), (func(ctx, *axle.Error) (response, error))(nil), axle.After(""))
	_ func(client) string                                       = client.String
	_ [2]axle.Order                                             = [...]axle.Order{axle.LIFO, axle.FIFO}
	_                                                           = axle.Request{Method: "", URL: "", Header: http.Header{}, Query: url.Values{}, Body: any(nil)}
	_ func(request) ctx                                         = request.Context
	_ func(request, ctx) request                                = request.SetContext
	_ func(request, ...edit) request                            = request.With
	_ func(request, string) request                             = request.SetMethod
	_ func(request, string) request                             = request.SetURL
	_ func(request, string, string) request                     = request.SetHeader
	_ func(request, string, string) request                     = request.SetQueryParam
	_ func(request, string, string) request                     = request.SetPathParam
	_ func(request, any) request                                = request.SetBody
	_ func(request, time.Duration) request                      = request.SetTimeout
	_ func(request, func(int) bool) request                     = request.SetValidateStatus
	_ func(request, any) request                                = request.SetResult
	_ func(request, bool) request                               = request.SetStream
	_ func(request) client                                      = request.Client
	_ func(request) (*url.URL, error)                           = request.ResolveURL
	_ func(request) ([]byte, string, error)                     = request.EncodedBody
	_ func(request, response) request                           = request.Respond
	_ func(request) request                                     = request.Clone
	_ func(request, ...edit) (response, error)                  = request.Replay
	_ func(request, string, string) (response, error)           = request.Execute
	_ []func(request, string) (response, error)                 = []func(request, string) (response, error){request.Get, request.Head, request.Options, request.Delete, request.Post, request.Put, request.Patch}
	_ func(string) *axle.Key[int]                               = axle.NewKey[int]
	_ func(*axle.Key[int], request, int)                        = (*axle.Key[int]).Set
	_ func(*axle.Key[int], request) (int, bool)                 = (*axle.Key[int]).Get
	_                                                           = axle.Response{Request: request(nil), StatusCode: 0, Status: "", Header: http.Header{}}
	_ func(request, int, http.Header, []byte) response          = axle.NewResponse
	_ func(response) []byte                                     = response.Bytes
	_ func(response) error                                      = response.Buffer
	_ func(response) string                                     = response.String
	_ func(response, []byte) response                           = response.SetBytes
	_ func(response, any) error                                 = response.Decode
	_ func(response) io.ReadCloser                              = response.Stream
	_ func(response, io.ReadCloser) response                    = response.SetStream
	_ func(response) time.Duration                              = response.Duration
	_ func(response) *http.Response                             = response.Raw
	_                                                           = axle.Error{Code: axle.Code(""), Message: "", Request: request(nil), Response: response(nil), Err: error(nil)}
	_ interface {
		error
		Unwrap() error
		StatusCode() int
		Timeout() bool
	} = (*axle.Error)(nil)
	_ []error = []error{
		axle.CodeBadRequest, axle.CodeBadResponse, axle.CodeNetwork, axle.CodeTimeout, axle.CodeCanceled, axle.CodeInvalidURL,
		axle.CodeTooManyRedirects, axle.CodeTooLarge, axle.CodeBadOption, axle.CodeInterceptor, axle.ErrNoResult,
	}
	_ func(ctx, client, string, ...edit) (int, error)      = axle.Get[int]
	_ func(ctx, client, string, ...edit) (int, error)      = axle.Delete[int]
	_ func(ctx, client, string, any, ...edit) (int, error) = axle.Post[int]
	_ func(ctx, client, string, any, ...edit) (int, error) = axle.Put[int]
	_ func(ctx, client, string, any, ...edit) (int, error) = axle.Patch[int]
	_ func(client, request) (int, error)                   = axle.Do[int]
)

type (
	onRequest       = func(ctx, request) (request, error)
	onResponse      = func(ctx, response) (response, error)
	recoverRequest  = func(ctx, *axle.Error) (request, error)
	recoverResponse = func(ctx, *axle.Error) (response, error)
)

var (
	_ func(*axle.Chain[request], onRequest, recoverRequest, ...axle.UseOption) axle.InterceptorID    = (*axle.Chain[request]).Use
	_ func(*axle.Chain[response], onResponse, recoverResponse, ...axle.UseOption) axle.InterceptorID = (*axle.Chain[response]).Use
)

type promise = *future.Future[int]

var (
	_ func(func() (int, error)) promise                                          = future.Go[int]
	_ func(int) promise                                                          = future.Resolved[int]
	_ func(error) promise                                                        = future.Rejected[int]
	_ func() (promise, func(int), func(error))                                   = future.WithResolvers[int]
	_ func(promise, ctx) (int, error)                                            = promise.Await
	_ func(promise) <-chan struct{}                                              = promise.Done
	_ func(promise, func(error) (int, error)) promise                            = promise.Catch
	_ func(promise, func()) promise                                              = promise.Finally
	_ func(promise, func(int) (string, error)) *future.Future[string]            = future.Then[int, string]
	_ func(...promise) *future.Future[[]int]                                     = future.All[int]
	_ func(...promise) promise                                                   = future.Any[int]
	_ func(...promise) promise                                                   = future.Race[int]
	_ func(...promise) *future.Future[[]future.Settled[int]]                     = future.AllSettled[int]
	_ func(*future.Shared[int], func() (int, error)) (promise, bool)             = (*future.Shared[int]).Join
	_ func(*future.Shared[int]) promise                                          = (*future.Shared[int]).InFlight
	_ func(*future.Shared[int])                                                  = (*future.Shared[int]).Forget
	_ error                                                                      = (*future.PanicError)(nil)
	_                                                                            = store.State[int]{User: new(int), Token: tok(nil), CheckingAuth: false}
	_ func(store.RefreshFunc, ...store.Option) *store.UserStore[int]             = store.New[int]
	_ store.RefreshFunc                                                          = (func(ctx, tok) (tok, error))(nil)
	_ func(func(error) bool) store.Option                                        = store.WithLogoutWhen
	_ func(error) bool                                                           = store.RejectedOnly
	_ func(func(ctx, tok) error) store.Option                                    = store.WithLogout
	_ func(time.Duration) store.Option                                           = store.WithRefreshTimeout
	_ func(client, string, ...store.EndpointOption) store.RefreshFunc            = store.Endpoint
	_ func(func(request, tok)) store.EndpointOption                              = store.EndpointRequest
	_ func(func(response) (tok, error)) store.EndpointOption                     = store.EndpointAnswer
	_ func(client)                                                               = client.ClearCookies
	_ func(*oauth2.Config) store.RefreshFunc                                     = store.OAuth2
	_ func(*store.UserStore[int]) store.State[int]                               = (*store.UserStore[int]).State
	_ func(*store.UserStore[int], func(*store.State[int]))                       = (*store.UserStore[int]).SetState
	_ func(*store.UserStore[int], func(state, previous store.State[int])) func() = (*store.UserStore[int]).Subscribe
	_ func(*store.UserStore[int], int, tok)                                      = (*store.UserStore[int]).Login
	_ func(*store.UserStore[int], ctx) oauth2.TokenSource                        = (*store.UserStore[int]).TokenSource
	_ auth.StatefulSession                                                       = (*store.UserStore[int])(nil)
	_ auth.Session                                                               = auth.StatefulSession(nil)
	_ func(auth.Session, ...auth.Option) *auth.Interceptor                       = auth.New
	_ axle.Plugin                                                                = (*auth.Interceptor)(nil)
	_ edit                                                                       = auth.Skip
	_ func(...int) auth.Option                                                   = auth.WithStatusCodes
	_ func(func(response) bool) auth.Option                                      = auth.WithShouldRefresh
	_ []func(time.Duration) auth.Option                                          = []func(time.Duration) auth.Option{auth.WithRefreshTimeout, auth.WithEarlyRefresh}
	_ func(...string) auth.Option                                                = auth.WithAllowedOrigins
	_                                                                            = auth.Snapshot{Token: tok(nil), Generation: auth.Generation{Login: uint64(0), Refresh: uint64(0)}, Active: false, Refreshing: false}
	_ func(auth.StatefulSession) auth.Snapshot                                   = auth.StatefulSession.Snapshot
	_ func(auth.StatefulSession, ctx, auth.Generation) (auth.Snapshot, error)    = auth.StatefulSession.RefreshSince
	_ error                                                                      = auth.ErrSessionChanged
)

// The second part of the promise: what an SDK needs of the client, of sessions and of retries.
var (
	_ func(request, func(response, *axle.Error))                                      = request.OnEnd
	_ func(request) string                                                            = request.BaseOrigin
	_ func(request) (time.Duration, bool)                                             = request.Timeout
	_ func(request, string, string) request                                           = request.SetRawPathParam
	_ func(client, string, string) client                                             = client.SetPathParam
	_ func(client, string, func(any) ([]byte, error), func([]byte, any) error) client = client.SetCodec
	_ func(client, string, func(io.Reader) (io.ReadCloser, error)) client             = client.SetDecompressor
	_ func(client, func(*axle.Error) error) client                                    = client.SetErrorMapper
	_ func(client, func(*http.Request, []*http.Request) error) client                 = client.SetRedirectCheck
	_ func(client, bool) client                                                       = client.SetWithCredentials
	_ func() *http.Transport                                                          = axle.DefaultTransport
	_ func(error) (int, bool)                                                         = axle.ErrorBody[int]
	_ func(**axle.Response) func(*axle.Request)                                       = axle.ResponseInto
	_ []func(string, string) func(*axle.Request)                                      = []func(string, string) func(*axle.Request){axle.WithHeader, axle.WithQuery}
	_ func(string) string                                                             = axle.Bearer
	_ func(string) func(*axle.Request)                                                = axle.Operation
	_ func(request) string                                                            = request.Operation
	_ func(response) bool                                                             = response.IsStream
	_ func(*axle.Key[int], request)                                                   = (*axle.Key[int]).Delete
	_ func(*axle.Key[int], client, int)                                               = (*axle.Key[int]).SetDefault
	_ func(any) (url.Values, error)                                                   = axle.QueryDots

	_ func(string, func(tok) string) auth.Option                                 = auth.WithHeader
	_ func(func(request) auth.StatefulSession, ...auth.Option) *auth.Interceptor = auth.Select
	_ func(ctx) response                                                         = auth.Challenge
	_ func(*store.UserStore[int], ctx, time.Duration) error                      = (*store.UserStore[int]).KeepFresh

	_ func(...retry.Option) *retry.Interceptor            = retry.New
	_ axle.Plugin                                         = (*retry.Interceptor)(nil)
	_ func(int) retry.Option                              = retry.WithAttempts
	_ func(first, most time.Duration) retry.Option        = retry.WithBackoff
	_ func(time.Duration) retry.Option                    = retry.WithMaxRetryAfter
	_ func(func(response, *axle.Error) bool) retry.Option = retry.WithCondition
	_ func(ratio float64, burst int) retry.Option         = retry.WithBudget
	_ func(string) retry.Option                           = retry.WithIdempotencyKey
	_ func(func(ctx, retry.Event)) retry.Option           = retry.OnRetry
	_                                                     = retry.Event{Attempt: 0, Wait: time.Duration(0), Response: response(nil), Err: (*axle.Error)(nil), Final: retry.Reason("")}
	_ []retry.Reason                                      = []retry.Reason{
		retry.NoAttemptsLeft, retry.BudgetSpent, retry.RetryAfterTooLong,
		retry.PastDeadline, retry.WaitEnded, retry.CannotBeSentAgain,
	}
	_ func(response, *axle.Error) bool          = retry.DefaultCondition
	_ edit                                      = retry.Skip
	_ func(...retry.Option) func(*axle.Request) = retry.With
)

// The third part of the promise: a session that is kept. store/redisstore and store/keyring, which
// are modules of their own, have the same for New.
var (
	_ func(ctx, store.RefreshFunc, store.Persister, ...store.Option) (*store.UserStore[int], error) = store.Open[int]
	_ func(store.Persister) store.Option                                                            = store.WithPersister
	_ func(string, ...store.FileOption) store.Persister                                             = store.File
	_ func(string) (string, error)                                                                  = store.UserFile
	_ func(string) store.Persister                                                                  = store.LocalStorage
	_ error                                                                                         = store.ErrOutcomeUnknown
	_ error                                                                                         = store.ErrConflict
	_ func([]byte) store.FileOption                                                                 = store.FileKey
	_ func(client) store.Option                                                                     = store.WithCookies
	_ func(func(error)) store.Option                                                                = store.WithStorageFailure
	_ func(auth.Observer) store.Option                                                              = store.WithObserver
	_ func(*store.UserStore[int]) error                                                             = (*store.UserStore[int]).Close
	_ func(*testing.T, func(*testing.T, *sessiontest.Server) auth.Session)                          = sessiontest.Session
	_ func(*testing.T, func(*testing.T) store.Persister)                                            = sessiontest.Persister
)

// The rest of what axle ships: the other interceptors, and what they tell. Module otel, which is
// one of its own, has the same for New.
var (
	_ func(...limit.Option) *limit.Interceptor                      = limit.New
	_ axle.Plugin                                                   = (*limit.Interceptor)(nil)
	_ func(requests int, per time.Duration, burst int) limit.Option = limit.WithRate
	_ func() limit.Option                                           = limit.WithPerOrigin
	_ func(time.Duration) limit.Option                              = limit.WithMaxWait
	_ error                                                         = &limit.WaitError{Origin: "", Until: time.Time{}, Wait: time.Duration(0), Announced: false}
	_ edit                                                          = limit.Skip

	_ func(...breaker.Option) *breaker.Interceptor                         = breaker.New
	_ axle.Plugin                                                          = (*breaker.Interceptor)(nil)
	_ func(int) breaker.Option                                             = breaker.WithFailures
	_ func(rate float64, atLeast int, window time.Duration) breaker.Option = breaker.WithFailureRate
	_ func(time.Duration) breaker.Option                                   = breaker.WithOpenFor
	_ func(int) breaker.Option                                             = breaker.WithProbes
	_ func() breaker.Option                                                = breaker.WithPerAttempt
	_ func(func(response, *axle.Error) bool) breaker.Option                = breaker.WithCondition
	_ func(response, *axle.Error) bool                                     = breaker.DefaultCondition
	_ func(func(breaker.Change)) breaker.Option                            = breaker.OnChange
	_                                                                      = breaker.Change{Origin: "", From: breaker.Closed, To: breaker.Open, Until: time.Time{}}
	_ breaker.State                                                        = breaker.HalfOpen
	_ error                                                                = &breaker.OpenError{Origin: "", Until: time.Time{}}
	_ edit                                                                 = breaker.Skip

	_ func(...logging.Option) *logging.Interceptor                = logging.New
	_ axle.Plugin                                                 = (*logging.Interceptor)(nil)
	_ func(*slog.Logger) logging.Option                           = logging.WithLogger
	_ func(func(response, *axle.Error) slog.Level) logging.Option = logging.WithLevel
	_ func(response, *axle.Error) slog.Level                      = logging.Level
	_ []func() logging.Option                                     = []func() logging.Option{logging.WithHeaders}
	_ func(int) logging.Option                                    = logging.WithBodies
	_ []func(...string) logging.Option                            = []func(...string) logging.Option{logging.WithAllowedHeaders, logging.WithAllowedNames, logging.WithSecretNames}

	_ func(auth.Observer) auth.Option = auth.WithObserver
)

// The interfaces that users implement. They have these methods, and no more: a further method would
// break each implementation.
type (
	session interface {
		Token() *oauth2.Token
		RefreshToken(ctx context.Context) (*oauth2.Token, error)
		Logout(ctx context.Context) error
	}
	statefulSession interface {
		session
		Snapshot() auth.Snapshot
		RefreshSince(ctx context.Context, seen auth.Generation) (auth.Snapshot, error)
	}
	observer interface {
		Refresh(ctx context.Context) (own context.Context, done func(err error))
		Wait(ctx context.Context) (done func(refresh context.Context, err error))
	}
	persister interface {
		Load(ctx context.Context) ([]byte, error)
		Save(ctx context.Context, old, data []byte) error
		Delete(ctx context.Context, old []byte) error
		Lock(ctx context.Context) (store.Lock, error)
		Watch(changed func()) (stop func(), err error)
	}
	lock interface {
		Held() error
		Unlock() error
	}
	plugin interface {
		Install(c *axle.Client) (uninstall func())
	}
)

var (
	_ session              = auth.Session(nil)
	_ auth.Session         = session(nil)
	_ statefulSession      = auth.StatefulSession(nil)
	_ auth.StatefulSession = statefulSession(nil)
	_ observer             = auth.Observer(nil)
	_ auth.Observer        = observer(nil)
	_ persister            = store.Persister(nil)
	_ store.Persister      = persister(nil)
	_ lock                 = store.Lock(nil)
	_ store.Lock           = lock(nil)
	_ plugin               = axle.Plugin(nil)
	_ axle.Plugin          = plugin(nil)
)
