package axleotel_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/axlehttp/axle"
)

// Spans of requests.

func TestTransport_EachRequestHasASpanBelowThatOfItsCall(t *testing.T) {
	tel := newTelemetry(t)
	var arrived []string
	unavailable := onceUnavailable()
	client := tel.client(t, func(w http.ResponseWriter, r *http.Request) {
		arrived = append(arrived, r.Header.Get("Traceparent"))
		unavailable(w, r)
	}, again)
	_, err := client.Get(t.Context(), "/users/{id}", func(r *axle.Request) { r.SetPathParam("id", "7") })
	require.NoError(t, err)

	call, requests := tel.spans().calls().one(t), tel.spans().requests()
	require.Len(t, requests, 2)
	for i, span := range requests {
		assert.Equal(t, "GET /users/{id}", span.Name)
		assert.Equal(t, call.SpanContext.SpanID(), span.Parent.SpanID())
		assert.Contains(t, arrived[i], span.SpanContext.TraceID().String()+"-"+span.SpanContext.SpanID().String())
		assert.Equal(t, client.BaseURL()+"/users/7", attributes(span.Attributes)["url.full"])
	}
	assert.Equal(t, codes.Error, requests[0].Status.Code)
	assert.Equal(t, codes.Unset, requests[1].Status.Code)

	// The metrics of the conventions come from otelhttp.
	points := metric[metricdata.HistogramDataPoint[float64]](t, tel, "http.client.request.duration")
	require.Len(t, points, 2, "of the two statuses")
	assert.Equal(t, "/users/{id}", attributes(points[0].Attributes.ToSlice())["url.template"])
}

func TestTransport_TheResendCountCountsReplaysAndRedirects(t *testing.T) {
	tel := newTelemetry(t)
	unavailable := onceUnavailable()
	client := tel.client(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old/7" {
			http.Redirect(w, r, "/new", http.StatusFound)
			return
		}
		unavailable(w, r)
	}, again)
	_, err := client.Get(t.Context(), "/old/{id}", func(r *axle.Request) { r.SetPathParam("id", "7") })
	require.NoError(t, err)

	var counts []any
	for _, span := range tel.spans().requests() {
		counts = append(counts, attributes(span.Attributes)["http.request.resend_count"])
	}
	assert.Equal(t, []any{nil, int64(1), int64(2), int64(3)}, counts)
	assert.Equal(t, []string{"GET /old/{id}", "GET", "GET /old/{id}", "GET"}, tel.spans().requests().names(),
		"the template is not that of a redirect")
}

func TestTransport_TheRequestAndTheErrorAreThoseOfTheBase(t *testing.T) {
	tel := newTelemetry(t)
	boom := errors.New("proxy https://user:hunter2@proxy.test said no")
	var sent string
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		sent = r.URL.String()
		return nil, boom
	})
	const raw = "http://api.test/?api_key=hunter2"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, raw, http.NoBody)
	require.NoError(t, err)

	_, err = tel.Transport(base).RoundTrip(req) //nolint:bodyclose // there is none
	assert.Equal(t, boom, err, "the very error")
	assert.Equal(t, raw, sent)
	assert.Equal(t, raw, req.URL.String())
	span := tel.spans().requests().one(t)
	assert.Equal(t, "proxy https://REDACTED@proxy.test said no", span.Status.Description)
	assert.Equal(t, "http://api.test/?api_key=REDACTED", attributes(span.Attributes)["url.full"])
}

func TestTransport_TheProgramsOwnAttributesOfAMetricStay(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, ok)
	var labeler otelhttp.Labeler
	labeler.Add(attribute.String("tenant", "acme"))
	ctx := otelhttp.ContextWithClientLabeler(t.Context(), &labeler)
	_, err := client.Get(ctx, "/users/{id}", func(r *axle.Request) { r.SetPathParam("id", "7") })
	require.NoError(t, err)

	points := metric[metricdata.HistogramDataPoint[float64]](t, tel, "http.client.request.duration")
	require.Len(t, points, 1)
	recorded := attributes(points[0].Attributes.ToSlice())
	assert.Equal(t, "acme", recorded["tenant"])
	assert.Equal(t, "/users/{id}", recorded["url.template"])
	assert.Len(t, labeler.Get(), 1)
}

func TestTransport_AResponseHasTheRequestThatWasSent(t *testing.T) {
	tel := newTelemetry(t)
	client := tel.client(t, ok)
	resp, err := client.Get(t.Context(), "/?api_key=hunter2")
	require.NoError(t, err)
	assert.Equal(t, "api_key=hunter2", resp.Raw().Request.URL.RawQuery)
}

type closing struct {
	http.RoundTripper
	closed bool
}

func (c *closing) CloseIdleConnections() { c.closed = true }

func TestTransport_ClosesTheIdleConnectionsOfTheBase(t *testing.T) {
	base := &closing{}
	client := &http.Client{Transport: newTelemetry(t).Transport(base)}
	client.CloseIdleConnections()
	assert.True(t, base.closed)

	// A base without the method has nothing to close.
	client.Transport = newTelemetry(t).Transport(roundTrip(nil))
	client.CloseIdleConnections()
}

func TestSecrets_NoneIsInASpanOrAMetric(t *testing.T) {
	const secret = "hunter2"
	for name, x := range map[string]struct {
		url  string
		edit func(*axle.Request)
		fail error // of the transport
	}{
		"a query parameter":     {url: "/?api_key=" + secret},
		"userinfo":              {url: "http://ada:" + secret + "@127.0.0.1/"},
		"a placeholder":         {url: "/reset/{token}", edit: func(r *axle.Request) { r.SetPathParam("token", secret) }},
		"a header":              {url: "/", edit: func(r *axle.Request) { r.SetHeader("Authorization", "Bearer "+secret) }},
		"a body":                {url: "/", edit: func(r *axle.Request) { r.SetBody("password=" + secret) }},
		"the transport's error": {url: "/", fail: errors.New("GET https://x.test/?token=" + secret + " failed")},
		"a redirect":            {url: "/old"},
	} {
		t.Run(name, func(t *testing.T) {
			tel := newTelemetry(t)
			client := axle.New().SetBaseURL("http://api.test").Use(tel)
			client.SetTransport(tel.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
				if x.fail != nil {
					return nil, x.fail
				}
				resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}
				if r.URL.Path == "/old" {
					resp.StatusCode = http.StatusFound
					resp.Header.Set("Location", "/new?access_token="+secret)
				}
				return resp, nil
			})))
			_, err := client.R(t.Context()).With(x.edit).Post(x.url)
			assert.Equal(t, x.fail != nil, err != nil)

			var all metricdata.ResourceMetrics
			require.NoError(t, tel.reader.Collect(context.Background(), &all))
			assert.NotEmpty(t, tel.spans().requests())
			assert.NotContains(t, dump(t, tel.spans()), secret)
			assert.NotContains(t, dump(t, all), secret)
		})
	}
}

func dump(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}
