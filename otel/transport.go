package axleotel

import (
	"context"
	"net/http"
	"net/url"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/axlehttp/axle"
)

// Transport returns base with a span and metrics for each request that goes out through it, by
// otelhttp. It is for [axle.Client.SetTransport]:
//
//	client.SetTransport(telemetry.Transport(axle.DefaultTransport()))
//
// A span is a child of its call's span. Its attribute http.request.resend_count counts the requests
// of the call before it, whether redirects or replays. Behind [axle.Client.HTTPClient] each hop of a
// redirect is a call of its own. The headers of the request get what the propagators write.
//
// A nil base is [axle.DefaultTransport].
func (i *Interceptor) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = axle.DefaultTransport()
	}
	return &transport{
		base: base,
		traced: otelhttp.NewTransport(&sender{base},
			otelhttp.WithTracerProvider(i.tracers),
			otelhttp.WithMeterProvider(i.meters),
			otelhttp.WithPropagators(i.propagators),
			otelhttp.WithSpanNameFormatter(spanName),
		),
	}
}

// transport stands above otelhttp, and sender stands below it. otelhttp writes the URL of a request
// and the text of an error into its span as they are. So transport gives it a URL without secrets,
// and sender sends the request to the real one. Of an error, sender gives it a text without secrets,
// and transport returns the real error.
type transport struct {
	base   http.RoundTripper
	traced *otelhttp.Transport
}

// sending is what transport tells sender.
type sending struct {
	url      *url.URL
	template string // of the request of an attempt; empty after a redirect
	resends  int    // requests of the call before this one
}

type sendingKey struct{}

func sendingOf(ctx context.Context) *sending {
	s, _ := ctx.Value(sendingKey{}).(*sending)
	return s
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	a := attemptOf(r.Context())
	if a == skippedAttempt {
		return t.base.RoundTrip(r)
	}

	s := &sending{url: r.URL}
	public := ""
	if a != nil {
		s.resends = int(a.requests.Add(1)) - 1
		if a.sent.CompareAndSwap(false, true) && a.template != "" {
			s.template, public = a.template, a.publicURL(r.URL)
		}
	}
	if public == "" {
		public = shown(&axle.Request{URL: r.URL.String()}, "url")
	}

	ctx := context.WithValue(r.Context(), sendingKey{}, s)
	if s.template != "" {
		ctx = withTemplate(ctx, s.template)
	}
	traced := r.WithContext(ctx)
	traced.URL = parsed(public, r.URL)
	resp, err := t.traced.RoundTrip(traced)

	//nolint:errorlint // otelhttp returns the very error of sender
	if hidden, ok := err.(*hiddenError); ok {
		err = hidden.error
	}
	return resp, err
}

// Unwrap returns the base. By it axle sees whether the base would decompress by itself.
func (t *transport) Unwrap() http.RoundTripper { return t.base }

// CloseIdleConnections closes those of the base, as [http.Client.CloseIdleConnections] asks for.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// publicURL returns the URL u of an attempt as axle prints it. axle also hides the values of
// placeholders that are named like a secret, such as {token}, which nobody can tell from the rest of
// the path afterwards. It returns an empty string if u is not the URL of the attempt's request.
func (a *attempt) publicURL(u *url.URL) string {
	own, err := a.request.ResolveURL()
	if err != nil || own.Host != u.Host || own.EscapedPath() != u.EscapedPath() {
		return ""
	}
	return shown(a.request, "url")
}

// parsed returns a public URL for otelhttp. Should it not parse, only the origin of u is left of it.
func parsed(public string, u *url.URL) *url.URL {
	parsed, err := url.Parse(public)
	if err != nil {
		return &url.URL{Scheme: u.Scheme, Host: u.Host}
	}
	return parsed
}

// sender sends what otelhttp has made a span for.
type sender struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (s *sender) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	told := sendingOf(ctx)
	if told.resends > 0 {
		trace.SpanFromContext(ctx).SetAttributes(semconv.HTTPRequestResendCount(told.resends))
	}

	sent := r.WithContext(ctx)
	sent.URL = told.url
	resp, err := s.base.RoundTrip(sent)
	if err == nil {
		return resp, nil
	}
	if text := shown(&axle.Error{Err: err}, "cause"); text != err.Error() {
		err = &hiddenError{err, text}
	}
	return resp, err
}

// hiddenError is an error whose text has a secret in it, and the text without that.
type hiddenError struct {
	error
	text string
}

func (e *hiddenError) Error() string { return e.text }
func (e *hiddenError) Unwrap() error { return e.error }

func spanName(_ string, r *http.Request) string {
	return nameOf(r.Method, sendingOf(r.Context()).template)
}

// withTemplate returns a context that adds a template to the attributes of otelhttp's metrics, beside
// those that the program adds by a Labeler of its own.
func withTemplate(ctx context.Context, template string) context.Context {
	programs, _ := otelhttp.ClientLabelerFromContext(ctx)
	var labeler otelhttp.Labeler
	labeler.Add(programs.Get()...)
	labeler.Add(semconv.URLTemplate(template))
	return otelhttp.ContextWithClientLabeler(ctx, &labeler)
}
