package axleotel

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/axlehttp/axle"
)

// call is a call with its span. The replays of the call share it.
type call struct {
	span     trace.Span
	measured metric.MeasurementOption // the attributes of the call's metrics
	nested   bool                     // a handler of another call made this one
	requests atomic.Int32             // that went out so far, redirects included
	ended    atomic.Bool
}

// attempt is one way of a call through the request chain. The contexts of its requests carry it.
type attempt struct {
	*call
	request  *axle.Request
	template string // the path with its placeholders; empty if the URL has none
	sent     atomic.Bool
}

// skippedAttempt stands for every attempt of a call with [Skip].
var skippedAttempt = new(attempt)

type attemptKey struct{}

// attemptOf returns the attempt that ctx is of, or nil.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// beginAttempt begins the span of a call at its first attempt, and puts the span into the context of
// every attempt.
func (i *Interceptor) beginAttempt(ctx context.Context, r *axle.Request) {
	if attemptOf(ctx) == skippedAttempt {
		return
	}

	template := templateOf(r.URL)
	c, _ := i.calls.Get(r)
	if c.isOf(r) {
		i.metrics.replays.Add(ctx, 1, c.measured)
		c.event("axle.replay", attribute.Int("axle.attempt", r.Attempt()+1))
	} else {
		ctx, c = i.start(ctx, r, template)
		c.event("axle.attempt", attribute.Int("axle.attempt", 1))
	}

	ctx = trace.ContextWithSpan(ctx, c.span)
	r.SetContext(context.WithValue(ctx, attemptKey{}, &attempt{call: c, request: r, template: template}))
}

// isOf reports whether r is a further attempt of the call c, which may be nil. A request that is
// sent as a new call has the values of the keys of the old one: the old call is over then, or a
// handler of it sends the new one.
func (c *call) isOf(r *axle.Request) bool {
	if c == nil || c.ended.Load() || c.nested != r.Nested() {
		return false
	}

	// A handler of a nested call may send yet another one. Of the two, a replay has an attempt
	// behind it.
	return !r.Nested() || r.Attempt() > 0
}

// start begins the span of a call.
func (i *Interceptor) start(
	ctx context.Context, r *axle.Request, template string,
) (context.Context, *call) {
	attrs := make([]attribute.KeyValue, 0, 8)
	attrs = append(attrs, methodAttributes(r.Method)...)
	if operation := r.Operation(); operation != "" {
		attrs = append(attrs, attribute.String("axle.operation", operation))
	}
	origin, _ := r.Origin()
	attrs = append(attrs, serverAttributes(origin)...)

	// The metrics have these attributes, whose values are few. The spans have the URL too.
	measured := metric.WithAttributeSet(attribute.NewSet(attrs...))
	if template != "" {
		attrs = append(attrs, semconv.URLTemplate(template))
	}
	attrs = append(attrs, semconv.URLFull(shown(r, "url")))

	name := r.Operation()
	if name == "" {
		name = nameOf(r.Method, template)
	}
	ctx, span := i.tracer.Start(ctx, name, trace.WithAttributes(attrs...))

	c := &call{span: span, measured: measured, nested: r.Nested()}
	i.calls.Set(r, c)
	r.OnEnd(c.end)
	return ctx, c
}

// event adds an event to the span of the call.
func (c *call) event(name string, attrs ...attribute.KeyValue) {
	c.span.AddEvent(name, trace.WithAttributes(attrs...))
}

// end ends the span. It is a function of [axle.Request.OnEnd].
func (c *call) end(resp *axle.Response, err *axle.Error) {
	c.ended.Store(true)
	defer c.span.End()

	attempts := 0
	if err != nil {
		resp = err.Response
		attempts = err.Request.Attempt()
		c.span.SetAttributes(semconv.ErrorTypeKey.String(errorType(err)))
		c.span.SetStatus(codes.Error, err.Error())
	}
	if resp != nil {
		attempts = max(attempts, resp.Request.Attempt())
		c.span.SetAttributes(semconv.HTTPResponseStatusCode(resp.StatusCode))
	}
	c.span.SetAttributes(attribute.Int("axle.attempts", attempts))
}

// errorType is the attribute error.type of a failure: the status of a refused response, or the code.
// Its values are few.
func errorType(err error) string {
	var failed *axle.Error
	if !errors.As(err, &failed) {
		failed = &axle.Error{Code: "_OTHER"}
	}

	refused := failed.Code == axle.CodeBadRequest || failed.Code == axle.CodeBadResponse
	switch status := failed.StatusCode(); {
	case refused && status >= http.StatusMultipleChoices:
		return strconv.Itoa(status)
	case errors.Is(err, context.DeadlineExceeded):
		return string(axle.CodeTimeout)
	case errors.Is(err, context.Canceled):
		return string(axle.CodeCanceled)
	}
	return string(failed.Code)
}

// shown returns a part of a request or an error as axle prints it, which is without secrets.
func shown(v slog.LogValuer, part string) string {
	for _, attr := range v.LogValue().Group() {
		if attr.Key == part {
			return attr.Value.String()
		}
	}
	return ""
}

// nameOf is the name of a span of the conventions: the method, and the template if there is one.
func nameOf(method, template string) string {
	known, isKnown := knownMethod(method)
	if !isKnown {
		known = "HTTP"
	}
	if template == "" {
		return known
	}
	return known + " " + template
}

// methods are those of RFC 9110 and RFC 5789, which the conventions know.
var methods = map[string]bool{
	http.MethodConnect: true, http.MethodDelete: true, http.MethodGet: true, http.MethodHead: true,
	http.MethodOptions: true, http.MethodPatch: true, http.MethodPost: true, http.MethodPut: true,
	http.MethodTrace: true,
}

// knownMethod returns a method as it is sent, and whether the conventions know it.
func knownMethod(method string) (known string, isKnown bool) {
	if method == "" {
		return http.MethodGet, true
	}
	known = strings.ToUpper(method)
	return known, methods[known]
}

func methodAttributes(method string) []attribute.KeyValue {
	known, isKnown := knownMethod(method)
	if isKnown {
		return []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(known)}
	}
	return []attribute.KeyValue{semconv.HTTPRequestMethodOther}
}

// serverAttributes returns the host and the port of an origin. An empty origin has none.
func serverAttributes(origin string) []attribute.KeyValue {
	u, err := url.Parse(origin)
	if err != nil || u.Hostname() == "" {
		return nil
	}

	port, err := strconv.Atoi(u.Port())
	if err != nil {
		port = 443
		if u.Scheme == "http" {
			port = 80
		}
	}
	return []attribute.KeyValue{semconv.ServerAddress(u.Hostname()), semconv.ServerPort(port)}
}

// templateOf returns the path of a request's URL if it has placeholders, such as "/users/{id}": then
// its values are few. It returns an empty string for any other URL.
func templateOf(raw string) string {
	path, _, _ := strings.Cut(raw, "?")
	path, _, _ = strings.Cut(path, "#")
	if !strings.Contains(path, "{") {
		return ""
	}

	if _, rest, isAbsolute := strings.Cut(path, "://"); isAbsolute {
		_, path, _ = strings.Cut(rest, "/")
	}
	return "/" + strings.TrimPrefix(path, "/")
}
