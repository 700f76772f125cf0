package notes

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/axlehttp/axle"
)

// Error is the API's own error. errors.AsType[*notes.Error] finds it; beneath it is the *axle.Error with the whole exchange.
type Error struct {
	Code    string `json:"code"` // "not_found", "rate_limited", …
	Message string `json:"message"`
	Status  int    `json:"-"`
	cause   error
}

func (e *Error) Error() string { return fmt.Sprintf("notes: %s (%s, %d)", e.Message, e.Code, e.Status) }

// Unwrap returns the *axle.Error.
func (e *Error) Unwrap() error { return e.cause }

// envelope unwraps {"data": …} and makes an Error of {"error": …}, whatever the status. A stream, such as an attachment, has no
// envelope and is passed on unread.
func envelope(c *axle.Client) (uninstall func()) {
	id := c.Interceptors.Response.Use(
		func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
			if resp.IsStream() {
				return resp, nil
			}
			data, apiErr := open(resp)
			if apiErr != nil {
				apiErr.cause = &axle.Error{Code: axle.CodeBadResponse, Request: resp.Request, Response: resp}
				return nil, apiErr
			}
			return resp.SetBytes(data), nil
		},
		func(_ context.Context, err *axle.Error) (*axle.Response, error) {
			if err.Response == nil || err.Response.IsStream() {
				return nil, err
			}
			if _, apiErr := open(err.Response); apiErr != nil {
				apiErr.cause = err
				return nil, apiErr
			}
			return nil, err
		},
		axle.Named("notes: envelope"))
	return func() { c.Interceptors.Response.Eject(id) }
}

func open(resp *axle.Response) (data []byte, apiErr *Error) {
	var body struct {
		Data  json.RawMessage `json:"data"`
		Error *Error          `json:"error"`
	}
	if json.Unmarshal(resp.Bytes(), &body) != nil {
		return resp.Bytes(), nil // an answer that is none of the API's: a proxy's, perhaps
	}
	if body.Error != nil {
		body.Error.Status = resp.StatusCode
	}
	return body.Data, body.Error
}

// key holds a call's idempotency key, which must outlive its replays.
var key = axle.NewKey[string]("notes: idempotency key")

// idempotency gives each call that writes a key of its own.
func idempotency(c *axle.Client) (uninstall func()) {
	id := c.Interceptors.Request.Use(func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		if r.Header.Get("Idempotency-Key") == "" {
			k, ok := key.Get(r)
			if !ok {
				k = rand.Text()
				key.Set(r, k)
			}
			r.Header.Set("Idempotency-Key", k)
		}
		return r, nil
	}, nil, axle.Named("notes: idempotency"), axle.RunWhen(func(r *axle.Request) bool { return r.Method == http.MethodPost }))
	return func() { c.Interceptors.Request.Eject(id) }
}
