package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"

	restyv2 "github.com/go-resty/resty/v2"
	"github.com/hashicorp/go-retryablehttp"
	reqv3 "github.com/imroc/req/v3"
	restyv3 "resty.dev/v3"

	"github.com/axlehttp/axle"
)

// item is 300 bytes of JSON.
type item struct {
	ID   int      `json:"id"`
	Name string   `json:"name"`
	Tags []string `json:"tags"`
	Text string   `json:"text"`
}

var (
	answer = func() []byte {
		body := []byte(`{"id":7,"name":"a name","tags":["one","two","three"],"text":"`)
		body = append(body, bytes.Repeat([]byte("x"), 300-len(body)-2)...)
		return append(body, `"}`...)
	}()
	sent = func() item {
		var it item
		if err := json.Unmarshal(answer, &it); err != nil {
			panic(err)
		}
		return it
	}()
	jsonType = []string{"application/json"}
)

const (
	memoryURL = "http://api.test"
	path      = "/items/7"
)

// memory is a transport without sockets. Like a real one it reads and closes the body that it is given.
type memory struct{}

func (memory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Header: http.Header{"Content-Type": jsonType},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(answer)), ContentLength: int64(len(answer)), Request: r,
	}, nil
}

// A peer does the same two calls as every other: the answer is decoded into a struct, and what is sent is encoded from one.
type peer struct {
	name  string
	get   func(ctx context.Context) (item, error)
	post  func(ctx context.Context, in *item) (item, error)
	close func()
}

// newPeers makes every client of the table anew, over transports of their own.
func newPeers(base string, transport func() http.RoundTripper) []peer {
	return []peer{
		plainPeer("net/http", &http.Client{Transport: transport()}, base),
		axlePeer("axle", newAxle(base, transport(), 0)),
		restyV2Peer("resty v2", newRestyV2(base, transport(), 0)),
		restyV3Peer("resty v3", newRestyV3(base, transport(), 0)),
		reqV3Peer("req v3", newReqV3(base, transport(), 0)),
		retryablePeer("go-retryablehttp", transport(), base),
	}
}

// leanPeers are those of newPeers that have a cookie jar by default, without it. net/http and go-retryablehttp have none; req v3 has a
// time limit by default as well.
func leanPeers(base string, transport func() http.RoundTripper) []peer {
	return []peer{
		axlePeer("axle, no cookie jar", newAxle(base, transport(), 0).SetCookieJar(nil)),
		restyV2Peer("resty v2, no cookie jar", newRestyV2(base, transport(), 0).SetCookieJar(nil)),
		restyV3Peer("resty v3, no cookie jar", newRestyV3(base, transport(), 0).SetCookieJar(nil)),
		reqV3Peer("req v3, no cookie jar", newReqV3(base, transport(), 0).SetCookieJar(nil).SetTimeout(0)),
	}
}

func pairPeers(base string, transport func() http.RoundTripper) []peer {
	return []peer{
		axlePeer("axle, 1 pair", newAxle(base, transport(), 1)),
		axlePeer("axle, 10 pairs", newAxle(base, transport(), 10)),
		axlePeer("axle, 100 pairs", newAxle(base, transport(), 100)),
		axlePeer("axle, 1000 pairs", newAxle(base, transport(), 1000)),
		restyV2Peer("resty v2, 1000 pairs", newRestyV2(base, transport(), 1000)),
		restyV3Peer("resty v3, 1000 pairs", newRestyV3(base, transport(), 1000)),
		reqV3Peer("req v3, 1000 pairs", newReqV3(base, transport(), 1000)),
	}
}

func newAxle(base string, transport http.RoundTripper, pairs int) *axle.Client {
	c := axle.New().SetBaseURL(base).SetTransport(transport)
	for range pairs {
		c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) { return r, nil }, nil)
		c.Interceptors.Response.Use(func(_ context.Context, r *axle.Response) (*axle.Response, error) { return r, nil }, nil)
	}
	return c
}

func axlePeer(name string, c *axle.Client) peer {
	return peer{
		name:  name,
		get:   func(ctx context.Context) (item, error) { return axle.Get[item](ctx, c, path) },
		post:  func(ctx context.Context, in *item) (item, error) { return axle.Post[item](ctx, c, path, in) },
		close: func() { c.HTTPClient().CloseIdleConnections() },
	}
}

func newRestyV2(base string, transport http.RoundTripper, pairs int) *restyv2.Client {
	c := restyv2.New().SetBaseURL(base).SetTransport(transport)
	for range pairs {
		c.OnBeforeRequest(func(*restyv2.Client, *restyv2.Request) error { return nil })
		c.OnAfterResponse(func(*restyv2.Client, *restyv2.Response) error { return nil })
	}
	return c
}

func restyV2Peer(name string, c *restyv2.Client) peer {
	return peer{
		name: name,
		get: func(ctx context.Context) (out item, err error) {
			_, err = c.R().SetContext(ctx).SetResult(&out).Get(path)
			return out, err
		},
		post: func(ctx context.Context, in *item) (out item, err error) {
			_, err = c.R().SetContext(ctx).SetBody(in).SetResult(&out).Post(path)
			return out, err
		},
		close: func() { c.GetClient().CloseIdleConnections() },
	}
}

func newRestyV3(base string, transport http.RoundTripper, pairs int) *restyv3.Client {
	c := restyv3.New().SetBaseURL(base).SetTransport(transport)
	for range pairs {
		c.AddRequestMiddleware(func(*restyv3.Client, *restyv3.Request) error { return nil })
		c.AddResponseMiddleware(func(*restyv3.Client, *restyv3.Response) error { return nil })
	}
	return c
}

func restyV3Peer(name string, c *restyv3.Client) peer {
	return peer{
		name: name,
		get: func(ctx context.Context) (out item, err error) {
			_, err = c.R().SetContext(ctx).SetResult(&out).Get(path)
			return out, err
		},
		post: func(ctx context.Context, in *item) (out item, err error) {
			_, err = c.R().SetContext(ctx).SetBody(in).SetResult(&out).Post(path)
			return out, err
		},
		close: func() { _ = c.Close(); c.Client().CloseIdleConnections() },
	}
}

// newReqV3 has the same transport as its peers, in the place of req's own.
func newReqV3(base string, transport http.RoundTripper, pairs int) *reqv3.Client {
	c := reqv3.C().SetBaseURL(base)
	c.GetClient().Transport = transport
	for range pairs {
		c.OnBeforeRequest(func(*reqv3.Client, *reqv3.Request) error { return nil })
		c.OnAfterResponse(func(*reqv3.Client, *reqv3.Response) error { return nil })
	}
	return c
}

func reqV3Peer(name string, c *reqv3.Client) peer {
	return peer{
		name: name,
		get: func(ctx context.Context) (out item, err error) {
			_, err = c.R().SetContext(ctx).SetSuccessResult(&out).Get(path)
			return out, err
		},
		post: func(ctx context.Context, in *item) (out item, err error) {
			_, err = c.R().SetContext(ctx).SetBody(in).SetSuccessResult(&out).Post(path)
			return out, err
		},
		close: func() { c.GetClient().CloseIdleConnections() },
	}
}

// plainPeer writes out what the others do.
func plainPeer(name string, c *http.Client, base string) peer {
	send := func(ctx context.Context, method string, body io.Reader) (out item, err error) {
		req, err := http.NewRequestWithContext(ctx, method, base+path, body)
		if err != nil {
			return out, err
		}
		if method == http.MethodPost {
			req.Header["Content-Type"] = jsonType
		}
		resp, err := c.Do(req)
		if err != nil {
			return out, err
		}
		return decode(resp)
	}
	return peer{
		name: name,
		get:  func(ctx context.Context) (item, error) { return send(ctx, http.MethodGet, http.NoBody) },
		post: func(ctx context.Context, in *item) (item, error) {
			body, err := json.Marshal(in)
			if err != nil {
				return item{}, err
			}
			return send(ctx, http.MethodPost, bytes.NewReader(body))
		},
		close: c.CloseIdleConnections,
	}
}

func retryablePeer(name string, transport http.RoundTripper, base string) peer {
	c := retryablehttp.NewClient()
	c.Logger = nil
	c.HTTPClient = &http.Client{Transport: transport}
	send := func(ctx context.Context, method string, body any) (out item, err error) {
		req, err := retryablehttp.NewRequestWithContext(ctx, method, base+path, body)
		if err != nil {
			return out, err
		}
		if method == http.MethodPost {
			req.Header["Content-Type"] = jsonType
		}
		resp, err := c.Do(req)
		if err != nil {
			return out, err
		}
		return decode(resp)
	}
	return peer{
		name: name,
		get:  func(ctx context.Context) (item, error) { return send(ctx, http.MethodGet, nil) },
		post: func(ctx context.Context, in *item) (item, error) {
			body, err := json.Marshal(in)
			if err != nil {
				return item{}, err
			}
			return send(ctx, http.MethodPost, body)
		},
		close: c.HTTPClient.CloseIdleConnections,
	}
}

func decode(resp *http.Response) (out item, err error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return out, err
	}
	if resp.StatusCode != http.StatusOK {
		return out, fmt.Errorf("status %d", resp.StatusCode)
	}
	err = json.Unmarshal(body, &out)
	return out, err
}

var errOtherAnswer = errors.New("the answer is not what was sent")

// check fails on any answer but the one that all peers get.
func check(it item, err error) error {
	if err == nil && (it.ID != sent.ID || it.Text != sent.Text || len(it.Tags) != len(sent.Tags)) {
		err = errOtherAnswer
	}
	return err
}

// inOrder turns the rows round in every other round of a report, so that none always comes first.
func inOrder[T any](rows []T) []T {
	rows = slices.Clone(rows)
	if os.Getenv("AXLE_BENCH_REVERSED") != "" {
		slices.Reverse(rows)
	}
	return rows
}

// measure is one row.
func measure(b *testing.B, name string, call func(context.Context) (item, error)) {
	b.Helper()
	ctx := context.Background()
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := check(call(ctx)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// measureParallel is one row of a hundred callers.
func measureParallel(b *testing.B, name string, callers int, call func(context.Context) (item, error)) {
	b.Helper()
	ctx := context.Background()
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(perProcessor(callers))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := check(call(ctx)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
