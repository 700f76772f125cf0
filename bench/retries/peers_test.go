package retries

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	restyv2 "github.com/go-resty/resty/v2"
	"github.com/hashicorp/go-retryablehttp"
	reqv3 "github.com/imroc/req/v3"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/retry"
)

const base = "http://api.test"

// send makes one call. It returns an error unless the call got a 200.
type send func(ctx context.Context, method, path string, body []byte) error

// A peer makes clients, each with retries of its own, as many programs would have them.
type peer struct {
	name string
	new  func(transport http.RoundTripper) send
}

// retriesWhereNoneIsDefault is for those that do not retry by default. The rest is their default.
const retriesWhereNoneIsDefault = 3

var peers = []peer{
	{"net/http, no retries", newPlain},
	{"axle", func(t http.RoundTripper) send { return newAxle(t) }},
	{"go-retryablehttp 0.7.8", newRetryable},
	{"azcore 1.24.0", newAzcore},
	{"resty v2.17.2, 3 retries", newRestyV2},
	{"req v3.57.0, 3 retries", newReqV3},
}

// keyed is for servers that know idempotency keys. Its budget lets every call be retried once, since
// in this scenario every call fails at first.
var keyed = peer{"axle, WithIdempotencyKey, WithBudget(1, 10)", func(t http.RoundTripper) send {
	return newAxle(t, retry.WithIdempotencyKey("Idempotency-Key"), retry.WithBudget(1, 10))
}}

func newPlain(transport http.RoundTripper) send {
	return overHTTP(&http.Client{Transport: transport})
}

func overHTTP(c interface {
	Do(*http.Request) (*http.Response, error)
}) send {
	return func(ctx context.Context, method, path string, body []byte) error {
		r, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := c.Do(r)
		return finish(resp, err)
	}
}

// finish reads the response.
func finish(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	return check(resp.StatusCode)
}

type statusError int

func (s statusError) Error() string { return http.StatusText(int(s)) }

func check(status int) error {
	if status == http.StatusOK {
		return nil
	}
	return statusError(status)
}

func newAxle(transport http.RoundTripper, opts ...retry.Option) send {
	c := axle.New().SetBaseURL(base).SetTransport(transport).SetCookieJar(nil).Use(retry.New(opts...))
	return func(ctx context.Context, method, path string, body []byte) error {
		r := c.R(ctx)
		if len(body) > 0 {
			r.SetBody(body)
		}
		_, err := r.Execute(method, path)
		return err
	}
}

func newRetryable(transport http.RoundTripper) send {
	c := retryablehttp.NewClient()
	c.Logger = nil
	c.HTTPClient = &http.Client{Transport: transport}
	return overHTTP(c.StandardClient())
}

func newAzcore(transport http.RoundTripper) send {
	pipeline := runtime.NewPipeline("bench", "v1", runtime.PipelineOptions{}, &policy.ClientOptions{
		Transport: &http.Client{Transport: transport},
	})
	return func(ctx context.Context, method, path string, body []byte) error {
		r, err := runtime.NewRequest(ctx, method, base+path)
		if err != nil {
			return err
		}
		if len(body) > 0 {
			if err := r.SetBody(streaming.NopCloser(bytes.NewReader(body)), "text/plain"); err != nil {
				return err
			}
		}
		resp, err := pipeline.Do(r)
		return finish(resp, err)
	}
}

func newRestyV2(transport http.RoundTripper) send {
	c := restyv2.New().SetBaseURL(base).SetTransport(transport).SetRetryCount(retriesWhereNoneIsDefault)
	c.SetLogger(silent{})
	return func(ctx context.Context, method, path string, body []byte) error {
		r := c.R().SetContext(ctx)
		if len(body) > 0 {
			r.SetBody(body)
		}
		resp, err := r.Execute(method, path)
		if err != nil {
			return err
		}
		return check(resp.StatusCode())
	}
}

type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}

func newReqV3(transport http.RoundTripper) send {
	c := reqv3.C().SetBaseURL(base).SetCommonRetryCount(retriesWhereNoneIsDefault).SetLogger(nil)
	c.GetClient().Transport = transport
	return func(ctx context.Context, method, path string, body []byte) error {
		r := c.R().SetContext(ctx)
		if len(body) > 0 {
			r.SetBodyBytes(body)
		}
		resp, err := r.Send(method, path)
		if err != nil {
			return err
		}
		return check(resp.StatusCode)
	}
}
